//! The collector as users run it: the binary, configured by its environment, stopped by signals.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A running binary; killed when it is dropped.
#[derive(Debug)]
pub struct Process {
    pub address: SocketAddr,
    child: Child,
}

/// The binary with a clean environment but for these variables; `=NAME` is one that is not the collector's own.
pub fn command(folder: &Path, values: &[(&str, &str)]) -> Command {
    command_under(&[], folder, values)
}

/// The same, run by another program, which must leave its place to it.
fn command_under(program: &[String], folder: &Path, values: &[(&str, &str)]) -> Command {
    const BINARY: &str = env!("CARGO_BIN_EXE_real-streaming");
    let mut command = Command::new(program.first().map_or(BINARY, String::as_str));
    if let [_, arguments @ ..] = program {
        command.args(arguments).arg(BINARY);
    }
    command.env_clear().current_dir(folder).stdin(Stdio::null());
    command.env("APP_CONFIG__ADMIN__TOKEN", super::client::TOKEN);
    for (name, value) in values {
        match name.strip_prefix('=') {
            Some(plain) => command.env(plain, value),
            None => command.env(format!("APP_CONFIG__{name}"), value),
        };
    }
    command
}

/// The rows that `show` prints.
pub fn rows(folder: &Path) -> Vec<Value> {
    let output = command(folder, &[])
        .args(["show", "-n", "1000000"])
        .output()
        .expect("the binary runs");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let text = String::from_utf8(output.stdout).expect("text");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("a row"))
        .collect()
}

impl Process {
    /// Starts the binary in `folder` on a free port and waits until it answers.
    pub async fn start(folder: &Path, values: &[(&str, &str)]) -> Self {
        Self::start_as("serve", folder, values).await
    }

    /// The same with another subcommand that goes on until it is stopped.
    pub async fn start_as(subcommand: &str, folder: &Path, values: &[(&str, &str)]) -> Self {
        let mut process = Self::spawn(&[], subcommand, folder, values);
        let ready = process.ready().await;
        let output = || std::fs::read_to_string(folder.join("output")).unwrap_or_default();
        assert!(ready.is_ok(), "it ended: {ready:?}\n{}", output());
        process
    }

    /// The same as `serve`, run by another program, which must leave its place to it; how it ended if it did not start.
    pub async fn start_under(
        program: &[String],
        folder: &Path,
        values: &[(&str, &str)],
    ) -> Result<Self, ExitStatus> {
        let mut process = Self::spawn(program, "serve", folder, values);
        process.ready().await?;
        Ok(process)
    }

    /// Starts the binary and waits for nothing.
    pub fn spawn(
        program: &[String],
        subcommand: &str,
        folder: &Path,
        values: &[(&str, &str)],
    ) -> Self {
        let address = free_address();
        let log = std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(folder.join("output"))
            .expect("a file for its output");
        let child = command_under(program, folder, values)
            .arg(subcommand)
            .env("APP_CONFIG__RUN__HOST", "127.0.0.1")
            .env("APP_CONFIG__RUN__PORT", address.port().to_string())
            .stdout(log.try_clone().expect("a second handle"))
            .stderr(log)
            .spawn()
            .expect("the binary starts");
        Self { address, child }
    }

    /// Waits until it answers; how it ended if it did.
    async fn ready(&mut self) -> Result<(), ExitStatus> {
        let begun = Instant::now();
        while super::client::try_request(self.address, "GET", "/liveness", &[], b"")
            .await
            .is_err()
        {
            if let Some(ended) = self.child.try_wait().expect("its state is known") {
                return Err(ended);
            }
            assert!(
                begun.elapsed() < Duration::from_secs(20),
                "it does not answer"
            );
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        Ok(())
    }

    /// Its id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Memory in KiB: resident now, and the most that ever was.
    pub fn memory(&self) -> (u64, u64) {
        let path = format!("/proc/{}/status", self.pid());
        let status = std::fs::read_to_string(path).expect("it runs");
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let value = line.and_then(|line| line.split_whitespace().next());
            value.and_then(|value| value.parse().ok()).expect(name)
        };
        (field("VmRSS:"), field("VmHWM:"))
    }

    /// Processor time used so far.
    pub fn cpu(&self) -> Duration {
        /// USER_HZ is 100 on every Linux that matters.
        const TICK: Duration = Duration::from_millis(10);
        let path = format!("/proc/{}/stat", self.pid());
        let stat = std::fs::read_to_string(path).expect("it runs");
        // The second field is a name in parentheses; utime and stime are the 14th and 15th.
        let (_, fields) = stat.rsplit_once(") ").expect("a name");
        let used = fields.split(' ').skip(11).take(2);
        TICK * used.filter_map(|ticks| ticks.parse::<u32>().ok()).sum()
    }

    /// What it has logged so far.
    pub fn output(folder: &Path) -> String {
        std::fs::read_to_string(folder.join("output")).expect("its output")
    }

    /// Takes the processor away from it.
    pub fn pause(&self) {
        self.signal(rustix::process::Signal::STOP);
    }

    /// Gives it back.
    pub fn resume(&self) {
        self.signal(rustix::process::Signal::CONT);
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, signal).expect("it can be told");
    }

    /// Ends it without warning.
    pub fn kill(mut self) {
        self.child.kill().expect("it can be killed");
        self.child.wait().expect("it is gone");
    }

    /// Tells it to stop and waits for its end.
    pub fn terminate(self) -> ExitStatus {
        self.signal(rustix::process::Signal::TERM);
        self.wait()
    }

    /// Waits for its end.
    pub fn wait(mut self) -> ExitStatus {
        self.child.wait().expect("it ends")
    }

    /// Waits until every destination has everything.
    pub async fn drained(&self) {
        let begun = Instant::now();
        loop {
            let page = super::metrics(self.address).await;
            let mut pending = page
                .lines()
                .filter(|line| line.starts_with("delivery_pending{"));
            if pending.all(|line| line.ends_with(" 0")) {
                return;
            }
            assert!(
                begun.elapsed() < Duration::from_secs(30),
                "it is not drained"
            );
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _gone = self.child.wait();
    }
}

fn free_address() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    listener.local_addr().expect("its address")
}
