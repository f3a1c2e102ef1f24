//! What lies between the collector and BigQuery: late, in pieces, broken every moment, or silent. Events are taken meanwhile,
//! each is there once, and what waits goes as soon as it can.

use std::fs;
use std::process::ExitStatus;
use std::time::Duration;

use real_streaming_fakes::bigquery::BigQuery;
use real_streaming_fakes::bigquery::fault::Call;
use tempfile::TempDir;

use crate::support::process::Process;
use crate::support::proxy::{Habit, Proxy};
use crate::support::{event, post};

const TABLE: &str = "shop.analytics.events";
/// For which each habit lasts.
const WHILE: Duration = Duration::from_secs(2);
/// Between two events.
const INTERVAL: Duration = Duration::from_millis(20);

struct Road {
    bigquery: BigQuery,
    rest: Proxy,
    grpc: Proxy,
    folder: TempDir,
    sent: usize,
}

impl Road {
    async fn new() -> Self {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        Self {
            rest: Proxy::before(&bigquery.rest(), None).await,
            grpc: Proxy::before(&bigquery.grpc(), None).await,
            bigquery,
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            sent: 0,
        }
    }

    fn set(&self, habit: Habit) {
        self.rest.set(habit);
        self.grpc.set(habit);
    }

    async fn collector(&self) -> Process {
        let at = (self.rest.plain(), self.grpc.plain());
        let started = self.collector_under(&[], at).await;
        started.expect("it starts")
    }

    /// The same, which knows BigQuery by a name, in a world of its own whose names stand in the file `hosts`.
    async fn collector_by_name(&self) -> Process {
        const NAME: &str = "bigquery.test";
        let folder = self.folder.path();
        // Nobody else is asked.
        fs::write(
            folder.join("resolv.conf"),
            "nameserver 127.0.0.1\noptions timeout:1 attempts:1\n",
        )
        .unwrap();
        let world = "mount --bind hosts /etc/hosts && mount --bind resolv.conf /etc/resolv.conf && exec \"$0\" \"$@\"";
        let program = ["unshare", "--map-root-user", "--mount", "sh", "-c", world];
        let named = |endpoint: String| endpoint.replace("127.0.0.1", NAME);
        let at = (named(self.rest.plain()), named(self.grpc.plain()));
        let started = self.collector_under(&program.map(str::to_owned), at).await;
        started.expect("it starts; it needs namespaces of users")
    }

    async fn collector_under(
        &self,
        program: &[String],
        (rest, grpc): (String, String),
    ) -> Result<Process, ExitStatus> {
        let values = [
            ("WRITERS__PROJECT_ID", "shop"),
            ("WRITERS__BQ__DATASET_ID", "analytics"),
            ("WRITERS__BQ__TABLE_ID", "events"),
            ("WRITERS__BQ__FLUSH_INTERVAL", "0.01"),
            ("WRITERS__BQ__ANSWER_TIMEOUT", "1"),
            ("DELIVERY__BACKOFF_MAX", "0.5"),
            ("WRITERS__BQ__ENDPOINT", &rest),
            ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
        ];
        Process::start_under(program, self.folder.path(), &values).await
    }

    /// Events at a slow pace, all of which are taken.
    async fn send(&mut self, process: &Process, time: Duration) {
        let begun = std::time::Instant::now();
        while begun.elapsed() < time {
            let answer = post(process.address, &event(&self.sent.to_string())).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
            self.sent += 1;
            tokio::time::sleep(INTERVAL).await;
        }
    }

    async fn each_once(self, process: Process) {
        process.drained().await;
        let processor = process.cpu();
        assert!(processor < Duration::from_secs(10), "{processor:?}");
        assert!(process.terminate().success());
        let mut ids = self.bigquery.texts(TABLE, "event_id");
        ids.sort();
        let mut expected: Vec<String> = (0..self.sent).map(|id| id.to_string()).collect();
        expected.sort();
        assert!(ids == expected, "{} of {}", ids.len(), expected.len());
        assert_eq!(self.bigquery.foreign_replays(), 0);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_road_that_is_long_or_narrow_costs_time_only() {
    for habit in [
        Habit::Late(Duration::from_millis(200)),
        Habit::InPieces,
        // Later than an answer is waited for.
        Habit::Late(Duration::from_millis(1_200)),
    ] {
        println!("{habit:?}");
        let mut road = Road::new().await;
        let process = road.collector().await;
        road.send(&process, INTERVAL * 10).await;
        road.set(habit);
        road.send(&process, WHILE).await;
        road.set(Habit::Passes);
        road.each_once(process).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_road_that_breaks_again_and_again_is_taken_again_and_again() {
    let mut road = Road::new().await;
    let process = road.collector().await;
    for pause in [5, 10, 20, 50, 100, 200] {
        for _ in 0..4 {
            road.set(Habit::Passes);
            road.send(&process, Duration::from_millis(pause)).await;
            road.set(Habit::Cuts);
            road.send(&process, Duration::from_millis(pause)).await;
        }
    }
    road.set(Habit::Passes);
    road.each_once(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_falls_silent_is_given_up_and_found_again() {
    let mut road = Road::new().await;
    let process = road.collector().await;
    road.send(&process, INTERVAL * 10).await;
    for _ in 0..2 {
        road.set(Habit::Swallows);
        road.send(&process, WHILE).await;
        // Of what was swallowed nothing comes any more, on connections that look alive.
        road.set(Habit::Passes);
        road.send(&process, WHILE).await;
    }
    road.each_once(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_starts_and_takes_events_while_nobody_answers() {
    let mut road = Road::new().await;
    road.set(Habit::Swallows);
    let process = road.collector().await;
    road.send(&process, WHILE).await;
    road.set(Habit::Cuts);
    road.send(&process, INTERVAL * 10).await;
    road.set(Habit::Passes);
    road.each_once(process).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_not_known_or_leads_astray_is_asked_for_again() {
    let mut road = Road::new().await;
    let hosts = road.folder.path().join("hosts");
    fs::write(&hosts, "127.0.0.1 localhost\n").unwrap();
    let process = road.collector_by_name().await;
    for wrong in ["", "127.0.0.2 bigquery.test\n"] {
        fs::write(&hosts, wrong).unwrap();
        road.send(&process, WHILE).await;
        assert_eq!(road.bigquery.calls(Call::Append), 0);
    }
    fs::write(&hosts, "127.0.0.1 bigquery.test\n").unwrap();
    road.each_once(process).await;
}
