//! `real-streaming serve` and `consume`: collect events until told to stop, over HTTP or from a subscription.

use std::process::ExitCode;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use crate::app::{App, StartError};
use crate::config::Config;

use super::logs;

pub(super) fn run(config: &Config) -> ExitCode {
    logs::start(&config.log_format);
    raise_descriptor_limit(config.server.max_connections);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return super::failed(&error),
    };
    let code = match runtime.block_on(serve(config)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(%error, "collector cannot start");
            ExitCode::FAILURE
        }
    };
    // Whatever still blocks (a disk that hangs) must not keep the process.
    runtime.shutdown_background();
    code
}

async fn serve(config: &Config) -> Result<(), StartError> {
    // Before anything else, so that a signal during the start is not lost.
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let app = App::build(config).await?;
    app.run(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
    .await;
    Ok(())
}

/// Beside connections: log, tables, sockets of destinations.
pub(super) const OTHER_DESCRIPTORS: u64 = 256;

/// Systems start programs with few descriptors allowed and let them ask for more.
fn raise_descriptor_limit(connections: usize) {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        ..limit
    };
    let current = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => limit.maximum,
        Err(_) => limit.current,
    };
    let wanted = connections as u64 + OTHER_DESCRIPTORS;
    if current.is_some_and(|current| current < wanted) {
        tracing::warn!(
            descriptors = current,
            connections,
            "fewer descriptors are allowed than connections: raise the limit (ulimit -n, LimitNOFILE) or lower HTTP__MAX_CONNECTIONS"
        );
    }
}
