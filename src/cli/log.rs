//! `real-streaming log`: drops cursors whose destination is configured no more.

use std::process::ExitCode;
use std::sync::Arc;

use crate::config::{Config, LogConfig};
use crate::durable::RealDisk;
use crate::pipeline::Cursors;

/// Arguments of `log`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// List the cursors of the log, one a line.
    Cursors,
    /// Drop the cursor of a destination: what it has not got yet is not kept for it any longer.
    Forget {
        /// Name of the destination, as `log cursors` prints it.
        destination: String,
    },
}

pub(super) fn run(arguments: &Arguments, config: &Config) -> ExitCode {
    let LogConfig::Disk(log) = &config.log else {
        return super::failed(&"a memory log has no cursors");
    };
    let cursors = match Cursors::open(Arc::new(RealDisk), &log.dir.join("cursors")) {
        Ok(cursors) => cursors,
        Err(error) => return super::failed(&error),
    };
    match &arguments.command {
        Command::Cursors => match cursors.all() {
            Ok(all) => {
                for cursor in all {
                    println!("{}\tposition {}", cursor.destination, cursor.position);
                }
                ExitCode::SUCCESS
            }
            Err(error) => super::failed(&error),
        },
        Command::Forget { destination } => match cursors.forget(destination) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => super::failed(&format!(
                "there is no cursor named {destination}; `log cursors` lists them"
            )),
            Err(error) => super::failed(&error),
        },
    }
}
