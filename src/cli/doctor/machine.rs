//! What the process may use: file descriptors, and memory where a control group limits it.

use std::fs;
use std::path::{Path, PathBuf};

use rustix::process::{Resource, getrlimit};

use crate::config::{Config, LogConfig};

use super::super::serve::OTHER_DESCRIPTORS;
use super::Check;

/// With less than this beside what is configured, batches on their way do not fit.
const WORKING_BYTES: u64 = 256 << 20;

const GROUPS: &str = "/sys/fs/cgroup";

pub(super) fn check(config: &Config) -> Vec<Check> {
    let connections = config.server.max_connections as u64;
    vec![
        descriptors(getrlimit(Resource::Nofile).maximum, connections),
        memory(limit(), held(config)),
    ]
}

fn descriptors(limit: Option<u64>, connections: u64) -> Check {
    let what = "file descriptors";
    let wanted = connections + OTHER_DESCRIPTORS;
    match limit {
        None => Check::ok(what, "no limit"),
        Some(limit) if limit < wanted => Check::warning(
            what,
            format!(
                "{limit} are allowed, {wanted} may be needed: raise the limit (LimitNOFILE, ulimit -n), or lower HTTP__MAX_CONNECTIONS"
            ),
        ),
        Some(limit) => Check::ok(what, format!("{limit} are allowed, {wanted} may be needed")),
    }
}

/// Bytes that the configuration lets the log take in memory.
fn held(config: &Config) -> u64 {
    match &config.log {
        LogConfig::Disk(log) => log.buffer_bytes,
        LogConfig::Memory { max_bytes } => *max_bytes,
    }
}

fn memory(limit: Option<u64>, held: u64) -> Check {
    let what = "memory";
    let wanted = held + WORKING_BYTES;
    let mib = |bytes: u64| bytes >> 20;
    match limit {
        None => Check::ok(what, "no control group limits it"),
        Some(limit) if limit < wanted => Check::warning(
            what,
            format!(
                "{} MiB are allowed, {} MiB may be needed: raise the limit, or lower LOG__MAX_BYTES (in memory) or LOG__BUFFER_BYTES",
                mib(limit),
                mib(wanted)
            ),
        ),
        Some(limit) => Check::ok(what, format!("{} MiB are allowed", mib(limit))),
    }
}

/// The least limit of the control groups that the process is in; `None` if there is none.
fn limit() -> Option<u64> {
    let groups = fs::read_to_string("/proc/self/cgroup").unwrap_or_default();
    files(&groups).iter().filter_map(|file| read(file)).min()
}

/// Where the limits of these groups (as `/proc/self/cgroup` lists them) stand, of the groups around them too.
fn files(groups: &str) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for line in groups.lines() {
        let mut parts = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
            continue;
        };
        let (root, name) = match controllers {
            "" => (PathBuf::from(GROUPS), "memory.max"),
            "memory" => (Path::new(GROUPS).join("memory"), "memory.limit_in_bytes"),
            _ => continue,
        };
        // Inside of a container the path may be one of the machine's, of which only the root is to be seen.
        let own = root.join(path.trim_start_matches('/'));
        let around = own
            .ancestors()
            .take_while(|folder| folder.starts_with(&root));
        files.extend(around.map(|folder| folder.join(name)));
    }
    files
}

/// A limit, if there is one; the first version has a huge number for none.
fn read(file: &Path) -> Option<u64> {
    let limit: u64 = fs::read_to_string(file).ok()?.trim().parse().ok()?;
    (limit < 1 << 60).then_some(limit)
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn limits_below_the_need_are_a_warning() {
        for (limit, verdict) in [
            (None, Verdict::Ok),
            (Some(1_255), Verdict::Warning),
            (Some(1_256), Verdict::Ok),
        ] {
            assert_eq!(descriptors(limit, 1_000).verdict, verdict, "{limit:?}");
        }
        for (limit, verdict) in [
            (None, Verdict::Ok),
            (Some(256 << 20), Verdict::Warning),
            (Some(512 << 20), Verdict::Ok),
        ] {
            assert_eq!(memory(limit, 16 << 20).verdict, verdict, "{limit:?}");
        }
    }

    #[test]
    fn the_limits_of_all_groups_around_are_looked_at() {
        let told = files("0::/system.slice/a.service\n").into_iter();
        let told: Vec<String> = told.map(|file| file.display().to_string()).collect();
        assert_eq!(
            told,
            [
                "/sys/fs/cgroup/system.slice/a.service/memory.max",
                "/sys/fs/cgroup/system.slice/memory.max",
                "/sys/fs/cgroup/memory.max"
            ]
        );
        let first = files("5:memory:/x\n4:cpu:/y\n");
        assert!(first[0].ends_with("memory/x/memory.limit_in_bytes"));
        assert_eq!(first.len(), 2);
    }
}
