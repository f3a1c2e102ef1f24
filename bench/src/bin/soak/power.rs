//! Power loss: the disk is a file with ext4 in it, and what that file holds while the collector stands still is what a
//! power loss would have left. The next collector goes on with that. Needs root, for mounting.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::thread::{self, sleep};
use std::time::Duration;

use clap::Args;
use real_streaming_bench::Failure;
use real_streaming_bench::collector::Settings;
use real_streaming_bench::load::{Pace, Plan, Stop};
use rustix::process::{Pid, Signal, kill_process};

use crate::Soak;

#[derive(Clone, Debug, Args)]
pub(crate) struct Options {
    /// How many power losses.
    #[arg(long, default_value_t = 50)]
    rounds: u32,
    /// Events a second between them.
    #[arg(long, default_value_t = 2000.0)]
    rate: f64,
}

const CONNECTIONS: usize = 64;
/// Segments are small, so that many rounds meet a change of segments.
const SEGMENT_BYTES: u64 = 1 << 20;

/// A mounted disk in a file.
struct Image {
    file: PathBuf,
    at: PathBuf,
}

fn run_tool(program: &str, arguments: &[&Path]) -> Result<(), Failure> {
    let output = Command::new(program).args(arguments).output()?;
    match output.status.success() {
        true => Ok(()),
        false => Err(format!("{program}: {}", String::from_utf8_lossy(&output.stderr)).into()),
    }
}

impl Image {
    fn new(folder: &Path) -> Result<Self, Failure> {
        let (file, at) = (folder.join("image"), folder.join("disk"));
        std::fs::create_dir(&at)?;
        run_tool("truncate", &["--size=1G".as_ref(), &file])?;
        run_tool("mkfs.ext4", &["-q".as_ref(), "-F".as_ref(), &file])?;
        let this = Self { file, at };
        this.mount()?;
        Ok(this)
    }

    fn mount(&self) -> Result<(), Failure> {
        run_tool(
            "mount",
            &["-o".as_ref(), "loop".as_ref(), &self.file, &self.at],
        )
    }

    fn copy(&self) -> PathBuf {
        self.file.with_extension("copy")
    }

    /// The disk is from now on what it was when it was copied.
    fn lose_power(&self) -> Result<(), Failure> {
        run_tool("umount", &[&self.at])?;
        std::fs::rename(self.copy(), &self.file)?;
        self.mount()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        if let Err(error) = run_tool("umount", &["--lazy".as_ref(), &self.at]) {
            eprintln!("{} stays mounted: {error}", self.at.display());
        }
    }
}

pub(crate) fn run(soak: &mut Soak, options: &Options) -> Result<(), Failure> {
    let image = Image::new(soak.path())?;
    let below = |name: &str| image.at.join(name).display().to_string();
    let table = below("events");
    let settings = Settings::default()
        .with("LOG__DIR", below("log"))
        .with("LOG__SEGMENT_BYTES", SEGMENT_BYTES)
        .with("WRITERS__DELTA__URI", &table)
        .with("WRITERS__DELTA__COMMIT_INTERVAL", 0.2)
        .with("DEAD_LETTER__URI", below("dead_letter"));
    let mut client = soak.client(CONNECTIONS)?;
    let (mut accepted, mut unanswered) = (0, 0);
    for round in 0..options.rounds {
        let time = Duration::from_millis(soak.random.u64(20..1500));
        let failed = |error: Failure| format!("round {round}: {error}");
        let collector = soak.start(&settings).map_err(failed)?;
        let pid = Pid::from_raw(i32::try_from(collector.child.pid())?).ok_or("no pid")?;
        let plan = Plan {
            pay: true,
            until_broken: true,
            ..Plan::new(
                Pace::Open(options.rate),
                Stop::After(Duration::from_secs(10)),
            )
        };
        let address = collector.address;
        let summary = thread::scope(|scope| {
            // The process is not waited for before this thread has ended, so the id stays its own.
            let fate = scope.spawn(|| -> Result<(), Failure> {
                sleep(time);
                // It answers nothing from now on that the copy does not hold.
                kill_process(pid, Signal::STOP)?;
                let copied = run_tool(
                    "cp",
                    &["--sparse=always".as_ref(), &image.file, &image.copy()],
                );
                kill_process(pid, Signal::KILL)?;
                copied
            });
            let summary = client.run(address, &plan);
            fate.join().map_err(|_| "the power supply failed")??;
            summary
        })
        .map_err(failed)?;
        collector.child.wait()?;
        image.lose_power().map_err(failed)?;
        accepted += summary.accepted;
        unanswered += summary.unknown;
        if summary.other > 0 {
            return Err(format!("round {round}: {} other answers", summary.other).into());
        }
        if round % 10 == 9 {
            println!(
                "{} power losses, {accepted} accepted, {unanswered} unanswered",
                round + 1
            );
        }
    }
    let collector = soak.start(&settings)?;
    soak.finish(
        collector,
        &mut client,
        &["--all-accepted", "--table", &table],
    )
}
