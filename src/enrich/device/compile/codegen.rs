//! From trees to programs: [`crate::enrich::device::matomo::program`] says what instructions do.

use std::collections::{BTreeMap, HashMap};

use regex_syntax::hir::{Class, Hir, HirKind, Look as Edge, Repetition};

use super::super::matomo::data::to_u32;
use super::super::matomo::program::{GROUPS, op};
use super::pattern::{Look, Tree, holds, look_number};

/// All programs, and what they share.
#[derive(Debug, Default)]
pub(super) struct Programs {
    pub(super) code: Vec<u32>,
    pub(super) classes: Vec<u32>,
    pub(super) literals: Vec<u8>,
    class_numbers: HashMap<[u32; 8], u32>,
    literal_starts: HashMap<Vec<u8>, u32>,
}

impl Programs {
    /// Adds a program; where it begins and how many words it has.
    ///
    /// # Errors
    /// What it holds that cannot be run.
    pub(super) fn add(&mut self, tree: &Tree) -> Result<(u32, u32), String> {
        let first = to_u32(self.code.len());
        self.program(&tree.hir, &tree.looks)?;
        Ok((first, to_u32(self.code.len()) - first))
    }

    /// Look-arounds stand behind the program that asks them.
    fn program(&mut self, hir: &Hir, looks: &[Look]) -> Result<(), String> {
        let mut scope = Scope {
            looks,
            look_groups: Vec::new(),
            asides: Vec::new(),
        };
        look_groups(hir, &mut scope.look_groups);
        self.emit(hir, &mut scope)?;
        self.word(op::MATCH, 0);
        for (at, (hir, looks)) in std::mem::take(&mut scope.asides) {
            self.land(at);
            self.program(&hir, looks)?;
        }
        Ok(())
    }

    /// Adds an instruction; where it stands.
    fn word(&mut self, op: u32, operand: u32) -> usize {
        self.code.push(operand << 4 | op);
        self.code.len() - 1
    }

    /// Lets an instruction lead to what comes next.
    fn land(&mut self, at: usize) {
        self.code[at] |= to_u32(self.code.len()) << 4;
    }

    fn emit<'t>(&mut self, hir: &Hir, scope: &mut Scope<'t>) -> Result<(), String> {
        match hir.kind() {
            HirKind::Empty => {}
            HirKind::Literal(literal) => self.literal(&literal.0),
            HirKind::Class(class) => {
                let number = self.class(class);
                self.word(op::CLASS, number);
            }
            HirKind::Look(edge) => {
                let (op, operand) = match edge {
                    Edge::Start => (op::START, 0),
                    Edge::End => (op::END, 0),
                    Edge::WordAscii => (op::WORD, 1),
                    Edge::WordAsciiNegate => (op::WORD, 0),
                    other => return Err(format!("{other:?} is not supported")),
                };
                self.word(op, operand);
            }
            HirKind::Repetition(repetition) => self.repetition(repetition, scope)?,
            HirKind::Capture(capture) => match look_number(capture) {
                Some(number) => self.look(number, scope)?,
                None => {
                    let earlier = scope
                        .look_groups
                        .iter()
                        .filter(|look| **look < capture.index);
                    let group = capture.index - to_u32(earlier.count());
                    let noted = (group as usize) <= GROUPS;
                    if noted {
                        self.word(op::SAVE, 2 * group);
                    }
                    self.emit(&capture.sub, scope)?;
                    if noted {
                        self.word(op::SAVE, 2 * group + 1);
                    }
                }
            },
            HirKind::Concat(items) => {
                for item in items {
                    self.emit(item, scope)?;
                }
            }
            HirKind::Alternation(branches) => {
                let branches: Vec<Vec<Hir>> = branches.iter().map(sequence).collect();
                self.alternation(&branches, scope)?;
            }
        }
        Ok(())
    }

    fn sequence<'t>(&mut self, items: &[Hir], scope: &mut Scope<'t>) -> Result<(), String> {
        items.iter().try_for_each(|item| self.emit(item, scope))
    }

    fn literal(&mut self, literal: &[u8]) {
        if let [byte] = literal {
            self.word(op::BYTE, u32::from(*byte));
            return;
        }
        let start = match self.literal_starts.get(literal) {
            Some(start) => *start,
            None => {
                let start = to_u32(self.literals.len());
                self.literals.extend(literal);
                self.literal_starts.insert(literal.to_vec(), start);
                start
            }
        };
        self.word(op::LITERAL, to_u32(literal.len()));
        self.code.push(start);
    }

    fn class(&mut self, class: &Class) -> u32 {
        let mut words = [0_u32; 8];
        for byte in (0..=255_u8).filter(|byte| holds(class, *byte)) {
            words[usize::from(byte >> 5)] |= 1 << (byte & 31);
        }
        let next = to_u32(self.class_numbers.len());
        let number = *self.class_numbers.entry(words).or_insert(next);
        if number == next {
            self.classes.extend(words);
        }
        number
    }

    fn look<'t>(&mut self, number: usize, scope: &mut Scope<'t>) -> Result<(), String> {
        match &scope.looks[number] {
            Look::NotAhead(tree) => {
                let at = self.word(op::NOT_AHEAD, 0);
                scope.asides.push((at, (tree.hir.clone(), &tree.looks)));
            }
            Look::NotBehind(trees) => {
                for tree in trees {
                    let properties = tree.hir.properties();
                    let (Some(length), true) = (
                        properties.minimum_len(),
                        properties.minimum_len() == properties.maximum_len(),
                    ) else {
                        return Err("a look-behind has no fixed length".to_owned());
                    };
                    let at = self.word(op::NOT_BEHIND, 0);
                    self.code.push(to_u32(length));
                    scope.asides.push((at, (tree.hir.clone(), &tree.looks)));
                }
            }
        }
        Ok(())
    }

    fn repetition<'t>(
        &mut self,
        repetition: &Repetition,
        scope: &mut Scope<'t>,
    ) -> Result<(), String> {
        let split = if repetition.greedy {
            op::SPLIT
        } else {
            op::SPLIT_LAZY
        };
        for _ in 0..repetition.min {
            self.emit(&repetition.sub, scope)?;
        }
        let Some(max) = repetition.max else {
            let first = to_u32(self.code.len());
            let end = self.word(split, 0);
            self.emit(&repetition.sub, scope)?;
            self.word(op::JUMP, first);
            self.land(end);
            return Ok(());
        };
        let mut ends = Vec::new();
        for _ in repetition.min..max {
            ends.push(self.word(split, 0));
            self.emit(&repetition.sub, scope)?;
        }
        for end in ends {
            self.land(end);
        }
        Ok(())
    }

    /// Branches, the first that matches first. Where there are many, the next byte decides which are tried.
    fn alternation<'t>(
        &mut self,
        branches: &[Vec<Hir>],
        scope: &mut Scope<'t>,
    ) -> Result<(), String> {
        let mut ends = Vec::new();
        let mut rest = branches;
        while !rest.is_empty() {
            let run = rest
                .iter()
                .take_while(|branch| first_bytes(branch).is_some())
                .count();
            let cases = if run >= 3 { cases(&rest[..run]) } else { None };
            let taken = if cases.is_some() { run } else { 1 };
            let is_last = taken == rest.len();
            let split = (!is_last).then(|| self.word(op::SPLIT, 0));
            match cases {
                Some(cases) => self.switch(&rest[..run], &cases, scope)?,
                None => self.sequence(&rest[0], scope)?,
            }
            if let Some(split) = split {
                ends.push(self.word(op::JUMP, 0));
                self.land(split);
            }
            rest = &rest[taken..];
        }
        for end in ends {
            self.land(end);
        }
        Ok(())
    }

    fn switch<'t>(
        &mut self,
        branches: &[Vec<Hir>],
        cases: &BTreeMap<u8, Vec<usize>>,
        scope: &mut Scope<'t>,
    ) -> Result<(), String> {
        let first = self.word(op::SWITCH, to_u32(cases.len())) + 1;
        self.code.extend(cases.keys().map(|byte| u32::from(*byte)));
        let mut targets: HashMap<(Option<u8>, &[usize]), u32> = HashMap::new();
        let mut ends = Vec::new();
        for (number, (byte, numbers)) in cases.iter().enumerate() {
            let begins = |number: &usize| {
                matches!(
                    branches[*number].first().map(Hir::kind),
                    Some(HirKind::Literal(_))
                )
            };
            let is_literal = numbers.iter().all(begins);
            let key = (is_literal.then_some(*byte), &numbers[..]);
            let target = match targets.get(&key) {
                Some(target) => *target,
                None => {
                    let target = to_u32(self.code.len());
                    targets.insert(key, target);
                    let wanted = numbers.iter().map(|number| branches[*number].clone());
                    if is_literal {
                        self.word(op::SKIP, 0);
                        let rests: Vec<Vec<Hir>> = wanted.map(without_first_byte).collect();
                        self.alternation(&rests, scope)?;
                    } else {
                        self.chain(&wanted.collect::<Vec<_>>(), scope)?;
                    }
                    ends.push(self.word(op::JUMP, 0));
                    target
                }
            };
            self.code[first + number] |= target << 8;
        }
        for end in ends {
            self.land(end);
        }
        Ok(())
    }

    /// Branches, one after the other.
    fn chain<'t>(&mut self, branches: &[Vec<Hir>], scope: &mut Scope<'t>) -> Result<(), String> {
        let mut ends = Vec::new();
        for (number, branch) in branches.iter().enumerate() {
            let split = (number + 1 < branches.len()).then(|| self.word(op::SPLIT, 0));
            self.sequence(branch, scope)?;
            if let Some(split) = split {
                ends.push(self.word(op::JUMP, 0));
                self.land(split);
            }
        }
        for end in ends {
            self.land(end);
        }
        Ok(())
    }
}

/// What a program knows while it is written.
struct Scope<'t> {
    looks: &'t [Look],
    /// Numbers of groups that stand for look-arounds.
    look_groups: Vec<u32>,
    /// Instructions that wait for the program of a look-around.
    asides: Vec<(usize, (Hir, &'t [Look]))>,
}

fn look_groups(hir: &Hir, found: &mut Vec<u32>) {
    match hir.kind() {
        HirKind::Capture(capture) => {
            if look_number(capture).is_some() {
                found.push(capture.index);
            }
            look_groups(&capture.sub, found);
        }
        HirKind::Repetition(repetition) => look_groups(&repetition.sub, found),
        HirKind::Concat(items) | HirKind::Alternation(items) => {
            items.iter().for_each(|item| look_groups(item, found));
        }
        _ => {}
    }
}

fn sequence(hir: &Hir) -> Vec<Hir> {
    match hir.kind() {
        HirKind::Concat(items) => items.clone(),
        _ => vec![hir.clone()],
    }
}

/// A branch behind its first byte, which is a literal's.
fn without_first_byte(mut branch: Vec<Hir>) -> Vec<Hir> {
    if let Some(HirKind::Literal(literal)) = branch.first().map(Hir::kind) {
        let rest = literal.0.get(1..).unwrap_or_default().to_vec();
        branch[0] = Hir::literal(rest);
        branch.retain(|item| !matches!(item.kind(), HirKind::Empty));
    }
    branch
}

/// Which branches are tried at which byte, in their order; `None` if that made the program much longer.
fn cases(branches: &[Vec<Hir>]) -> Option<BTreeMap<u8, Vec<usize>>> {
    let mut cases: BTreeMap<u8, Vec<usize>> = BTreeMap::new();
    for (number, branch) in branches.iter().enumerate() {
        for byte in bytes_of(&first_bytes(branch)?) {
            cases.entry(byte).or_default().push(number);
        }
    }
    let mut lists: Vec<(&Vec<usize>, u8)> =
        cases.iter().map(|(byte, list)| (list, *byte)).collect();
    lists.sort();
    lists.dedup_by(|a, b| a.0 == b.0);
    let copies: usize = lists.iter().map(|(list, _)| list.len()).sum();
    (copies <= 2 * branches.len() + 8).then_some(cases)
}

type Bytes = [u64; 4];

fn bytes_of(bytes: &Bytes) -> impl Iterator<Item = u8> + '_ {
    (0..=255_u8).filter(|byte| bytes[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1)
}

/// The bytes with which a sequence may begin; `None` if it may be empty.
fn first_bytes(items: &[Hir]) -> Option<Bytes> {
    let mut bytes = [0; 4];
    for item in items {
        if !add_first(item, &mut bytes) {
            return Some(bytes);
        }
    }
    None
}

/// Adds the bytes with which this may begin; whether it may be empty.
fn add_first(hir: &Hir, bytes: &mut Bytes) -> bool {
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => true,
        HirKind::Literal(literal) => match literal.0.first() {
            Some(byte) => {
                bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
                false
            }
            None => true,
        },
        HirKind::Class(class) => {
            for byte in (0..=255_u8).filter(|byte| holds(class, *byte)) {
                bytes[usize::from(byte >> 6)] |= 1 << (byte & 63);
            }
            false
        }
        HirKind::Repetition(repetition) => add_first(&repetition.sub, bytes) || repetition.min == 0,
        HirKind::Capture(capture) => add_first(&capture.sub, bytes),
        HirKind::Concat(items) => items.iter().all(|item| add_first(item, bytes)),
        HirKind::Alternation(branches) => {
            let mut may_be_empty = false;
            for branch in branches {
                may_be_empty |= add_first(branch, bytes);
            }
            may_be_empty
        }
    }
}
