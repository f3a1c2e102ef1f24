//! What keeps a table small: compaction, checkpoints, log clean-up, vacuum.
//!
//! One task, one thing at a time, stopped by `close`. Whatever fails here is logged and tried again
//! later; it never hurts a write. What is deleted is never part of a snapshot taken after it was listed.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use deltalake_core::DeltaTable;
use deltalake_core::checkpoints::{cleanup_expired_logs_for, create_checkpoint};
use deltalake_core::kernel::{Action, Version};
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::logstore::object_store::{self, ObjectMeta, ObjectStore, ObjectStoreExt as _};
use deltalake_core::protocol::DeltaOperation;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::Notify;

use super::error::Error;
use super::merge::{Plan, merge_blocking};
use super::pace::Pace;
use super::parts::DATE;
use super::tail::{Commit, SmallFile};
use super::{Config, Table};
use crate::clock::Clock;
use crate::writer::background;

/// A day to which nothing was added for so long is merged whole.
const QUIET: Duration = Duration::from_secs(3_600);
/// How long to wait after a failure.
const PAUSE: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug)]
pub(super) struct Upkeep {
    pub(super) table: Arc<Table>,
    pub(super) config: Config,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) pace: Arc<Pace>,
    /// Something was committed, or it is time to stop.
    pub(super) nudge: Notify,
    pub(super) stop: Arc<AtomicBool>,
}

impl Upkeep {
    /// Runs until `stop` is set and `nudge` is given.
    pub(super) async fn run(self: Arc<Self>) {
        let mut checkpointed = self.table.tail.lock().await.version();
        let mut vacuumed: Option<Instant> = None;
        let vacuum_every = vacuum_interval(&self.config);
        loop {
            let nudged = tokio::time::timeout(vacuum_every, self.nudge.notified()).await;
            if self.stopping() {
                return;
            }
            let due = vacuumed.is_none_or(|at| at.elapsed() >= vacuum_every);
            let done = self.pass(nudged.is_err(), due, &mut checkpointed).await;
            if due {
                vacuumed = Some(Instant::now());
            }
            if let Err(error) = done {
                tracing::warn!(%error, "upkeep of the table failed, will be tried again");
                self.pause().await;
            }
        }
    }

    fn stopping(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    async fn pause(&self) {
        let until = Instant::now() + PAUSE;
        while !self.stopping() {
            let rest = until.saturating_duration_since(Instant::now());
            if tokio::time::timeout(rest, self.nudge.notified())
                .await
                .is_err()
            {
                return;
            }
        }
    }

    async fn pass(
        &self,
        look: bool,
        vacuum_due: bool,
        checkpointed: &mut Version,
    ) -> Result<(), Error> {
        if look {
            self.table.tail.lock().await.catch_up().await?;
        }
        self.compact().await?;
        let version = self.table.tail.lock().await.version();
        let interval = self.config.checkpoint_interval.max(1);
        if version / interval > *checkpointed / interval && !self.stopping() {
            *checkpointed = version;
            self.checkpoint().await?;
        }
        if vacuum_due && !self.stopping() {
            self.vacuum().await?;
        }
        Ok(())
    }

    fn now_millis(&self) -> i64 {
        self.clock.now().0 / 1_000
    }

    /// Merges small files until no tier is full.
    pub(super) async fn compact(&self) -> Result<(), Error> {
        loop {
            let quiet_since = self.clock.now().before(QUIET).0 / 1_000;
            let plan = Plan {
                full: self.config.compact_after.max(2),
                target_bytes: self.config.target_file_bytes,
                quiet_since,
            };
            let tail = self.table.tail.lock().await;
            let chosen = plan.next(tail.small_files());
            let schema = tail.file_schema();
            drop(tail);
            let Some(files) = chosen else { return Ok(()) };
            if self.stopping() {
                return Ok(());
            }
            let objects = self.table.store.object_store(None);
            let stop = self.stop.clone();
            let inputs = files.clone();
            let now = self.now_millis();
            let runtime = Handle::current();
            let merged = background::run("delta-merge", move || {
                merge_blocking(&runtime, &objects, &schema, &inputs, now, &stop)
            });
            let (merged, took) = merged.await?;
            let Some(add) = merged? else {
                return Ok(());
            };
            let path = add.path.clone();
            self.replace(&files, Action::Add(add), &path).await?;
            self.pace.spent(took);
        }
    }

    async fn replace(&self, files: &[SmallFile], add: Action, path: &str) -> Result<(), Error> {
        let now = self.now_millis();
        let removed = files.iter().map(|file| Action::Remove(file.remove(now)));
        let commit = Commit {
            actions: removed.chain([add]).collect(),
            operation: DeltaOperation::Optimize {
                predicate: None,
                target_size: i64::try_from(self.config.target_file_bytes).unwrap_or(i64::MAX),
            },
            transaction: None,
        };
        let mut tail = self.table.tail.lock().await;
        let committed = tail
            .commit(commit, |tail| match tail.holds(files) {
                true => Ok(()),
                false => Err(Error::Overtaken(1)),
            })
            .await;
        drop(tail);
        if let Err(Error::Overtaken(_)) = committed {
            // Another writer took the files; nothing of ours is in the log, so the new file is nobody's.
            let path = Path::parse(path).map_err(object_store::Error::from)?;
            self.table.store.object_store(None).delete(&path).await?;
            return Ok(());
        }
        committed
    }

    /// Writes a checkpoint and deletes the commits that nobody needs any more.
    pub(super) async fn checkpoint(&self) -> Result<(), Error> {
        let mut table = DeltaTable::new(self.table.store.clone());
        table.load().await?;
        create_checkpoint(&table, None).await?;
        let retention = i64::try_from(self.config.log_retention.as_millis()).unwrap_or(i64::MAX);
        let until = self.now_millis().saturating_sub(retention);
        let version = table.version().unwrap_or_default();
        cleanup_expired_logs_for(version, self.table.store.as_ref(), until, None).await?;
        Ok(())
    }

    /// Deletes files that the table has let go of long enough ago, and those that never became part of it.
    pub(super) async fn vacuum(&self) -> Result<(), Error> {
        let objects = self.table.store.object_store(None);
        // Listed first: what is committed after the listing is not in it.
        let present = data_files(objects.as_ref()).await?;
        let mut table = DeltaTable::new(self.table.store.clone());
        table.load().await?;
        let snapshot = table.snapshot()?;
        let live: HashSet<Path> = snapshot
            .log_data()
            .iter()
            .map(|file| file.object_store_path())
            .collect();
        let mut let_go: HashMap<String, i64> = HashMap::new();
        let mut tombstones = snapshot.all_tombstones(self.table.store.as_ref());
        while let Some(tombstone) = tombstones.try_next().await? {
            let when = tombstone.deletion_timestamp().unwrap_or_default();
            let_go.insert(tombstone.path().into_owned(), when);
        }
        let now = self.now_millis();
        let older = |when: i64, than: Duration| now.saturating_sub(when) > millis(than);
        let dead = present.into_iter().filter(|file| {
            if live.contains(&file.location) {
                return false;
            }
            match let_go.get(file.location.as_ref()) {
                Some(when) => older(*when, self.config.file_retention),
                None => older(
                    file.last_modified.timestamp_millis(),
                    self.config.orphan_after,
                ),
            }
        });
        let dead: Vec<_> = dead.map(|file| Ok(file.location)).collect();
        let mut deleted = objects.delete_stream(stream::iter(dead).boxed());
        while let Some(result) = deleted.next().await {
            match result {
                Ok(_) | Err(object_store::Error::NotFound { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(())
    }
}

/// How often files are looked for that can be deleted.
pub(super) fn vacuum_interval(config: &Config) -> Duration {
    let (least, most) = (Duration::from_secs(1), Duration::from_secs(900));
    (config.file_retention / 4).clamp(least, most)
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// The files in the directories of days, finished or not. Whatever else lies beside the table is not ours.
async fn data_files(objects: &dyn ObjectStore) -> Result<Vec<ObjectMeta>, Error> {
    let day = format!("{DATE}=");
    let mut files = Vec::new();
    for directory in objects.list_with_delimiter(None).await?.common_prefixes {
        if !directory
            .filename()
            .is_some_and(|name| name.starts_with(&day))
        {
            continue;
        }
        let mut listed = objects.list(Some(&directory));
        while let Some(file) = listed.try_next().await? {
            if matches!(file.location.extension(), Some("parquet" | "tmp")) {
                files.push(file);
            }
        }
    }
    Ok(files)
}
