//! Bits that flip, files that end early, zeros and foreign bytes, in each file of the collector's own: it starts or says why
//! not, and what is missing or twice afterwards is never so without an alarm.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::process::{Process, rows};
use crate::support::{event, post};

/// What happens to a file.
#[derive(Clone, Copy, Debug)]
enum Damage {
    /// The lowest bit of the byte that stands so many thousandths from the beginning.
    Flip(usize),
    /// It ends after so many thousandths.
    Cut(usize),
    Zeros,
    /// Zeros in its second half.
    HalfZeros,
    Foreign,
    Gone,
}

const DAMAGES: [Damage; 12] = [
    Damage::Flip(0),
    Damage::Flip(150),
    Damage::Flip(400),
    Damage::Flip(600),
    Damage::Flip(850),
    Damage::Flip(999),
    Damage::Cut(0),
    Damage::Cut(500),
    Damage::Zeros,
    Damage::HalfZeros,
    Damage::Foreign,
    Damage::Gone,
];

impl Damage {
    fn act(self, path: &Path) {
        let mut bytes = fs::read(path).unwrap();
        let at = |thousandths: usize| bytes.len() * thousandths / 1000;
        match self {
            Self::Flip(place) => {
                // A segment is full of zeros at its end.
                let used = bytes
                    .iter()
                    .rposition(|byte| *byte != 0)
                    .map_or(0, |last| last + 1);
                if let Some(byte) = bytes.get_mut(used * place / 1000) {
                    *byte ^= 1;
                }
            }
            Self::Cut(place) => bytes.truncate(at(place)),
            Self::Zeros => bytes.fill(0),
            Self::HalfZeros => {
                let half = at(500);
                bytes[half..].fill(0);
            }
            Self::Foreign => bytes = b"GIF89a and so on, from another program\n".repeat(9),
            Self::Gone => return fs::remove_file(path).unwrap(),
        }
        fs::write(path, bytes).unwrap();
    }
}

/// All files below a folder but those of the tables.
fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(folder).unwrap();
    let mut paths: Vec<_> = entries.map(|entry| entry.unwrap().path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().unwrap().to_str().unwrap();
        match path.is_dir() {
            true if name.starts_with("events") => {}
            true => files(&path, found),
            false => found.push(path),
        }
    }
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        match path.is_dir() {
            true => copy(&path, &to),
            false => drop(fs::copy(&path, &to).unwrap()),
        }
    }
}

const VALUES: [(&str, &str); 3] = [
    ("LOG__SEGMENT_BYTES", "16KiB"),
    ("LEDGER__INTERVAL", "0.05"),
    ("RUN__DRAIN", "2"),
];
const STORED: usize = 30;
const SENT: usize = 40;

async fn start(folder: &Path, interval: &str) -> Option<Process> {
    let more = [
        ("WRITERS__DELTA__COMMIT_INTERVAL", interval),
        ("WRITERS__DELTA__COMMIT_INTERVAL_MAX", interval),
    ];
    let values = [&VALUES[..], &more].concat();
    Process::start_under(&[], folder, &values).await.ok()
}

/// Leaves a log of which the table has a part, as after a SIGKILL.
async fn prepare(folder: &Path) {
    let process = start(folder, "0.05").await.expect("it starts");
    for id in 0..STORED {
        assert_eq!(
            post(process.address, &event(&format!("{id}"))).await.status,
            200
        );
    }
    process.drained().await;
    assert!(process.terminate().success());
    let process = start(folder, "3600").await.expect("it starts");
    for id in STORED..SENT {
        assert_eq!(
            post(process.address, &event(&format!("{id}"))).await.status,
            200
        );
    }
    process.kill();
}

/// What was lost or doubled; `None` if it said why it does not start.
async fn examine(folder: &Path, what: &str) -> Option<Vec<String>> {
    let Some(process) = start(folder, "0.05").await else {
        let output = Process::output(folder);
        let told = output.lines().last().unwrap_or_default();
        assert!(
            told.contains("\"ERROR\"") || told.contains("error"),
            "{what}: {output}"
        );
        return None;
    };
    let answer = post(process.address, &event("new")).await;
    assert_eq!(answer.status, 200, "{what}: {}", answer.body);
    process.drained().await;
    assert!(process.terminate().success(), "{what}");
    let rows = rows(folder);
    let count = |id: &str| rows.iter().filter(|row| row["event_id"] == id).count();
    let mut wrong: Vec<String> = (0..SENT).map(|id| id.to_string()).collect();
    wrong.push("new".to_owned());
    wrong.retain(|id| count(id) != 1);
    Some(wrong)
}

/// Each damage to each file whose turn it is.
async fn attack(part: usize, parts: usize) {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (data, sound) = (folder.path().join("data"), folder.path().join("sound"));
    prepare(folder.path()).await;
    copy(&data, &sound);
    let mut all = Vec::new();
    files(&data, &mut all);
    let names: Vec<String> = all.iter().map(|path| path.display().to_string()).collect();
    for kind in [
        "/log/id",
        ".segment",
        "/spare",
        "/cursors/",
        "/totals.json",
        "/ledger/",
    ] {
        assert!(
            names.iter().any(|name| name.contains(kind)),
            "{kind} is not in {names:?}"
        );
    }
    let cases = all
        .iter()
        .flat_map(|path| DAMAGES.map(|damage| (path, damage)));
    for (path, damage) in cases.skip(part).step_by(parts) {
        fs::remove_dir_all(&data).unwrap();
        copy(&sound, &data);
        fs::write(folder.path().join("output"), "").unwrap();
        let what = format!(
            "{damage:?} of {}",
            path.strip_prefix(&data).unwrap().display()
        );
        damage.act(path);
        let wrong = examine(folder.path(), &what).await;
        let output = Process::output(folder.path());
        assert!(!output.contains("panicked"), "{what}: {output}");
        let Some(wrong) = wrong else {
            println!("{what}: does not start");
            continue;
        };
        // These files are copies, which is told of each. The last batch of a process that was killed may end anywhere: a damaged one is told as such.
        let is_alarm = |line: &str| line.contains("\"alarm\"") && !line.contains("log_rewound");
        let is_told = |line: &&str| is_alarm(line) || line.contains("was cut short");
        let alarms = output.lines().filter(is_told).count();
        println!("{what}: {} wrong, {alarms} alarms", wrong.len());
        // Only segments hold events; where the newest is gone, nothing is left that knows of it.
        let is_segment = path.extension().is_some_and(|kind| kind == "segment");
        let is_told = alarms > 0 || matches!(damage, Damage::Gone);
        assert!(
            wrong.is_empty() || (is_segment && is_told),
            "{what}: {wrong:?}\n{output}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_goes_unnoticed_1() {
    attack(0, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_goes_unnoticed_2() {
    attack(1, 3).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn no_damage_goes_unnoticed_3() {
    attack(2, 3).await;
}
