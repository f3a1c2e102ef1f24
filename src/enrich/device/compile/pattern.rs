//! From a regular expression of the patterns to its tree, in lower case and with look-around taken out.
//!
//! The text that is searched is in lower case, so upper case is dropped from literals and classes alike. What the syntax crate does
//! not know, negative look-ahead and look-behind, stands in the tree as an empty group of a name by which it is found again.

use regex_syntax::ParserBuilder;
use regex_syntax::hir::{Capture, Class, ClassBytes, ClassBytesRange, Hir, HirKind, Repetition};

/// A look-around: its kind, and what must not be there.
#[derive(Clone, Debug)]
pub(super) enum Look {
    NotAhead(Tree),
    /// Each of these, which have a fixed length each.
    NotBehind(Vec<Tree>),
}

/// A parsed pattern.
#[derive(Clone, Debug)]
pub(super) struct Tree {
    pub(super) hir: Hir,
    /// By the number in the name of their groups.
    pub(super) looks: Vec<Look>,
}

/// How the groups of look-arounds are named.
const LOOK: &str = "look";

/// The look-around for which a group stands.
pub(super) fn look_number(capture: &Capture) -> Option<usize> {
    capture.name.as_ref()?.strip_prefix(LOOK)?.parse().ok()
}

/// Parses a pattern.
///
/// # Errors
/// What it holds that is not understood.
pub(super) fn parse(pattern: &str) -> Result<Tree, String> {
    let (text, looks) = without_looks(pattern)?;
    let mut parser = ParserBuilder::new()
        .unicode(false)
        .utf8(false)
        .case_insensitive(true)
        .build();
    let hir = parser.parse(&text).map_err(|error| error.to_string())?;
    Ok(Tree {
        hir: lower(&hir),
        looks,
    })
}

fn without_looks(pattern: &str) -> Result<(String, Vec<Look>), String> {
    let mut text = String::new();
    let mut looks = Vec::new();
    let mut rest = pattern;
    while !rest.is_empty() {
        let kinds = ["(?!", "(?<!", "(?=", "(?<="];
        if let Some(open) = kinds.into_iter().find(|open| rest.starts_with(open)) {
            let group = group_length(rest).ok_or("a group is not closed")?;
            let inner = &rest[open.len()..group - 1];
            text.push_str(&format!("(?P<{LOOK}{}>)", looks.len()));
            looks.push(match open {
                "(?!" => Look::NotAhead(parse(inner)?),
                "(?<!" => Look::NotBehind(
                    branches(inner)
                        .into_iter()
                        .map(parse)
                        .collect::<Result<_, _>>()?,
                ),
                _ => return Err(format!("{open} is not supported")),
            });
            rest = &rest[group..];
            continue;
        }
        let length = atom_length(rest);
        text.push_str(&rest[..length]);
        rest = &rest[length..];
    }
    Ok((text, looks))
}

/// The branches of an alternation that stands in no group.
fn branches(text: &str) -> Vec<&str> {
    let (mut branches, mut first, mut at, mut depth) = (Vec::new(), 0, 0, 0_u32);
    while at < text.len() {
        match text.as_bytes()[at] {
            b'(' => depth += 1,
            b')' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => {
                branches.push(&text[first..at]);
                first = at + 1;
            }
            _ => {}
        }
        at += atom_length(&text[at..]);
    }
    branches.push(&text[first..]);
    branches
}

/// The length of what stands first: an escape, a class, or one character.
fn atom_length(text: &str) -> usize {
    let first = text.chars().next().map_or(0, char::len_utf8);
    match text.as_bytes().first() {
        Some(b'\\') => first + text[first..].chars().next().map_or(0, char::len_utf8),
        Some(b'[') => {
            let mut at = first;
            at += usize::from(text[at..].starts_with('^'));
            at += usize::from(text[at..].starts_with(']'));
            while at < text.len() && !text[at..].starts_with(']') {
                at += match text.as_bytes()[at] {
                    b'\\' => atom_length(&text[at..]),
                    _ => text[at..].chars().next().map_or(1, char::len_utf8),
                };
            }
            (at + 1).min(text.len())
        }
        _ => first,
    }
}

/// The length of the group with which a text begins.
fn group_length(text: &str) -> Option<usize> {
    let (mut at, mut depth) = (0, 0_u32);
    while at < text.len() {
        match text.as_bytes()[at] {
            b'(' => depth += 1,
            b')' if depth == 1 => return Some(at + 1),
            b')' => depth -= 1,
            _ => {}
        }
        at += atom_length(&text[at..]);
    }
    None
}

/// The same tree for text in lower case.
fn lower(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Empty => Hir::empty(),
        HirKind::Literal(literal) => Hir::literal(literal.0.to_ascii_lowercase()),
        HirKind::Class(class) => lower_class(class),
        HirKind::Look(look) => Hir::look(*look),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(lower(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Capture(capture) => Hir::capture(Capture {
            sub: Box::new(lower(&capture.sub)),
            ..capture.clone()
        }),
        HirKind::Concat(items) => Hir::concat(items.iter().map(lower).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(lower).collect()),
    }
}

fn lower_class(class: &Class) -> Hir {
    let bytes: Vec<u8> = (0..=255_u8)
        .filter(|byte| !byte.is_ascii_uppercase() && holds(class, *byte))
        .collect();
    match bytes[..] {
        [byte] => Hir::literal([byte]),
        _ => {
            let ranges = bytes.iter().map(|byte| ClassBytesRange::new(*byte, *byte));
            Hir::class(Class::Bytes(ClassBytes::new(ranges)))
        }
    }
}

/// Whether a class holds a byte.
pub(super) fn holds(class: &Class, byte: u8) -> bool {
    match class {
        Class::Bytes(class) => class
            .ranges()
            .iter()
            .any(|range| (range.start()..=range.end()).contains(&byte)),
        Class::Unicode(class) => {
            let ranges = class.ranges();
            byte.is_ascii()
                && ranges
                    .iter()
                    .any(|range| (range.start()..=range.end()).contains(&char::from(byte)))
        }
    }
}

/// The same tree without groups, for those who look at what it matches only.
pub(super) fn bare(hir: &Hir) -> Hir {
    match hir.kind() {
        HirKind::Capture(capture) => bare(&capture.sub),
        HirKind::Repetition(repetition) => Hir::repetition(Repetition {
            sub: Box::new(bare(&repetition.sub)),
            ..repetition.clone()
        }),
        HirKind::Concat(items) => Hir::concat(items.iter().map(bare).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(bare).collect()),
        _ => hir.clone(),
    }
}
