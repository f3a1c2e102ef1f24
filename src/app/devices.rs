//! Loads what devices and bots are told by: the file of compiled patterns, and the list of networks of data centres.
//!
//! Both are loaded before anything listens: which columns a row has must not depend on how long the collector runs. A file that
//! cannot be used is refused with an alarm, and the collector does without.

use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::{Config, DeviceData};
use crate::enrich::Enricher;
use crate::enrich::bots::Networks;
use crate::enrich::device::Devices;

use super::working_folder;

/// How the file is called where its place is not configured.
pub(super) const FILE_NAME: &str = "devices.bin";

/// The places where it is looked for then, in this order.
fn usual_places() -> Vec<PathBuf> {
    let program = std::env::current_exe().ok();
    let beside = program
        .as_deref()
        .and_then(Path::parent)
        .map(|folder| folder.join(FILE_NAME));
    let data = working_folder().join("data").join(FILE_NAME);
    beside.into_iter().chain([data]).collect()
}

/// The enricher, with the devices and data centres of this configuration.
pub(super) fn equip(enricher: Enricher, config: &Config) -> Enricher {
    let enricher = enricher.with_devices(devices(&config.device_data));
    match config.data_centres.as_deref().and_then(networks) {
        Some(networks) => enricher.with_data_centres(networks),
        None => enricher,
    }
}

fn devices(data: &DeviceData) -> Devices {
    let places = match data {
        DeviceData::None => Vec::new(),
        DeviceData::Usual => usual_places(),
        DeviceData::File(path) => vec![path.clone()],
    };
    let is_named = matches!(data, DeviceData::File(_));
    for path in &places {
        let file = match fs::read(path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound && !is_named => continue,
            Err(error) => return refused(path, &error),
        };
        return match Devices::read(&file) {
            Ok(devices) => {
                let (source, patterns) = devices.patterns().unwrap_or_default();
                tracing::info!(file = %path.display(), source, patterns, "devices are told by Matomo's patterns");
                devices
            }
            Err(error) => refused(path, &error),
        };
    }
    tracing::info!(
        "devices are told roughly, without brands and models: there is no file of patterns (ENRICH__DEVICE_DATA)"
    );
    Devices::default()
}

fn refused(path: &Path, error: &dyn std::fmt::Display) -> Devices {
    tracing::error!(
        alarm = "device_data_refused",
        file = %path.display(),
        %error,
        "the file of device patterns cannot be used; devices are told roughly, without brands and models"
    );
    Devices::default()
}

fn networks(path: &Path) -> Option<Networks> {
    let read = fs::read_to_string(path).map_err(|error| error.to_string());
    match read.and_then(|list| Networks::parse(&list).map_err(|error| error.to_string())) {
        Ok(networks) => Some(networks),
        Err(error) => {
            tracing::error!(
                alarm = "data_centres_refused",
                file = %path.display(),
                error,
                "the list of data centres cannot be used; no address counts as of one"
            );
            None
        }
    }
}
