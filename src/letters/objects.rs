//! Rejected rows in an object store: lines of JSON, as in the folder of dead letters.
//!
//! ```text
//! <destination>/<log id>-<first>-<last>-<which>.jsonl   rows that were rejected together
//! replays/<destination>/<id>.json                       rows that were replayed
//! replays/turn.json                                     who replays now, and until when
//! ```
//!
//! Objects are made and never changed, but for the turn. An object's name says which rows it holds, and it is only put where
//! there is none, so the same rows are there once; after a crash the place is asked which rows of this log it holds.
//! One process replays at a time (`turn`).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::logstore::object_store::{
    self, Error, ObjectMeta, ObjectStore, ObjectStoreExt as _, PutMode, PutPayload,
};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde::{Deserialize, Serialize};
use url::Url;
use uuid::Uuid;
use xxhash_rust::xxh3::Xxh3;

use crate::clock::Clock;
use crate::durable::{self, file_stem_of};
use crate::pipeline::{Archive, Excerpt, Key, Letter, Letters};
use crate::schema::{LogId, SequenceNumber};
use crate::writer::WriteError;

mod turn;

/// Rows are put together into objects of this size.
const OBJECT_BYTES: usize = 8 << 20;

/// Objects that are read together, and how many at once.
const PAGE_OBJECTS: usize = 200;
const PAGE_BYTES: u64 = 32 << 20;
const AT_ONCE: usize = 16;

/// The version of an object of marks that this program writes, and the newest that it reads.
const MARKS_VERSION: u32 = 1;

/// Marks that stand in one object.
const MARKS: usize = 10_000;

/// Which object store, and how it is reached.
#[derive(Clone, PartialEq, Eq)]
pub struct Config {
    /// Address of the folder, such as `gs://bucket/dead_letter`.
    pub url: Url,
    /// Names and values as the environment has them, such as `AWS_ENDPOINT_URL`.
    pub options: Vec<(String, String)>,
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Among the options are keys.
        f.debug_struct("Config")
            .field("url", &self.url.as_str())
            .finish_non_exhaustive()
    }
}

/// Rows that were replayed.
#[derive(Debug, Serialize, Deserialize)]
struct Marks {
    rows: Vec<Key>,
}

/// See the module.
#[derive(Debug)]
pub struct ObjectLetters {
    name: String,
    store: Arc<dyn ObjectStore>,
    folder: Path,
    clock: Arc<dyn Clock>,
    instance: Uuid,
}

impl ObjectLetters {
    /// The folder at an address. Nothing is asked yet.
    ///
    /// # Errors
    /// It is no address of an object store.
    pub fn new(config: &Config, clock: Arc<dyn Clock>) -> Result<Self, WriteError> {
        let options = config.options.iter().map(|(name, value)| (name, value));
        let (store, folder) =
            object_store::parse_url_opts(&config.url, options).map_err(WriteError::fatal)?;
        let name = config.url.as_str().trim_end_matches('/').to_owned();
        Ok(Self::in_store(store.into(), folder, name, clock))
    }

    /// A folder of a store that is open already.
    fn in_store(
        store: Arc<dyn ObjectStore>,
        folder: Path,
        name: String,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self {
            name,
            store,
            folder,
            clock,
            instance: Uuid::new_v4(),
        }
    }

    /// The objects of a destination.
    fn of(&self, destination: &str) -> Path {
        let address = file_stem_of(destination);
        self.folder.clone().join(address)
    }

    fn replays(&self) -> Path {
        self.folder.clone().join("replays")
    }

    fn error(&self, error: Error) -> WriteError {
        let text = format!("{}: {error}", self.name);
        match error {
            Error::PermissionDenied { .. }
            | Error::Unauthenticated { .. }
            | Error::NotSupported { .. }
            | Error::NotImplemented { .. }
            | Error::UnknownConfigurationKey { .. } => WriteError::fatal(text),
            _ => WriteError::transient(text),
        }
    }

    /// Puts an object where there is none. False if there is one.
    async fn create(&self, path: &Path, bytes: Vec<u8>) -> Result<bool, WriteError> {
        let put = self
            .store
            .put_opts(path, PutPayload::from(bytes), PutMode::Create.into());
        match put.await {
            Ok(_) => Ok(true),
            Err(Error::AlreadyExists { .. }) => Ok(false),
            Err(error) => Err(self.error(error)),
        }
    }

    async fn read(&self, path: &Path) -> Result<bytes::Bytes, WriteError> {
        let got = self.store.get(path).await;
        let got = got.map_err(|error| self.error(error))?;
        got.bytes().await.map_err(|error| self.error(error))
    }

    /// What these objects hold, in their order.
    async fn read_all(&self, objects: Vec<ObjectMeta>) -> Result<Vec<bytes::Bytes>, WriteError> {
        let reads = stream::iter(objects)
            .map(|object| async move { self.read(&object.location).await })
            .buffered(AT_ONCE);
        reads.try_collect().await
    }

    async fn letters(
        &self,
        objects: Vec<ObjectMeta>,
        destination: &str,
    ) -> Result<Vec<Letter>, WriteError> {
        let files = self.read_all(objects).await?;
        let mut letters = Vec::new();
        for file in files {
            letters.extend(Letter::of_lines(&file, destination).map_err(WriteError::fatal)?);
        }
        Ok(letters)
    }
}

#[async_trait]
impl Letters for ObjectLetters {
    fn name(&self) -> &str {
        &self.name
    }

    async fn open(&self) -> Result<(), WriteError> {
        // Whether it can be written to shows with the first row; that it is there at all, now.
        let first = self.store.list(Some(&self.folder)).next().await;
        first.transpose().map_err(|error| self.error(error))?;
        Ok(())
    }

    async fn take(&self, letters: &[Letter]) -> Result<(), WriteError> {
        let mut waiting = letters;
        while !waiting.is_empty() {
            let (mut lines, mut rows) = (Vec::new(), 0);
            for letter in waiting {
                let line = letter.line().map_err(WriteError::fatal)?;
                if rows > 0 && lines.len() + line.len() > OBJECT_BYTES {
                    break;
                }
                lines.extend(line);
                rows += 1;
            }
            let (together, rest) = waiting.split_at(rows);
            if let [first, ..] = together {
                let path = self.of(&first.destination).join(object_name(together));
                // What has this name holds these rows.
                self.create(&path, lines).await?;
            }
            waiting = rest;
        }
        Ok(())
    }

    async fn taken(
        &self,
        destination: &str,
        log_id: LogId,
        after: SequenceNumber,
    ) -> Result<Vec<u64>, WriteError> {
        let folder = self.of(destination);
        let objects: Vec<ObjectMeta> = self
            .store
            .list(Some(&folder))
            .try_filter(|object| std::future::ready(reaches_beyond(object, log_id, after)))
            .try_collect()
            .await
            .map_err(|error| self.error(error))?;
        let letters = self.letters(objects, destination).await?;
        let numbers = letters.iter().map(|letter| letter.sequence);
        Ok(numbers.filter(|number| *number > after.0).collect())
    }
}

#[async_trait]
impl Archive for ObjectLetters {
    async fn excerpt(
        &self,
        destination: &str,
        behind: Option<&str>,
    ) -> Result<Excerpt, WriteError> {
        let folder = self.of(destination);
        let mut listed = match behind {
            None => self.store.list(Some(&folder)),
            Some(behind) => self
                .store
                .list_with_offset(Some(&folder), &folder.clone().join(behind)),
        };
        let (mut objects, mut bytes) = (Vec::<ObjectMeta>::new(), 0);
        let mut next = None;
        while let Some(object) = listed.next().await {
            let object = object.map_err(|error| self.error(error))?;
            bytes += object.size;
            if let Some(last) = objects.last()
                && (objects.len() >= PAGE_OBJECTS || bytes > PAGE_BYTES)
            {
                next = last.location.filename().map(str::to_owned);
                break;
            }
            objects.push(object);
        }
        Ok(Excerpt {
            letters: self.letters(objects, destination).await?,
            next,
        })
    }

    async fn marks(&self, destination: &str) -> Result<Vec<Key>, WriteError> {
        let folder = self.replays().join(file_stem_of(destination));
        let objects = self.store.list(Some(&folder)).try_collect::<Vec<_>>();
        let objects = objects.await.map_err(|error| self.error(error))?;
        let files = self.read_all(objects).await?;
        let mut marks = Vec::new();
        for file in files {
            let read: Marks = durable::unseal(&file, MARKS_VERSION).map_err(WriteError::fatal)?;
            marks.extend(read.rows);
        }
        Ok(marks)
    }

    async fn mark(&self, destination: &str, rows: &[Key]) -> Result<(), WriteError> {
        let folder = self.replays().join(file_stem_of(destination));
        for rows in rows.chunks(MARKS) {
            let rows = rows.to_vec();
            let bytes = durable::seal(&Marks { rows }, MARKS_VERSION).map_err(WriteError::fatal)?;
            let path = folder
                .clone()
                .join(format!("{}.json", Uuid::now_v7().simple()));
            self.create(&path, bytes).await?;
        }
        Ok(())
    }

    async fn claim(&self) -> Result<bool, WriteError> {
        self.take_turn().await
    }

    async fn release(&self) {
        self.give_turn_back().await;
    }
}

/// The name of an object that holds these rows, and only these: by it the same ones are known.
fn object_name(letters: &[Letter]) -> String {
    let mut which = Xxh3::new();
    for letter in letters {
        which.update(&letter.sequence.to_le_bytes());
    }
    let numbers = || letters.iter().map(|letter| letter.sequence);
    let (first, last) = (numbers().min(), numbers().max());
    let log_id = letters.first().map(|letter| letter.log_id.to_string());
    format!(
        "{}-{:020}-{:020}-{:016x}.jsonl",
        log_id.unwrap_or_default(),
        first.unwrap_or_default(),
        last.unwrap_or_default(),
        which.digest()
    )
}

/// Whether an object holds rows of this log beyond a number, by its name.
fn reaches_beyond(object: &ObjectMeta, log_id: LogId, after: SequenceNumber) -> bool {
    let name = object.location.filename().unwrap_or_default();
    let rest = name.strip_prefix(&format!("{log_id}-"));
    let last = rest.and_then(|rest| rest.split('-').nth(1));
    last.and_then(|last| last.parse().ok())
        .is_some_and(|last: u64| last > after.0)
}

#[cfg(test)]
mod tests;
