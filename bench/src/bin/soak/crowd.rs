//! Many connections that do nothing, or do it slowly, while good clients send at a fixed rate.
//!
//! They come from several loopback addresses, because one address may only have its share. Once they are
//! held, more come than are allowed: idle ones have to make room.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::{Collector, Settings};
use real_streaming_bench::load::{Client, Pace, Plan, Stop, Summary};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::{Builder, Runtime};
use tokio::sync::Semaphore;

use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// Connections that are kept and not used.
    #[arg(long, default_value_t = 10_000)]
    idle: usize,
    /// Connections whose head comes slowly, and as many whose body does.
    #[arg(long, default_value_t = 1000)]
    slow: usize,
    /// Events a second of the good clients.
    #[arg(long, default_value_t = 1000.0)]
    rate: f64,
    /// Seconds of each measurement.
    #[arg(long, default_value_t = 40)]
    seconds: u64,
}

/// Connections of the good clients.
const GOOD: usize = 32;
/// Loopback addresses that the others come from.
const SOURCES: usize = 16;
/// More connections than are allowed that come at the end.
const SURGE: usize = 2000;
/// Connections under way at once.
const CONNECTING: usize = 64;
/// Descriptors of a collector or generator beside those of connections, those being refused among them.
const OTHER_DESCRIPTORS: usize = 512;
/// A slow connection sends a byte after each of these.
const DROP_INTERVAL: Duration = Duration::from_secs(1);
/// Deadlines that the collector is given, and how much later a connection may end.
const HEADER_TIMEOUT: Duration = Duration::from_secs(5);
const BODY_TIMEOUT: Duration = Duration::from_secs(8);
const LATE: Duration = Duration::from_secs(2);
/// How long the crowd may take to gather.
const GATHER_LIMIT: Duration = Duration::from_secs(120);

const HEAD: &[u8] =
    b"POST /api/v1/streaming/1 HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1000\r\n";

/// What a connection of the crowd does.
#[derive(Clone, Copy, Debug)]
enum Habit {
    Idle,
    SlowHead,
    SlowBody,
}

/// What became of the connections with one habit.
#[derive(Debug, Default)]
struct Counts {
    held: AtomicUsize,
    /// Those that the collector ended.
    ended: AtomicUsize,
    /// Milliseconds that the shortest and the longest of them lasted.
    shortest: AtomicU64,
    longest: AtomicU64,
}

impl Counts {
    fn ended(&self, after: Duration) {
        let after = u64::try_from(after.as_millis()).unwrap_or(u64::MAX);
        self.ended.fetch_add(1, Ordering::Relaxed);
        self.longest.fetch_max(after, Ordering::Relaxed);
        self.shortest.fetch_min(after, Ordering::Relaxed);
    }
}

struct Crowd {
    runtime: Option<Runtime>,
    address: SocketAddr,
    connecting: Arc<Semaphore>,
    next: usize,
}

impl Crowd {
    fn new(address: SocketAddr) -> Result<Self, Failure> {
        let runtime = Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()?;
        Ok(Self {
            runtime: Some(runtime),
            address,
            connecting: Arc::new(Semaphore::new(CONNECTING)),
            next: 0,
        })
    }

    /// So many connections with this habit; one that ends is made again.
    fn gather(&mut self, count: usize, habit: Habit) -> Arc<Counts> {
        let counts = Arc::new(Counts {
            shortest: AtomicU64::new(u64::MAX),
            ..Counts::default()
        });
        for _ in 0..count {
            let source = Ipv4Addr::new(127, 0, 1, 1 + (self.next % SOURCES) as u8);
            self.next += 1;
            let (address, connecting) = (self.address, Arc::clone(&self.connecting));
            let counts = Arc::clone(&counts);
            if let Some(runtime) = &self.runtime {
                runtime.spawn(async move {
                    loop {
                        let lived = live(source.into(), address, habit, &connecting, &counts).await;
                        // Refused, or ended to make room: it comes again, but does not storm.
                        if lived.is_err() || matches!(habit, Habit::Idle) {
                            tokio::time::sleep(DROP_INTERVAL).await;
                        }
                    }
                });
            }
        }
        counts
    }
}

impl Drop for Crowd {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

/// One connection from its beginning until the collector ends it.
async fn live(
    source: IpAddr,
    address: SocketAddr,
    habit: Habit,
    connecting: &Semaphore,
    counts: &Counts,
) -> Result<(), Failure> {
    let turn = connecting.acquire().await?;
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    let mut stream = socket.connect(address).await?;
    let begun = Instant::now();
    match habit {
        Habit::Idle => {
            stream
                .write_all(b"GET /liveness HTTP/1.1\r\nhost: localhost\r\n\r\n")
                .await?;
            let mut answer = [0; 1024];
            let count = stream.read(&mut answer).await?;
            if !answer[..count].starts_with(b"HTTP/1.1 200") {
                return Err("it is refused".into());
            }
        }
        Habit::SlowHead => stream.write_all(HEAD).await?,
        Habit::SlowBody => {
            stream.write_all(HEAD).await?;
            stream.write_all(b"\r\n").await?;
        }
    }
    drop(turn);
    counts.held.fetch_add(1, Ordering::Relaxed);
    until_ended(stream, habit).await;
    counts.held.fetch_sub(1, Ordering::Relaxed);
    counts.ended(begun.elapsed());
    Ok(())
}

/// Sends what the habit says until the collector ends the connection.
async fn until_ended(stream: TcpStream, habit: Habit) {
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        if matches!(habit, Habit::Idle) {
            std::future::pending::<()>().await;
        }
        while writer.write_all(b"x").await.is_ok() {
            tokio::time::sleep(DROP_INTERVAL).await;
        }
    };
    let read = async {
        let mut answer = [0; 1024];
        while let Ok(1..) = reader.read(&mut answer).await {}
    };
    tokio::select! {
        () = write => {}
        () = read => {}
    }
}

/// Systems start programs with few descriptors allowed and let them ask for more.
fn raise_descriptor_limit(wanted: usize) -> Result<(), Failure> {
    let limit = getrlimit(Resource::Nofile);
    if limit.maximum.is_some_and(|most| most < wanted as u64) {
        return Err(format!(
            "{wanted} descriptors are needed, {:?} allowed (ulimit -Hn)",
            limit.maximum
        )
        .into());
    }
    Ok(setrlimit(
        Resource::Nofile,
        Rlimit {
            current: limit.maximum,
            ..limit
        },
    )?)
}

fn descriptors(collector: &Collector) -> Result<usize, Failure> {
    Ok(fs::read_dir(format!("/proc/{}/fd", collector.child.pid()))?.count())
}

pub(crate) fn run(soak: &Soak, options: &Options) -> Result<(), Failure> {
    let all = options.idle + 2 * options.slow;
    // The slow ones that end and come again, and the prober of metrics, need places too.
    let most = all + options.slow + GOOD + CONNECTING;
    raise_descriptor_limit(most + SURGE + OTHER_DESCRIPTORS)?;
    let settings = Settings::default()
        .with("HTTP__MAX_CONNECTIONS", most)
        .with("HTTP__IDLE_TIMEOUT", 610)
        .with("HTTP__HEADER_TIMEOUT", HEADER_TIMEOUT.as_secs())
        .with("HTTP__BODY_TIMEOUT", BODY_TIMEOUT.as_secs());
    let collector = soak.start(&settings)?;
    let mut client = soak.client(GOOD)?;
    measure(&mut client, &collector, options.rate, 5)?;
    let alone = measure(&mut client, &collector, options.rate, options.seconds)?;
    report("alone", &alone, &collector)?;

    let mut crowd = Crowd::new(collector.address)?;
    let heads = crowd.gather(options.slow, Habit::SlowHead);
    let bodies = crowd.gather(options.slow, Habit::SlowBody);
    let idle = crowd.gather(options.idle, Habit::Idle);
    let start = Instant::now();
    while idle.held.load(Ordering::Relaxed) < options.idle {
        if start.elapsed() > GATHER_LIMIT {
            return Err(format!(
                "only {} idle connections",
                idle.held.load(Ordering::Relaxed)
            )
            .into());
        }
        sleep(Duration::from_millis(50));
    }
    println!(
        "{all} connections gathered in {:.1} s",
        start.elapsed().as_secs_f64()
    );
    let crowded = measure(&mut client, &collector, options.rate, options.seconds)?;
    report("in the crowd", &crowded, &collector)?;
    let slow = (
        check_cut("slow heads", &heads, HEADER_TIMEOUT),
        check_cut("slow bodies", &bodies, BODY_TIMEOUT),
    );
    let dropped = idle.ended.load(Ordering::Relaxed);

    let _more = crowd.gather(SURGE + options.slow, Habit::Idle);
    let surged = measure(&mut client, &collector, options.rate, 10)?;
    report("more than are allowed", &surged, &collector)?;
    let open = descriptors(&collector)?;
    drop(crowd);
    soak.finish(collector, &mut client, &["--one-process", "--all-accepted"])?;

    slow.0?;
    slow.1?;
    if dropped > 0 {
        return Err(format!("{dropped} idle connections were ended though there was room").into());
    }
    if open > most + OTHER_DESCRIPTORS {
        return Err(format!("{open} descriptors for at most {most} connections").into());
    }
    let (alone, crowded) = (p99(&alone), p99(&crowded));
    if crowded >= 2 * alone {
        return Err(format!("p99 rose from {alone} µs to {crowded} µs").into());
    }
    Ok(())
}

/// Good clients alone at work; everything must be accepted.
fn measure(
    client: &mut Client,
    collector: &Collector,
    rate: f64,
    seconds: u64,
) -> Result<Summary, Failure> {
    let plan = Plan::new(Pace::Open(rate), Stop::After(Duration::from_secs(seconds)));
    let summary = client.run(collector.address, &plan)?;
    let failed = summary.refused + summary.unknown + summary.other;
    if failed > 0 {
        return Err(format!("{failed} good requests were not accepted: {summary:?}").into());
    }
    Ok(summary)
}

fn p99(summary: &Summary) -> u64 {
    summary.latency.value_at_quantile(0.99)
}

fn report(what: &str, summary: &Summary, collector: &Collector) -> Result<(), Failure> {
    println!(
        "{what}: {:.0}/s, p50 {} µs, p99 {} µs, max {} µs; {} descriptors, {} MiB",
        summary.per_second(),
        summary.latency.value_at_quantile(0.5),
        p99(summary),
        summary.latency.max(),
        descriptors(collector)?,
        collector.child.memory()?.resident >> 10,
    );
    Ok(())
}

/// Whether all that were ended were ended at their deadline, and some were.
fn check_cut(what: &str, counts: &Counts, deadline: Duration) -> Result<(), Failure> {
    let ended = counts.ended.load(Ordering::Relaxed);
    let after = |time: &AtomicU64| Duration::from_millis(time.load(Ordering::Relaxed));
    let (shortest, longest) = (after(&counts.shortest), after(&counts.longest));
    println!(
        "{what}: {ended} ended, after {:.1} to {:.1} s; the deadline is {deadline:?}",
        shortest.as_secs_f64(),
        longest.as_secs_f64()
    );
    let is_right =
        ended > 0 && shortest + Duration::from_millis(500) > deadline && longest < deadline + LATE;
    if is_right {
        Ok(())
    } else {
        Err(format!("{what} are not ended at their deadline").into())
    }
}
