//! Whose turn it is to replay: one object, made where there is none, replaced only in the version that was read.
//!
//! It is held for some minutes and taken again before each step, so that a process that died holds nobody off for ever. One that
//! slept longer than that and goes on may replay what another one does: such rows are doubled under their `event_id`.

use deltalake_core::logstore::object_store::{
    Error, ObjectStore, ObjectStoreExt as _, PutMode, UpdateVersion,
};
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::writer::WriteError;

use super::ObjectLetters;

/// How long a turn is held unless it is taken again.
pub(super) const TURN_MICROS: i64 = 600_000_000;

/// Who replays now.
#[derive(Debug, Serialize, Deserialize)]
struct Turn {
    instance: Uuid,
    until_micros: i64,
}

impl ObjectLetters {
    /// False if another one holds it.
    pub(super) async fn take_turn(&self) -> Result<bool, WriteError> {
        let path = self.replays().join("turn.json");
        let now = self.clock.now().0;
        let turn = Turn {
            instance: self.instance,
            until_micros: now + TURN_MICROS,
        };
        let bytes = serde_json::to_vec(&turn).map_err(WriteError::fatal)?;
        if self.create(&path, bytes.clone()).await? {
            return Ok(true);
        }
        let held = match self.store.get(&path).await {
            Ok(held) => held,
            // Whoever had it has just given it back.
            Err(Error::NotFound { .. }) => return self.create(&path, bytes).await,
            Err(error) => return Err(self.error(error)),
        };
        let version = UpdateVersion {
            e_tag: held.meta.e_tag.clone(),
            version: held.meta.version.clone(),
        };
        let held = held.bytes().await.map_err(|error| self.error(error))?;
        // What cannot be read holds nobody off.
        let held: Option<Turn> = serde_json::from_slice(&held).ok();
        if held.is_some_and(|held| held.instance != self.instance && held.until_micros > now) {
            return Ok(false);
        }
        let mode = PutMode::Update(version);
        let put = self.store.put_opts(&path, bytes.into(), mode.into());
        match put.await {
            Ok(_) => Ok(true),
            Err(Error::Precondition { .. } | Error::NotFound { .. }) => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    pub(super) async fn give_turn_back(&self) {
        let path = self.replays().join("turn.json");
        let held = self.read(&path).await.ok();
        let held = held.and_then(|held| serde_json::from_slice::<Turn>(&held).ok());
        // After a long pause it may be another's.
        if held.is_none_or(|held| held.instance != self.instance) {
            return;
        }
        if let Err(error) = self.store.delete(&path).await {
            tracing::warn!(place = self.name, %error, "the turn to replay was not given back; others have it when it ends");
        }
    }
}
