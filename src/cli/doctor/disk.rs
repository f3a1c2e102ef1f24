//! The disk under the log: what it is, what room it has, and how long it takes to make something durable.

use std::io;
use std::path::Path;
use std::time::{Duration, Instant};

use crate::durable::{Disk, FileSystem, RealDisk, Volume};
use crate::log::disk::{Config, inspect};
use crate::pipeline::Acknowledge;

use super::Check;

/// So many syncs are timed, for so long at the most.
const SYNCS: usize = 300;
const LONGEST: Duration = Duration::from_secs(10);

/// What is written before each sync: about what a quiet minute appends.
const WRITTEN: [u8; 4096] = [0x5a; 4096];

/// Each event waits for a sync, so a slow one is what clients see.
const SLOW: Duration = Duration::from_millis(50);

pub(super) fn check(log: &Config, acknowledge: Acknowledge) -> Vec<Check> {
    let what = format!("log {}", log.dir.display());
    if let Err(error) = RealDisk.create_dir_all(&log.dir) {
        return vec![Check::failure(
            &what,
            format!("the folder cannot be made: {error}; give it to this user, or set LOG__DIR"),
        )];
    }
    match Volume::of(&log.dir) {
        Ok(volume) => vec![
            file_system(&volume, acknowledge),
            room(log, &volume),
            syncs(&log.dir),
        ],
        Err(error) => vec![Check::failure(&what, error.to_string())],
    }
}

fn file_system(volume: &Volume, acknowledge: Acknowledge) -> Check {
    let what = "file system of the log";
    let name = &volume.name;
    match volume.file_system {
        FileSystem::Disk => Check::ok(what, name),
        FileSystem::Memory if acknowledge == Acknowledge::Spooled => Check::failure(
            what,
            format!("{name} is memory, nothing there is durable: put LOG__DIR on a disk"),
        ),
        FileSystem::Memory => {
            Check::warning(what, format!("{name} is memory: a restart empties the log"))
        }
        FileSystem::Overlay => Check::warning(
            what,
            format!("{name} is often gone with its container: give LOG__DIR a volume"),
        ),
        FileSystem::Fuse | FileSystem::Network => Check::warning(
            what,
            format!(
                "{name} may forget what was synced and let two processes have one lock: put LOG__DIR on a disk of this machine"
            ),
        ),
    }
}

fn room(log: &Config, volume: &Volume) -> Check {
    let what = "room for the log";
    let held = inspect(&log.dir, &RealDisk).map_or(0, |log| log.size_bytes());
    let wanted = log.max_bytes.saturating_sub(held);
    let (free, wanted_mib) = (volume.free_bytes >> 20, wanted >> 20);
    if volume.free_bytes < log.segment_bytes {
        return Check::failure(
            what,
            format!("{free} MiB are free: free more, events are refused without"),
        );
    }
    if volume.free_bytes < wanted {
        return Check::warning(
            what,
            format!(
                "{free} MiB are free, the log may come to need {wanted_mib} MiB: free more, or lower LOG__MAX_BYTES"
            ),
        );
    }
    Check::ok(
        what,
        format!("{free} MiB are free, the log may come to need {wanted_mib} MiB"),
    )
}

fn syncs(dir: &Path) -> Check {
    let what = "fdatasync at the log";
    let times = match time_syncs(dir) {
        Ok(times) => times,
        Err(error) => {
            return Check::failure(
                what,
                format!("{error}: the folder must be writable for this user, and the disk work"),
            );
        }
    };
    let (half, most) = (percentile(&times, 50), percentile(&times, 99));
    let found = format!("p50 {half:.1?}, p99 {most:.1?} of {}", times.len());
    match most > SLOW {
        true => Check::warning(
            what,
            format!("{found}: answers wait as long; a faster disk helps"),
        ),
        false => Check::ok(what, found),
    }
}

/// How long each sync took, ascending.
fn time_syncs(dir: &Path) -> io::Result<Vec<Duration>> {
    let path = dir.join("doctor.tmp");
    let file = RealDisk.create(&path)?;
    let begun = Instant::now();
    let mut times = Vec::with_capacity(SYNCS);
    let timed = (0..SYNCS as u64).try_for_each(|index| {
        if begun.elapsed() > LONGEST {
            return Ok(());
        }
        file.write_at(&WRITTEN, index * WRITTEN.len() as u64)?;
        let before = Instant::now();
        file.sync_data()?;
        times.push(before.elapsed());
        Ok(())
    });
    RealDisk.remove(&path)?;
    times.sort_unstable();
    timed.map(|()| times)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let index = times.len().saturating_sub(1) * percent / 100;
    times.get(index).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    fn volume(file_system: FileSystem, free_bytes: u64) -> Volume {
        Volume {
            file_system,
            name: "x".to_owned(),
            free_bytes,
        }
    }

    #[test]
    fn what_a_log_must_not_lie_on_is_named() {
        for (kind, acknowledge, verdict) in [
            (FileSystem::Disk, Acknowledge::Spooled, Verdict::Ok),
            (FileSystem::Memory, Acknowledge::Spooled, Verdict::Failure),
            (FileSystem::Memory, Acknowledge::Written, Verdict::Warning),
            (FileSystem::Overlay, Acknowledge::Spooled, Verdict::Warning),
            (FileSystem::Network, Acknowledge::Spooled, Verdict::Warning),
        ] {
            let found = file_system(&volume(kind, 0), acknowledge);
            assert_eq!(found.verdict, verdict, "{kind:?}");
        }
    }

    #[test]
    fn too_little_room_is_a_failure_and_less_than_may_be_needed_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let log = Config::new(folder.path(), 1 << 30);
        for (free, verdict) in [
            (1 << 20, Verdict::Failure),
            (1 << 29, Verdict::Warning),
            (1 << 30, Verdict::Ok),
        ] {
            assert_eq!(
                room(&log, &volume(FileSystem::Disk, free)).verdict,
                verdict,
                "{free}"
            );
        }
    }

    #[test]
    fn syncs_are_timed_and_leave_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let times = time_syncs(folder.path()).unwrap();
        assert!(!times.is_empty() && times.is_sorted());
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
        assert_eq!(syncs(Path::new("/proc/none")).verdict, Verdict::Failure);
        let times: Vec<Duration> = (1..=100).map(Duration::from_millis).collect();
        assert_eq!(percentile(&times, 50), Duration::from_millis(50));
        assert_eq!(percentile(&times, 99), Duration::from_millis(99));
        assert_eq!(percentile(&[], 99), Duration::ZERO);
    }
}
