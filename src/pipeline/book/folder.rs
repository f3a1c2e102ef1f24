//! The files of the book: a page a destination, beside the log.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::durable::{self, Disk, file_stem_of};

use super::page::Page;

/// The version of the format that this program writes, and the newest that it reads.
const VERSION: u32 = 1;

/// What an earlier process has left of a page.
#[derive(Clone, Debug, Default)]
pub enum Found {
    /// There was none.
    #[default]
    Nothing,
    /// The page.
    Page(Box<Page>),
    /// It cannot be read: what was booked on it is not known.
    Damaged,
}

/// The folder of pages.
#[derive(Clone, Debug)]
pub struct PageFolder {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
}

impl PageFolder {
    /// The pages in `folder`, which is made if missing.
    ///
    /// # Errors
    /// Errors of the disk.
    pub fn open(disk: Arc<dyn Disk>, folder: &Path) -> io::Result<Self> {
        disk.create_dir_all(folder)?;
        Ok(Self {
            disk,
            folder: folder.to_owned(),
        })
    }

    /// The pages that earlier processes have left for these destinations. A damaged one costs rows of the ledger, not events.
    ///
    /// # Errors
    /// Errors of the disk; a page of a newer version.
    pub fn load<'a>(
        &self,
        destinations: impl Iterator<Item = &'a str>,
    ) -> io::Result<BTreeMap<String, Found>> {
        let mut pages = BTreeMap::new();
        for destination in destinations {
            let path = self.path(destination);
            let page = match durable::load(self.disk.as_ref(), &path, VERSION) {
                Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                    tracing::error!(
                        alarm = "ledger_damaged", destination, %error,
                        "what waited for the table of the ledger cannot be read and is not written; it goes on with what is counted from now on"
                    );
                    Found::Damaged
                }
                loaded => match loaded? {
                    Some(page) => Found::Page(Box::new(page)),
                    None => continue,
                },
            };
            pages.insert(destination.to_owned(), page);
        }
        Ok(pages)
    }

    /// Makes a page durable. Blocks.
    ///
    /// # Errors
    /// Errors of the disk; the page is then what it was.
    pub(super) fn store(&self, page: &Page) -> io::Result<()> {
        let path = self.path(&page.destination);
        durable::store(self.disk.as_ref(), &path, page, VERSION)
    }

    fn path(&self, destination: &str) -> PathBuf {
        self.folder.join(file_stem_of(destination) + ".json")
    }
}
