//! `real-streaming log`: what the log holds, and how what is kept for a destination of old goes away.
//!
//! Looking changes nothing and takes no lock, so it works beside a running collector and on a copy. Forgetting takes the
//! log's lock, which a running collector holds.

use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;

use jiff::Timestamp;

use crate::app;
use crate::clock::Micros;
use crate::config::{Config, LogConfig};
use crate::durable::{Disk, RealDisk};
use crate::log::disk::{Inspection, inspect};
use crate::pipeline::{Cursor, CursorFault, Cursors, files_of, forget};

/// Arguments of `log`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// Read the whole log and print what it holds: segments, cursors, damage. Ends with 1 if something is damaged.
    Inspect {
        /// The folder of another log, such as a copy.
        #[arg(long)]
        dir: Option<PathBuf>,
    },
    /// Drop what is kept for a destination that is configured no more. The collector must not run.
    Forget {
        /// Name of the destination, as `log inspect` prints it.
        destination: String,
    },
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    let configured = match &config.log {
        LogConfig::Disk(log) => Some(log.dir.as_path()),
        LogConfig::Memory { .. } => None,
    };
    let asked = match &arguments.command {
        Command::Inspect { dir: Some(dir) } => Some(dir.as_path()),
        Command::Inspect { dir: None } | Command::Forget { .. } => configured,
    };
    let Some(dir) = asked else {
        return super::failed(&"a memory log can only be looked at by the process that holds it");
    };
    let done = match &arguments.command {
        Command::Inspect { .. } => print(dir, config),
        Command::Forget { destination } => drop_files(dir, destination, config),
    };
    match done {
        Ok(code) => code,
        Err(error) => super::failed(&error),
    }
}

fn cursors(dir: &Path) -> Cursors {
    Cursors::at(Arc::new(RealDisk), &dir.join("cursors"))
}

fn print(dir: &Path, config: &Config) -> io::Result<ExitCode> {
    let log = inspect(dir, &RealDisk)?;
    let cursors = cursors(dir).each().map_err(io::Error::other)?;
    print_segments(dir, &log, config);
    println!();
    print_cursors(&log, &cursors, config)?;
    let mut is_damaged = cursors.iter().any(Result::is_err);
    println!("\ndamaged\tbyte\tbytes\twhat");
    for segment in &log.segments {
        for damaged in &segment.damage {
            println!(
                "{}\t{}\t{}\t{}",
                segment.name, damaged.at, damaged.bytes, damaged.reason
            );
            is_damaged = true;
        }
    }
    println!("\nquarantine\tbytes");
    for kept in &log.quarantine {
        println!("{}\t{}", kept.name, kept.size_bytes);
    }
    Ok(ExitCode::from(u8::from(is_damaged)))
}

fn print_segments(dir: &Path, log: &Inspection, config: &Config) {
    println!("log\t{}", dir.display());
    let mut ids = log.ids.iter();
    match ids.next() {
        Some(newest) => println!("identity\t{newest}"),
        None => println!("identity\tnone"),
    }
    for older in ids {
        println!("before\t{older}");
    }
    println!("numbers\t{}\t{}", log.start() + 1, log.last());
    println!(
        "bytes\t{}\tof {} allowed",
        log.size_bytes(),
        config.log.max_bytes()
    );
    println!("spare\t{}", log.spare_bytes);
    println!("\nsegment\tfirst\tlast\trecords\tbytes\tbegun\tlast commit");
    for segment in &log.segments {
        println!(
            "{}\t{}\t{}\t{}\t{}\t{}\t{}",
            segment.name,
            segment.first,
            segment.last,
            segment.records,
            segment.size_bytes,
            time(segment.created),
            time(segment.committed)
        );
    }
}

fn print_cursors(
    log: &Inspection,
    cursors: &[Result<Cursor, CursorFault>],
    config: &Config,
) -> io::Result<()> {
    let configured = app::names(config).map_err(io::Error::other)?;
    println!("cursor\tposition\tbehind\tstate");
    for cursor in cursors {
        let cursor = match cursor {
            Ok(cursor) => cursor,
            Err(fault) => {
                println!("-\t-\t-\t{fault}");
                continue;
            }
        };
        let state = match configured.contains(&cursor.destination) {
            true => "configured",
            false => "configured no more: `log forget` drops it",
        };
        let behind = log.last().saturating_sub(cursor.position);
        println!(
            "{}\t{}\t{behind}\t{state}",
            cursor.destination, cursor.position
        );
    }
    Ok(())
}

fn time(time: Micros) -> String {
    let time = Timestamp::from_microsecond(time.0 / 1_000_000 * 1_000_000);
    time.map_or_else(|_| "-".to_owned(), |time| time.to_string())
}

fn drop_files(dir: &Path, destination: &str, config: &Config) -> io::Result<ExitCode> {
    let refused = |text: String| Err(io::Error::other(text));
    if app::names(config)
        .map_err(io::Error::other)?
        .iter()
        .any(|name| name == destination)
    {
        return refused(format!(
            "{destination} is configured: take it out of WRITERS__STRATEGY first"
        ));
    }
    let files = files_of(&RealDisk, dir, destination)?;
    if files.is_empty() {
        return refused(format!(
            "nothing is kept for {destination}; `log inspect` lists the cursors"
        ));
    }
    let _held = RealDisk
        .lock(&dir.join("lock"))
        .map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::Error::other(
                "a collector runs on this log: stop it, and nothing is dropped under its hands",
            ),
            _ => error,
        })?;
    let last = inspect(dir, &RealDisk)?.last();
    match cursors(dir).load(destination) {
        Ok(Some(cursor)) => println!(
            "{destination} was at {} and had not got {} records; should it be configured again, it begins as a new one",
            cursor.position,
            last.saturating_sub(cursor.position)
        ),
        Ok(None) => {}
        Err(fault) => println!("{fault}"),
    }
    forget(&RealDisk, &files)?;
    for file in &files {
        println!("removed {}", file.display());
    }
    if let Some(folder) = config.dead_letter.folder() {
        println!("its rejected rows stay in {}", folder.display());
    }
    Ok(ExitCode::SUCCESS)
}
