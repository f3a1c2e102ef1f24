//! The file of compiled patterns: what is in it, and how it is read and written.
//!
//! ```text
//! magic "RSDEVICE" · format u32 · checksum u64 (XXH3 of all that follows) · sections
//! section: count u32, then that many bytes, or numbers u32
//! ```
//!
//! All numbers are little-endian. The sections stand in the order of [`Data::write`]. A file is believed no further than its
//! checksum: every index is checked where it is used, so a file that lies makes wrong rows, or slow ones, and never a panic.

use xxhash_rust::xxh3::xxh3_64;

use super::lists::{LISTS, TABLES};

const MAGIC: &[u8; 8] = b"RSDEVICE";

/// Raised whenever a section or the meaning of a number changes.
pub(crate) const FORMAT: u32 = 3;

/// "None" where a number stands for a text or an entry.
pub(crate) const NONE: u32 = u32::MAX;

/// Why a file is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is something else.
    #[error("it is no file of compiled device patterns")]
    Magic,
    /// It was written for another version of the collector.
    #[error(
        "it has format {0}, and this version reads format {FORMAT}: compile the patterns again"
    )]
    Format(u32),
    /// It was cut off or changed.
    #[error("it is damaged: its checksum does not fit")]
    Checksum,
    /// It has the right checksum and makes no sense.
    #[error("it is damaged: section {0} is wrong")]
    Section(usize),
}

/// A pattern and what it stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// Where its program begins.
    pub(crate) program: u32,
    /// How many words its program has.
    pub(crate) length: u32,
    /// What must stand before a match: [`super::program::Boundary`] as number.
    pub(crate) boundary: u32,
    /// Texts, by list: name and version, or brand, type and model.
    pub(crate) texts: [u32; 4],
    /// Patterns that are asked after this one, from and to; of browsers: rows of [`Data::engines`].
    pub(crate) children: [u32; 2],
}

/// Numbers of a pattern in its section.
const PATTERN_WORDS: usize = 9;

/// A trie of literals: nodes in breadth-first order, so that children and postings of a node end where the next one's begin.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Trie {
    /// The byte that leads to a node.
    pub(crate) labels: Vec<u8>,
    /// A node's first child; one more than there are nodes.
    pub(crate) children: Vec<u32>,
    /// A node's first posting; one more than there are nodes.
    pub(crate) postings: Vec<u32>,
    /// Numbers of patterns.
    pub(crate) patterns: Vec<u32>,
    /// The node that each first byte leads to, 0 where none does. It is no section: it follows from the others.
    pub(crate) first_nodes: Vec<u32>,
}

impl Trie {
    fn with_first_nodes(mut self) -> Self {
        self.first_nodes = vec![0; 256];
        if let [first, end, ..] = self.children[..] {
            for node in first..end {
                if let Some(label) = self.labels.get(node as usize) {
                    self.first_nodes[usize::from(*label)] = node;
                }
            }
        }
        self
    }
}

/// All that the file holds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Data {
    /// Package and version of the patterns.
    pub(crate) source: String,
    /// Ends of the texts in `text`.
    pub(crate) text_ends: Vec<u32>,
    /// All texts.
    pub(crate) text: String,
    /// Programs: [`super::program`].
    pub(crate) code: Vec<u32>,
    /// Sets of bytes, eight numbers each.
    pub(crate) classes: Vec<u32>,
    /// Literals of programs.
    pub(crate) literals: Vec<u8>,
    /// All patterns, by list and in the order in which they are asked.
    pub(crate) patterns: Vec<Pattern>,
    /// From which version on a browser has which engine: texts, in pairs.
    pub(crate) engines: Vec<u32>,
    /// The patterns of each [`super::lists::List`]: from, to.
    pub(crate) lists: Vec<u32>,
    /// Tables of texts, each as its length and its rows of [`super::lists::COLUMNS`].
    pub(crate) tables: Vec<Vec<u32>>,
    /// Literals with which patterns begin, looked up where a word begins.
    pub(crate) leading: Trie,
    /// Literals within patterns, looked up everywhere.
    pub(crate) inner: Trie,
    /// Patterns that have no literal.
    pub(crate) always: Vec<u32>,
}

impl Data {
    /// A text.
    pub(crate) fn text(&self, number: u32) -> Option<&str> {
        let number = usize::try_from(number).ok()?;
        let end = *self.text_ends.get(number)? as usize;
        let start = match number.checked_sub(1) {
            Some(before) => *self.text_ends.get(before)? as usize,
            None => 0,
        };
        self.text.get(start..end)
    }

    /// The file's bytes.
    pub(crate) fn write(&self) -> Vec<u8> {
        let mut out = Writer::default();
        out.bytes(self.source.as_bytes());
        out.numbers(&self.text_ends);
        out.bytes(self.text.as_bytes());
        out.numbers(&self.code);
        out.numbers(&self.classes);
        out.bytes(&self.literals);
        let patterns: Vec<u32> = self.patterns.iter().flat_map(words).collect();
        out.numbers(&patterns);
        out.numbers(&self.engines);
        out.numbers(&self.lists);
        for table in &self.tables {
            out.numbers(table);
        }
        for trie in [&self.leading, &self.inner] {
            out.bytes(&trie.labels);
            out.numbers(&trie.children);
            out.numbers(&trie.postings);
            out.numbers(&trie.patterns);
        }
        out.numbers(&self.always);
        let mut file = MAGIC.to_vec();
        file.extend(FORMAT.to_le_bytes());
        file.extend(xxh3_64(&out.0).to_le_bytes());
        file.extend(out.0);
        file
    }

    /// Reads a file.
    ///
    /// # Errors
    /// It is something else, or damaged.
    pub(crate) fn read(file: &[u8]) -> Result<Self, Unreadable> {
        let rest = file.strip_prefix(MAGIC).ok_or(Unreadable::Magic)?;
        let (format, rest) = rest.split_first_chunk().ok_or(Unreadable::Checksum)?;
        let format = u32::from_le_bytes(*format);
        if format != FORMAT {
            return Err(Unreadable::Format(format));
        }
        let (checksum, sections) = rest.split_first_chunk().ok_or(Unreadable::Checksum)?;
        if xxh3_64(sections) != u64::from_le_bytes(*checksum) {
            return Err(Unreadable::Checksum);
        }
        let mut from = Reader {
            rest: sections,
            section: 0,
        };
        let data = Self {
            source: from.text()?,
            text_ends: from.numbers()?,
            text: from.text()?,
            code: from.numbers()?,
            classes: from.numbers()?,
            literals: from.bytes()?.to_vec(),
            patterns: from
                .numbers()?
                .chunks_exact(PATTERN_WORDS)
                .map(pattern)
                .collect(),
            engines: from.numbers()?,
            lists: from.numbers()?,
            tables: (0..TABLES)
                .map(|_| from.numbers())
                .collect::<Result<_, _>>()?,
            leading: from.trie()?,
            inner: from.trie()?,
            always: from.numbers()?,
        };
        if data.lists.len() != 2 * LISTS || !from.rest.is_empty() {
            return Err(Unreadable::Section(from.section));
        }
        Ok(data)
    }
}

fn words(pattern: &Pattern) -> [u32; PATTERN_WORDS] {
    let [a, b, c, d] = pattern.texts;
    let [from, to] = pattern.children;
    [
        pattern.program,
        pattern.length,
        pattern.boundary,
        a,
        b,
        c,
        d,
        from,
        to,
    ]
}

fn pattern(words: &[u32]) -> Pattern {
    let word = |at: usize| words.get(at).copied().unwrap_or(NONE);
    Pattern {
        program: word(0),
        length: word(1),
        boundary: word(2),
        texts: [word(3), word(4), word(5), word(6)],
        children: [word(7), word(8)],
    }
}

#[derive(Default)]
struct Writer(Vec<u8>);

impl Writer {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(to_u32(bytes.len()).to_le_bytes());
        self.0.extend(bytes);
    }

    fn numbers(&mut self, numbers: &[u32]) {
        self.0.extend(to_u32(numbers.len()).to_le_bytes());
        self.0
            .extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    }
}

/// Sections are far below four billion; one that is not would be refused when it is read.
pub(crate) fn to_u32(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

struct Reader<'a> {
    rest: &'a [u8],
    section: usize,
}

impl<'a> Reader<'a> {
    fn take(&mut self, width: usize) -> Result<&'a [u8], Unreadable> {
        self.section += 1;
        let wrong = Unreadable::Section(self.section);
        let (count, rest) = self.rest.split_first_chunk().ok_or(wrong)?;
        let bytes = usize::try_from(u32::from_le_bytes(*count)).ok();
        let bytes = bytes
            .and_then(|count| count.checked_mul(width))
            .ok_or(wrong)?;
        let (taken, rest) = rest.split_at_checked(bytes).ok_or(wrong)?;
        self.rest = rest;
        Ok(taken)
    }

    fn bytes(&mut self) -> Result<&'a [u8], Unreadable> {
        self.take(1)
    }

    fn text(&mut self) -> Result<String, Unreadable> {
        let bytes = self.take(1)?.to_vec();
        String::from_utf8(bytes).map_err(|_| Unreadable::Section(self.section))
    }

    fn numbers(&mut self) -> Result<Vec<u32>, Unreadable> {
        let (numbers, _) = self.take(4)?.as_chunks();
        Ok(numbers
            .iter()
            .map(|number| u32::from_le_bytes(*number))
            .collect())
    }

    fn trie(&mut self) -> Result<Trie, Unreadable> {
        let trie = Trie {
            labels: self.bytes()?.to_vec(),
            children: self.numbers()?,
            postings: self.numbers()?,
            patterns: self.numbers()?,
            first_nodes: Vec::new(),
        };
        Ok(trie.with_first_nodes())
    }
}
