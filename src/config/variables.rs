//! Every variable that the collector knows: name, default, one line. `.env.template` is written from
//! this table (`make generate`) and a test holds the two together.

/// What stands before every name.
pub const PREFIX: &str = "APP_CONFIG__";

/// A variable.
#[derive(Clone, Copy, Debug)]
pub struct Variable {
    /// Name after the prefix.
    pub name: &'static str,
    /// Value if it is not set; empty for none.
    pub default: &'static str,
    /// What it does, with its unit.
    pub help: &'static str,
    /// Whether its value must not be shown.
    pub is_secret: bool,
}

const fn variable(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    Variable {
        name,
        default,
        help,
        is_secret: false,
    }
}

const fn secret(name: &'static str, default: &'static str, help: &'static str) -> Variable {
    let mut variable = variable(name, default, help);
    variable.is_secret = true;
    variable
}

/// All of them, in the order of the template.
pub const VARIABLES: &[Variable] = &[
    variable(
        "ENVIRONMENT",
        "",
        "QA: logs for people, at debug level, and a page at / to try the collector; anything else: one JSON object a line",
    ),
    variable("RUN__HOST", "0.0.0.0", "address to listen on"),
    variable(
        "RUN__PORT",
        "8080",
        "port to listen on; the variable PORT wins over it",
    ),
    variable(
        "RUN__DRAIN",
        "8",
        "seconds to deliver what is left after a stop signal",
    ),
    variable(
        "HTTP__MAX_BODY_BYTES",
        "2MiB",
        "largest request body, as it is sent",
    ),
    variable(
        "HTTP__MAX_INFLATED_BYTES",
        "8MiB",
        "largest request body, inflated",
    ),
    variable(
        "HTTP__BODY_TIMEOUT",
        "15",
        "seconds until the body of a request must have come",
    ),
    variable(
        "HTTP__REQUEST_TIMEOUT",
        "30",
        "seconds until a request is answered 503",
    ),
    variable(
        "HTTP__HEADER_TIMEOUT",
        "10",
        "seconds until the headers of a request must have come",
    ),
    variable(
        "HTTP__IDLE_TIMEOUT",
        "",
        "seconds for which a connection is kept between requests; by default 75, behind proxies and on Cloud Run 610, because load balancers keep theirs for 600",
    ),
    variable(
        "HTTP__MAX_CONNECTIONS",
        "10000",
        "most connections at once; idle ones make room for more, else those are answered 503 and closed",
    ),
    variable(
        "HTTP__MAX_CONNECTIONS_PER_IP",
        "",
        "most connections of one address; by default a quarter of all, behind proxies and on Cloud Run all",
    ),
    variable(
        "HTTP__CLIENT_HINTS",
        "none",
        "what browsers are asked for: none, accept (Accept-CH and Permissions-Policy on all answers: model, full versions), or critical (Critical-CH too: browsers ask again at once)",
    ),
    variable(
        "INTAKE__STREAMS",
        "[]",
        "JSON list of the stream ids that are taken; none: all",
    ),
    secret(
        "INTAKE__WRITE_KEYS",
        "[]",
        "JSON list of keys of which senders must give one, as X-Write-Key, as a bearer token, or as write_key in the query; none: no key is asked for",
    ),
    variable(
        "INTAKE__IP_RATE",
        "0",
        "events a second that one client address may send in the long run; 0: no limit",
    ),
    variable(
        "INTAKE__IP_BURST",
        "",
        "events that it may send at once; by default those of ten seconds",
    ),
    variable(
        "INTAKE__STREAM_RATE",
        "0",
        "events a second that one stream may get in the long run; 0: no limit",
    ),
    variable(
        "INTAKE__STREAM_BURST",
        "",
        "events that it may get at once; by default those of ten seconds",
    ),
    secret(
        "ADMIN__TOKEN",
        "",
        "what /metrics, /api/v1/events and ?validate=1 ask for, 16 characters or more; unset: one is made up and logged at start, on Cloud Run these routes are off",
    ),
    variable(
        "ADMIN__HOSTS",
        "[]",
        "JSON list of host names by which these routes may be called, besides localhost and addresses; [\"*\"] for all",
    ),
    variable(
        "ADMIN__LISTEN",
        "",
        "an address of their own for these routes, such as 127.0.0.1:9090; unset: that of all others",
    ),
    variable(
        "WRITERS__STRATEGY",
        "",
        "where rows go: direct (BigQuery), pubsub, delta, memory, or a JSON list of them; unset: direct where a BigQuery table is named, else delta",
    ),
    variable(
        "WRITERS__OPTIONAL",
        "[]",
        "JSON list of those strategies that may fall behind without stopping the intake",
    ),
    variable(
        "WRITERS__MAX_LAG",
        "1000000",
        "events that an optional destination may fall behind before it skips to the end",
    ),
    variable(
        "WRITERS__FROM",
        "newest",
        "where a destination that is new to this log begins: newest or oldest",
    ),
    variable(
        "WRITERS__PROJECT_ID",
        "",
        "project on Google Cloud, of the table, the topic, and the traces in the process's log",
    ),
    variable(
        "WRITERS__BQ__DATASET_ID",
        "",
        "dataset of the BigQuery table; it must be there",
    ),
    variable(
        "WRITERS__BQ__TABLE_ID",
        "",
        "the BigQuery table, made if it is missing; with {date} in its name (events_{date}) one a day",
    ),
    variable(
        "WRITERS__BQ__FLUSH_INTERVAL",
        "0.5",
        "most seconds that rows wait for more while others are on their way; where clients wait for them (written), they do not",
    ),
    variable(
        "WRITERS__BQ__MAX_BATCH_SIZE",
        "500",
        "most rows of a request to BigQuery",
    ),
    variable(
        "WRITERS__BQ__ANSWER_TIMEOUT",
        "60",
        "seconds after which a connection on which no answer comes is given up",
    ),
    variable(
        "WRITERS__BQ__ENDPOINT",
        "https://bigquery.googleapis.com",
        "REST API of BigQuery; http:// for one that asks for no credentials",
    ),
    variable(
        "WRITERS__BQ__GRPC_ENDPOINT",
        "https://bigquerystorage.googleapis.com",
        "Storage Write API of BigQuery; http:// for one that asks for no credentials",
    ),
    variable(
        "WRITERS__PUBSUB__TOPIC_ID",
        "",
        "the Pub/Sub topic to which pubsub publishes",
    ),
    variable(
        "WRITERS__PUBSUB__SUBSCRIPTION_ID",
        "",
        "the subscription whose messages `real-streaming consume` takes",
    ),
    variable(
        "WRITERS__PUBSUB__CREATE",
        "false",
        "make the topic if it is missing",
    ),
    variable(
        "WRITERS__PUBSUB__INTEGERS",
        "number",
        "how 64-bit integers are spelled in messages: number, or string for readers whose numbers are doubles",
    ),
    variable(
        "WRITERS__PUBSUB__MAX_BATCH_SIZE",
        "500",
        "most messages of a request to Pub/Sub, which takes 1000",
    ),
    variable(
        "WRITERS__PUBSUB__MAX_BYTES",
        "1MiB",
        "about how large a request becomes; rows are counted as the log holds them",
    ),
    variable(
        "WRITERS__PUBSUB__FLUSH_INTERVAL",
        "0.5",
        "most seconds that rows wait for more; where clients wait for them (written), they do not",
    ),
    variable(
        "WRITERS__PUBSUB__PUBLISH_TIMEOUT",
        "10",
        "seconds after which a request to Pub/Sub is given up and made again",
    ),
    variable(
        "WRITERS__DELTA__URI",
        "./data/events",
        "folder of the Delta Lake table",
    ),
    variable(
        "WRITERS__DELTA__COMMIT_INTERVAL",
        "2",
        "seconds between commits at low load",
    ),
    variable(
        "WRITERS__DELTA__COMMIT_INTERVAL_MAX",
        "30",
        "seconds between commits at high load",
    ),
    variable(
        "WRITERS__DELTA__FILE_RETENTION",
        "3600",
        "seconds for which compacted-away files stay readable",
    ),
    variable(
        "WRITERS__DELTA__LOG_RETENTION",
        "86400",
        "seconds for which the table's transaction log is kept",
    ),
    variable(
        "LOG__KIND",
        "",
        "where events wait for their destinations: disk or memory; unset: disk, on Cloud Run memory",
    ),
    variable("LOG__DIR", "./data/log", "folder of the disk log"),
    variable(
        "LOG__MAX_BYTES",
        "",
        "what the log may hold; beyond it events are refused with 503; unset: 10GiB, in memory 128MiB",
    ),
    variable(
        "LOG__SEGMENT_BYTES",
        "64MiB",
        "size of one file of the disk log",
    ),
    variable(
        "LOG__BUFFER_BYTES",
        "16MiB",
        "what may wait for the disk; beyond it events are refused with 503",
    ),
    variable(
        "LOG__COMMIT_INTERVAL",
        "0.003",
        "least seconds between two commits of the disk log",
    ),
    variable(
        "DELIVERY__ACKNOWLEDGE",
        "",
        "what a 2xx says: spooled (durable in the log), written (in every required destination) or queued (in memory); unset: spooled, with a log in memory written",
    ),
    variable(
        "DELIVERY__BACKOFF_MAX",
        "60",
        "longest seconds between two attempts to write",
    ),
    variable(
        "DEDUPE__WINDOW",
        "600",
        "seconds for which an event is recognised as a duplicate by (stream_id, event_name, event_id)",
    ),
    variable(
        "DEDUPE__MAX_ENTRIES",
        "1000000",
        "most events remembered for that; about 60 bytes each",
    ),
    variable(
        "LEDGER__INTERVAL",
        "60",
        "seconds between two writes of the ledger's rows, which go into a table beside the events'; 0 or none: there is none",
    ),
    variable(
        "DEAD_LETTER__URI",
        "",
        "where rows go that a destination will never take: a path, an address such as gs://bucket/folder, bigquery (a table <table>_dead_letter beside that of strategy direct), bigquery://project.dataset.table, pubsub://project/topic, or none: with a log in memory their senders get 422; unset: ./data/dead_letter, on Cloud Run bigquery with strategy direct, else none",
    ),
    variable(
        "ENRICH__PLATFORM",
        "none",
        "what is in front of the collector, whose own headers for the client's address and place count: none, google (load balancer), appengine, cloudflare, cloudfront, fastly, vercel, akamai (True-Client-IP); only if nobody can reach the collector past it",
    ),
    variable(
        "ENRICH__TRUSTED_HOPS",
        "",
        "proxies in front of the collector that append to ENRICH__HOPS_HEADER; 0: the address of the connection counts; unset: 2 with ENRICH__PLATFORM=google, else 0",
    ),
    variable(
        "ENRICH__HOPS_HEADER",
        "x-forwarded-for",
        "the header to which these proxies append: x-forwarded-for or forwarded (RFC 7239)",
    ),
    variable(
        "ENRICH__TRUST_GEO_HEADERS",
        "true",
        "take the client's place from the headers of ENRICH__PLATFORM; with none, google and akamai from X-Client-Geo-Country, -State, -Region, -City",
    ),
    variable(
        "ENRICH__GEO_DATABASE",
        "",
        "file of a database of cities or countries by address (.mmdb of MaxMind or DB-IP), for what no headers tell; read again when it changes",
    ),
    variable(
        "ENRICH__IP",
        "truncated",
        "client address in the rows: full, truncated (/24, /48) or none",
    ),
    variable(
        "ENRICH__TIME_ZONE",
        "UTC",
        "time zone whose days event_date and date are, an IANA name",
    ),
    variable(
        "ENRICH__OWN_DOMAINS",
        "[]",
        "JSON list of further domains of yours, whose referrers are internal",
    ),
    variable(
        "ENRICH__DEVICE_DATA",
        "",
        "file of compiled device patterns, or none; unset: devices.bin beside the program, else ./data/devices.bin; without one devices are told more roughly",
    ),
    variable(
        "ENRICH__DATA_CENTRES",
        "",
        "file of networks of data centres, one in CIDR notation a line; what comes from them is more likely a bot",
    ),
    variable(
        "FILTER__BOTS",
        "keep",
        "what is done with bots: keep (stored, with the evidence), mark (besides, traffic_type is bot) or drop (not stored, counted as filtered)",
    ),
    variable(
        "ENRICH__IGNORED_REFERRERS",
        "[]",
        "JSON list of further domains that visitors only come back from (payment, sign-in); their referrers bring nobody",
    ),
    variable(
        "ENRICH__SOURCES",
        "",
        "file with a list of search engines, networks, shops, assistants in place of the one that is built in (src/enrich/traffic_source/sources.tsv, which tells the format); read again when it changes",
    ),
    variable(
        "ENRICH__RATES",
        "",
        "JSON file with US dollars per unit of a currency, such as {\"EUR\": 1.08}, for the columns *_in_usd; read again when it changes",
    ),
    variable(
        "CORS__ALLOWED_ORIGINS",
        "[]",
        "JSON list of your sites' origins, whose pages may read answers; their referrers are internal; [\"*\"] for all, without credentials",
    ),
    variable(
        "CORS__ALLOW_CREDENTIALS",
        "true",
        "whether pages of these origins may send and get the cookie",
    ),
    variable(
        "CORS__ALLOW_METHODS",
        r#"["GET","POST","OPTIONS"]"#,
        "JSON list of methods that these pages may use",
    ),
    variable(
        "CORS__ALLOW_HEADERS",
        r#"["Content-Type","Content-Encoding","Authorization","X-Requested-With","X-Write-Key"]"#,
        "JSON list of headers that these pages may set",
    ),
    variable(
        "CORS__MAX_AGE",
        "600",
        "seconds for which browsers remember these rules",
    ),
    variable(
        "CORS__REFUSE_UNLISTED",
        "false",
        "refuse events that pages of other origins send, instead of storing them",
    ),
    variable(
        "COOKIE__MAX_AGE",
        "63072000",
        "seconds for which a browser keeps its id, from its last event on",
    ),
    variable(
        "COOKIE__SECURE",
        "true",
        "send the cookie over https only, where the request came over https",
    ),
    variable("COOKIE__HTTPONLY", "true", "keep the cookie from scripts"),
    variable(
        "COOKIE__SAMESITE",
        "none",
        "which sites' requests carry the cookie: none, lax or strict; none is lax where it is not secure",
    ),
    variable(
        "COOKIE__READABLE",
        "",
        "name of a second cookie with the same id that scripts can read; unset: there is none",
    ),
    variable(
        "COOKIE__TAKE_GA",
        "false",
        "tell a browser that has no cookie __uid__ by that of Google Analytics, _ga, so that visitors stay who they were",
    ),
    secret(
        "SESSION__KEYS",
        "[]",
        "JSON list of keys of 16 characters or more by which session cookies are signed and cookieless ids made, the same on all instances; the first is used, further ones are still understood; none: there are no sessions",
    ),
    variable(
        "SESSION__ENABLED",
        "true",
        "keep sessions of visitors whose client keeps none, in a signed cookie",
    ),
    variable(
        "SESSION__TIMEOUT",
        "1800",
        "seconds without an event after which a session has ended",
    ),
    variable(
        "SESSION__EVENTS",
        "true",
        "add rows session_start and first_visit, as GA4 does",
    ),
    variable(
        "CONSENT__GPC",
        "ignore",
        "what a browser's Sec-GPC: 1 denies: ignore (nothing), ads (what serves advertising) or all (analytics too)",
    ),
    variable(
        "CONSENT__DNT",
        "ignore",
        "what a browser's DNT: 1 denies: ignore, ads or all",
    ),
    variable(
        "CONSENT__COOKIELESS_ID",
        "false",
        "give visitors who deny analytics_storage an id for the day, hashed from truncated address, user agent and site, instead of none; needs SESSION__KEYS",
    ),
];

/// Variables of the system that this one replaces, accepted so that its configuration works as it stands.
pub const ACCEPTED: &[&str] = &[
    "API__PREFIX",
    "API__V1__FETCH",
    "API__V1__PREFIX",
    "API__V1__STREAMING",
    "WRITERS__BQ__MAX_QUEUE_SIZE",
];

/// The text of `.env.template`.
pub fn template() -> String {
    let mut text = String::from(
        "# Copy to .env (or src/.env) and change what you need. Every variable has the default that is shown.\n\
         # The environment wins over src/.env, and that over .env. Sizes take KiB, MiB, GiB; times are seconds.\n",
    );
    for variable in VARIABLES {
        text.push_str(&format!(
            "\n# {}\n#{PREFIX}{}={}\n",
            variable.help, variable.name, variable.default
        ));
    }
    text
}
