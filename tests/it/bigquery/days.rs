//! A table for each day: `{date}` in its name.

use real_streaming::clock::{Clock, SystemClock};

use crate::support::clock::SetClock;

use super::*;

/// 2026-11-21T12:00:00Z.
const NOON: i64 = 1_795_262_400_000_000;
const HOUR: i64 = 3_600_000_000;

fn clock(time: i64) -> Arc<SetClock> {
    SetClock::at(time)
}

async fn daily(bigquery: &BigQuery, folder: &Arc<TempDir>, clock: &Arc<SetClock>) -> Collector {
    let config = Config {
        table: "events_{date}".to_owned(),
        max_batch_rows: 7,
        ..config(bigquery, Some(folder))
    };
    let disk: Arc<dyn Disk> = Arc::new(RealDisk);
    let clock: Arc<dyn Clock> = Arc::clone(clock) as _;
    let writer = BigQueryWriter::new(&config, &disk, &clock).expect("it can be made");
    Builder::in_folder(Arc::clone(folder))
        .with_target(Arc::new(writer), IMPATIENT)
        .by_clock(clock)
        .start()
        .await
}

fn event_at(id: &str, time: i64) -> Value {
    let mut event: Value = serde_json::from_str(&event(id)).unwrap();
    event["timestamp_micros"] = time.into();
    event
}

fn table_of(day: &str) -> String {
    format!("shop.analytics.events_{day}")
}

/// The ids in a day's table, ascending.
fn ids_of(bigquery: &BigQuery, day: &str) -> Vec<String> {
    let rows = bigquery.rows(&table_of(day));
    let mut ids: Vec<String> = rows
        .iter()
        .map(|row| row["event_id"].as_str().unwrap_or_default().to_owned())
        .collect();
    ids.sort();
    ids
}

#[tokio::test(flavor = "multi_thread")]
async fn the_next_days_table_is_made_an_hour_ahead() {
    let bigquery = bigquery().await;
    let early = daily(&bigquery, &folder(), &clock(NOON)).await;
    early.takes(&event("1")).await;
    all_delivered(&early).await;
    early.stop().await;
    // Beside the tables of days, where a query of all of them does not find it.
    let ledger = "shop.analytics.ledger_events".to_owned();
    assert_eq!(bigquery.tables(), [table_of("20261121"), ledger]);
    let made = bigquery.table(&table_of("20261121")).unwrap();
    assert!(made["timePartitioning"].is_null(), "it holds one day");
    let late = daily(&bigquery, &folder(), &clock(NOON + 11 * HOUR)).await;
    eventually("tomorrow's table is made", || {
        bigquery.tables().contains(&table_of("20261122"))
    })
    .await;
    late.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn each_row_is_once_in_the_table_of_its_day() {
    let bigquery = bigquery().await;
    bigquery.poison("event_id", |id| {
        id.as_str().is_some_and(|id| id.ends_with("bad"))
    });
    let folder = folder();
    let mut values: Vec<_> = variables(&bigquery).into_iter().collect();
    values.push(("WRITERS__BQ__MAX_BATCH_SIZE", "7".to_owned()));
    values.retain(|(name, _)| *name != "WRITERS__BQ__TABLE_ID");
    values.push(("WRITERS__BQ__TABLE_ID", "events_{date}".to_owned()));
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let now = SystemClock.now().0;
    let mut random = fastrand::Rng::with_seed(7);
    let (mut wanted, mut rejected) = (BTreeMap::<String, Vec<String>>::new(), 0);
    for life in 0..6 {
        let faults = [Fault::HideReply, Fault::UNAVAILABLE].map(|fault| {
            let when = When::Chance {
                probability: 0.15,
                seed: life,
            };
            bigquery.fail(Call::Append, fault, when)
        });
        let process = Process::start(folder.path(), &values).await;
        for request in 0..8 {
            let mut events = Vec::new();
            for number in 0..random.usize(1..12) {
                let time = now - random.i64(0..3) * 24 * HOUR;
                let is_bad = random.u8(0..20) == 0;
                let mark = if is_bad { "bad" } else { "" };
                let id = format!("{life}-{request}-{number}{mark}");
                events.push(event_at(&id, time));
                if is_bad {
                    rejected += 1;
                } else {
                    wanted.entry(day_of(time)).or_default().push(id);
                }
            }
            let body = Value::Array(events).to_string();
            assert_eq!(post(process.address, &body).await.status, 200);
        }
        // In the middle of whatever it is doing.
        process.kill();
        faults.into_iter().for_each(|fault| bigquery.end(fault));
    }
    let process = Process::start(folder.path(), &values).await;
    let all = wanted.values().map(Vec::len).sum::<usize>();
    let rows = || {
        wanted
            .keys()
            .map(|day| bigquery.row_count(&table_of(day)))
            .sum::<usize>()
    };
    eventually("all rows came", || rows() >= all).await;
    assert!(process.terminate().success());
    assert!(rejected > 5, "{rejected}");
    for (day, mut ids) in wanted {
        ids.sort();
        assert_eq!(ids_of(&bigquery, &day), ids, "day {day}");
    }
}

/// The day of a time as tables' names have it.
fn day_of(time: i64) -> String {
    let time = jiff::Timestamp::from_microsecond(time).unwrap();
    time.strftime("%Y%m%d").to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_days_table_that_cannot_be_made_loses_no_row_of_another_day() {
    let bigquery = bigquery().await;
    bigquery.latency(Duration::from_millis(20));
    let collector = daily(&bigquery, &folder(), &clock(NOON)).await;
    bigquery.fail(Call::Tables, Fault::UNAVAILABLE, When::Next(3));
    let (mut today, mut yesterday) = (Vec::new(), Vec::new());
    let mut events = Vec::new();
    for number in 0..100 {
        let id = format!("{number:03}");
        let is_old = number % 10 == 3;
        events.push(event_at(&id, if is_old { NOON - 24 * HOUR } else { NOON }));
        (if is_old { &mut yesterday } else { &mut today }).push(id);
    }
    collector.takes(&Value::Array(events).to_string()).await;
    all_delivered(&collector).await;
    assert_eq!(ids_of(&bigquery, "20261121"), today);
    assert_eq!(ids_of(&bigquery, "20261120"), yesterday);
    collector.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_log_that_was_rewound_is_noticed_though_each_table_knows_its_own_rows_only() {
    let bigquery = bigquery().await;
    let folder = folder();
    let mut values: Vec<_> = variables(&bigquery).into_iter().collect();
    values.retain(|(name, _)| *name != "WRITERS__BQ__TABLE_ID");
    values.push(("WRITERS__BQ__TABLE_ID", "events_{date}".to_owned()));
    let values: Vec<_> = values
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let all = || -> usize {
        let tables = bigquery.tables().into_iter();
        let days = tables.filter(|table| table.contains("events_2"));
        days.map(|table| bigquery.row_count(&table)).sum()
    };
    let process = Process::start(folder.path(), &values).await;
    let (log, copy) = (folder.path().join("data/log"), folder.path().join("copy"));
    for number in 0..8 {
        let id = number.to_string();
        assert_eq!(post(process.address, &event(&id)).await.status, 200);
        eventually("the row came", || all() == number + 1).await;
        if number == 2 {
            copy_folder(&log, &copy);
        }
    }
    process.kill();
    std::fs::remove_dir_all(&log).unwrap();
    std::fs::rename(&copy, &log).unwrap();
    let process = Process::start(folder.path(), &values).await;
    for id in ["new-1", "new-2"] {
        assert_eq!(post(process.address, &event(id)).await.status, 200);
    }
    eventually("the new rows came", || all() >= 10).await;
    assert!(process.terminate().success());
}

fn copy_folder(from: &std::path::Path, to: &std::path::Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}
