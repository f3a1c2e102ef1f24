//! Matomo's own fixtures, of the package that `devices/install.sh` fetches: what is expected of the detector, field by field, and
//! of bots. Where it disagrees is listed in `tests/fixtures/devices/disagreements.tsv`, with the reason.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::sync::LazyLock;

use http::{HeaderMap, HeaderName, HeaderValue};

use super::compile::compile;
use super::compile::yaml::{self, Node};
use super::hints::{ClientHints, Sent};
use super::matomo::{Detected, Detector};
use crate::enrich::explain::Explanation;
use crate::enrich::{Config, Enricher, Visit};
use crate::schema::Event;

/// The package's folder.
static PACKAGE: LazyLock<PathBuf> = LazyLock::new(|| {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/devices/install.sh");
    let output = Command::new(script)
        .output()
        .expect("devices/install.sh runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
});

/// The file that is compiled of it.
pub(in super::super) static FILE: LazyLock<Vec<u8>> = LazyLock::new(|| {
    compile("device_detector of a test", &read)
        .expect("the package compiles")
        .file
});

/// A file of the package.
pub(super) fn read(path: &str) -> Result<String, String> {
    fs::read_to_string(PACKAGE.join(path)).map_err(|error| error.to_string())
}

pub(super) struct Fixture {
    pub(super) user_agent: String,
    pub(super) hints: Option<ClientHints>,
    expected: Node,
}

pub(super) static FIXTURES: LazyLock<Vec<Fixture>> = LazyLock::new(|| {
    let folder = PACKAGE.join("tests/fixtures/upstream");
    let files = fs::read_dir(folder)
        .expect("fixtures")
        .map(|entry| entry.expect("an entry").path());
    let mut files: Vec<PathBuf> = files
        .filter(|path| path.extension().is_some_and(|end| end == "yml"))
        .collect();
    files.sort();
    let parsed =
        |path: &PathBuf| yaml::parse(&fs::read_to_string(path).expect("a file")).expect("YAML");
    let fixtures = files.iter().flat_map(|path| parsed(path).items().to_vec());
    let fixtures = fixtures.filter_map(|expected| {
        Some(Fixture {
            user_agent: expected.text("user_agent")?.to_owned(),
            hints: expected
                .get("headers")
                .filter(|headers| !headers.members().is_empty())
                .map(hints),
            expected,
        })
    });
    fixtures.collect()
});

/// Headers as fixtures write them: as HTTP does, as CGI does, or as the browser's own function.
fn hints(headers: &Node) -> ClientHints {
    let mut hints = ClientHints::default();
    let mut brands = None;
    for (name, value) in headers.members() {
        let lower = name.to_ascii_lowercase().replace('_', "-");
        let name = lower.strip_prefix("http-").unwrap_or(&lower);
        let name = match name {
            "uafullversion" => "uaFullVersion",
            "platformversion" => "platformVersion",
            name => name,
        };
        let texts = || value.items().iter().filter_map(Node::as_text);
        let pairs = || {
            value
                .items()
                .iter()
                .filter_map(|item| Some((item.text("brand")?, item.text("version")?)))
        };
        match (name, value.as_text()) {
            (_, Some("" | "0")) => {}
            (name, Some(text)) => drop(hints.take(name, text)),
            ("fullversionlist", None) => hints.take_brands(true, pairs()),
            ("brands", None) => brands = Some(pairs()),
            ("formfactors", None) => hints.take_form_factors(texts()),
            _ => {}
        }
    }
    if let Some(brands) = brands {
        hints.take_brands(false, brands);
    }
    hints
}

type Fields = Vec<(&'static str, String)>;

fn expected(fixture: &Node) -> Fields {
    let text = |group: &str, name: &str| {
        fixture
            .get(group)
            .and_then(|group| group.text(name))
            .unwrap_or_default()
            .to_owned()
    };
    let family = |name: &str| {
        fixture
            .text(name)
            .filter(|family| *family != "Unknown")
            .unwrap_or_default()
            .to_owned()
    };
    if fixture.get("bot").is_some() {
        return vec![
            ("bot", "true".to_owned()),
            ("bot.name", text("bot", "name")),
            ("bot.category", text("bot", "category")),
        ];
    }
    vec![
        ("bot", "false".to_owned()),
        ("os.name", text("os", "name")),
        ("os.version", text("os", "version")),
        ("os.platform", text("os", "platform")),
        ("os.family", family("os_family")),
        ("client.type", text("client", "type")),
        ("client.name", text("client", "name")),
        ("client.version", text("client", "version")),
        ("client.engine", text("client", "engine")),
        ("client.engine_version", text("client", "engine_version")),
        ("client.family", family("browser_family")),
        ("device.type", text("device", "type")),
        ("device.brand", text("device", "brand")),
        ("device.model", text("device", "model")),
    ]
}

/// The same fields of what was detected; Matomo's category of bots is not kept under its own name.
fn found(detected: Detected) -> Fields {
    let is_bot = detected.bot.is_some().to_string();
    if let Some(bot) = detected.bot {
        return vec![
            ("bot", is_bot),
            ("bot.name", bot.name),
            ("bot.category", bot.category),
        ];
    }
    let (system, client) = (
        detected.system.unwrap_or_default(),
        detected.client.unwrap_or_default(),
    );
    vec![
        ("bot", is_bot),
        ("os.name", system.name),
        ("os.version", system.version),
        ("os.platform", system.platform),
        (
            "os.family",
            Some(system.family)
                .filter(|family| family != "Unknown")
                .unwrap_or_default(),
        ),
        ("client.type", client.kind.to_owned()),
        ("client.name", client.name),
        ("client.version", client.version),
        ("client.engine", client.engine),
        ("client.engine_version", client.engine_version),
        ("client.family", client.family),
        ("device.type", detected.kind.unwrap_or_default()),
        ("device.brand", detected.brand),
        ("device.model", detected.model),
    ]
}

/// Where it is explained why what is found is not what is expected.
const EXPLAINED: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/fixtures/devices/disagreements.tsv"
);

#[test]
fn fixtures_agree_in_all_fields() {
    let detector = Detector::read(&FILE).unwrap();
    let explained = fs::read_to_string(EXPLAINED).unwrap();
    let mut fields: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let (mut wrong, mut unexplained) = (0, Vec::new());
    for fixture in FIXTURES.iter() {
        let visit = Visit {
            hints: fixture.hints.as_ref(),
            ..Visit::default()
        };
        let hints = fixture
            .hints
            .is_some()
            .then(|| Sent::by(&visit).read().unwrap_or_default());
        let expected = expected(&fixture.expected);
        let found = found(detector.detect(&fixture.user_agent, hints.as_ref()));
        for (field, expected) in &expected {
            let other = found.iter().find(|(other, _)| other == field);
            let found = other.map(|(_, found)| found.as_str()).unwrap_or_default();
            let counts = fields.entry(field).or_default();
            counts.0 += 1;
            if found != expected {
                counts.1 += 1;
                let row = format!("{field}\t{expected}\t{found}\t");
                if !explained.lines().any(|line| line.starts_with(&row)) {
                    unexplained.push(format!("{row}{}", fixture.user_agent));
                }
            }
        }
        wrong += usize::from(expected != found);
    }
    let total = FIXTURES.len();
    let mut table = format!("{:22} {:>7} {:>6}\n", "field", "of", "wrong");
    for (field, (of, wrong)) in &fields {
        writeln!(table, "{field:22} {of:7} {wrong:6}").unwrap();
    }
    let share = 100.0 * (total - wrong) as f64 / total as f64;
    println!(
        "{table}{:22} {total:7} {wrong:6}   {share:.3} % equal",
        "all of them"
    );
    assert!(total > 38_000, "{total} fixtures");
    assert!(share >= 99.5, "{share}");
    assert!(unexplained.is_empty(), "{}", unexplained.join("\n"));
}

#[test]
fn bots_are_told_from_the_others() {
    let devices = super::Devices::read(&FILE).unwrap();
    let enricher = Enricher::new(Config::default()).with_devices(devices);
    let (mut bots, mut found, mut others, mut wrong) = (0, 0, 0, Vec::new());
    for fixture in FIXTURES.iter() {
        let Ok(value) = HeaderValue::from_str(&fixture.user_agent) else {
            continue;
        };
        let headers = HeaderMap::from_iter([(HeaderName::from_static("user-agent"), value)]);
        let visit = Visit {
            headers: &headers,
            hints: fixture.hints.as_ref(),
            ..Visit::default()
        };
        let mut event = Event::default();
        enricher.event(&mut event, &visit, None, &mut Explanation::unasked());
        let bot = event.collector.unwrap().bot.unwrap();
        let is_bot = bot.is_bot == Some(true);
        match fixture.expected.get("bot") {
            Some(_) => {
                bots += 1;
                found += usize::from(is_bot);
            }
            None => {
                others += 1;
                if is_bot {
                    wrong.push(format!("{:?} {}", bot.reasons, fixture.user_agent));
                }
            }
        }
    }
    println!(
        "{found} of {bots} bots found, {} of {others} others taken for one:\n{}",
        wrong.len(),
        wrong.join("\n")
    );
    assert!(
        bots > 1_000 && found * 1000 >= bots * 995,
        "{found} of {bots}"
    );
    assert!(wrong.len() * 1000 <= others, "{} of {others}", wrong.len());
}
