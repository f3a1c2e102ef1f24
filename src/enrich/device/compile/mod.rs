//! Compiles Matomo's patterns, as the package `device_detector` ships them, to the file that [`super::matomo`] reads.
//!
//! Regular expressions become programs, their literals become tries, the package's tables become tables of texts. It reads nothing
//! itself: files come from a function. It knows no rule of the algorithm but which file and which member means what.

use std::collections::HashMap;

use super::matomo::data::{Data, NONE, Pattern, to_u32};
use super::matomo::lists::{COLUMNS, LISTS, List, TABLES, Table};
use super::matomo::marks::{MARKS, expression};
use super::matomo::program::{Boundary, MAX_CODE};

mod codegen;
mod literals;
mod pattern;
mod python;
mod trie;
pub(crate) mod yaml;

use literals::{Atom, Frequencies};
use yaml::Node;

/// The package has something else than is expected.
#[derive(Debug, thiserror::Error)]
#[error("{file}: {message}")]
pub struct CompileError {
    /// The file within the package.
    pub file: String,
    /// What is wrong with it.
    pub message: String,
}

/// What was compiled.
#[derive(Debug)]
pub struct Compiled {
    /// The file's bytes.
    pub file: Vec<u8>,
    /// How many patterns it holds.
    pub patterns: usize,
}

/// Files of User-Agents by which it is known which literals are frequent. What of them is missing is passed over.
const SAMPLES: [&str; 8] = [
    "tests/fixtures/upstream/smartphone.yml",
    "tests/fixtures/upstream/smartphone-20.yml",
    "tests/fixtures/upstream/smartphone-40.yml",
    "tests/fixtures/upstream/tablet-5.yml",
    "tests/fixtures/upstream/tv-2.yml",
    "tests/fixtures/upstream/desktop.yml",
    "tests/fixtures/upstream/bots.yml",
    "tests/fixtures/upstream/unknown.yml",
];

/// Every how many User-Agents of these one is looked at.
const SAMPLED: usize = 3;

/// Compiles the package whose files `read` gives, by their paths below its folder. `source` is kept to tell where they are from.
///
/// # Errors
/// A file cannot be read, or holds what is not understood.
pub fn compile(source: &str, read: Read<'_>) -> Result<Compiled, CompileError> {
    let (sources, tables) = sources(read)?;
    let samples = SAMPLES.iter().filter_map(|path| yaml(read, path).ok());
    let samples = samples.flat_map(|file| file.items().to_vec());
    let samples: Vec<String> = samples
        .step_by(SAMPLED)
        .filter_map(|fixture| Some(fixture.text("user_agent")?.to_owned()))
        .collect();
    sources.data(source, tables, &Frequencies::of(&samples))
}

/// Gives a file of the package.
type Read<'r> = &'r dyn Fn(&str) -> Result<String, String>;

/// The regular expressions, in the order of the file's patterns.
#[cfg(test)]
pub(super) fn pattern_sources(read: Read<'_>) -> Result<Vec<String>, CompileError> {
    let (sources, _) = sources(read)?;
    let patterns = sources.lists.into_iter().flatten();
    Ok(patterns.map(|pattern| pattern.regex).collect())
}

fn yaml(read: Read<'_>, path: &str) -> Result<Node, CompileError> {
    let error = |message| CompileError {
        file: path.to_owned(),
        message,
    };
    read(path)
        .and_then(|text| yaml::parse(&text))
        .map_err(error)
}

fn sources(read: Read<'_>) -> Result<(Sources, Vec<Vec<u32>>), CompileError> {
    let mut sources = Sources {
        texts: Texts::default(),
        lists: std::array::from_fn(|_| Vec::new()),
        engines: Vec::new(),
    };
    let patterns = |path: &str| yaml(read, &format!("regexes/upstream/{path}.yml"));
    sources.bots(&patterns("bots")?);
    sources.systems(&patterns("oss")?);
    for (list, path) in [
        (List::FeedReaders, "feed_readers"),
        (List::Apps, "mobile_apps"),
        (List::Players, "mediaplayers"),
        (List::Pims, "pim"),
        (List::Libraries, "libraries"),
        (List::Engines, "browser_engine"),
    ] {
        sources.clients(list, &patterns(&format!("client/{path}"))?);
    }
    sources.browsers(&patterns("client/browsers")?);
    for (list, path) in [
        (List::Televisions, "televisions"),
        (List::ShellTelevisions, "shell_tv"),
        (List::Notebooks, "notebooks"),
        (List::Consoles, "consoles"),
        (List::Cars, "car_browsers"),
        (List::Cameras, "cameras"),
        (List::Players2, "portable_media_player"),
        (List::Mobiles, "mobiles"),
    ] {
        sources.devices(list, &patterns(&format!("device/{path}"))?);
    }
    sources.vendors(&patterns("vendorfragments")?);
    for (_, words) in MARKS {
        let anywhere = Boundary::Anything as u32;
        sources.add(List::Marks, &expression(words), anywhere, [None; 4], [0; 2]);
    }
    let settings = "parser/settings.py";
    let error = |message| CompileError {
        file: settings.to_owned(),
        message,
    };
    let python = read(settings).map_err(error)?;
    let mut tables = sources.tables(&python).map_err(error)?;
    for (table, path) in [(Table::AppIds, "apps"), (Table::BrowserIds, "browsers")] {
        let ids = patterns(&format!("client/hints/{path}"))?;
        tables[table as usize] = sources.pairs(&ids, false);
    }
    Ok((sources, tables))
}

/// A pattern before it is compiled.
struct Source {
    regex: String,
    boundary: u32,
    texts: [u32; 4],
    /// Within the list of its children.
    children: [u32; 2],
}

struct Sources {
    texts: Texts,
    lists: [Vec<Source>; LISTS],
    engines: Vec<u32>,
}

impl Sources {
    fn add(
        &mut self,
        list: List,
        regex: &str,
        boundary: u32,
        texts: [Option<&str>; 4],
        children: [u32; 2],
    ) {
        let texts =
            texts.map(|text| text.map_or(NONE, |text| self.texts.number(&with_dollars(text))));
        self.lists[list as usize].push(Source {
            regex: regex.to_owned(),
            boundary,
            texts,
            children,
        });
    }

    fn add_word(&mut self, list: List, node: &Node, members: &[&str], children: [u32; 2]) {
        let mut texts = [None; 4];
        for (text, member) in texts.iter_mut().zip(members) {
            *text = node.text(member);
        }
        let regex = node.text("regex").unwrap_or_default();
        self.add(list, regex, Boundary::Word as u32, texts, children);
    }

    fn length(&self, list: List) -> u32 {
        to_u32(self.lists[list as usize].len())
    }

    fn bots(&mut self, file: &Node) {
        for bot in file.items() {
            self.add_word(List::Bots, bot, &["name", "category"], [0; 2]);
        }
    }

    fn systems(&mut self, file: &Node) {
        for system in file.items() {
            let first = self.length(List::SystemVersions);
            for version in system.get("versions").map(Node::items).unwrap_or_default() {
                self.add_word(List::SystemVersions, version, &["name", "version"], [0; 2]);
            }
            let children = [first, self.length(List::SystemVersions)];
            self.add_word(List::Systems, system, &["name", "version"], children);
        }
    }

    fn clients(&mut self, list: List, file: &Node) {
        for client in file.items() {
            self.add_word(list, client, &["name", "version"], [0; 2]);
        }
    }

    fn browsers(&mut self, file: &Node) {
        for browser in file.items() {
            let first = to_u32(self.engines.len());
            let engine = browser.get("engine");
            let versions = engine.and_then(|engine| engine.get("versions"));
            for (version, engine) in versions.map(Node::members).unwrap_or_default() {
                let engine = engine.as_text().unwrap_or_default();
                let row = [self.texts.number(version), self.texts.number(engine)];
                self.engines.extend(row);
            }
            let children = [first, to_u32(self.engines.len())];
            let default = engine.and_then(|engine| engine.text("default"));
            let texts = [browser.text("name"), browser.text("version"), default, None];
            let regex = browser.text("regex").unwrap_or_default();
            self.add(
                List::Browsers,
                regex,
                Boundary::Word as u32,
                texts,
                children,
            );
        }
    }

    fn devices(&mut self, list: List, file: &Node) {
        for (brand, device) in file.members() {
            let first = self.length(List::Models);
            for model in device.get("models").map(Node::items).unwrap_or_default() {
                self.add_word(List::Models, model, &["brand", "device", "model"], [0; 2]);
            }
            let children = [first, self.length(List::Models)];
            let texts = [
                Some(brand.as_str()),
                device.text("device"),
                device.text("model"),
                None,
            ];
            let regex = device.text("regex").unwrap_or_default();
            self.add(list, regex, Boundary::Word as u32, texts, children);
        }
    }

    fn vendors(&mut self, file: &Node) {
        for (brand, regexes) in file.members() {
            for regex in regexes.items().iter().filter_map(Node::as_text) {
                let regex = format!("{regex}[^a-z0-9]+");
                let texts = [Some(brand.as_str()), None, None, None];
                self.add(List::Vendors, &regex, Boundary::Word as u32, texts, [0; 2]);
            }
        }
    }

    fn tables(&mut self, settings: &str) -> Result<Vec<Vec<u32>>, String> {
        let read = |name: &str| python::assigned(settings, name);
        let mut tables = vec![Vec::new(); TABLES];
        let mobile_only = read("MOBILE_ONLY_BROWSERS")?;
        for (table, names, families) in [
            (Table::Systems, "OPERATING_SYSTEMS", "OS_FAMILIES"),
            (Table::Browsers, "AVAILABLE_BROWSERS", "BROWSER_FAMILIES"),
        ] {
            let families = read(families)?;
            for (short, name) in read(names)?.members() {
                let has = |list: &Node| {
                    list.items()
                        .iter()
                        .any(|item| item.as_text() == Some(short))
                };
                let family = families.members().iter().find(|(_, list)| has(list));
                let flag = (table == Table::Browsers && has(&mobile_only)).then_some("1");
                let row = [
                    Some(short.as_str()),
                    name.as_text(),
                    family.map(|(family, _)| family.as_str()),
                    flag,
                ];
                let row = row.map(|text| text.map_or(NONE, |text| self.texts.number(text)));
                tables[table as usize].extend(row);
            }
        }
        for (table, name) in [
            (Table::SystemHints, "OS_CLIENT_HINT_MAPPING"),
            (Table::BrowserHints, "APP_TO_CLIENT_HINT_MAPPING"),
        ] {
            tables[table as usize] = self.pairs(&read(name)?, true);
        }
        for (table, name) in [
            (Table::FireOs, "FIREOS_VERSION_MAPPING"),
            (Table::LineageOs, "LINEAGEOS_VERSION_MAPPING"),
        ] {
            tables[table as usize] = self.pairs(&read(name)?, false);
        }
        for (table, name) in [
            (Table::DesktopFamilies, "DESKTOP_OS"),
            (Table::AndroidApps, "ANDROID_APPS"),
            (Table::TelevisionClients, "TV_CLIENTS"),
        ] {
            for text in read(name)?.items().iter().filter_map(Node::as_text) {
                let row = [self.texts.number(text), NONE, NONE, NONE];
                tables[table as usize].extend(row);
            }
        }
        Ok(tables)
    }

    /// Rows of keys and values; with `turned`, values are lists and become the keys.
    fn pairs(&mut self, map: &Node, turned: bool) -> Vec<u32> {
        let mut rows = Vec::new();
        for (key, value) in map.members() {
            let pairs: Vec<(&str, &str)> = match turned {
                true => value
                    .items()
                    .iter()
                    .filter_map(|item| Some((item.as_text()?, key.as_str())))
                    .collect(),
                false => value
                    .as_text()
                    .map(|value| (key.as_str(), value))
                    .into_iter()
                    .collect(),
            };
            for (key, value) in pairs {
                let row: [u32; COLUMNS] =
                    [self.texts.number(key), self.texts.number(value), NONE, NONE];
                rows.extend(row);
            }
        }
        rows
    }

    fn data(
        self,
        source: &str,
        tables: Vec<Vec<u32>>,
        frequencies: &Frequencies,
    ) -> Result<Compiled, CompileError> {
        let mut lists = Vec::new();
        let mut starts = [0; LISTS];
        let mut next = 0;
        for (start, list) in starts.iter_mut().zip(&self.lists) {
            *start = next;
            next += to_u32(list.len());
            lists.extend([*start, next]);
        }
        let mut programs = codegen::Programs::default();
        let mut data = Data {
            source: source.to_owned(),
            text_ends: self.texts.ends,
            text: self.texts.text,
            engines: self.engines,
            lists,
            tables,
            ..Data::default()
        };
        let mut atoms: Vec<(Atom, u32)> = Vec::new();
        for (list, patterns) in self.lists.iter().enumerate() {
            let children = match list {
                list if list == List::Systems as usize => starts[List::SystemVersions as usize],
                list if list >= List::Televisions as usize && list < List::Models as usize => {
                    starts[List::Models as usize]
                }
                _ => 0,
            };
            for pattern in patterns {
                let number = to_u32(data.patterns.len());
                let error = |message| CompileError {
                    file: format!("the pattern {}", pattern.regex),
                    message,
                };
                let tree = pattern::parse(&pattern.regex).map_err(error)?;
                let (program, length) = programs.add(&tree).map_err(error)?;
                data.patterns.push(Pattern {
                    program,
                    length,
                    boundary: pattern.boundary,
                    texts: pattern.texts,
                    children: pattern.children.map(|child| child + children),
                });
                let can_lead = pattern.boundary == Boundary::Word as u32;
                match literals::choose(&pattern::bare(&tree.hir), frequencies, can_lead) {
                    Some(chosen) => atoms.extend(chosen.into_iter().map(|atom| (atom, number))),
                    None => data.always.push(number),
                }
            }
        }
        if programs.code.len() > MAX_CODE {
            return Err(CompileError {
                file: source.to_owned(),
                message: format!("its programs have more than {MAX_CODE} words"),
            });
        }
        let of = |is_leading| {
            let wanted = atoms
                .iter()
                .filter(move |(atom, _)| atom.is_leading == is_leading);
            trie::trie(wanted.map(|(atom, pattern)| (&atom.text[..], *pattern)))
        };
        data.leading = of(true);
        data.inner = of(false);
        data.code = programs.code;
        data.classes = programs.classes;
        data.literals = programs.literals;
        Ok(Compiled {
            patterns: data.patterns.len(),
            file: data.write(),
        })
    }
}

/// Groups in templates are written `\g<1>` by the package, `$1` by Matomo.
fn with_dollars(text: &str) -> String {
    let mut text = text.to_owned();
    for group in 1..=9 {
        text = text.replace(&format!("\\g<{group}>"), &format!("${group}"));
    }
    text
}

#[derive(Default)]
struct Texts {
    ends: Vec<u32>,
    text: String,
    numbers: HashMap<String, u32>,
}

impl Texts {
    fn number(&mut self, text: &str) -> u32 {
        if let Some(number) = self.numbers.get(text) {
            return *number;
        }
        let number = to_u32(self.ends.len());
        self.text.push_str(text);
        self.ends.push(to_u32(self.text.len()));
        self.numbers.insert(text.to_owned(), number);
        number
    }
}
