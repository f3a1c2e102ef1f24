//! A trie of literals, in the order in which the file holds it.

use std::collections::{BTreeMap, VecDeque};

use super::super::matomo::data::{Trie, to_u32};

#[derive(Default)]
struct Node {
    children: BTreeMap<u8, usize>,
    patterns: Vec<u32>,
}

/// The trie of these literals and the patterns that have them.
pub(super) fn trie<'a>(literals: impl Iterator<Item = (&'a [u8], u32)>) -> Trie {
    let mut nodes = vec![Node::default()];
    for (literal, pattern) in literals {
        let mut at = 0;
        for byte in literal {
            let next = nodes.len();
            at = *nodes[at].children.entry(*byte).or_insert(next);
            if at == next {
                nodes.push(Node::default());
            }
        }
        nodes[at].patterns.push(pattern);
    }
    let mut trie = Trie {
        labels: vec![0],
        ..Trie::default()
    };
    let mut waiting = VecDeque::from([0]);
    while let Some(at) = waiting.pop_front() {
        let node = &nodes[at];
        trie.children.push(to_u32(trie.labels.len()));
        trie.labels.extend(node.children.keys());
        waiting.extend(node.children.values());
        trie.postings.push(to_u32(trie.patterns.len()));
        trie.patterns.extend(&node.patterns);
    }
    trie.children.push(to_u32(trie.labels.len()));
    trie.postings.push(to_u32(trie.patterns.len()));
    trie
}
