//! Runs the programs that patterns are compiled to: leftmost-first, as Perl's regular expressions match, with look-around.
//!
//! The text is bytes in lower case; so are the programs. A program is tried at one position after another, of those its
//! [`Boundary`] allows. It walks back where a choice was wrong, and once that has taken many steps, remembers what it has tried:
//! each instruction at each position once; and after very many steps it gives up. So the time is bounded, whoever wrote the text.
//! It does not know what patterns mean.

use super::data::{Data, Pattern};

/// Groups that a program notes, the whole match not among them.
pub(crate) const GROUPS: usize = 8;

/// Most words that all programs have: cases of a [`op::SWITCH`] tell where to go on in 24 bits.
pub(crate) const MAX_CODE: usize = 1 << 24;

/// Instructions: the lowest four bits of a word, above them the operand.
pub(crate) mod op {
    /// The program has matched.
    pub(crate) const MATCH: u32 = 0;
    /// The byte that is the operand.
    pub(crate) const BYTE: u32 = 1;
    /// A byte of the class that is the operand.
    pub(crate) const CLASS: u32 = 2;
    /// So many bytes of the literals; the next word says from where on.
    pub(crate) const LITERAL: u32 = 3;
    /// Goes on at the operand.
    pub(crate) const JUMP: u32 = 4;
    /// Goes on behind this, and if that fails, at the operand.
    pub(crate) const SPLIT: u32 = 5;
    /// Goes on at the operand, and if that fails, behind this.
    pub(crate) const SPLIT_LAZY: u32 = 6;
    /// Notes the position: even numbers begin a group, odd ones end it.
    pub(crate) const SAVE: u32 = 7;
    /// The text begins here.
    pub(crate) const START: u32 = 8;
    /// The text ends here.
    pub(crate) const END: u32 = 9;
    /// A word begins or ends here (1), or does not (0).
    pub(crate) const WORD: u32 = 10;
    /// The program at the operand does not match here.
    pub(crate) const NOT_AHEAD: u32 = 11;
    /// The program at the operand does not match so many bytes, the next word says how many, before here.
    pub(crate) const NOT_BEHIND: u32 = 12;
    /// So many words follow, each a byte (lowest eight bits) and where to go on at it, sorted by byte; other bytes fail. The
    /// byte is not taken.
    pub(crate) const SWITCH: u32 = 13;
    /// Any byte.
    pub(crate) const SKIP: u32 = 14;
}

/// What must stand before a match. Facts of the algorithm, not of the patterns.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Boundary {
    /// Anything.
    Anything = 0,
    /// The start, no letter, digit, `_` or `-`; `_` behind such a one; `sprd-` or `MZ-`.
    Word = 1,
}

impl Boundary {
    fn of(number: u32) -> Self {
        match number {
            1 => Self::Word,
            _ => Self::Anything,
        }
    }

    /// Whether a match may begin at this position.
    pub(crate) fn allows(self, text: &[u8], at: usize) -> bool {
        let Some(before) = at.checked_sub(1).map(|before| text[before]) else {
            return true;
        };
        match self {
            Self::Anything => true,
            Self::Word => match before {
                b'_' => {
                    at >= 2 && {
                        let further = text[at - 2];
                        !further.is_ascii_lowercase()
                            && !further.is_ascii_digit()
                            && further != b'-'
                    }
                }
                b'-' => text[..at].ends_with(b"sprd-") || text[..at].ends_with(b"mz-"),
                _ => !before.is_ascii_lowercase() && !before.is_ascii_digit(),
            },
        }
    }
}

/// Where the groups of a match are. None took part if both ends are `usize::MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Groups([u32; 2 * GROUPS]);

const UNSET: u32 = u32::MAX;

impl Groups {
    const NONE: Self = Self([UNSET; 2 * GROUPS]);

    /// The bytes of a group, 1 for the first.
    pub(crate) fn of<'t>(&self, group: usize, text: &'t [u8]) -> Option<&'t [u8]> {
        let at = group.checked_sub(1)? * 2;
        let (&start, &end) = (self.0.get(at)?, self.0.get(at + 1)?);
        text.get(start as usize..end as usize)
    }

    /// The last group that took part.
    pub(crate) fn last(&self) -> usize {
        let took_part = |group: &usize| self.0[2 * group - 1] != UNSET;
        (1..=GROUPS).rev().find(took_part).unwrap_or(0)
    }
}

/// Steps after which tries are remembered.
const PATIENCE: u32 = 2_000;

/// Steps after which a pattern counts as one that does not match: what no device sends, with a look-around that looks over all the rest
/// from each of many positions, comes so far.
const MAX_STEPS: u32 = 200_000;

/// Look-arounds within look-arounds that are followed. Patterns have one; a file that lies may have one within itself.
const MAX_DEPTH: u8 = 4;

enum Choice {
    Try { pc: u32, at: u32 },
    Restore { slot: u32, to: u32 },
}

/// One pattern on one text: what was tried at one position counts at the next.
pub(crate) struct Matcher<'d> {
    data: &'d Data,
    text: &'d [u8],
    first: u32,
    length: u32,
    depth: u8,
    steps: u32,
    tried: Vec<u64>,
    choices: Vec<Choice>,
}

impl<'d> Matcher<'d> {
    pub(crate) fn new(data: &'d Data, pattern: &Pattern, text: &'d [u8]) -> Self {
        Self {
            data,
            text,
            first: pattern.program,
            length: pattern.length,
            depth: 0,
            steps: 0,
            tried: Vec::new(),
            choices: Vec::new(),
        }
    }

    /// The boundary of a pattern.
    pub(crate) fn boundary(pattern: &Pattern) -> Boundary {
        Boundary::of(pattern.boundary)
    }

    /// Whether the pattern matches from this position on.
    pub(crate) fn at(&mut self, at: usize) -> Option<Groups> {
        let mut groups = Groups::NONE;
        self.choices.clear();
        let at = u32::try_from(at).ok()?;
        self.run(self.first, at, &mut groups).then_some(groups)
    }

    /// Whether this instruction was tried at this position, once it is worth remembering; or no more is tried at all.
    fn was_tried(&mut self, pc: u32, at: u32) -> bool {
        self.steps = self.steps.saturating_add(1);
        if self.steps < PATIENCE {
            return false;
        }
        if self.steps > MAX_STEPS {
            self.choices.clear();
            return true;
        }
        let width = self.text.len() + 1;
        if self.tried.is_empty() {
            self.tried = vec![0; (self.length as usize * width).div_ceil(64)];
        }
        let cell = pc.wrapping_sub(self.first) as usize * width + at as usize;
        match self.tried.get_mut(cell / 64) {
            Some(word) => {
                let bit = 1 << (cell % 64);
                let was = *word & bit != 0;
                *word |= bit;
                was
            }
            // A jump out of the program: the file lies.
            None => true,
        }
    }

    fn run(&mut self, pc: u32, at: u32, groups: &mut Groups) -> bool {
        let (mut pc, mut at) = (pc, at);
        loop {
            if self.follow(&mut pc, &mut at, groups) {
                return true;
            }
            loop {
                match self.choices.pop() {
                    None => return false,
                    Some(Choice::Restore { slot, to }) => groups.0[slot as usize] = to,
                    Some(Choice::Try { pc: next, at: from }) => {
                        (pc, at) = (next, from);
                        break;
                    }
                }
            }
        }
    }

    /// Follows one thread until it matches or fails.
    fn follow(&mut self, pc: &mut u32, at: &mut u32, groups: &mut Groups) -> bool {
        let (data, text) = (self.data, self.text);
        loop {
            let Some(&word) = data.code.get(*pc as usize) else {
                return false;
            };
            let operand = word >> 4;
            let byte = text.get(*at as usize).copied();
            match word & 15 {
                op::MATCH => return true,
                op::BYTE => {
                    if byte.map(u32::from) != Some(operand) {
                        return false;
                    }
                    *at += 1;
                }
                op::CLASS => {
                    if !byte.is_some_and(|byte| is_in(data, operand, byte)) {
                        return false;
                    }
                    *at += 1;
                }
                op::SKIP => {
                    if byte.is_none() {
                        return false;
                    }
                    *at += 1;
                }
                op::LITERAL => {
                    *pc += 1;
                    if !self.is_literal(*pc, *at, operand) {
                        return false;
                    }
                    *at += operand;
                }
                op::JUMP => {
                    // A jump back ends a turn of a loop.
                    if operand <= *pc && self.was_tried(*pc, *at) {
                        return false;
                    }
                    *pc = operand;
                    continue;
                }
                op::SPLIT | op::SPLIT_LAZY => {
                    if self.was_tried(*pc, *at) {
                        return false;
                    }
                    let (next, other) = match word & 15 {
                        op::SPLIT => (*pc + 1, operand),
                        _ => (operand, *pc + 1),
                    };
                    self.choices.push(Choice::Try { pc: other, at: *at });
                    *pc = next;
                    continue;
                }
                op::SAVE => {
                    let slot = operand.wrapping_sub(2);
                    if let Some(value) = groups.0.get_mut(slot as usize) {
                        self.choices.push(Choice::Restore { slot, to: *value });
                        *value = *at;
                    }
                }
                op::START if *at != 0 => return false,
                op::END if byte.is_some() => return false,
                op::START | op::END => {}
                op::WORD => {
                    if u32::from(self.is_edge(*at)) != operand {
                        return false;
                    }
                }
                op::NOT_AHEAD => {
                    if self.matches_aside(operand, *at) {
                        return false;
                    }
                }
                op::NOT_BEHIND => {
                    *pc += 1;
                    let back = data.code.get(*pc as usize).copied().unwrap_or_default();
                    let from = at.checked_sub(back);
                    if from.is_some_and(|from| self.matches_aside(operand, from)) {
                        return false;
                    }
                }
                op::SWITCH => {
                    let first = *pc as usize + 1;
                    let cases = data.code.get(first..first + operand as usize);
                    let (Some(cases), Some(byte)) = (cases, byte) else {
                        return false;
                    };
                    let case = cases.binary_search_by_key(&u32::from(byte), |case| case & 255);
                    let Ok(case) = case else { return false };
                    let target = cases[case] >> 8;
                    // Back, and for ever: the file lies.
                    if target <= *pc {
                        return false;
                    }
                    *pc = target;
                    continue;
                }
                _ => return false,
            }
            *pc += 1;
        }
    }

    fn is_literal(&self, pc: u32, at: u32, length: u32) -> bool {
        let (at, length) = (at as usize, length as usize);
        let from = self.data.code.get(pc as usize).map(|from| *from as usize);
        let literal = from.and_then(|from| self.data.literals.get(from..from.checked_add(length)?));
        literal.is_some() && literal == self.text.get(at..at + length)
    }

    fn is_edge(&self, at: u32) -> bool {
        let is_word = |at: Option<u32>| {
            let byte = at.and_then(|at| self.text.get(at as usize));
            byte.is_some_and(|byte| byte.is_ascii_alphanumeric() || *byte == b'_')
        };
        is_word(at.checked_sub(1)) != is_word(Some(at))
    }

    /// Whether the program of a look-around matches. It has choices and memory of its own: those of the pattern go on behind it.
    fn matches_aside(&mut self, pc: u32, at: u32) -> bool {
        if self.depth == MAX_DEPTH {
            return false;
        }
        let mut aside = Matcher {
            choices: Vec::new(),
            tried: Vec::new(),
            steps: 0,
            depth: self.depth + 1,
            ..*self
        };
        let matches = aside.run(pc, at, &mut Groups::NONE.clone());
        self.steps = self.steps.saturating_add(aside.steps);
        matches
    }
}

fn is_in(data: &Data, class: u32, byte: u8) -> bool {
    let word = data
        .classes
        .get(class as usize * 8 + usize::from(byte >> 5));
    word.is_some_and(|word| word >> (byte & 31) & 1 == 1)
}
