//! Devices and bots, from the request to the row: the file of patterns, client hints, and what is filtered.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

use crate::support::collector::{memory, rows};
use crate::support::process::{self, Process, command};
use crate::support::{Builder, request};

const PHONE: &str = "Mozilla/5.0 (Linux; Android 13; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/148.0.0.0 Mobile Safari/537.36";
const GOOGLEBOT: &str = "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)";
const PATH: &str = "/api/v1/streaming/1";
const EVENT: &str = r#"{"event_name":"page_view"}"#;

/// The package of patterns.
fn package() -> PathBuf {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/devices/install.sh");
    let output = Command::new(script).output().expect("the script runs");
    PathBuf::from(String::from_utf8(output.stdout).expect("a path").trim())
}

/// The package, compiled into this folder.
pub(crate) fn patterns(folder: &Path) -> PathBuf {
    let file = folder.join("devices.bin");
    let package = package();
    let [from, to] = [&package, &file].map(|path| path.to_str().expect("a path"));
    let compiled = devices(folder, &["compile", from, to]);
    assert!(compiled.status.success(), "{compiled:?}");
    file
}

fn devices(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = command(folder, &[]);
    command.arg("devices").args(arguments);
    command.output().expect("the binary runs")
}

/// Runs the collector in this folder for one event; what it logged, and its row.
async fn one_event(folder: &Path, values: &[(&str, &str)]) -> (String, Value) {
    let process = Process::start(folder, values).await;
    let answer = request(
        process.address,
        "POST",
        PATH,
        &[("User-Agent", PHONE)],
        EVENT.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    assert!(process.terminate().success());
    let log = fs::read_to_string(folder.join("output")).expect("its output");
    (log, process::rows(folder).pop().expect("a row"))
}

#[tokio::test(flavor = "multi_thread")]
async fn patterns_are_compiled_used_and_refused() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let (log, row) = one_event(folder.path(), &[]).await;
    assert!(
        log.contains("there is no file of patterns") && !log.contains("\"alarm\""),
        "{log}"
    );
    assert_eq!(row.pointer("/device/mobile_brand_name"), None, "{row}");
    assert_eq!(row["device"]["category"], "mobile");

    let compiled = devices(folder.path(), &["compile", package().to_str().unwrap()]);
    assert!(compiled.status.success(), "{compiled:?}");
    let file = folder.path().join("data/devices.bin");
    let checked = devices(folder.path(), &["check"]);
    assert!(
        String::from_utf8_lossy(&checked.stdout).contains("patterns of device_detector 6."),
        "{checked:?}"
    );
    let (log, row) = one_event(folder.path(), &[]).await;
    assert!(
        log.contains("devices are told by Matomo's patterns"),
        "{log}"
    );
    assert_eq!(row["device"]["mobile_brand_name"], "Samsung", "{row}");
    assert_eq!(row["device"]["mobile_model_name"], "Galaxy S23");
    assert_eq!(row["collector"]["device"]["engine"], "Blink");

    let (log, row) = one_event(folder.path(), &[("ENRICH__DEVICE_DATA", "none")]).await;
    assert!(!log.contains("\"alarm\""), "{log}");
    assert_eq!(row.pointer("/device/mobile_brand_name"), None);

    let mut bytes = fs::read(&file).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(&file, bytes).unwrap();
    assert!(!devices(folder.path(), &["check"]).status.success());
    let (log, row) = one_event(folder.path(), &[]).await;
    assert!(
        log.contains("device_data_refused") && log.contains("damaged"),
        "{log}"
    );
    assert_eq!(row["device"]["category"], "mobile", "{row}");

    let (log, _) = one_event(
        folder.path(),
        &[
            ("ENRICH__DEVICE_DATA", "nowhere.bin"),
            ("ENRICH__DATA_CENTRES", "data/devices.bin"),
        ],
    )
    .await;
    assert!(
        log.contains("device_data_refused") && log.contains("data_centres_refused"),
        "{log}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_package_that_is_not_understood_is_refused_by_name() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    let output = devices(folder.path(), &["compile", ".", "x.bin"]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(
        !output.status.success() && error.contains("regexes/upstream/bots.yml"),
        "{error}"
    );
    assert!(!folder.path().join("x.bin").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn dropped_bots_are_counted_and_answered_as_ever() {
    let writer = memory("memory");
    let collector = Builder::new()
        .set("FILTER__BOTS", "drop")
        .to(&writer)
        .start()
        .await;
    let send = |user_agent: &'static str, body: &'static str| {
        let address = collector.address;
        async move {
            request(
                address,
                "POST",
                PATH,
                &[("User-Agent", user_agent)],
                body.as_bytes(),
            )
            .await
        }
    };
    for (user_agent, body) in [
        (GOOGLEBOT, EVENT),
        (PHONE, EVENT),
        (GOOGLEBOT, r#"[{"event_name":"a"},{"event_name":"b"}]"#),
    ] {
        let answer = send(user_agent, body).await;
        assert_eq!(
            (answer.status, answer.body.as_str()),
            (200, r#"{"status":"ok"}"#)
        );
    }
    let intake = collector.ledger.intake();
    assert_eq!(
        (intake.received, intake.filtered, intake.appended),
        (4, 3, 1)
    );
    collector.stop().await;
    assert_eq!(rows(&writer).len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn bots_are_kept_with_the_evidence_or_marked() {
    for (policy, traffic_type) in [("keep", None), ("mark", Some("bot"))] {
        let writer = memory("memory");
        let collector = Builder::new()
            .set("FILTER__BOTS", policy)
            .to(&writer)
            .start()
            .await;
        request(
            collector.address,
            "POST",
            PATH,
            &[("User-Agent", GOOGLEBOT)],
            EVENT.as_bytes(),
        )
        .await;
        collector.stop().await;
        let row = rows(&writer).pop().unwrap();
        let bot = &row["collector"]["bot"];
        assert_eq!(
            (&bot["is_bot"], &bot["score"], &bot["name"]),
            (&true.into(), &100.into(), &"Googlebot".into()),
            "{row}"
        );
        assert!(
            bot["reasons"]
                .as_array()
                .unwrap()
                .contains(&"pattern".into()),
            "{bot}"
        );
        let marked = row["event_params"]
            .as_array()
            .and_then(|params| params.iter().find(|param| param["key"] == "traffic_type"));
        assert_eq!(
            marked.and_then(|param| param["value"]["string_value"].as_str()),
            traffic_type
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hints_of_the_payload_belong_to_its_event() {
    let writer = memory("memory");
    let collector = Builder::new()
        .set("HTTP__CLIENT_HINTS", "critical")
        .to(&writer)
        .start()
        .await;
    let body = r#"[{"event_name":"a","client_hints":{"model":"Pixel 9","brands":[{"brand":"Chromium","version":"148"}],"mobile":true,"formFactors":["Mobile"]}},
        {"event_name":"b","uam":"SM-S911B","sec_ch_ua_platform":"Android"},{"event_name":"c","client_hints":7,"uaa":{}},{"event_name":"d"}]"#;
    let answer = request(
        collector.address,
        "POST",
        PATH,
        &[("User-Agent", PHONE)],
        body.as_bytes(),
    )
    .await;
    assert_eq!(answer.status, 200, "{}", answer.body);
    for name in ["Accept-CH", "Critical-CH"] {
        assert!(
            answer.header(name).unwrap().contains("Sec-CH-UA-Model"),
            "{name}"
        );
    }
    assert!(
        answer
            .header("Permissions-Policy")
            .unwrap()
            .contains("ch-ua-model=*")
    );
    collector.stop().await;
    let models: Vec<Value> = rows(&writer)
        .iter()
        .map(|row| row["device"]["mobile_os_hardware_model"].clone())
        .collect();
    assert_eq!(
        models,
        [
            Value::from("Pixel 9"),
            Value::from("SM-S911B"),
            Value::Null,
            Value::Null
        ]
    );
    for row in rows(&writer) {
        let warnings = row["collector"]["warnings"].as_array();
        assert!(warnings.is_none_or(Vec::is_empty), "{row}");
    }
}
