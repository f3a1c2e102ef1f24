#![expect(
    clippy::disallowed_methods,
    reason = "a test is told by its environment what to write"
)]

use super::*;

fn config(pairs: &[(&str, &str)]) -> Result<Config, Invalid> {
    let values = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    Config::from_values(values)
}

#[track_caller]
fn faults(pairs: &[(&str, &str)]) -> Vec<String> {
    config(pairs)
        .unwrap_err()
        .0
        .into_iter()
        .map(|fault| fault.variable)
        .collect()
}

#[test]
fn nothing_set_is_a_valid_configuration() {
    let config = config(&[]).unwrap();
    assert_eq!(config.port, 8080);
    assert_eq!(config.body.wire_bytes, 2 << 20);
    assert_eq!(config.acknowledge, Acknowledge::Spooled);
    assert!(matches!(config.log, LogConfig::Disk(_)));
    assert_eq!(config.destinations.len(), 1);
}

#[test]
fn every_default_is_right() {
    for variable in VARIABLES
        .iter()
        .filter(|variable| !variable.default.is_empty())
    {
        let name = format!("{PREFIX}{}", variable.name);
        let found = config(&[(&name, variable.default)]);
        assert!(found.is_ok(), "{name}: {:?}", found.err());
    }
}

#[test]
fn all_faults_are_told_at_once_and_no_value() {
    let pairs = [
        ("APP_CONFIG__RUN__PORT", "hunter2"),
        ("APP_CONFIG__LOG__MAX_BYTES", "hunter2"),
        ("APP_CONFIG__WRITERS__STRATEGY", "hunter2"),
        ("APP_CONFIG__ENRICH__TIME_ZONE", "hunter2"),
        ("APP_CONFIG__CORS__ALLOWED_ORIGINS", "hunter2"),
        ("APP_CONFIG__LOG__MAXBYTES", "hunter2"),
        ("PORT", "hunter2"),
    ];
    let invalid = config(&pairs).unwrap_err();
    let named: Vec<&str> = invalid
        .0
        .iter()
        .map(|fault| fault.variable.as_str())
        .collect();
    for (name, _) in pairs
        .iter()
        .filter(|(name, _)| *name != "APP_CONFIG__RUN__PORT")
    {
        assert!(named.contains(name), "{name} is not among {named:?}");
    }
    assert!(!invalid.to_string().contains("hunter2"));
}

#[test]
fn each_variable_refuses_nonsense() {
    for name in [
        "RUN__HOST",
        "RUN__PORT",
        "RUN__DRAIN",
        "HTTP__MAX_BODY_BYTES",
        "HTTP__MAX_INFLATED_BYTES",
        "HTTP__BODY_TIMEOUT",
        "HTTP__REQUEST_TIMEOUT",
        "HTTP__HEADER_TIMEOUT",
        "HTTP__IDLE_TIMEOUT",
        "HTTP__MAX_CONNECTIONS",
        "HTTP__MAX_CONNECTIONS_PER_IP",
        "INTAKE__STREAMS",
        "INTAKE__WRITE_KEYS",
        "INTAKE__IP_RATE",
        "INTAKE__IP_BURST",
        "INTAKE__STREAM_RATE",
        "INTAKE__STREAM_BURST",
        "ADMIN__TOKEN",
        "ADMIN__HOSTS",
        "ADMIN__LISTEN",
        "WRITERS__STRATEGY",
        "WRITERS__OPTIONAL",
        "WRITERS__MAX_LAG",
        "WRITERS__FROM",
        "WRITERS__DELTA__COMMIT_INTERVAL",
        "LOG__KIND",
        "LOG__MAX_BYTES",
        "LOG__SEGMENT_BYTES",
        "LOG__BUFFER_BYTES",
        "LOG__COMMIT_INTERVAL",
        "DELIVERY__ACKNOWLEDGE",
        "DELIVERY__BACKOFF_MAX",
        "DEDUPE__WINDOW",
        "DEDUPE__MAX_ENTRIES",
        "ENRICH__PLATFORM",
        "ENRICH__TRUSTED_HOPS",
        "ENRICH__HOPS_HEADER",
        "ENRICH__TRUST_GEO_HEADERS",
        "ENRICH__IGNORED_REFERRERS",
        "ENRICH__IP",
        "ENRICH__TIME_ZONE",
        "CORS__ALLOWED_ORIGINS",
        "CORS__ALLOW_CREDENTIALS",
        "CORS__ALLOW_METHODS",
        "CORS__ALLOW_HEADERS",
        "CORS__MAX_AGE",
        "CORS__REFUSE_UNLISTED",
        "COOKIE__MAX_AGE",
        "COOKIE__SECURE",
        "COOKIE__HTTPONLY",
        "COOKIE__SAMESITE",
    ] {
        let name = format!("{PREFIX}{name}");
        assert!(
            faults(&[(&name, "nonsense{")]).contains(&name),
            "{name} takes nonsense"
        );
    }
}

#[test]
fn connections_are_kept_longer_behind_load_balancers() {
    let server = |pairs: &[(&str, &str)]| {
        let server = config(pairs).unwrap().server;
        (
            server.idle_timeout.as_secs(),
            server.max_connections_of_address,
        )
    };
    let hops = ("APP_CONFIG__ENRICH__TRUSTED_HOPS", "1");
    assert_eq!(server(&[]), (75, 2_500));
    assert_eq!(server(&[hops]), (610, 10_000));
    let own = [
        ("APP_CONFIG__HTTP__IDLE_TIMEOUT", "5"),
        ("APP_CONFIG__HTTP__MAX_CONNECTIONS_PER_IP", "7"),
    ];
    assert_eq!(server(&[hops, own[0], own[1]]), (5, 7));
}

#[test]
fn what_is_in_front_decides_whose_word_counts() {
    use crate::enrich::client_ip::{HopsHeader, Platform, Trust};
    let trust = |pairs: &[(&str, &str)]| {
        let config = config(pairs).unwrap();
        let is_kept = config.server.idle_timeout.as_secs() == 610;
        (config.enrich.trust(), is_kept)
    };
    let google = ("APP_CONFIG__ENRICH__PLATFORM", "google");
    let hops = ("APP_CONFIG__ENRICH__TRUSTED_HOPS", "3");
    assert_eq!(trust(&[]), (Trust::default(), false));
    let (found, is_kept) = trust(&[google]);
    assert_eq!(
        (found.platform, found.hops, is_kept),
        (Platform::Google, 2, true)
    );
    assert_eq!(trust(&[google, hops]).0.hops, 3);
    let (found, is_kept) = trust(&[("APP_CONFIG__ENRICH__PLATFORM", "cloudflare")]);
    assert_eq!(
        (found.platform, found.hops, is_kept),
        (Platform::Cloudflare, 0, true)
    );
    let forwarded = ("APP_CONFIG__ENRICH__HOPS_HEADER", "Forwarded");
    assert_eq!(trust(&[forwarded]).0.header, HopsHeader::Forwarded);
}

#[test]
fn origins_are_written_as_browsers_send_them() {
    let name = format!("{PREFIX}CORS__ALLOWED_ORIGINS");
    for good in [
        "[]",
        r#"["*"]"#,
        r#"["https://shop.test", "http://localhost:3000", "http://[::1]:8080"]"#,
    ] {
        config(&[(&name, good)]).expect(good);
    }
    for bad in [
        r#"["https://shop.test/"]"#,
        r#"["shop.test"]"#,
        r#"["https://"]"#,
        r#"["https://*.shop.test"]"#,
        r#"["*", "https://shop.test"]"#,
        r#"["https://shop.test, https://other.test"]"#,
    ] {
        assert_eq!(faults(&[(&name, bad)]), [name.as_str()], "{bad}");
    }
}

#[test]
fn senders_are_limited_where_a_rate_is_given() {
    let pairs = [
        ("APP_CONFIG__INTAKE__IP_RATE", "2.5"),
        ("APP_CONFIG__INTAKE__STREAM_RATE", "0.01"),
    ];
    let burst = ("APP_CONFIG__INTAKE__STREAM_BURST", "7");
    let rates = |pairs: &[(&str, &str)]| {
        let senders = config(pairs).unwrap().senders;
        let numbers = |rate: crate::http::Rate| (rate.events_per_second, rate.burst);
        (
            senders.of_address.map(numbers),
            senders.of_stream.map(numbers),
        )
    };
    assert_eq!(rates(&[burst]), (None, None));
    assert_eq!(rates(&pairs), (Some((2.5, 25.0)), Some((0.01, 1.0))));
    assert_eq!(
        rates(&[pairs[0], pairs[1], burst]),
        (Some((2.5, 25.0)), Some((0.01, 7.0)))
    );
}

#[test]
fn secrets_are_not_shown() {
    let pairs = [
        ("APP_CONFIG__ADMIN__TOKEN", "hunter2-hunter2-hunter2"),
        ("APP_CONFIG__INTAKE__WRITE_KEYS", r#"["hunter2"]"#),
    ];
    let values: BTreeMap<String, String> = pairs
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    let shown = effective(&values);
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains("ADMIN__TOKEN=***\n"), "{shown}");
    let config = Config::from_values(values).unwrap();
    assert!(!format!("{config:?}").contains("hunter2"));
}

#[test]
fn admin_routes_need_a_token_on_cloud_run() {
    let memory = ("APP_CONFIG__WRITERS__STRATEGY", "memory");
    assert!(config(&[]).unwrap().admin.is_made_up);
    let admin = config(&[("K_SERVICE", "x"), memory]).unwrap().admin;
    assert!(admin.token.is_none() && !admin.is_made_up);
}

#[test]
#[cfg(feature = "bigquery")]
fn the_predecessors_configuration_writes_to_bigquery() {
    let pairs = [
        ("APP_CONFIG__WRITERS__PROJECT_ID", "shop-1"),
        ("APP_CONFIG__WRITERS__BQ__DATASET_ID", "analytics"),
        ("APP_CONFIG__WRITERS__BQ__TABLE_ID", "events"),
        ("APP_CONFIG__WRITERS__BQ__MAX_QUEUE_SIZE", "100000"),
        ("APP_CONFIG__CORS__ALLOWED_ORIGINS", "[]"),
    ];
    let direct = |more: &[(&str, &str)]| {
        let config = config(&[&pairs[..], more].concat()).unwrap();
        match &config.destinations[0].writer {
            WriterConfig::BigQuery(bigquery) => bigquery.clone(),
            other => panic!("{other:?}"),
        }
    };
    let unset = direct(&[]);
    assert_eq!(
        (
            unset.project.as_str(),
            unset.dataset.as_str(),
            unset.table.as_str()
        ),
        ("shop-1", "analytics", "events")
    );
    assert!(unset.journal.is_some(), "exactly once beside a disk log");
    assert!(direct(&[("K_SERVICE", "x")]).journal.is_none());
    assert_eq!(
        direct(&[("APP_CONFIG__WRITERS__STRATEGY", "direct")]),
        unset
    );
    let strategy = ("APP_CONFIG__WRITERS__STRATEGY", "direct");
    assert_eq!(
        faults(&[strategy]),
        [
            "APP_CONFIG__WRITERS__PROJECT_ID",
            "APP_CONFIG__WRITERS__BQ__DATASET_ID",
            "APP_CONFIG__WRITERS__BQ__TABLE_ID"
        ]
    );
    let bad = ("APP_CONFIG__WRITERS__BQ__TABLE_ID", "a`b");
    assert_eq!(faults(&[&pairs[..2], &[bad]].concat()), [bad.0]);
}

#[test]
fn the_port_of_the_platform_wins() {
    assert_eq!(
        config(&[("PORT", "9"), ("APP_CONFIG__RUN__PORT", "10")])
            .unwrap()
            .port,
        9
    );
    assert_eq!(config(&[("APP_CONFIG__RUN__PORT", "10")]).unwrap().port, 10);
}

#[test]
fn a_log_in_memory_promises_no_more_than_it_keeps() {
    let memory = ("APP_CONFIG__LOG__KIND", "memory");
    assert_eq!(config(&[memory]).unwrap().acknowledge, Acknowledge::Written);
    let spooled = ("APP_CONFIG__DELIVERY__ACKNOWLEDGE", "spooled");
    assert_eq!(
        faults(&[memory, spooled]),
        ["APP_CONFIG__DELIVERY__ACKNOWLEDGE"]
    );
}

#[test]
fn a_log_in_memory_fits_into_a_small_container() {
    let size = |pairs: &[(&str, &str)]| match config(pairs).unwrap().log {
        LogConfig::Disk(log) => log.max_bytes,
        LogConfig::Memory { max_bytes } => max_bytes,
    };
    let memory = ("APP_CONFIG__LOG__KIND", "memory");
    let given = ("APP_CONFIG__LOG__MAX_BYTES", "1GiB");
    assert_eq!(size(&[]), 10 << 30);
    assert_eq!(size(&[memory]), 128 << 20);
    assert_eq!(size(&[given]), 1 << 30);
    assert_eq!(size(&[memory, given]), 1 << 30);
}

#[test]
fn on_cloud_run_nothing_is_kept_on_its_disk() {
    let (platform, memory) = (
        ("K_SERVICE", "x"),
        ("APP_CONFIG__WRITERS__STRATEGY", "memory"),
    );
    let found = config(&[platform, memory]).unwrap();
    assert!(matches!(found.log, LogConfig::Memory { .. }));
    assert_eq!(found.acknowledge, Acknowledge::Written);
    assert!(matches!(found.dead_letter, DeadLetterConfig::Nowhere));
    let disk = ("APP_CONFIG__LOG__KIND", "disk");
    let named = faults(&[platform, disk]);
    assert_eq!(
        named,
        ["APP_CONFIG__LOG__KIND", "APP_CONFIG__WRITERS__DELTA__URI"]
    );
}

#[test]
fn the_original_variables_are_accepted() {
    for name in variables::ACCEPTED {
        assert!(
            config(&[(&format!("{PREFIX}{name}"), "anything")]).is_ok(),
            "{name}"
        );
    }
}

#[test]
fn sizes_and_lists_are_read() {
    let pairs = [
        ("APP_CONFIG__LOG__MAX_BYTES", "64 MiB"),
        ("APP_CONFIG__WRITERS__STRATEGY", r#"["delta","memory"]"#),
        ("APP_CONFIG__WRITERS__OPTIONAL", r#"["memory"]"#),
    ];
    let config = config(&pairs).unwrap();
    let LogConfig::Disk(log) = &config.log else {
        panic!("a disk log")
    };
    assert_eq!(log.max_bytes, 64 << 20);
    assert_eq!(config.destinations.len(), 2);
    assert!(config.destinations[0].delivery.max_lag.is_none());
    assert!(config.destinations[1].delivery.max_lag.is_some());
}

#[test]
fn the_template_lists_every_variable() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(".env.template");
    let fresh = variables::template();
    if std::env::var_os("GENERATE").is_some() {
        std::fs::write(&path, &fresh).unwrap();
    }
    let committed = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(
        committed == fresh,
        ".env.template is not what the code says: run `make generate`"
    );
}

#[test]
fn rows_of_the_ledger_can_be_turned_off() {
    let name = format!("{PREFIX}LEDGER__INTERVAL");
    let interval = |value: &str| config(&[(&name, value)]).unwrap().ledger_interval;
    assert_eq!(interval(""), Some(Duration::from_secs(60)));
    assert_eq!(interval("0.5"), Some(Duration::from_millis(500)));
    assert_eq!(interval("0"), None);
    assert_eq!(interval("none"), None);
    for wrong in ["-1", "soon", "inf"] {
        assert!(config(&[(&name, wrong)]).is_err(), "{wrong}");
    }
}
