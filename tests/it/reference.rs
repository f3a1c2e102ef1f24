//! Files that enrichment looks things up in: in force from the first event on, and again when they change.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::support::collector::{memory, rows};
use crate::support::process::command;
use crate::support::{Builder, eventually, request};

fn sale(id: &str) -> String {
    let event = json!({
        "event_name": "purchase",
        "event_id": id,
        "event_params": {
            "page_location": "https://shop.test/",
            "page_referrer": "https://find.test/",
            "currency": "EUR",
            "value": 10,
        },
    });
    event.to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_in_force_at_once_and_again_when_they_change() {
    let writer = memory("a");
    let builder = Builder::new();
    let path = |name: &str| builder.folder.path().join(name);
    let (rates, sources) = (path("rates.json"), path("sources.tsv"));
    fs::write(&rates, r#"{"EUR": 1.25}"#).unwrap();
    fs::write(&sources, "search\tfind.test\tFind\n").unwrap();
    let places = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/enrich/places.mmdb");
    let text = |path: &Path| path.to_str().expect("a path").to_owned();
    let collector = builder
        .set("ENRICH__RATES", &text(&rates))
        .set("ENRICH__SOURCES", &text(&sources))
        .set("ENRICH__GEO_DATABASE", &text(&places))
        .set("ENRICH__PLATFORM", "cloudflare")
        .to(&writer)
        .start()
        .await;
    let send = async |id: &str| {
        let headers = [("CF-Connecting-IP", "203.0.113.9"), ("CF-IPCountry", "UA")];
        let body = sale(id);
        let path = "/api/v1/streaming/1";
        let answer = request(collector.address, "POST", path, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 200, "{}", answer.body);
    };
    let row = |id: &str| -> Option<Value> {
        let rows = rows(&writer);
        rows.into_iter().find(|row| row["event_id"] == id)
    };
    send("first").await;
    eventually("it is stored", || row("first").is_some()).await;
    let first = row("first").unwrap();
    for (pointer, expected) in [
        ("/ip", json!("203.0.113.0")),
        ("/geo/city", json!("Chernivtsi")),
        ("/collector/geo/region_code", json!("UA-77")),
        ("/event_value_in_usd", json!(12.5)),
        ("/ecommerce/purchase_revenue_in_usd", json!(12.5)),
        ("/collected_traffic_source/manual_source", json!("Find")),
        (
            "/collector/traffic_source/channel_group",
            json!("Organic Search"),
        ),
    ] {
        assert_eq!(
            first.pointer(pointer),
            Some(&expected),
            "{pointer} of {first:#}"
        );
    }

    fs::write(&rates, "{").unwrap();
    fs::write(&sources, "social\tfind.test\tFind\n").unwrap();
    let mut tries = 0;
    loop {
        let id = format!("again {tries}");
        send(&id).await;
        eventually("it is stored", || row(&id).is_some()).await;
        let again = row(&id).unwrap();
        assert_eq!(
            again["event_value_in_usd"], 12.5,
            "broken rates change nothing"
        );
        if again.pointer("/collector/traffic_source/channel_group")
            == Some(&json!("Organic Social"))
        {
            break;
        }
        tries += 1;
        assert!(tries < 200, "the changed list is not in force");
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    collector.stop().await;
}

#[test]
fn a_file_that_cannot_be_used_is_told_at_start() {
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    fs::write(folder.path().join("rates.json"), r#"{"EURO": 1}"#).unwrap();
    for (name, file, reason) in [
        ("ENRICH__RATES", "rates.json", "EURO"),
        ("ENRICH__GEO_DATABASE", "missing.mmdb", "No such file"),
    ] {
        for subcommand in ["serve", "doctor"] {
            let output = command(folder.path(), &[(name, file)])
                .arg(subcommand)
                .output()
                .expect("the binary runs");
            let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
            let said = text(&output.stdout) + &text(&output.stderr);
            assert!(!output.status.success(), "{said}");
            assert!(said.contains(name) && said.contains(reason), "{said}");
        }
    }
}
