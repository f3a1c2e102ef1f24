//! What the machine says: processor time and memory of a process, the disk's own speed.

use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::thread::{CpuSet, sched_setaffinity};

use crate::Failure;

/// `f_type` of tmpfs, where syncing costs nothing (linux/magic.h).
const TMPFS_MAGIC: i64 = 0x0102_1994;

/// Unit of utime and stime in /proc (USER_HZ, 100 on every Linux that matters).
const TICK: Duration = Duration::from_millis(10);

/// Processor time that a process used so far, user and system.
///
/// # Errors
/// There is no such process.
pub fn cpu(pid: u32) -> io::Result<Duration> {
    cpu_of(&format!("/proc/{pid}/stat"))
}

fn cpu_of(path: &str) -> io::Result<Duration> {
    let stat = fs::read_to_string(path)?;
    // The second field is a name in parentheses, which may hold spaces; utime and stime are the 14th and 15th.
    let after_name = stat.rsplit_once(") ").map_or("", |(_, rest)| rest);
    let ticks: u32 = after_name
        .split(' ')
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse::<u32>().ok())
        .sum();
    Ok(TICK * ticks)
}

/// Processor time that the whole machine used so far, all cores together.
///
/// # Errors
/// /proc cannot be read.
pub fn cpu_of_all() -> io::Result<Duration> {
    let stat = fs::read_to_string("/proc/stat")?;
    let fields = stat.lines().next().unwrap_or("").split_whitespace().skip(1);
    let ticks: Vec<u32> = fields.filter_map(|field| field.parse().ok()).collect();
    // user, nice, system; idle, iowait; irq, softirq (proc_stat(5)).
    let busy = ticks
        .iter()
        .take(3)
        .chain(ticks.iter().skip(5).take(2))
        .sum();
    Ok(TICK * busy)
}

/// Processor time of a process's living threads, by thread name without digits.
///
/// # Errors
/// There is no such process.
pub fn cpu_by_thread(pid: u32) -> io::Result<BTreeMap<String, Duration>> {
    let mut by_name = BTreeMap::new();
    for task in fs::read_dir(format!("/proc/{pid}/task"))? {
        let path = task?.path();
        let Ok(name) = fs::read_to_string(path.join("comm")) else {
            continue;
        };
        let name = name
            .trim()
            .trim_end_matches(|c: char| c.is_ascii_digit())
            .to_owned();
        let used = cpu_of(&path.join("stat").to_string_lossy()).unwrap_or_default();
        *by_name.entry(name).or_default() += used;
    }
    Ok(by_name)
}

/// Memory of a process in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Resident now.
    pub resident: u64,
    /// Most that was ever resident.
    pub peak: u64,
}

/// How memory grew over a run, in KiB, told from the middle of its quarters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Growth {
    /// Median of the second quarter.
    pub early: u64,
    /// Median of the last.
    pub late: u64,
}

impl Growth {
    /// Of what was resident over time.
    pub fn of(sizes: &[u64]) -> Self {
        let median = |part: &[u64]| {
            let mut sizes = part.to_vec();
            sizes.sort_unstable();
            sizes.get(sizes.len() / 2).copied().unwrap_or(0)
        };
        let quarter = sizes.len() / 4;
        Self {
            early: median(&sizes[quarter..sizes.len() / 2]),
            late: median(&sizes[sizes.len() - quarter..]),
        }
    }

    /// Whether it stayed about the same.
    pub fn is_flat(self) -> bool {
        self.late <= self.early + self.early / 5 + 10 * 1024
    }
}

impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (early, late) = (self.early / 1024, self.late / 1024);
        write!(
            f,
            "{early} MiB in the second quarter, {late} MiB in the last"
        )
    }
}

/// Memory of a process.
///
/// # Errors
/// There is no such process.
pub fn memory(pid: u32) -> io::Result<Memory> {
    let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
    let field = |name: &str| {
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        line.and_then(|line| line.split_whitespace().next())
            .and_then(|value| value.parse().ok())
            .unwrap_or(0)
    };
    Ok(Memory {
        resident: field("VmRSS:"),
        peak: field("VmHWM:"),
    })
}

/// Binds this thread to one core.
///
/// # Errors
/// There is no such core.
pub fn pin(core: usize) -> io::Result<()> {
    let mut cores = CpuSet::new();
    cores.set(core);
    Ok(sched_setaffinity(None, &cores)?)
}

/// A folder of its own for a run, on a disk that really syncs; removed at the end.
#[derive(Debug)]
pub struct Folder(PathBuf);

impl Folder {
    /// A new, empty folder below `parent`.
    ///
    /// # Errors
    /// It cannot be made, or lies in memory.
    pub fn new(parent: &Path, name: &str) -> Result<Self, Failure> {
        fs::create_dir_all(parent)?;
        let kind = rustix::fs::statfs(parent)?.f_type;
        if kind == TMPFS_MAGIC {
            return Err(format!(
                "{} is in memory: choose a folder on disk with --dir",
                parent.display()
            )
            .into());
        }
        let path = parent.canonicalize()?.join(format!(
            "{name}-{}-{:06x}",
            std::process::id(),
            fastrand::u32(..1 << 24)
        ));
        fs::create_dir(&path)?;
        Ok(Self(path))
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Lets it stay, for those who want to look into it.
    pub fn keep(mut self) -> PathBuf {
        std::mem::take(&mut self.0)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        if self.0.as_os_str().is_empty() {
            return;
        }
        if let Err(error) = fs::remove_dir_all(&self.0) {
            eprintln!("{} stays behind: {error}", self.0.display());
        }
    }
}

/// How long the disk's fdatasync takes, µs: appends of 4 KiB to a zero-filled file.
///
/// # Errors
/// The file cannot be written.
pub fn disk(folder: &Path, syncs: u64) -> io::Result<Histogram<u64>> {
    const BLOCK: usize = 4096;
    let path = folder.join("fdatasync");
    let file = File::create(&path)?;
    let zeros = vec![0_u8; BLOCK * 16];
    for offset in (0..syncs * BLOCK as u64).step_by(zeros.len()) {
        file.write_all_at(&zeros, offset)?;
    }
    file.sync_all()?;
    let block = [0x5a_u8; BLOCK];
    let mut times = histogram();
    for number in 0..syncs {
        file.write_all_at(&block, number * BLOCK as u64)?;
        let start = Instant::now();
        file.sync_data()?;
        times.saturating_record(micros(start.elapsed()));
    }
    fs::remove_file(path)?;
    Ok(times)
}

/// A histogram of µs up to two minutes, three digits exact.
pub fn histogram() -> Histogram<u64> {
    Histogram::new_with_bounds(1, 120_000_000, 3).expect("constant bounds are right")
}

/// A time in whole µs.
pub fn micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn growth_is_told_from_the_middle_of_quarters() {
        let growth = Growth::of(&[9, 9, 5, 5, 5, 7, 8, 8]);
        assert_eq!((growth.early, growth.late), (5, 8));
        assert_eq!(Growth::of(&[]), Growth { early: 0, late: 0 });
        let growth = |late| Growth {
            early: 100 << 10,
            late,
        };
        assert!(growth(130 << 10).is_flat() && !growth(131 << 10).is_flat());
    }

    #[test]
    fn reads_this_process() {
        let pid = std::process::id();
        let before = cpu(pid).unwrap();
        let end = Instant::now() + Duration::from_millis(80);
        while Instant::now() < end {
            std::hint::spin_loop();
        }
        assert!(cpu(pid).unwrap() >= before + Duration::from_millis(30));
        assert!(memory(pid).unwrap().resident > 500);
        assert!(!cpu_by_thread(pid).unwrap().is_empty());
    }
}
