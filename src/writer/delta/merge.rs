//! Compaction: which small files are merged into one, and the merging.
//!
//! Files are told apart by how many rows they have: a tier holds eight times the rows of the tier below.
//! A full tier is merged and its rows rise by at least one, so that a row is rewritten once a tier at
//! most, however many commits there are. Commits nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arrow_schema::SchemaRef;
use deltalake_core::kernel::Add;
use deltalake_core::logstore::object_store::buffered::BufWriter;
use deltalake_core::logstore::object_store::path::Path;
use deltalake_core::logstore::object_store::{ObjectStore, ObjectStoreExt as _};
use parquet::arrow::AsyncArrowWriter;
use parquet::arrow::arrow_reader::ParquetRecordBatchReaderBuilder;
use tokio::runtime::Handle;

use super::BREATH;
use super::conform::conform;
use super::error::Error;
use super::parts::{Extent, add_action, new_path, parquet_options};
use super::tail::SmallFile;

/// Rows that are in memory decoded at a time, besides the row group that is being written.
const BATCH_ROWS: usize = 1024;

/// When files are merged.
#[derive(Clone, Copy, Debug)]
pub(super) struct Plan {
    /// So many files of a tier make it full; also the ratio of two tiers.
    pub(super) full: usize,
    /// About how large a merged file may become.
    pub(super) target_bytes: u64,
    /// A day to which nothing was added since then (milliseconds since 1970) is tidied up whole.
    pub(super) quiet_since: i64,
}

impl Plan {
    /// The files to merge next, all of one day; `None` if there is nothing to do.
    pub(super) fn next<'a>(
        &self,
        files: impl Iterator<Item = &'a SmallFile>,
    ) -> Option<Vec<SmallFile>> {
        let mut days: BTreeMap<&Option<String>, Vec<&SmallFile>> = BTreeMap::new();
        for file in files {
            days.entry(&file.date).or_default().push(file);
        }
        days.into_values().find_map(|files| self.of_day(files))
    }

    fn of_day(&self, mut files: Vec<&SmallFile>) -> Option<Vec<SmallFile>> {
        files.sort_by_key(|file| (file.extent.rows, file.added));
        let quiet = files.iter().all(|file| file.added < self.quiet_since);
        let chosen = if quiet {
            files.len()
        } else {
            self.through_full_tier(&files)?
        };
        let mut bytes = 0;
        let fitting = files.into_iter().take(chosen).take_while(|file| {
            bytes += u64::try_from(file.size).unwrap_or(0);
            bytes <= self.target_bytes
        });
        let fitting: Vec<SmallFile> = fitting.cloned().collect();
        (fitting.len() > 1).then_some(fitting)
    }

    /// How many of the files, ascending by rows, lie in the greatest full tier and below it.
    fn through_full_tier(&self, files: &[&SmallFile]) -> Option<usize> {
        let mut in_tier: BTreeMap<u32, usize> = BTreeMap::new();
        for file in files {
            *in_tier.entry(self.tier(file)).or_default() += 1;
        }
        let full = in_tier.iter().rev().find(|(_, count)| **count >= self.full);
        let (greatest, _) = full?;
        Some(in_tier.range(..=greatest).map(|(_, count)| count).sum())
    }

    fn tier(&self, file: &SmallFile) -> u32 {
        let ratio = i64::try_from(self.full).unwrap_or(i64::MAX).max(2);
        file.extent.rows.max(1).ilog(ratio)
    }
}

/// Reads the files one after the other and writes their rows into one new file.
/// Gives `None` if it was told to stop. To be run on a thread that may block.
pub(super) fn merge_blocking(
    runtime: &Handle,
    objects: &Arc<dyn ObjectStore>,
    schema: &SchemaRef,
    files: &[SmallFile],
    now_millis: i64,
    stop: &AtomicBool,
) -> Result<Option<Add>, Error> {
    let date = files.first().and_then(|file| file.date.clone());
    let path = new_path(date.as_deref());
    let object = BufWriter::new(objects.clone(), Path::from(path.as_str())).with_max_concurrency(1);
    let mut writer =
        AsyncArrowWriter::try_new_with_options(object, schema.clone(), parquet_options())?;
    let mut extent = Extent::default();
    for file in files {
        let location = Path::parse(&file.path).map_err(|error| Error::Location {
            uri: file.path.clone(),
            reason: error.to_string(),
        })?;
        let bytes = runtime.block_on(async { objects.get(&location).await?.bytes().await })?;
        let reader = ParquetRecordBatchReaderBuilder::try_new(bytes)?.with_batch_size(BATCH_ROWS);
        for rows in reader.build()? {
            if stop.load(Ordering::Relaxed) {
                let mut unfinished = writer.into_inner();
                runtime.block_on(unfinished.abort())?;
                return Ok(None);
            }
            let rows = conform(&rows?, schema)?;
            extent.observe(&rows);
            runtime.block_on(writer.write(&rows))?;
            std::thread::sleep(BREATH);
        }
    }
    runtime.block_on(writer.finish())?;
    let size = writer.bytes_written();
    Ok(Some(add_action(
        path, date, size, extent, now_millis, false,
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAN: Plan = Plan {
        full: 8,
        target_bytes: 1_000_000,
        quiet_since: 0,
    };

    fn file(path: String, rows: i64, size: i64) -> SmallFile {
        SmallFile {
            path,
            date: Some("2026-11-21".to_owned()),
            size,
            extent: Extent { rows, times: None },
            added: 1,
        }
    }

    #[test]
    fn a_row_is_rewritten_once_a_tier_and_files_stay_few() {
        let mut files: Vec<SmallFile> = Vec::new();
        let (mut rewritten, mut most) = (0, 0);
        for commit in 0..5_000 {
            // Most of a tiny file is its footer: its size says nothing of its rows.
            files.push(file(format!("commit {commit}"), 3, 10_000));
            let plan = Plan {
                target_bytes: u64::MAX,
                ..PLAN
            };
            while let Some(chosen) = plan.next(files.iter()) {
                let rows: i64 = chosen.iter().map(|file| file.extent.rows).sum();
                rewritten += rows;
                files.retain(|file| !chosen.contains(file));
                files.push(file(format!("merge {commit} {rows}"), rows, 10_000 + rows));
            }
            most = most.max(files.len());
        }
        let tiers = 5; // 15,000 rows are less than 8^5.
        assert!(rewritten <= 15_000 * tiers, "{rewritten} rows rewritten");
        assert!(most <= 7 * 5, "{most} files");
    }

    #[test]
    fn days_are_never_mixed_and_the_target_is_kept() {
        let mut files: Vec<SmallFile> = (0..8).map(|n| file(n.to_string(), 1, 10)).collect();
        files[7].date = None;
        assert_eq!(PLAN.next(files.iter()), None);
        files[7].date = files[0].date.clone();
        assert_eq!(PLAN.next(files.iter()).unwrap().len(), 8);
        files[7].extent.rows = 2;
        files[7].size = 999_931;
        assert_eq!(PLAN.next(files.iter()).unwrap().len(), 7);
    }

    #[test]
    fn a_quiet_day_is_tidied_up() {
        let files: Vec<SmallFile> = (0..3)
            .map(|n| file(n.to_string(), 1 << (4 * n), 10))
            .collect();
        assert_eq!(PLAN.next(files.iter()), None);
        let later = Plan {
            quiet_since: 2,
            ..PLAN
        };
        assert_eq!(later.next(files.iter()).unwrap().len(), 3);
        assert_eq!(later.next(files[..1].iter()), None);
    }
}
