//! The end of the transaction log: the version we know, the position of our logs, the small files.
//!
//! A snapshot is loaded once; from then on each commit, ours or another's, is applied as it comes, so
//! that a commit costs one file and no replay, and memory does not grow with the table. A commit is one
//! put-if-absent of the next version. Whatever the storage answers, what is in the log decides: each
//! commit carries an id of its own, and is done if and only if it is found there.

use std::collections::{HashMap, HashSet};
use std::time::{Duration, Instant};

use arrow_schema::SchemaRef;
use deltalake_core::kernel::transaction::{CommitData, TransactionError};
use deltalake_core::kernel::{
    Action, Add, CommitInfo, EagerSnapshot, Remove, Transaction, Version,
};
use deltalake_core::logstore::object_store::{ObjectStoreExt as _, path::Path};
use deltalake_core::logstore::{CommitOrBytes, LogStoreRef, get_actions};
use deltalake_core::protocol::DeltaOperation;
use serde_json::Value;
use uuid::Uuid;

use super::error::Error;
use super::parts::{DATE, Extent, file_schema};
use super::table;

/// How often a commit is tried again when other writers were faster.
const ATTEMPTS: usize = 20;
/// After so long without a look, the version we know may have been cleaned away by another writer,
/// and writing the next one could then succeed far behind the end of the log.
const STALE_AFTER: Duration = Duration::from_secs(60);

/// A file that is to be merged with others one day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct SmallFile {
    pub(super) path: String,
    pub(super) date: Option<String>,
    pub(super) size: i64,
    pub(super) extent: Extent,
    /// When it was added, milliseconds since 1970.
    pub(super) added: i64,
}

impl SmallFile {
    fn from_add(add: &Add) -> Option<Self> {
        if add.deletion_vector.is_some() {
            return None;
        }
        Some(Self {
            path: add.path.clone(),
            date: add.partition_values.get(DATE).cloned().flatten(),
            size: add.size,
            extent: add.stats.as_deref().and_then(Extent::from_stats)?,
            added: add.modification_time,
        })
    }

    /// What takes it out of the table without taking its rows.
    pub(super) fn remove(&self, now_millis: i64) -> Remove {
        Remove {
            path: self.path.clone(),
            data_change: false,
            deletion_timestamp: Some(now_millis),
            extended_file_metadata: Some(true),
            partition_values: Some([(DATE.to_owned(), self.date.clone())].into()),
            size: Some(self.size),
            ..Remove::default()
        }
    }
}

/// What is to be committed.
#[derive(Debug)]
pub(super) struct Commit {
    pub(super) actions: Vec<Action>,
    pub(super) operation: DeltaOperation,
    pub(super) transaction: Option<Transaction>,
}

/// See the module.
#[derive(Debug)]
pub(super) struct Tail {
    store: LogStoreRef,
    /// Our columns, which the table must have.
    ours: SchemaRef,
    /// Files from this size on are not followed.
    small_file_bytes: i64,
    /// Names this writer in its commits.
    writer: String,
    version: Version,
    file_schema: SchemaRef,
    small: HashMap<String, SmallFile>,
    /// Of the identities that were asked for.
    positions: HashMap<String, Option<i64>>,
    /// Identities of ours that somebody else has moved.
    cloned: HashSet<String>,
    /// The last commit of ours that was seen in the log.
    last_own: Option<String>,
    /// Metadata or protocol changed: a snapshot must be loaded.
    outdated: bool,
    looked: Instant,
}

impl Tail {
    /// Loads the table as it is now.
    pub(super) async fn load(
        store: LogStoreRef,
        ours: SchemaRef,
        small_file_bytes: u64,
    ) -> Result<Self, Error> {
        let mut tail = Self {
            store,
            small_file_bytes: i64::try_from(small_file_bytes).unwrap_or(i64::MAX),
            writer: Uuid::new_v4().simple().to_string(),
            version: 0,
            file_schema: file_schema(&ours),
            ours,
            small: HashMap::new(),
            positions: HashMap::new(),
            cloned: HashSet::new(),
            last_own: None,
            outdated: true,
            looked: Instant::now(),
        };
        tail.reload().await?;
        Ok(tail)
    }

    async fn reload(&mut self) -> Result<(), Error> {
        let snapshot = EagerSnapshot::try_new(self.store.as_ref(), None).await?;
        table::check(&snapshot, &self.ours)?;
        for (app_id, position) in &mut self.positions {
            *position = snapshot
                .transaction_version(self.store.as_ref(), app_id)
                .await?;
        }
        self.file_schema = file_schema(snapshot.arrow_schema().as_ref());
        self.small.clear();
        for file in snapshot.try_log_data()?.iter() {
            if file.size() >= self.small_file_bytes || file.deletion_vector_descriptor().is_some() {
                continue;
            }
            self.follow(&Add {
                path: file.path().into_owned(),
                partition_values: file.partition_values_map(),
                size: file.size(),
                modification_time: file.modification_time(),
                stats: file.stats(),
                ..Add::default()
            });
        }
        self.version = snapshot.version();
        self.outdated = false;
        self.looked = Instant::now();
        Ok(())
    }

    /// The version of the table.
    pub(super) fn version(&self) -> Version {
        self.version
    }

    /// The columns of the data files, as the table has them now.
    pub(super) fn file_schema(&self) -> SchemaRef {
        self.file_schema.clone()
    }

    /// The small files.
    pub(super) fn small_files(&self) -> impl Iterator<Item = &SmallFile> {
        self.small.values()
    }

    /// Whether all these are in the table.
    pub(super) fn holds(&self, files: &[SmallFile]) -> bool {
        files.iter().all(|file| self.small.contains_key(&file.path))
    }

    /// The position of this identity.
    pub(super) async fn position(&mut self, app_id: &str) -> Result<Option<i64>, Error> {
        if self.cloned.contains(app_id) {
            return Err(Error::LogCloned {
                app_id: app_id.to_owned(),
            });
        }
        if let Some(position) = self.positions.get(app_id).filter(|_| !self.outdated) {
            return Ok(*position);
        }
        // Known only once it was read: whoever fails or gives up here leaves an outdated tail behind.
        self.outdated = true;
        self.positions.insert(app_id.to_owned(), None);
        self.reload().await?;
        Ok(self.positions.get(app_id).copied().flatten())
    }

    /// Fails if the position of this identity is not what it was.
    pub(super) fn unmoved(&self, app_id: &str, position: Option<i64>) -> Result<(), Error> {
        if self.cloned.contains(app_id) {
            return Err(Error::LogCloned {
                app_id: app_id.to_owned(),
            });
        }
        match self.positions.get(app_id).copied().flatten() {
            now if now == position => Ok(()),
            now => Err(Error::Moved(
                now.and_then(|now| u64::try_from(now).ok()).unwrap_or(0),
            )),
        }
    }

    /// Commits, unless `still_valid` says that what other writers did meanwhile forbids it.
    pub(super) async fn commit(
        &mut self,
        commit: Commit,
        still_valid: impl Fn(&Self) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let id = Uuid::new_v4().simple().to_string();
        let names = [
            ("writer".to_owned(), Value::from(self.writer.as_str())),
            ("commit".to_owned(), Value::from(id.as_str())),
        ];
        let transactions = commit.transaction.into_iter().collect();
        let data = CommitData::new(commit.actions, commit.operation, names.into(), transactions);
        let bytes = data.get_bytes()?;
        if self.outdated || self.looked.elapsed() > STALE_AFTER {
            self.catch_up().await?;
        }
        for _ in 0..ATTEMPTS {
            still_valid(self)?;
            let put = self
                .store
                .write_commit_entry(
                    self.version + 1,
                    CommitOrBytes::LogBytes(bytes.clone()),
                    Uuid::new_v4(),
                )
                .await;
            let failure = match put {
                Ok(()) => {
                    self.version += 1;
                    self.apply(&data.actions);
                    return Ok(());
                }
                Err(TransactionError::VersionAlreadyExists(_)) => None,
                Err(error) => Some(error),
            };
            self.catch_up().await?;
            if self.last_own.as_deref() == Some(&id) {
                // It landed although the storage said otherwise, perhaps before it was durable.
                return probe(&self.store).await;
            }
            if let Some(error) = failure {
                return Err(error.into());
            }
        }
        Err(Error::Overtaken(ATTEMPTS))
    }

    /// Applies what other writers have committed since.
    pub(super) async fn catch_up(&mut self) -> Result<(), Error> {
        let cleaned_away = self.looked.elapsed() > STALE_AFTER
            && self.store.read_commit_entry(self.version).await?.is_none();
        if cleaned_away {
            return self.reload().await;
        }
        while let Some(bytes) = self.store.read_commit_entry(self.version + 1).await? {
            let actions = get_actions(self.version + 1, &bytes)?;
            self.version += 1;
            self.apply(&actions);
        }
        self.looked = Instant::now();
        if self.outdated {
            self.reload().await?;
        }
        Ok(())
    }

    fn apply(&mut self, actions: &[Action]) {
        let info = actions.iter().find_map(|action| match action {
            Action::CommitInfo(info) => Some(info),
            _ => None,
        });
        let own = info.is_some_and(|info| text(info, "writer") == Some(&self.writer));
        if own {
            self.last_own = info
                .and_then(|info| text(info, "commit"))
                .map(str::to_owned);
        }
        for action in actions {
            match action {
                Action::Remove(remove) => {
                    self.small.remove(&remove.path);
                }
                Action::Txn(txn) => self.moved(txn, own),
                Action::Metadata(_) | Action::Protocol(_) => self.outdated = true,
                _ => {}
            }
        }
        for action in actions {
            if let Action::Add(add) = action {
                self.follow(add);
            }
        }
    }

    fn follow(&mut self, add: &Add) {
        let small = SmallFile::from_add(add).filter(|file| file.size < self.small_file_bytes);
        match small {
            Some(file) => self.small.insert(file.path.clone(), file),
            None => self.small.remove(&add.path),
        };
    }

    fn moved(&mut self, txn: &Transaction, own: bool) {
        let Some(position) = self.positions.get_mut(&txn.app_id) else {
            return;
        };
        *position = Some(txn.version);
        if !own {
            self.cloned.insert(txn.app_id.clone());
        }
    }
}

fn text<'a>(info: &'a CommitInfo, key: &str) -> Option<&'a str> {
    info.info.get(key).and_then(Value::as_str)
}

/// Writes and deletes a small file beside the commits: shows that the table can be written, and, on a
/// local disk, makes durable what stands in that directory.
pub(super) async fn probe(store: &LogStoreRef) -> Result<(), Error> {
    let name = format!("_probe_{}.tmp", Uuid::new_v4().simple());
    let path = Path::from_iter(["_delta_log", &name]);
    let objects = store.object_store(None);
    objects.put(&path, "probe".into()).await?;
    objects.delete(&path).await?;
    Ok(())
}
