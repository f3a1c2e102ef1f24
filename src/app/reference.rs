//! The files that enrichment looks things up in: read at start, and again when they change.
//!
//! At start a file must be sound. Later one that is not leaves in force what was read before, with an alarm until a sound one
//! is there. A file is read once it has stayed the same for an interval, so that one being written is left alone. What is in
//! the files is `enrich`'s matter.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use crate::config::Config;
use crate::enrich::Enricher;
use crate::enrich::commerce::Rates;
use crate::enrich::geo::Places;
use crate::enrich::reference::Reference;
use crate::enrich::traffic_source::Lists;
use crate::ledger::{Trouble, one_line};

use super::devices;

/// How often files are looked at.
const INTERVAL: Duration = Duration::from_secs(1);

/// A file cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("{variable}: {}: {reason}", path.display())]
pub struct Unusable {
    /// The variable that names it.
    variable: &'static str,
    path: PathBuf,
    reason: String,
}

/// What a file is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Places,
    Rates,
    Lists,
}

impl Kind {
    const fn variable(self) -> &'static str {
        match self {
            Self::Places => "APP_CONFIG__ENRICH__GEO_DATABASE",
            Self::Rates => "APP_CONFIG__ENRICH__RATES",
            Self::Lists => "APP_CONFIG__ENRICH__SOURCES",
        }
    }

    /// Puts what the file holds in force. `is_first`: nothing was in force before, so whoever starts does not wait until all of
    /// a large database has been looked at.
    fn load(self, bytes: Vec<u8>, reference: &Reference, is_first: bool) -> Result<(), String> {
        let told = |error: &dyn std::fmt::Display| error.to_string();
        match self {
            Self::Places => {
                let places = Places::read(bytes).map_err(|error| told(&error))?;
                if !is_first {
                    places.verify().map_err(|error| told(&error))?;
                }
                reference.places.replace(places);
            }
            Self::Rates => {
                let rates = Rates::read(&bytes).map_err(|error| told(&error))?;
                reference.rates.replace(rates);
            }
            Self::Lists => {
                let text = String::from_utf8(bytes).map_err(|error| told(&error))?;
                let lists = Lists::read(&text).map_err(|error| told(&error))?;
                reference.lists.replace(lists);
            }
        }
        Ok(())
    }
}

/// By what a file is told from the one that was there before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    inode: u64,
    bytes: u64,
    seconds: i64,
    nanoseconds: i64,
}

fn stamp(path: &Path) -> std::io::Result<Stamp> {
    let file = fs::metadata(path)?;
    Ok(Stamp {
        inode: file.ino(),
        bytes: file.len(),
        seconds: file.mtime(),
        nanoseconds: file.mtime_nsec(),
    })
}

#[derive(Debug)]
struct Kept {
    kind: Kind,
    path: PathBuf,
    /// The file that was read last, sound or not; `None` if it was not there.
    read: Option<Stamp>,
    /// The file as it was seen last.
    seen: Option<Stamp>,
    trouble: Trouble,
}

impl Kept {
    fn open(kind: Kind, path: &Path, reference: &Reference) -> Result<Self, Unusable> {
        let unusable = |reason: String| Unusable {
            variable: kind.variable(),
            path: path.to_owned(),
            reason,
        };
        let stamp = stamp(path).map_err(|error| unusable(error.to_string()))?;
        let bytes = fs::read(path).map_err(|error| unusable(error.to_string()))?;
        kind.load(bytes, reference, true).map_err(unusable)?;
        Ok(Self {
            kind,
            path: path.to_owned(),
            read: Some(stamp),
            seen: Some(stamp),
            trouble: Trouble::default(),
        })
    }

    /// Looks at the file, and reads it if it has changed and stayed so since the last look.
    fn look(&mut self, reference: &Reference) {
        let found = stamp(&self.path);
        let now = found.as_ref().ok().copied();
        let is_settled = now == self.seen;
        self.seen = now;
        if now == self.read || !is_settled {
            return;
        }
        self.read = now;
        let read = found
            .and_then(|_| fs::read(&self.path))
            .map_err(|error| error.to_string())
            .and_then(|bytes| self.kind.load(bytes, reference, false));
        let (variable, path) = (self.kind.variable(), self.path.display());
        match read {
            Ok(()) => {
                self.trouble.ends();
                tracing::info!(variable, %path, "a changed file is in force");
            }
            Err(reason) if self.trouble.begins() => tracing::error!(
                alarm = "reference_unreadable", variable, %path, error = one_line(&reason),
                "a changed file cannot be used; what was read before stays in force"
            ),
            Err(reason) => tracing::warn!(
                variable, %path, error = one_line(&reason),
                "a changed file cannot be used either"
            ),
        }
    }
}

/// Keeps what enrichment looks things up in as its files are.
#[derive(Debug)]
pub struct Keeper {
    files: Vec<Kept>,
    reference: Arc<Reference>,
}

impl Keeper {
    /// Looks at the files for ever. Done at once if there are none.
    pub(super) async fn keep(self) {
        let Self {
            mut files,
            reference,
        } = self;
        while !files.is_empty() {
            tokio::time::sleep(INTERVAL).await;
            let reference = Arc::clone(&reference);
            let looking = tokio::task::spawn_blocking(move || {
                for file in &mut files {
                    file.look(&reference);
                }
                files
            });
            files = looking.await.unwrap_or_default();
        }
    }
}

/// The enricher that the configuration says, with its files read, and who keeps them. Patterns of devices and networks of data
/// centres are read once.
///
/// # Errors
/// A file cannot be used.
pub fn enricher(config: &Config) -> Result<(Enricher, Keeper), Unusable> {
    let enricher = devices::equip(Enricher::new(config.enrich.clone()), config);
    let reference = enricher.reference();
    let named = [
        (Kind::Places, &config.reference.places),
        (Kind::Rates, &config.reference.rates),
        (Kind::Lists, &config.reference.lists),
    ];
    let named = named
        .into_iter()
        .filter_map(|(kind, path)| Some((kind, path.as_deref()?)));
    let files = named
        .map(|(kind, path)| Kept::open(kind, path, &reference))
        .collect::<Result<_, _>>()?;
    Ok((enricher, Keeper { files, reference }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(kind: Kind, path: &Path) -> (Kept, Reference) {
        let reference = Reference::default();
        let kept = Kept::open(kind, path, &reference).unwrap();
        (kept, reference)
    }

    /// Looks until a change has been seen to stay.
    fn look(kept: &mut Kept, reference: &Reference) {
        kept.look(reference);
        kept.look(reference);
    }

    #[test]
    fn a_changed_file_counts_and_a_broken_one_does_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("rates.json");
        fs::write(&path, r#"{"EUR": 1}"#).unwrap();
        let (mut kept, reference) = kept(Kind::Rates, &path);
        let rates = |text: &str| Rates::read(text.as_bytes()).unwrap();
        assert_eq!(*reference.rates.get().unwrap(), rates(r#"{"EUR": 1}"#));

        fs::write(&path, r#"{"EUR": 1.25}"#).unwrap();
        kept.look(&reference);
        assert_eq!(
            *reference.rates.get().unwrap(),
            rates(r#"{"EUR": 1}"#),
            "it may be half written"
        );
        kept.look(&reference);
        assert_eq!(*reference.rates.get().unwrap(), rates(r#"{"EUR": 1.25}"#));

        for broken in ["{", "{}", ""] {
            fs::write(&path, broken).unwrap();
            look(&mut kept, &reference);
            assert!(!kept.trouble.begins(), "it is in trouble: {broken:?}");
            assert_eq!(*reference.rates.get().unwrap(), rates(r#"{"EUR": 1.25}"#));
        }
        fs::remove_file(&path).unwrap();
        look(&mut kept, &reference);
        assert_eq!(*reference.rates.get().unwrap(), rates(r#"{"EUR": 1.25}"#));

        fs::write(&path, r#"{"EUR": 1.5}"#).unwrap();
        look(&mut kept, &reference);
        assert!(!kept.trouble.ends(), "it is over");
        assert_eq!(*reference.rates.get().unwrap(), rates(r#"{"EUR": 1.5}"#));
    }

    #[test]
    fn a_database_is_replaced_by_one_that_is_renamed_over_it() {
        let fixture =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/enrich/places.mmdb");
        let folder = tempfile::tempdir().unwrap();
        let (path, next) = (folder.path().join("a.mmdb"), folder.path().join("b.mmdb"));
        fs::copy(&fixture, &path).unwrap();
        let (mut kept, reference) = kept(Kind::Places, &path);
        let first = reference.places.get().unwrap();
        look(&mut kept, &reference);
        assert!(
            Arc::ptr_eq(&first, &reference.places.get().unwrap()),
            "nothing changed"
        );
        fs::copy(&fixture, &next).unwrap();
        fs::rename(&next, &path).unwrap();
        look(&mut kept, &reference);
        assert!(!Arc::ptr_eq(&first, &reference.places.get().unwrap()));
    }

    #[test]
    fn a_file_that_cannot_be_used_is_told_with_its_variable() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x");
        let told = |kind: Kind| {
            let error = Kept::open(kind, &path, &Reference::default()).unwrap_err();
            error.to_string()
        };
        assert!(told(Kind::Lists).contains("No such file"));
        fs::write(&path, "social\tx\nfoo\ty").unwrap();
        for (kind, variable, reason) in [
            (
                Kind::Places,
                "APP_CONFIG__ENRICH__GEO_DATABASE: ",
                "metadata",
            ),
            (Kind::Rates, "APP_CONFIG__ENRICH__RATES: ", "JSON object"),
            (Kind::Lists, "APP_CONFIG__ENRICH__SOURCES: ", "line 2"),
        ] {
            let told = told(kind);
            assert!(told.starts_with(variable), "{told}");
            assert!(
                told.to_lowercase().contains(&reason.to_lowercase()),
                "{told}"
            );
        }
    }
}
