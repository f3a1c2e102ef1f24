//! YAML as the patterns use it: maps, lists and texts. Numbers and dates stay the texts that they are written as.

use saphyr_parser::{Event, Parser};

/// A node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Node {
    /// A text; `None` for null.
    Text(Option<String>),
    /// A list.
    List(Vec<Node>),
    /// A map, in order.
    Map(Vec<(String, Node)>),
}

impl Node {
    /// A member of a map.
    pub(crate) fn get(&self, name: &str) -> Option<&Node> {
        self.members()
            .iter()
            .find(|(key, _)| key == name)
            .map(|(_, node)| node)
    }

    /// The text of a member, if it is one.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.get(name)?.as_text()
    }

    /// The text, if it is one.
    pub(crate) fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => text.as_deref(),
            _ => None,
        }
    }

    /// Members of a map; of everything else, none.
    pub(crate) fn members(&self) -> &[(String, Node)] {
        match self {
            Self::Map(members) => members,
            _ => &[],
        }
    }

    /// Items of a list; of everything else, none.
    pub(crate) fn items(&self) -> &[Node] {
        match self {
            Self::List(items) => items,
            _ => &[],
        }
    }
}

/// Reads a file of one document.
///
/// # Errors
/// What is wrong, and where.
pub(crate) fn parse(text: &str) -> Result<Node, String> {
    // Open lists and maps; of a map, the key that waits for its value.
    let mut open: Vec<(Node, Option<String>)> = Vec::new();
    let mut root = None;
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| error.to_string())?;
        let node = match event {
            Event::Scalar(text, style, ..) => {
                let is_plain = style == saphyr_parser::ScalarStyle::Plain;
                let is_null = is_plain && matches!(text.as_ref(), "" | "null" | "~");
                Node::Text((!is_null).then(|| text.into_owned()))
            }
            Event::SequenceStart(..) => {
                open.push((Node::List(Vec::new()), None));
                continue;
            }
            Event::MappingStart(..) => {
                open.push((Node::Map(Vec::new()), None));
                continue;
            }
            Event::SequenceEnd | Event::MappingEnd => match open.pop() {
                Some((node, _)) => node,
                None => continue,
            },
            Event::Alias(_) => return Err(format!("an alias at line {}", span.start.line())),
            _ => continue,
        };
        match open.last_mut() {
            None => root = Some(node),
            Some((Node::List(items), _)) => items.push(node),
            Some((Node::Map(members), key)) => match (key.take(), node) {
                (Some(name), node) => members.push((name, node)),
                (None, Node::Text(name)) => *key = Some(name.unwrap_or_default()),
                (None, _) => return Err(format!("a key is no text at line {}", span.start.line())),
            },
            Some((Node::Text(_), _)) => {}
        }
    }
    root.ok_or_else(|| "it is empty".to_owned())
}
