//! A process under test. It is stopped by its id whatever happens, a panic of ours included.

use std::fs::{File, OpenOptions};
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{ChildStdin, ChildStdout, Command, ExitStatus, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};

use crate::machine::{self, Memory};
use crate::{Failure, scrape};

/// A running process.
#[derive(Debug)]
pub struct Child {
    inner: std::process::Child,
    started: Instant,
}

impl Child {
    /// Starts a process whose output goes to the end of `output`.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(command: &mut Command, output: &Path) -> Result<Self, Failure> {
        let file: File = OpenOptions::new().create(true).append(true).open(output)?;
        command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file);
        Self::spawn(command)
    }

    /// Starts a process whose input and output are as the command has them.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn spawn(command: &mut Command) -> Result<Self, Failure> {
        let started = Instant::now();
        let program = command.get_program().to_string_lossy().into_owned();
        let inner = command
            .spawn()
            .map_err(|error| format!("{program} cannot be started: {error}"))?;
        Ok(Self { inner, started })
    }

    /// Its input and output, the first time, if they are pipes.
    pub fn pipes(&mut self) -> Option<(ChildStdin, ChildStdout)> {
        self.inner.stdin.take().zip(self.inner.stdout.take())
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.inner.id()
    }

    /// Processor time used so far.
    ///
    /// # Errors
    /// It has ended.
    pub fn cpu(&self) -> io::Result<Duration> {
        machine::cpu(self.pid())
    }

    /// Memory now and at most.
    ///
    /// # Errors
    /// It has ended.
    pub fn memory(&self) -> io::Result<Memory> {
        machine::memory(self.pid())
    }

    /// Waits until `GET /health` answers 200; the time since the start.
    ///
    /// # Errors
    /// It ended, or did not answer within `limit`.
    pub fn ready(&mut self, address: SocketAddr, limit: Duration) -> Result<Duration, Failure> {
        loop {
            if matches!(scrape::get(address, "/health"), Ok((200, _))) {
                return Ok(self.started.elapsed());
            }
            if let Some(status) = self.inner.try_wait()? {
                return Err(format!("the process ended before it was ready: {status}").into());
            }
            if self.started.elapsed() > limit {
                return Err(format!("not ready after {limit:?}").into());
            }
            sleep(Duration::from_micros(300));
        }
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// It has ended.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(kill_process(Pid::from_child(&self.inner), signal)?)
    }

    /// Asks it to stop; how it ended and after how long.
    ///
    /// # Errors
    /// It did not end within `limit`.
    pub fn stop(mut self, limit: Duration) -> Result<(ExitStatus, Duration), Failure> {
        let start = Instant::now();
        self.signal(Signal::TERM)?;
        while start.elapsed() < limit {
            if let Some(status) = self.inner.try_wait()? {
                return Ok((status, start.elapsed()));
            }
            sleep(Duration::from_millis(5));
        }
        Err(format!("still running {limit:?} after SIGTERM").into())
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn wait(mut self) -> io::Result<ExitStatus> {
        self.inner.wait()
    }

    /// Kills it and waits for its end.
    ///
    /// # Errors
    /// It cannot be waited for.
    pub fn kill(mut self) -> io::Result<()> {
        self.inner.kill()?;
        self.inner.wait().map(drop)
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        // An error says that it has ended already.
        if self.inner.kill().is_ok() {
            drop(self.inner.wait());
        }
    }
}

/// A free port of this machine.
///
/// # Errors
/// There is none.
pub fn free_address() -> io::Result<SocketAddr> {
    TcpListener::bind("127.0.0.1:0")?.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sleeper(output: &Path) -> Child {
        Child::start(Command::new("sleep").arg("100"), output).unwrap()
    }

    #[test]
    fn ends_with_its_guard() {
        let output = std::env::temp_dir().join(format!("child-{}", std::process::id()));
        let child = sleeper(&output);
        let pid = child.pid();
        assert!(machine::cpu(pid).is_ok());
        drop(child);
        assert!(machine::cpu(pid).is_err());
        let (status, _) = sleeper(&output).stop(Duration::from_secs(5)).unwrap();
        assert!(!status.success(), "sleep dies of the signal");
        std::fs::remove_file(output).unwrap();
    }
}
