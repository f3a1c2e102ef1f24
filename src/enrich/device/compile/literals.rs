//! Which literals a User-Agent must have for a pattern to be worth a try, and how often they are met.

use std::collections::HashMap;

use regex_syntax::hir::literal::Extractor;
use regex_syntax::hir::{Hir, HirKind};

use super::super::matomo::program::Boundary;

/// Bytes of a literal that are looked at.
const MAX_LENGTH: usize = 16;

/// Bytes of literals whose frequency is known.
const MAX_GRAM: usize = 6;

/// At how many positions a pattern is tried when a literal within it was found: about as many as a User-Agent has words.
const POSITIONS: f64 = 12.0;

/// A literal of a pattern.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Atom {
    /// Whether every match begins with it, where it is found.
    pub(super) is_leading: bool,
    pub(super) text: Vec<u8>,
}

/// How often literals are met in User-Agents.
#[derive(Debug, Default)]
pub(super) struct Frequencies {
    anywhere: HashMap<Vec<u8>, f64>,
    at_words: HashMap<Vec<u8>, f64>,
}

impl Frequencies {
    pub(super) fn of(user_agents: &[String]) -> Self {
        let mut found = Self::default();
        let share = 1.0 / user_agents.len().max(1) as f64;
        for user_agent in user_agents {
            let text = user_agent.to_ascii_lowercase().into_bytes();
            for at in 0..text.len() {
                let is_word = Boundary::Word.allows(&text, at);
                for end in at + 1..=(at + MAX_GRAM).min(text.len()) {
                    let gram = &text[at..end];
                    *found.anywhere.entry(gram.to_vec()).or_default() += share;
                    if is_word {
                        *found.at_words.entry(gram.to_vec()).or_default() += share;
                    }
                }
            }
        }
        found
    }

    /// What it costs to look for these: how often a pattern is run for nothing.
    fn cost(&self, atoms: &[Atom]) -> f64 {
        let cost = |atom: &Atom| {
            // What was never met may be met yet; the longer, the less.
            let unseen = 0.002 / atom.text.len() as f64;
            let of = |grams: &HashMap<Vec<u8>, f64>| {
                let windows = atom.text.windows(MAX_GRAM.min(atom.text.len()));
                let rates = windows.map(|gram| grams.get(gram).copied().unwrap_or_default());
                rates.fold(f64::MAX, f64::min)
            };
            match atom.is_leading {
                true => {
                    let first = &atom.text[..MAX_GRAM.min(atom.text.len())];
                    let rate = self.at_words.get(first).copied().unwrap_or_default();
                    rate.min(of(&self.anywhere)) + unseen
                }
                false => POSITIONS * (of(&self.anywhere) + unseen),
            }
        };
        atoms.iter().map(cost).sum()
    }
}

/// The cheapest literals of which one is in every match; `None` if there are none. `hir` has no groups.
pub(super) fn choose(hir: &Hir, frequencies: &Frequencies, can_lead: bool) -> Option<Vec<Atom>> {
    let mut atoms = match hir.kind() {
        HirKind::Alternation(branches) => {
            let of_branch = |branch: &Hir| choose(branch, frequencies, can_lead);
            branches
                .iter()
                .map(of_branch)
                .collect::<Option<Vec<_>>>()?
                .concat()
        }
        HirKind::Concat(items) => {
            let starts = (0..items.len()).filter_map(|first| {
                let literals = prefixes(&Hir::concat(items[first..].to_vec()))?;
                Some(atoms(literals, can_lead && first == 0))
            });
            let inner = items.iter().filter_map(|item| match item.kind() {
                // Whichever branch it is, it has one of its literals.
                HirKind::Alternation(_) => choose(item, frequencies, false),
                HirKind::Repetition(repetition) if repetition.min > 0 => {
                    choose(&repetition.sub, frequencies, false)
                }
                _ => None,
            });
            let all = starts
                .chain(inner)
                .map(|atoms| (frequencies.cost(&atoms), atoms));
            all.min_by(|a, b| a.0.total_cmp(&b.0))?.1
        }
        HirKind::Repetition(repetition) if repetition.min > 0 => {
            choose(&repetition.sub, frequencies, can_lead)?
        }
        _ => atoms(prefixes(hir)?, can_lead),
    };
    atoms.sort();
    // One that has another one as its beginning is found with it.
    atoms.dedup_by(|longer, shorter| {
        longer.is_leading == shorter.is_leading && longer.text.starts_with(&shorter.text)
    });
    Some(atoms)
}

fn atoms(literals: Vec<Vec<u8>>, is_leading: bool) -> Vec<Atom> {
    let atom = |text| Atom { is_leading, text };
    literals.into_iter().map(atom).collect()
}

/// Literals with one of which every match begins; `None` if one of them were empty.
fn prefixes(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    match hir.kind() {
        HirKind::Alternation(branches) => {
            let all: Option<Vec<_>> = branches.iter().map(prefixes).collect();
            Some(all?.concat())
        }
        HirKind::Concat(items) => match items[0].kind() {
            HirKind::Alternation(branches) if branches.len() > 4 => {
                let with_rest = |branch: &Hir| {
                    let rest = items[1..].iter().cloned();
                    prefixes(&Hir::concat(
                        std::iter::once(branch.clone()).chain(rest).collect(),
                    ))
                };
                let all: Option<Vec<_>> = branches.iter().map(with_rest).collect();
                Some(all?.concat())
            }
            _ => extracted(hir),
        },
        _ => extracted(hir),
    }
}

fn extracted(hir: &Hir) -> Option<Vec<Vec<u8>>> {
    let mut extractor = Extractor::new();
    extractor
        .limit_class(6)
        .limit_repeat(4)
        .limit_literal_len(MAX_LENGTH)
        .limit_total(64);
    let found = extractor.extract(hir);
    let literals = found
        .literals()?
        .iter()
        .map(|literal| literal.as_bytes().to_vec());
    let literals: Vec<Vec<u8>> = literals.collect();
    let is_useful = !literals.is_empty() && literals.iter().all(|literal| !literal.is_empty());
    is_useful.then_some(literals)
}
