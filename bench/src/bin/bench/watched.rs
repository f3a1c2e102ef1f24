//! What an open page of the live view costs: the same collector, looked at and not, in turns.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::thread::{JoinHandle, available_parallelism, sleep, spawn};
use std::time::Duration;

use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::Pace;
use real_streaming_bench::scrape::TOKEN;

use crate::Bench;
use crate::report::median;
use crate::subject::{Subject, client, measure};

/// Events a second of the bar.
const BUSY: f64 = 5000.0;

/// Until the collector has found out that nobody looks any more.
const FOUND_OUT: Duration = Duration::from_secs(4);

impl Bench {
    pub(crate) fn watched(&mut self) -> Result<(), Failure> {
        let window = self.seconds(10, 4);
        let rounds = if self.is_quick { 3 } else { 7 };
        let cores = available_parallelism()?.get() as f64;
        let subject = Subject::collector(&self.paths, &Settings::log_only())?;
        let (mut cpu, mut rate) = ([vec![], vec![]], [vec![], vec![]]);
        let (mut bytes, mut shares, mut ratios) = (0, vec![], vec![]);
        for round in 0..rounds {
            for turn in 0..2 {
                let is_watched = (turn + round) % 2 == 1;
                let viewer = is_watched
                    .then(|| Viewer::join(subject.address))
                    .transpose()?;
                let busy = measure(&subject, &mut client(64)?, Pace::Open(BUSY), window)?;
                let most = measure(&subject, &mut client(64)?, Pace::Closed, window)?;
                cpu[usize::from(is_watched)].push(busy.cpu_per_event);
                rate[usize::from(is_watched)].push(most.summary.per_second());
                if let Some(viewer) = viewer {
                    bytes += viewer.leave()?;
                    sleep(FOUND_OUT);
                }
            }
            if let ([.., not], [.., watched]) = (&cpu[0][..], &cpu[1][..]) {
                shares.push((watched - not) * BUSY / 1e6 / cores * 100.0);
            }
            if let ([.., not], [.., watched]) = (&rate[0][..], &rate[1][..]) {
                ratios.push(watched / not);
            }
        }
        let report = &mut self.report;
        let pair = |values: &[Vec<f64>; 2], digits: usize| {
            let [not, watched] = [median(&values[0]), median(&values[1])];
            format!("{not:.digits$} / {watched:.digits$}")
        };
        report.figure("5,000/s: CPU, µs/event, not / looked at", pair(&cpu, 1), "");
        report.figure(
            "… what looking takes of all cores, %",
            format!("{:.2}", median(&shares)),
            "< 2",
        );
        report.figure("requests/s at most, not / looked at", pair(&rate, 0), "");
        report.figure(
            "… median of the rounds' ratios",
            format!("{:.3}", median(&ratios)),
            "",
        );
        report.figure("… MiB that were shown", format!("{}", bytes >> 20), "");
        Ok(())
    }
}

/// An open page, as far as the collector can tell.
struct Viewer {
    stream: TcpStream,
    reading: JoinHandle<u64>,
}

impl Viewer {
    fn join(address: SocketAddr) -> Result<Self, Failure> {
        let mut stream = TcpStream::connect(address)?;
        let head = format!(
            "GET /live/events HTTP/1.0\r\nhost: localhost\r\nauthorization: Bearer {TOKEN}\r\n\r\n"
        );
        stream.write_all(head.as_bytes())?;
        let mut reader = stream.try_clone()?;
        let mut first = [0; 12];
        reader.read_exact(&mut first)?;
        if !first.ends_with(b"200") {
            return Err("the collector does not let anybody look".into());
        }
        let reading = spawn(move || {
            let (mut buffer, mut bytes) = (vec![0; 64 << 10], 0);
            while let Ok(read @ 1..) = reader.read(&mut buffer) {
                bytes += read as u64;
            }
            bytes
        });
        Ok(Self { stream, reading })
    }

    /// Goes; how many bytes came.
    fn leave(self) -> Result<u64, Failure> {
        self.stream.shutdown(Shutdown::Both)?;
        self.reading.join().map_err(|_| "the viewer failed".into())
    }
}
