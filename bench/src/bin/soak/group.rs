//! A control group of its own for the collector: what it may use of memory and cores. Needs root and control groups of
//! version 1. Not for measuring how a container's limits are seen from within: only that they hold.

use std::fs;
use std::path::{Path, PathBuf};

use real_streaming_bench::Failure;

const GROUPS: &str = "/sys/fs/cgroup";
/// Short, so that a process that has used up its share stands still for milliseconds only.
const PERIOD_MICROS: f64 = 10_000.0;

/// Control groups that are removed at the end.
#[derive(Default)]
pub(crate) struct Group(Vec<PathBuf>);

impl Group {
    /// At most `bytes` of memory, page cache included.
    pub(crate) fn memory(mut self, bytes: u64) -> Result<Self, Failure> {
        self.add("memory", &[("memory.limit_in_bytes", bytes.to_string())])?;
        Ok(self)
    }

    /// At most so many cores' worth of time, such as 0.25.
    pub(crate) fn cores(mut self, cores: f64) -> Result<Self, Failure> {
        let quota = (cores * PERIOD_MICROS).round();
        let files = [
            ("cpu.cfs_period_us", PERIOD_MICROS.to_string()),
            ("cpu.cfs_quota_us", quota.to_string()),
        ];
        self.add("cpu", &files)?;
        Ok(self)
    }

    fn add(&mut self, controller: &str, files: &[(&str, String)]) -> Result<(), Failure> {
        let path = Path::new(GROUPS)
            .join(controller)
            .join(format!("soak-{}", std::process::id()));
        fs::create_dir(&path).map_err(|error| format!("{}: {error}", path.display()))?;
        for (name, value) in files {
            fs::write(path.join(name), value)?;
        }
        self.0.push(path);
        Ok(())
    }

    /// What a program is started by, so that it runs in the group and, if given, on one core only.
    pub(crate) fn wrapper(&self, core: Option<usize>) -> Vec<String> {
        let mut enter = String::new();
        for path in &self.0 {
            enter += &format!("echo $$ > {}/cgroup.procs && ", path.display());
        }
        enter += "exec ";
        if let Some(core) = core {
            enter += &format!("taskset -c {core} ");
        }
        enter += "\"$0\" \"$@\"";
        vec!["sh".to_owned(), "-c".to_owned(), enter]
    }

    /// What a file of a controller says.
    pub(crate) fn read(&self, controller: &str, name: &str) -> Result<String, Failure> {
        let of = |path: &&PathBuf| path.starts_with(Path::new(GROUPS).join(controller));
        let path = self.0.iter().find(of).ok_or("no such group")?;
        Ok(fs::read_to_string(path.join(name))?)
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        for path in &self.0 {
            if let Err(error) = fs::remove_dir(path) {
                eprintln!("{} stays behind: {error}", path.display());
            }
        }
    }
}
