//! The command line: one file a subcommand. Glue only.
//!
//! Exit codes: 0 success, 1 failure, 78 wrong configuration (`EX_CONFIG` of sysexits.h).

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config};

mod ask;
mod check;
mod devices;
mod doctor;
mod explain;
mod health;
mod log;
mod logs;
mod replay;
mod schema;
mod serve;
mod show;

const WRONG_CONFIGURATION: u8 = 78;

/// Web-event collector: GA4-shaped rows in your own storage, in seconds, without losing one.
#[derive(Debug, Parser)]
#[command(name = "real-streaming", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Collect events (the default).
    Serve,
    /// Take events from a Pub/Sub subscription instead of over HTTP.
    #[cfg(feature = "pubsub")]
    Consume,
    /// Check the configuration and print what is in force.
    Check,
    /// Ask the collector that runs here whether it answers; for the health checks of containers.
    Health,
    /// Print the newest rows, those still in the log too.
    Show(show::Arguments),
    /// Print the schema of the rows or of the requests.
    Schema(schema::Arguments),
    /// Print what a request would become, and why, step by step.
    Explain(explain::Arguments),
    /// Try whether the machine, and what the configuration names, is as the collector needs it.
    Doctor(doctor::Arguments),
    /// Make the file by which devices are told.
    Devices(devices::Arguments),
    /// Look after the log.
    Log(log::Arguments),
    /// Send rows that a destination rejected once more, or list them.
    Replay(replay::Arguments),
}

/// Does what the command line says.
pub fn run() -> ExitCode {
    let arguments = Arguments::parse();
    let command = arguments.command.unwrap_or(Command::Serve);
    if let Command::Schema(arguments) = command {
        return schema::run(arguments);
    }
    if let Command::Devices(arguments) = &command {
        return devices::run(arguments);
    }
    let values = match config::environment(crate::app::working_folder()) {
        Ok(values) => values,
        Err(invalid) => return wrong_configuration(&invalid),
    };
    let read = match command {
        #[cfg(feature = "pubsub")]
        Command::Consume => Config::consuming,
        _ => Config::from_values,
    };
    let config = match read(values.clone()) {
        Ok(config) => config,
        Err(invalid) => return wrong_configuration(&invalid),
    };
    match command {
        Command::Serve => serve::run(&config),
        #[cfg(feature = "pubsub")]
        Command::Consume => serve::run(&config),
        Command::Check => check::run(&values, &config),
        Command::Health => health::run(&config),
        Command::Show(arguments) => show::run(&arguments, &config),
        Command::Explain(arguments) => explain::run(&arguments, &config),
        Command::Doctor(arguments) => doctor::run(&arguments, &config),
        Command::Log(arguments) => log::run(&arguments, &config),
        Command::Replay(arguments) => replay::run(&arguments, &config),
        Command::Schema(_) | Command::Devices(_) => ExitCode::SUCCESS,
    }
}

fn wrong_configuration(invalid: &config::Invalid) -> ExitCode {
    eprintln!("real-streaming: {invalid}");
    ExitCode::from(WRONG_CONFIGURATION)
}

/// Prints a failure and gives the exit code for it.
fn failed(error: &dyn std::fmt::Display) -> ExitCode {
    eprintln!("real-streaming: {error}");
    ExitCode::FAILURE
}
