//! The dead letters at start: made of the configuration, settled after a crash, given to whoever needs them.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::clock::Clock;
use crate::config::{Config, DeadLetterConfig};
use crate::durable::Disk;
#[cfg(feature = "delta")]
use crate::letters::objects::ObjectLetters;
#[cfg(feature = "bigquery")]
use crate::letters::table::TableLetters;
#[cfg(feature = "pubsub")]
use crate::letters::topic::TopicLetters;
use crate::log::Log;
use crate::pipeline::{
    Archive, DeadLetter, DeadLetterFolder, Elsewhere, FolderArchive, Journals, Letters, Searched,
    Source, Verdicts,
};
use crate::schema::SequenceNumber;

use super::StartError;

/// How long the start waits for the place before it goes on without.
const OPEN_TIMEOUT: Duration = Duration::from_secs(5);

/// Where rejected rows go.
#[derive(Debug)]
pub(super) enum Place {
    Folder(PathBuf),
    #[cfg_attr(
        not(any(feature = "bigquery", feature = "delta", feature = "pubsub")),
        expect(dead_code, reason = "only a folder is known")
    )]
    Elsewhere {
        letters: Arc<dyn Letters>,
        /// `None` if it cannot be read.
        archive: Option<Arc<dyn Archive>>,
        /// The folder of the log, if it is on disk.
        log_folder: Option<PathBuf>,
    },
    Nowhere,
}

/// What all destinations share of their dead letters.
#[derive(Debug)]
pub(super) struct DeadLetters {
    place: Place,
    /// What was replayed, where that outlives the process.
    journals: Option<Journals>,
    clock: Arc<dyn Clock>,
    disk: Arc<dyn Disk>,
}

impl DeadLetters {
    /// Opens the place, and settles replays that a crash left. Nothing may be delivered before: the log has forgotten nothing yet.
    pub(super) async fn open(
        config: &Config,
        log_folder: Option<&Path>,
        disk: &Arc<dyn Disk>,
        clock: &Arc<dyn Clock>,
        log: &dyn Log,
    ) -> Result<Self, StartError> {
        let place = place(&config.dead_letter, log_folder, clock)?;
        let folder = match &place {
            Place::Folder(folder) => Some(folder),
            Place::Elsewhere {
                letters,
                archive,
                log_folder,
            } => {
                open(letters.as_ref()).await;
                archive.as_ref().and(log_folder.as_ref())
            }
            Place::Nowhere => None,
        };
        let journals = folder.map(|folder| Journals::open(Arc::clone(disk), folder, log));
        Ok(Self {
            journals: journals.transpose()?,
            place,
            clock: Arc::clone(clock),
            disk: Arc::clone(disk),
        })
    }

    /// Whether rejected rows are kept at all.
    pub(super) fn are_kept(&self) -> bool {
        !matches!(self.place, Place::Nowhere)
    }

    /// How many rows were ever replayed, as far as that is noted.
    pub(super) fn replayed(&self) -> Result<u64, StartError> {
        let count = self.journals.as_ref().map(Journals::count);
        Ok(count.transpose()?.unwrap_or_default())
    }

    /// That of one destination, whose cursor is at `position`. Verdicts go to those who wait where there is none.
    pub(super) fn of(
        &self,
        destination: &str,
        log: &dyn Log,
        position: SequenceNumber,
        verdicts: Arc<Verdicts>,
    ) -> Result<DeadLetter, StartError> {
        let clock = Arc::clone(&self.clock);
        Ok(match &self.place {
            Place::Folder(folder) => DeadLetter::Folder(DeadLetterFolder::open(
                clock,
                Arc::clone(&self.disk),
                folder,
                destination,
                log.id(),
                position,
            )?),
            Place::Elsewhere {
                letters,
                log_folder,
                ..
            } => {
                let notes = log_folder.as_ref();
                let notes =
                    notes.map(|folder| (Arc::clone(&self.disk), folder.join("dead_lettered")));
                DeadLetter::Elsewhere(Elsewhere::open(
                    Arc::clone(letters),
                    clock,
                    notes,
                    destination,
                    log.id(),
                    position,
                )?)
            }
            Place::Nowhere => DeadLetter::Nowhere(verdicts),
        })
    }

    /// What is searched when somebody asks what became of an event.
    pub(super) fn searched(&self) -> Searched {
        match (&self.place, &self.journals) {
            (Place::Folder(folder), Some(journals)) => {
                Searched::Folder(folder.clone(), journals.clone())
            }
            (Place::Elsewhere { letters, .. }, _) => Searched::Elsewhere(letters.name().to_owned()),
            _ => Searched::Nowhere,
        }
    }

    /// From where they are replayed, and where that is noted.
    pub(super) fn source(self) -> (Source, Option<Journals>) {
        let source = match self.place {
            Place::Folder(folder) => {
                Source::Archive(Arc::new(FolderArchive::new(self.disk, &folder)))
            }
            Place::Elsewhere {
                archive: Some(archive),
                ..
            } => Source::Archive(archive),
            Place::Elsewhere { letters, .. } => Source::Unreadable(letters.name().to_owned()),
            Place::Nowhere => Source::Nowhere,
        };
        (source, self.journals)
    }
}

#[cfg_attr(
    not(any(feature = "bigquery", feature = "delta", feature = "pubsub")),
    expect(unused_variables, reason = "only a folder is known")
)]
pub(super) fn place(
    config: &DeadLetterConfig,
    log_folder: Option<&Path>,
    clock: &Arc<dyn Clock>,
) -> Result<Place, StartError> {
    let log_folder = log_folder.map(Path::to_owned);
    Ok(match config {
        DeadLetterConfig::Folder(folder) => Place::Folder(folder.clone()),
        #[cfg(feature = "delta")]
        DeadLetterConfig::Objects(config) => {
            let letters = Arc::new(ObjectLetters::new(config, Arc::clone(clock))?);
            Place::Elsewhere {
                archive: Some(Arc::clone(&letters) as Arc<dyn Archive>),
                letters,
                log_folder,
            }
        }
        #[cfg(feature = "bigquery")]
        DeadLetterConfig::Table(place) => {
            let letters = Arc::new(TableLetters::new(place, Arc::clone(clock))?);
            Place::Elsewhere {
                archive: Some(Arc::clone(&letters) as Arc<dyn Archive>),
                letters,
                log_folder,
            }
        }
        #[cfg(feature = "pubsub")]
        DeadLetterConfig::Topic(config) => Place::Elsewhere {
            letters: Arc::new(TopicLetters::new(config.clone())?),
            archive: None,
            log_folder,
        },
        DeadLetterConfig::Nowhere => Place::Nowhere,
    })
}

/// Makes the place ready, if that can be done now: the first row that goes there asks again.
async fn open(letters: &dyn Letters) {
    let error = match tokio::time::timeout(OPEN_TIMEOUT, letters.open()).await {
        Ok(Ok(())) => return,
        Ok(Err(error)) => error.to_string(),
        Err(_elapsed) => "it does not answer".to_owned(),
    };
    tracing::error!(
        alarm = "dead_letter_unwritable",
        place = letters.name(),
        error,
        "dead letter is not ready; rows that a destination rejects wait, and all behind them"
    );
}
