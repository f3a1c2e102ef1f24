//! Literals of Python: the tables that the package keeps in its settings instead of in files of their own.
//!
//! Texts, and dictionaries, sets, lists and tuples of them. What is no literal is passed over.

use super::yaml::Node;

/// The literal that is assigned to a name at the beginning of a line.
///
/// # Errors
/// There is none.
pub(crate) fn assigned(source: &str, name: &str) -> Result<Node, String> {
    let mut offset = 0;
    for line in source.split_inclusive('\n') {
        if let Some(rest) = line.strip_prefix(name)
            && let Some(value) = rest.trim_start().strip_prefix('=')
        {
            let at = offset + line.len() - value.len();
            let mut literal = Literal {
                rest: &source[at..],
            };
            return literal
                .value()
                .ok_or_else(|| format!("{name} is no literal"));
        }
        offset += line.len();
    }
    Err(format!("{name} is not there"))
}

struct Literal<'a> {
    rest: &'a str,
}

impl Literal<'_> {
    /// Passes over white space and comments.
    fn pass(&mut self) {
        loop {
            self.rest = self.rest.trim_start();
            match self.rest.strip_prefix('#') {
                Some(comment) => self.rest = comment.split_once('\n').map_or("", |(_, rest)| rest),
                None => return,
            }
        }
    }

    fn take(&mut self, wanted: char) -> bool {
        self.pass();
        let rest = self.rest.strip_prefix(wanted);
        self.rest = rest.unwrap_or(self.rest);
        rest.is_some()
    }

    fn value(&mut self) -> Option<Node> {
        for (open, close) in [('{', '}'), ('[', ']'), ('(', ')')] {
            if self.take(open) {
                return self.items(close);
            }
        }
        self.text().map(|text| Node::Text(Some(text)))
    }

    fn text(&mut self) -> Option<String> {
        self.pass();
        let quote = self
            .rest
            .chars()
            .next()
            .filter(|c| matches!(c, '\'' | '"'))?;
        let mut text = String::new();
        let mut chars = self.rest.char_indices().skip(1);
        while let Some((at, c)) = chars.next() {
            match c {
                '\\' => text.push(chars.next()?.1),
                c if c == quote => {
                    self.rest = &self.rest[at + 1..];
                    return Some(text);
                }
                c => text.push(c),
            }
        }
        None
    }

    fn items(&mut self, close: char) -> Option<Node> {
        let (mut members, mut items) = (Vec::new(), Vec::new());
        loop {
            if self.take(close) {
                break;
            }
            let item = self.value()?;
            if self.take(':') {
                members.push((item.as_text()?.to_owned(), self.value()?));
            } else {
                items.push(item);
            }
            self.take(',');
        }
        Some(match items.is_empty() {
            true => Node::Map(members),
            false => Node::List(items),
        })
    }
}
