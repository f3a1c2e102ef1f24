//! Credentials as on Google Cloud: a metadata server gives tokens, BigQuery is behind TLS and hears only who shows the
//! right one. Whatever goes wrong with either, events wait in the log and go on by themselves.

use axum::http::StatusCode;
use real_streaming_fakes::bigquery::BigQuery;
use tempfile::TempDir;

use crate::support::metadata::{Metadata, Mood};
use crate::support::process::Process;
use crate::support::proxy::{Habit, Proxy};
use crate::support::tls::Authority;
use crate::support::{event, eventually, post};

const TABLE: &str = "shop.analytics.events";
const VALID: i32 = 2100;

/// BigQuery behind TLS, and who may use it.
struct Cloud {
    bigquery: BigQuery,
    metadata: Metadata,
    rest: Proxy,
    grpc: Proxy,
    folder: TempDir,
    authority: Authority,
}

impl Cloud {
    /// With certificates for `name` that hold until this year, and these first words of the metadata server.
    async fn new(name: &str, until: i32, mood: Mood) -> Self {
        let bigquery = BigQuery::start().await;
        bigquery.create_dataset("shop", "analytics");
        bigquery.require_token("first");
        let authority = Authority::new();
        let tls = || Some(authority.acceptor(name, until));
        Self {
            rest: Proxy::before(&bigquery.rest(), tls()).await,
            grpc: Proxy::before(&bigquery.grpc(), tls()).await,
            metadata: Metadata::start(mood).await,
            bigquery,
            folder: tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap(),
            authority,
        }
    }

    async fn good() -> Self {
        Self::new("localhost", VALID, Mood::Gives("first".to_owned())).await
    }

    /// A collector that trusts this authority.
    async fn collector(&self, trusts: &Authority) -> Process {
        let authority = trusts.file(self.folder.path());
        let (rest, grpc) = (self.rest.secure(), self.grpc.secure());
        let values = [
            ("WRITERS__PROJECT_ID", "shop"),
            ("WRITERS__BQ__DATASET_ID", "analytics"),
            ("WRITERS__BQ__TABLE_ID", "events"),
            ("WRITERS__BQ__FLUSH_INTERVAL", "0.01"),
            ("WRITERS__BQ__ANSWER_TIMEOUT", "1"),
            ("DELIVERY__BACKOFF_MAX", "0.2"),
            ("RUN__DRAIN", "1"),
            ("WRITERS__BQ__ENDPOINT", &rest),
            ("WRITERS__BQ__GRPC_ENDPOINT", &grpc),
            ("=GCE_METADATA_HOST", &self.metadata.host),
            ("=SSL_CERT_FILE", authority.to_str().unwrap()),
        ];
        Process::start(self.folder.path(), &values).await
    }

    async fn stored(&self, count: usize) {
        eventually(&format!("{count} rows are stored"), || {
            self.bigquery.row_count(TABLE) >= count
        })
        .await;
        let mut ids = self.bigquery.texts(TABLE, "event_id");
        ids.sort();
        let expected: Vec<String> = (1..=count).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected);
    }

    async fn told(&self, what: &str) {
        eventually(&format!("{what:?} is logged"), || {
            Process::output(self.folder.path()).contains(what)
        })
        .await;
    }
}

async fn takes(process: &Process, id: usize) {
    let answer = post(process.address, &event(&id.to_string())).await;
    assert_eq!(answer.status, 200, "{}", answer.body);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_opens_the_table_over_tls() {
    let cloud = Cloud::good().await;
    let process = cloud.collector(&cloud.authority).await;
    takes(&process, 1).await;
    cloud.stored(1).await;
    let scopes = cloud.metadata.scopes().unwrap_or_default();
    assert!(scopes.contains("auth%2Fcloud-platform"), "{scopes}");
    let requests = cloud.bigquery.requests();
    let shown = requests
        .iter()
        .map(|request| request.authorization.as_deref());
    assert!(shown.into_iter().all(|shown| shown == Some("Bearer first")));
    assert!(process.terminate().success());
    let output = Process::output(cloud.folder.path());
    assert!(
        !output.contains("Bearer") && !output.contains("first\""),
        "{output}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_metadata_server_in_trouble_is_waited_for() {
    let troubles = [
        Mood::Refuses(StatusCode::INTERNAL_SERVER_ERROR),
        Mood::Refuses(StatusCode::SERVICE_UNAVAILABLE),
        Mood::Refuses(StatusCode::TOO_MANY_REQUESTS),
        // No service account yet.
        Mood::Refuses(StatusCode::NOT_FOUND),
        Mood::Refuses(StatusCode::FORBIDDEN),
        Mood::Junk,
        Mood::Hangs,
        // It gives a token that nobody takes.
        Mood::Gives("other".to_owned()),
    ];
    for trouble in troubles {
        println!("{trouble:?}");
        let told = match trouble {
            Mood::Gives(_) => "invalid authentication credentials",
            _ => "no token can be had for Google Cloud",
        };
        let cloud = Cloud::new("localhost", VALID, trouble).await;
        let process = cloud.collector(&cloud.authority).await;
        takes(&process, 1).await;
        cloud.told(told).await;
        let before = cloud.metadata.questions();
        eventually("it asks again by itself", || {
            cloud.metadata.questions() > before
        })
        .await;
        assert_eq!(cloud.bigquery.row_count(TABLE), 0);
        takes(&process, 2).await;
        cloud.metadata.set(Mood::Gives("first".to_owned()));
        cloud.stored(2).await;
        assert!(process.terminate().success());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_that_is_taken_no_more_is_replaced() {
    let cloud = Cloud::good().await;
    let process = cloud.collector(&cloud.authority).await;
    takes(&process, 1).await;
    cloud.stored(1).await;
    // Revoked, or it has expired while the machine slept; a new one cannot be had at first.
    cloud.bigquery.require_token("second");
    cloud.metadata.set(Mood::Junk);
    cloud.bigquery.cut_connections();
    takes(&process, 2).await;
    let before = cloud.metadata.questions();
    eventually("another is asked for", || {
        cloud.metadata.questions() > before
    })
    .await;
    assert_eq!(cloud.bigquery.row_count(TABLE), 1);
    cloud.metadata.set(Mood::Gives("second".to_owned()));
    cloud.stored(2).await;
    assert!(process.terminate().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_certificate_that_is_not_right_opens_nothing() {
    let good = Mood::Gives("first".to_owned());
    let elsewhere = Authority::new();
    for (what, name, until, is_ours) in [
        ("of another authority", "localhost", VALID, false),
        ("for another name", "bigquery.test", VALID, true),
        ("expired", "localhost", 2001, true),
    ] {
        let cloud = Cloud::new(name, until, good.clone()).await;
        let trusted = if is_ours {
            &cloud.authority
        } else {
            &elsewhere
        };
        let process = cloud.collector(trusted).await;
        takes(&process, 1).await;
        cloud.told("certificate").await;
        let tried = cloud.rest.connections() + cloud.grpc.connections();
        eventually("it tries again", || {
            cloud.rest.connections() + cloud.grpc.connections() > tried + 1
        })
        .await;
        let shown = cloud.bigquery.requests();
        assert!(shown.is_empty(), "{what}: nothing was shown to it");
        assert!(cloud.bigquery.tables().is_empty(), "{what}");
        assert!(process.terminate().success(), "{what}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_handshake_that_does_not_end_is_given_up() {
    let cloud = Cloud::good().await;
    cloud.rest.set(Habit::Swallows);
    cloud.grpc.set(Habit::Swallows);
    let process = cloud.collector(&cloud.authority).await;
    takes(&process, 1).await;
    // Whoever listens again on another machine knows nothing of connections that were begun here.
    eventually("it connects", || cloud.rest.connections() > 0).await;
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    cloud.rest.set(Habit::Cuts);
    cloud.grpc.set(Habit::Cuts);
    cloud.rest.set(Habit::Passes);
    cloud.grpc.set(Habit::Passes);
    cloud.stored(1).await;
    assert!(process.terminate().success());
}
