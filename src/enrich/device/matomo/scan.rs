//! One User-Agent and the patterns that may match it: all literals of all patterns are looked up in one pass, and only
//! patterns of which one was found are run, where it was found.

use super::data::{Data, Pattern, Trie};
use super::program::{Boundary, Groups, Matcher};

/// "Somewhere", where a position is meant.
const ANYWHERE: u32 = u32::MAX;

/// A User-Agent, looked through.
pub(crate) struct Scan<'t> {
    data: &'t Data,
    /// As it came.
    pub(crate) original: &'t str,
    /// In lower case (ASCII only).
    pub(crate) lower: String,
    /// Pattern and position, sorted.
    hits: Vec<(u32, u32)>,
}

/// A pattern that matched, and where its groups are.
#[derive(Clone, Copy)]
pub(crate) struct Match<'t> {
    pub(crate) pattern: &'t Pattern,
    pub(crate) groups: Groups,
}

impl<'t> Scan<'t> {
    pub(crate) fn new(data: &'t Data, original: &'t str) -> Self {
        let lower = original.to_ascii_lowercase();
        let text = lower.as_bytes();
        let mut hits = Vec::with_capacity(data.always.len() + text.len());
        hits.extend(data.always.iter().map(|pattern| (*pattern, ANYWHERE)));
        for at in 0..text.len() {
            if Boundary::Word.allows(text, at) {
                let at_word = u32::try_from(at).unwrap_or(ANYWHERE);
                walk(&data.leading, &text[at..], |pattern| {
                    hits.push((pattern, at_word))
                });
            }
            walk(&data.inner, &text[at..], |pattern| {
                hits.push((pattern, ANYWHERE))
            });
        }
        hits.sort_unstable();
        hits.dedup();
        Self {
            data,
            original,
            lower,
            hits,
        }
    }

    /// The first pattern that matches, of those from one number to another.
    pub(crate) fn first(&self, from: u32, to: u32) -> Option<Match<'t>> {
        let mut at = self.hits.partition_point(|hit| hit.0 < from);
        while let Some(&(number, _)) = self.hits.get(at).filter(|hit| hit.0 < to) {
            let hits = &self.hits[at..];
            let hits = &hits[..hits.iter().take_while(|hit| hit.0 == number).count()];
            at += hits.len();
            let Some(pattern) = self.data.patterns.get(number as usize) else {
                continue;
            };
            if let Some(groups) = self.matches(pattern, hits) {
                return Some(Match { pattern, groups });
            }
        }
        None
    }

    fn matches(&self, pattern: &Pattern, hits: &[(u32, u32)]) -> Option<Groups> {
        let boundary = Matcher::boundary(pattern);
        let text = self.lower.as_bytes();
        let mut matcher = Matcher::new(self.data, pattern, text);
        if hits.iter().any(|hit| hit.1 == ANYWHERE) {
            let mut starts = (0..=text.len()).filter(|at| boundary.allows(text, *at));
            return starts.find_map(|at| matcher.at(at));
        }
        hits.iter().find_map(|hit| matcher.at(hit.1 as usize))
    }

    /// A template with its groups filled in. A group that took no part and stands behind the last that did is left as it is,
    /// but for the next one: so the original does.
    pub(crate) fn filled(&self, template: &str, groups: &Groups) -> String {
        let Some(_) = template.find('$') else {
            return template.trim().to_owned();
        };
        let last = groups.last();
        let mut text = Vec::with_capacity(template.len() + 16);
        let mut rest = template.as_bytes();
        while let Some((&byte, more)) = rest.split_first() {
            let number = more
                .first()
                .filter(|digit| byte == b'$' && digit.is_ascii_digit());
            match number.map(|digit| usize::from(digit - b'0')) {
                Some(group) if group >= 1 && group <= last + 1 => {
                    text.extend(
                        groups
                            .of(group, self.original.as_bytes())
                            .unwrap_or_default(),
                    );
                    rest = &more[1..];
                }
                _ => {
                    text.push(byte);
                    rest = more;
                }
            }
        }
        String::from_utf8_lossy(&text).trim().to_owned()
    }
}

/// Tells the patterns of all literals with which this text begins.
#[inline]
fn walk(trie: &Trie, text: &[u8], mut found: impl FnMut(u32)) {
    let Some((&byte, rest)) = text.split_first() else {
        return;
    };
    let mut node = trie
        .first_nodes
        .get(usize::from(byte))
        .map_or(0, |node| *node as usize);
    let mut rest = rest.iter();
    while node != 0 {
        let Some(&[posting, next_posting]) = trie
            .postings
            .get(node..)
            .and_then(|rest| rest.first_chunk())
        else {
            return;
        };
        if posting != next_posting {
            for pattern in trie
                .patterns
                .get(posting as usize..next_posting as usize)
                .unwrap_or_default()
            {
                found(*pattern);
            }
        }
        let Some(&[first, end]) = trie
            .children
            .get(node..)
            .and_then(|rest| rest.first_chunk())
        else {
            return;
        };
        let (Some(&byte), Some(labels)) =
            (rest.next(), trie.labels.get(first as usize..end as usize))
        else {
            return;
        };
        let child = match labels.len() {
            0 => return,
            1..=8 => labels.iter().position(|label| *label == byte),
            _ => labels.binary_search(&byte).ok(),
        };
        let Some(child) = child else { return };
        node = first as usize + child;
    }
}
