//! Where a table lies, and a local file system on which a finished write is a durable one.
//!
//! `object_store`'s own local store never calls fsync. The delivery's cursor moves and log segments are
//! deleted once a batch is written, so here each file is synced before it gets its name, and its
//! directory after. The store knows nothing of Delta beyond that.

use std::collections::HashSet;
use std::fmt;
use std::fs::{self, File};
use std::io::{self, ErrorKind, Write as _};
use std::path::{Component, Path as FsPath, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use deltalake_core::logstore::object_store::local::LocalFileSystem;
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::logstore::object_store::{
    self, CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMode, PutMultipartOptions, PutOptions, PutPayload, PutResult, RenameOptions, UploadPart,
};
use deltalake_core::logstore::{LogStoreRef, StorageConfig, logstore_with};
use futures_util::stream::BoxStream;
use url::Url;
use uuid::Uuid;

use super::error::Error;

const STORE: &str = "DurableLocal";

/// Where a table lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Location {
    /// Ends with a slash.
    pub(super) url: Url,
    directory: PathBuf,
}

impl Location {
    /// Reads a local path or a URI.
    pub(super) fn parse(uri: &str) -> Result<Self, Error> {
        let wrong = |reason: &str| Error::Location {
            uri: uri.to_owned(),
            reason: reason.to_owned(),
        };
        if uri.trim().is_empty() {
            return Err(wrong("a Delta table needs a path"));
        }
        let path = match uri.split_once("://") {
            None => PathBuf::from(uri),
            Some(("file", _)) => Url::parse(uri)
                .ok()
                .and_then(|url| url.to_file_path().ok())
                .ok_or_else(|| wrong("not a file URI with an absolute path"))?,
            Some(_) => {
                return Err(wrong(
                    "a Delta table is a folder of this machine: a path, or file:///and/one",
                ));
            }
        };
        let absolute = std::path::absolute(&path).map_err(|error| wrong(&error.to_string()))?;
        let directory = without_dots(&absolute);
        let url = Url::from_directory_path(&directory).map_err(|()| wrong("not a path"))?;
        Ok(Self { url, directory })
    }

    /// The place under this one's name with `suffix` behind.
    pub(super) fn beside(&self, suffix: &str) -> Self {
        let mut url = self.url.clone();
        url.set_path(&format!(
            "{}{suffix}/",
            self.url.path().trim_end_matches('/')
        ));
        let mut directory = self.directory.clone().into_os_string();
        directory.push(suffix);
        Self {
            url,
            directory: directory.into(),
        }
    }

    /// The URI without the slash at its end.
    pub(super) fn uri(&self) -> &str {
        self.url.as_str().trim_end_matches('/')
    }

    /// The storage there. The directory is made if it is missing.
    pub(super) fn create(&self, disk: &Arc<dyn Disk>) -> Result<LogStoreRef, Error> {
        let in_directory = |source| Error::Disk {
            path: self.directory.clone(),
            source,
        };
        let log = self.directory.join("_delta_log");
        fs::create_dir_all(&log).map_err(in_directory)?;
        self.existing(disk)
    }

    /// The storage there, nothing made.
    pub(super) fn existing(&self, disk: &Arc<dyn Disk>) -> Result<LogStoreRef, Error> {
        let root = Arc::new(DurableLocal::new(disk.clone()));
        Ok(logstore_with(root, &self.url, StorageConfig::default())?)
    }
}

/// The path with `..` resolved by its letters alone.
fn without_dots(path: &FsPath) -> PathBuf {
    let mut plain = PathBuf::new();
    for component in path.components() {
        match component {
            Component::ParentDir => {
                plain.pop();
            }
            Component::CurDir => {}
            other => plain.push(other),
        }
    }
    plain
}

/// The acts that make something durable, so that a test can watch them.
pub(super) trait Disk: Send + Sync + fmt::Debug {
    /// Makes a file's content durable.
    fn sync_file(&self, path: &FsPath) -> io::Result<()>;
    /// Makes a directory's entries durable.
    fn sync_directory(&self, path: &FsPath) -> io::Result<()>;
    /// Called when a file has got its name.
    fn named(&self, _path: &FsPath) {}
}

/// The real one.
#[derive(Debug)]
pub(super) struct RealDisk;

impl Disk for RealDisk {
    fn sync_file(&self, path: &FsPath) -> io::Result<()> {
        File::open(path)?.sync_all()
    }

    fn sync_directory(&self, path: &FsPath) -> io::Result<()> {
        File::open(path)?.sync_all()
    }
}

/// The local file system from its root on, every write durable when it returns.
#[derive(Debug)]
struct DurableLocal {
    inner: LocalFileSystem,
    writes: Arc<Writes>,
}

/// The blocking half, shared with the threads that do the work.
#[derive(Debug)]
struct Writes {
    disk: Arc<dyn Disk>,
    /// Directories whose own names are known to be durable.
    settled: Mutex<HashSet<PathBuf>>,
}

impl DurableLocal {
    fn new(disk: Arc<dyn Disk>) -> Self {
        Self {
            inner: LocalFileSystem::new(),
            writes: Arc::new(Writes {
                disk,
                settled: Mutex::default(),
            }),
        }
    }
}

impl fmt::Display for DurableLocal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(STORE)
    }
}

impl Writes {
    /// Writes the whole file beside its place, syncs it, names it, syncs the directory.
    fn put(&self, path: &FsPath, payload: &PutPayload, create: bool) -> io::Result<()> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Err(ErrorKind::InvalidInput.into());
        };
        fs::create_dir_all(directory)?;
        let staged = directory.join(format!(
            ".{}.{}.tmp",
            name.display(),
            Uuid::new_v4().simple()
        ));
        let named = self.stage_and_name(&staged, path, payload, create);
        if create || named.is_err() {
            drop(fs::remove_file(&staged));
        }
        named?;
        self.disk.named(path);
        self.settle(directory)
    }

    fn stage_and_name(
        &self,
        staged: &FsPath,
        path: &FsPath,
        payload: &PutPayload,
        create: bool,
    ) -> io::Result<()> {
        let mut file = File::options().write(true).create_new(true).open(staged)?;
        for bytes in payload {
            file.write_all(bytes)?;
        }
        drop(file);
        self.disk.sync_file(staged)?;
        if create {
            // A link fails where a rename would replace.
            fs::hard_link(staged, path)
        } else {
            fs::rename(staged, path)
        }
    }

    /// Makes the directory's entries durable, and once also the entries that lead to it.
    fn settle(&self, directory: &FsPath) -> io::Result<()> {
        self.disk.sync_directory(directory)?;
        let settled = || self.settled.lock().unwrap_or_else(PoisonError::into_inner);
        if settled().contains(directory) {
            return Ok(());
        }
        for above in directory.ancestors().skip(1) {
            match self.disk.sync_directory(above) {
                // We may pass through directories that we may not read; we did not make those.
                Err(error) if error.kind() == ErrorKind::PermissionDenied => break,
                other => other?,
            }
        }
        settled().insert(directory.to_owned());
        Ok(())
    }

    /// Makes a file durable that has its name already.
    fn settle_file(&self, path: &FsPath) -> io::Result<()> {
        self.disk.sync_file(path)?;
        self.disk.named(path);
        path.parent()
            .map_or(Ok(()), |directory| self.settle(directory))
    }
}

/// Runs blocking work where it may block.
async fn blocking<T: Send + 'static>(
    path: PathBuf,
    work: impl FnOnce(&FsPath) -> io::Result<T> + Send + 'static,
) -> object_store::Result<T> {
    let shown = path.display().to_string();
    let done = tokio::task::spawn_blocking(move || work(&path)).await?;
    done.map_err(|source| match source.kind() {
        ErrorKind::AlreadyExists => object_store::Error::AlreadyExists {
            path: shown,
            source: Box::new(source),
        },
        ErrorKind::PermissionDenied => object_store::Error::PermissionDenied {
            path: shown,
            source: Box::new(source),
        },
        _ => object_store::Error::Generic {
            store: STORE,
            source: Box::new(source),
        },
    })
}

#[async_trait]
impl ObjectStore for DurableLocal {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        opts: PutOptions,
    ) -> object_store::Result<PutResult> {
        let create = match opts.mode {
            PutMode::Create => true,
            PutMode::Overwrite => false,
            PutMode::Update(_) => return self.inner.put_opts(location, payload, opts).await,
        };
        let path = self.inner.path_to_filesystem(location)?;
        let writes = self.writes.clone();
        blocking(path, move |path| writes.put(path, &payload, create)).await?;
        Ok(PutResult {
            e_tag: None,
            version: None,
        })
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        opts: PutMultipartOptions,
    ) -> object_store::Result<Box<dyn MultipartUpload>> {
        let path = self.inner.path_to_filesystem(location)?;
        let inner = self.inner.put_multipart_opts(location, opts).await?;
        let writes = self.writes.clone();
        Ok(Box::new(DurableUpload {
            inner,
            path,
            writes,
        }))
    }

    async fn get_opts(
        &self,
        location: &Path,
        options: GetOptions,
    ) -> object_store::Result<GetResult> {
        self.inner.get_opts(location, options).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, object_store::Result<Path>>,
    ) -> BoxStream<'static, object_store::Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list(prefix)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, object_store::Result<ObjectMeta>> {
        self.inner.list_with_offset(prefix, offset)
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> object_store::Result<ListResult> {
        self.inner.list_with_delimiter(prefix).await
    }

    async fn copy_opts(
        &self,
        from: &Path,
        to: &Path,
        options: CopyOptions,
    ) -> object_store::Result<()> {
        self.inner.copy_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        let writes = self.writes.clone();
        blocking(path, move |path| writes.settle_file(path)).await
    }

    async fn rename_opts(
        &self,
        from: &Path,
        to: &Path,
        options: RenameOptions,
    ) -> object_store::Result<()> {
        self.inner.rename_opts(from, to, options).await?;
        let path = self.inner.path_to_filesystem(to)?;
        let writes = self.writes.clone();
        blocking(path, move |path| writes.settle_file(path)).await
    }
}

/// A large file that is written in parts and synced when it is complete. Only data files are
/// written so: nobody knows their names before the commit.
#[derive(Debug)]
struct DurableUpload {
    inner: Box<dyn MultipartUpload>,
    path: PathBuf,
    writes: Arc<Writes>,
}

#[async_trait]
impl MultipartUpload for DurableUpload {
    fn put_part(&mut self, data: PutPayload) -> UploadPart {
        self.inner.put_part(data)
    }

    async fn complete(&mut self) -> object_store::Result<PutResult> {
        let result = self.inner.complete().await?;
        let writes = self.writes.clone();
        blocking(self.path.clone(), move |path| writes.settle_file(path)).await?;
        Ok(result)
    }

    async fn abort(&mut self) -> object_store::Result<()> {
        self.inner.abort().await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_place_has_one_name() {
        let here = std::env::current_dir().unwrap();
        let expected = format!("file://{}/data/events", here.display());
        for uri in ["data/events", "./data/events/", "data/x/../events"] {
            assert_eq!(Location::parse(uri).unwrap().uri(), expected);
        }
        assert_eq!(
            Location::parse(&format!("{expected}/")).unwrap().uri(),
            expected
        );
        let beside = |uri| Location::parse(uri).unwrap().beside("_x");
        assert_eq!(beside("./data/events/").uri(), format!("{expected}_x"));
        assert_eq!(beside("data/events").directory, here.join("data/events_x"));
        assert!(Location::parse("").is_err());
        assert!(Location::parse("file://relative").is_err());
        let elsewhere = Location::parse("gs://bucket/table").unwrap_err();
        assert!(elsewhere.to_string().contains("folder of this machine"));
    }

    #[tokio::test]
    async fn a_put_that_must_create_leaves_what_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let store = DurableLocal::new(Arc::new(RealDisk));
        let path = Path::from_absolute_path(directory.path().join("a/b")).unwrap();
        let create = || PutOptions::from(PutMode::Create);
        store.put_opts(&path, "one".into(), create()).await.unwrap();
        let again = store.put_opts(&path, "two".into(), create()).await;
        assert!(matches!(
            again,
            Err(object_store::Error::AlreadyExists { .. })
        ));
        assert_eq!(fs::read(directory.path().join("a/b")).unwrap(), b"one");
        let overwrite = PutOptions::from(PutMode::Overwrite);
        store
            .put_opts(&path, "three".into(), overwrite)
            .await
            .unwrap();
        assert_eq!(fs::read(directory.path().join("a/b")).unwrap(), b"three");
        assert_eq!(fs::read_dir(directory.path().join("a")).unwrap().count(), 1);
    }
}
