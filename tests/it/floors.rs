//! Imports go down only.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, top first. Rooms of one floor do not know each other.
const FLOORS: [&[&str]; 8] = [
    &["cli"],
    &["app"],
    &["config"],
    &["http", "consume", "letters"],
    &["pipeline", "live"],
    &["writer", "log", "enrich"],
    &["durable", "ledger"],
    &["schema", "clock"],
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The rooms that a text imports or names by `crate::`.
fn rooms_named(text: &str) -> Vec<String> {
    let mut rooms = Vec::new();
    for (index, _) in text.match_indices("crate::") {
        let rest = &text[index + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            let group = &group[..group.find("};").unwrap_or(group.len())];
            let mut depth = 0;
            let mut name = String::new();
            for character in group.chars().chain([',']) {
                match character {
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        let first = name
                            .trim()
                            .split("::")
                            .next()
                            .unwrap_or_default()
                            .to_owned();
                        rooms.push(
                            first
                                .split_whitespace()
                                .next()
                                .unwrap_or_default()
                                .to_owned(),
                        );
                        name.clear();
                    }
                    other if depth == 0 => name.push(other),
                    _ => {}
                }
            }
        } else {
            rooms.push(
                rest.chars()
                    .take_while(|c| c.is_alphanumeric() || *c == '_')
                    .collect(),
            );
        }
    }
    rooms
}

#[test]
fn imports_go_down_only() {
    let floor_of: BTreeMap<&str, usize> = FLOORS
        .iter()
        .enumerate()
        .flat_map(|(floor, rooms)| rooms.iter().map(move |room| (*room, floor)))
        .collect();
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    sources(&root, &mut files);
    assert!(files.len() > 30, "the sources were found");
    let mut wrong = Vec::new();
    for file in files {
        let inside = file.strip_prefix(&root).expect("below the root");
        let room = inside
            .iter()
            .next()
            .and_then(|name| name.to_str())
            .expect("a name")
            .trim_end_matches(".rs")
            .to_owned();
        if room == "lib" || room == "main" {
            continue;
        }
        let floor = *floor_of
            .get(room.as_str())
            .unwrap_or_else(|| panic!("{room} stands on no floor"));
        let text = fs::read_to_string(&file).expect("a source");
        for named in rooms_named(&text) {
            let Some(named_floor) = floor_of.get(named.as_str()) else {
                continue;
            };
            if named != room && *named_floor <= floor {
                wrong.push(format!("{} imports {named}", inside.display()));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports that point up or sideways:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn groups_of_imports_are_seen() {
    assert_eq!(
        rooms_named("use crate::{enrich, log::{a, b}, http::X};"),
        ["enrich", "log", "http"]
    );
    assert_eq!(rooms_named("crate::schema::Event"), ["schema"]);
}
