//! Devices by the patterns of Matomo's Device Detector (<https://github.com/matomo-org/device-detector>), which come as a file.
//!
//! Order matters everywhere: bots first, then the system, the client, the device; lists are asked from top to bottom, and the first
//! pattern that matches decides. Patterns, lists and tables are the package's and come with it; rules here are our own, held by
//! the package's fixtures to what Matomo finds. Names are Matomo's: [`super::columns`] makes columns of them.

use std::collections::HashMap;

use super::hints::Hints;

mod browser;
mod client;
pub(crate) mod data;
mod device;
mod frozen;
mod kind;
pub(crate) mod lists;
pub(crate) mod marks;
mod processor;
pub(crate) mod program;
mod scan;
mod system;
pub(crate) mod version;

pub(crate) use client::Client;
use data::{Data, NONE, Unreadable};
use lists::{COLUMNS, List, Table};
use marks::Mark;
use scan::{Match, Scan};
pub(crate) use system::System;

/// What was recognised. What was not is empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Detected {
    /// The bot; if it is one, nothing else is looked for.
    pub(crate) bot: Option<KnownBot>,
    /// The operating system.
    pub(crate) system: Option<System>,
    /// What sends: browser, app, library.
    pub(crate) client: Option<Client>,
    /// Matomo's name of the kind of device.
    pub(crate) kind: Option<String>,
    /// Who made it.
    pub(crate) brand: String,
    /// What it is called.
    pub(crate) model: String,
}

/// A bot that gives its name.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct KnownBot {
    /// Name.
    pub(crate) name: String,
    /// Matomo's category; some have none.
    pub(crate) category: String,
}

/// Rows of a table by name.
#[derive(Debug, Default)]
struct Names {
    by_name: HashMap<String, usize>,
    by_lower_case: HashMap<String, usize>,
    /// In lower case and without spaces.
    by_letters: HashMap<String, usize>,
}

/// Recognises devices.
#[derive(Debug)]
pub(crate) struct Detector {
    data: Data,
    systems: Names,
    browsers: Names,
    tables: Vec<HashMap<String, u32>>,
}

/// Lower case without spaces: what names of hints are compared by.
fn letters(name: &str) -> String {
    name.replace(' ', "").to_ascii_lowercase()
}

impl Detector {
    /// A detector of the patterns in a file.
    ///
    /// # Errors
    /// The file is something else, or damaged.
    pub(crate) fn read(file: &[u8]) -> Result<Self, Unreadable> {
        let data = Data::read(file)?;
        let names = |table: Table| {
            let mut names = Names::default();
            let rows = data
                .tables
                .get(table as usize)
                .map(Vec::as_slice)
                .unwrap_or_default();
            for (row, columns) in rows.chunks_exact(COLUMNS).enumerate() {
                let name = data.text(columns[1]).unwrap_or_default();
                names.by_name.entry(name.to_owned()).or_insert(row);
                names
                    .by_lower_case
                    .entry(name.to_ascii_lowercase())
                    .or_insert(row);
                names.by_letters.entry(letters(name)).or_insert(row);
            }
            names
        };
        let (systems, browsers) = (names(Table::Systems), names(Table::Browsers));
        let tables = data.tables.iter().enumerate().map(|(table, rows)| {
            // Hints are mapped whatever their case.
            let is_hint =
                [Table::SystemHints as usize, Table::BrowserHints as usize].contains(&table);
            let mut values = HashMap::new();
            for columns in rows.chunks_exact(COLUMNS) {
                let key = data.text(columns[0]).unwrap_or_default();
                let key = if is_hint {
                    key.to_ascii_lowercase()
                } else {
                    key.to_owned()
                };
                values.entry(key).or_insert(columns[1]);
            }
            values
        });
        let tables = tables.collect();
        Ok(Self {
            systems,
            browsers,
            tables,
            data,
        })
    }

    /// Package and version of the patterns.
    pub(crate) fn source(&self) -> &str {
        &self.data.source
    }

    /// How many patterns there are.
    pub(crate) fn patterns(&self) -> usize {
        self.data.patterns.len()
    }

    /// What this User-Agent is, and these hints say.
    pub(crate) fn detect(&self, user_agent: &str, hints: Option<&Hints>) -> Detected {
        let mut found = Detected::default();
        if hints.is_none() && !user_agent.bytes().any(|byte| byte.is_ascii_alphabetic()) {
            return found;
        }
        let scan = Scan::new(&self.data, user_agent);
        found.bot = self.bot(&scan);
        if found.bot.is_some() {
            return found;
        }
        // Systems and devices are looked for where the model is; what sends is told by what was sent.
        let whole = hints.and_then(|hints| frozen::with_model(user_agent, hints));
        let whole = whole.as_deref().map(|text| Scan::new(&self.data, text));
        let whole = whole.as_ref().unwrap_or(&scan);
        found.system = self.system(whole, hints);
        found.client = self.client(&scan, hints);
        self.fill_device(&mut found, &scan, whole, hints);
        found
    }

    fn bot(&self, scan: &Scan<'_>) -> Option<KnownBot> {
        let found = self.first(scan, List::Bots)?;
        let [name, category, ..] = found.pattern.texts;
        Some(KnownBot {
            name: scan.filled(self.text(name), &found.groups),
            category: self.text(category).to_owned(),
        })
    }

    fn text(&self, number: u32) -> &str {
        self.data.text(number).unwrap_or_default()
    }

    /// A text that may be none.
    fn given(&self, number: u32) -> Option<&str> {
        (number != NONE).then(|| self.text(number))
    }

    fn range(&self, list: List) -> (u32, u32) {
        let number = |at: usize| self.data.lists.get(at).copied().unwrap_or_default();
        (number(2 * list as usize), number(2 * list as usize + 1))
    }

    fn first<'t>(&'t self, scan: &Scan<'t>, list: List) -> Option<Match<'t>> {
        let (from, to) = self.range(list);
        scan.first(from, to)
    }

    fn says(&self, scan: &Scan<'_>, mark: Mark) -> bool {
        let at = self.range(List::Marks).0 + mark as u32;
        scan.first(at, at + 1).is_some()
    }

    /// A column of a row of a table.
    fn cell(&self, table: Table, row: usize, column: usize) -> Option<&str> {
        let number = *self
            .data
            .tables
            .get(table as usize)?
            .get(row * COLUMNS + column)?;
        self.given(number)
    }

    /// Whether a table has this in its first column.
    fn is_in(&self, table: Table, key: &str) -> bool {
        self.tables
            .get(table as usize)
            .is_some_and(|table| table.contains_key(key))
    }

    /// What a table has for this.
    fn value(&self, table: Table, key: &str) -> Option<&str> {
        self.given(*self.tables.get(table as usize)?.get(key)?)
    }
}

#[cfg(test)]
mod tests;
