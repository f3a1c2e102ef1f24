//! `real-streaming devices compile`: Matomo's patterns → the file by which the collector tells devices.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Args, Subcommand};

use crate::enrich::device::Devices;
use crate::enrich::device::compile::compile;

#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Compile the patterns of an unpacked package to the file that ENRICH__DEVICE_DATA names.
    Compile {
        /// The package's folder: device_detector of PyPI's device_detector, as pip installs it.
        package: PathBuf,
        /// The file to write.
        #[arg(default_value = "data/devices.bin")]
        file: PathBuf,
    },
    /// Say what a file holds, or why it cannot be used.
    Check {
        /// The file.
        #[arg(default_value = "data/devices.bin")]
        file: PathBuf,
    },
}

pub(super) fn run(arguments: &Arguments) -> ExitCode {
    let done = match &arguments.command {
        Command::Compile { package, file } => compiled(package, file),
        Command::Check { file } => checked(file),
    };
    match done {
        Ok(text) => {
            println!("{text}");
            ExitCode::SUCCESS
        }
        Err(error) => super::failed(&error),
    }
}

fn compiled(package: &Path, file: &Path) -> Result<String, String> {
    let read =
        |path: &str| fs::read_to_string(package.join(path)).map_err(|error| error.to_string());
    let source = source(package);
    let compiled = compile(&source, &read).map_err(|error| error.to_string())?;
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    if let Some(folder) = file.parent() {
        fs::create_dir_all(folder).map_err(failed)?;
    }
    // A collector that starts meanwhile finds the old file or the new one.
    let new = file.with_extension("new");
    fs::write(&new, &compiled.file).map_err(failed)?;
    fs::rename(&new, file).map_err(failed)?;
    let (patterns, bytes) = (compiled.patterns, compiled.file.len());
    Ok(format!(
        "{}: {patterns} patterns of {source}, {bytes} bytes",
        file.display()
    ))
}

/// Name and version of the package, by the folder that pip puts beside it.
fn source(package: &Path) -> String {
    let beside = package
        .parent()
        .and_then(|folder| fs::read_dir(folder).ok());
    let names = beside
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let mut known = names.filter_map(|name| {
        let version = name
            .strip_prefix("device_detector-")?
            .strip_suffix(".dist-info")?;
        Some(format!("device_detector {version}"))
    });
    known.next().unwrap_or_else(|| "device_detector".to_owned())
}

fn checked(file: &Path) -> Result<String, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{}: {error}", file.display());
    let bytes = fs::read(file).map_err(|error| failed(&error))?;
    let devices = Devices::read(&bytes).map_err(|error| failed(&error))?;
    let (source, patterns) = devices.patterns().unwrap_or_default();
    Ok(format!(
        "{}: {patterns} patterns of {source}",
        file.display()
    ))
}
