//! The tables that rows go to: one for all, or one a day where its name has `{date}` in it, as Google Analytics 4 exports
//! (<https://support.google.com/analytics/answer/7029846>).
//!
//! A table is made ready with its first row; that of the next day an hour before it begins. The day is that of the column
//! `date`. Each table has an appender, and with a disk log a journal, of its own. Nothing is known here of batches.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::civil::Date;
use jiff::{Span, Timestamp, ToSpan};
use tokio::sync::Mutex as AsyncMutex;
use tokio::task::AbortHandle;
use tokio::time::Instant;

use crate::clock::Clock;
use crate::durable::Disk;
use crate::schema::{self, LogId, Record, SequenceNumber, Summary};
use crate::writer::WriteError;
use crate::writer::google::Access;

use super::appender::Appender;
use super::journal::Journal;
use super::tables::{Definition, Tables};
use super::{CLOSE_TIMEOUT, Config, TableName};

/// What stands in the name of a table for its day.
pub(super) const DATE: &str = "{date}";

/// Tables that are appended to at once: those of the days that clients may send now, and some that are replayed.
const MAX_OPEN: usize = 8;

/// How long before a day its table is made.
const AHEAD: Duration = Duration::from_secs(3600);

/// The longest sleep: the clock may be set meanwhile.
const MAX_SLEEP: Duration = Duration::from_secs(600);

/// The day of a row, in days since 1970-01-01; `None` where one table takes all.
pub(super) type Day = Option<i32>;

/// See the module.
#[derive(Debug)]
pub(super) struct Shards {
    config: Config,
    disk: Arc<dyn Disk>,
    clock: Arc<dyn Clock>,
    tables: Arc<Tables>,
    open: AsyncMutex<BTreeMap<Day, Arc<Shard>>>,
    /// Makes the table of the next day.
    ahead: Mutex<Option<AbortHandle>>,
    /// How far the tables of days were at start, and in which logs.
    reached: Mutex<Vec<(LogId, SequenceNumber)>>,
}

/// A table that rows go to.
#[derive(Debug)]
pub(super) struct Shard {
    /// Its name.
    pub(super) table: TableName,
    /// What appends to it.
    pub(super) appender: Appender,
    /// When it was last looked after.
    seen: Mutex<Option<Instant>>,
}

impl Shards {
    /// Tables that nobody was asked for yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub(super) fn new(
        config: &Config,
        disk: &Arc<dyn Disk>,
        clock: &Arc<dyn Clock>,
    ) -> Result<Self, WriteError> {
        Ok(Self {
            tables: Arc::new(Tables::new(Access::new(&config.endpoint)?)?),
            config: config.clone(),
            disk: Arc::clone(disk),
            clock: Arc::clone(clock),
            open: AsyncMutex::default(),
            ahead: Mutex::default(),
            reached: Mutex::default(),
        })
    }

    /// Makes the table ready that rows would go to now; its name.
    ///
    /// # Errors
    /// It cannot be had now, or only the operator can help.
    pub(super) async fn table_now(
        config: &Config,
        clock: &Arc<dyn Clock>,
    ) -> Result<String, WriteError> {
        let is_daily = config.table.contains(DATE);
        let day = is_daily.then(|| days(today(clock.as_ref(), config)));
        let tables = Tables::new(Access::new(&config.endpoint)?)?;
        let table = tables
            .prepare(&name(config, day), &definition(is_daily))
            .await?;
        Ok(table.to_string())
    }

    /// The REST interface of all of them.
    pub(super) fn tables(&self) -> &Tables {
        &self.tables
    }

    /// Whether there is one table a day.
    pub(super) fn are_daily(&self) -> bool {
        self.config.table.contains(DATE)
    }

    /// Makes the table ready that rows go to now.
    ///
    /// # Errors
    /// It cannot be had now, or only the operator can help.
    pub(super) async fn prepare(&self) -> Result<(), WriteError> {
        let today = self
            .are_daily()
            .then(|| days(today(self.clock.as_ref(), &self.config)));
        if self.are_daily() {
            self.settle_journals().await?;
        }
        self.of(&[today]).await?;
        if self.are_daily() {
            let mut ahead = self.ahead.lock().unwrap_or_else(PoisonError::into_inner);
            ahead.get_or_insert_with(|| {
                let next_days = next_days(
                    Arc::clone(&self.tables),
                    self.config.clone(),
                    Arc::clone(&self.clock),
                );
                tokio::spawn(next_days).abort_handle()
            });
        }
        Ok(())
    }

    /// Finds out what each day's table took in an earlier process.
    async fn settle_journals(&self) -> Result<(), WriteError> {
        let Some((path, folder)) = self.config.journal.as_ref().zip(self.journal_folder()) else {
            return Ok(());
        };
        let stem = format!(
            "{}-",
            path.file_stem().unwrap_or_default().to_string_lossy()
        );
        let mut reached = Vec::new();
        for entry in self.disk.list(folder).map_err(WriteError::transient)? {
            // What a crash left of replacing one ends otherwise.
            if !entry.name.starts_with(&stem) || !entry.name.ends_with(".jsonl") {
                continue;
            }
            let appender = self.appender(Some(folder.join(entry.name)))?;
            appender.finish().await?;
            reached.extend(appender.reached().await);
        }
        *self.reached.lock().unwrap_or_else(PoisonError::into_inner) = reached;
        Ok(())
    }

    /// The furthest number of a log that any of the tables had at start.
    pub(super) fn furthest(&self, log_id: LogId) -> Option<SequenceNumber> {
        let reached = self.reached.lock().unwrap_or_else(PoisonError::into_inner);
        let of_log = reached.iter().filter(|(id, _)| *id == log_id);
        of_log.map(|(_, number)| *number).max()
    }

    /// The one table for all, if it is that and ready.
    pub(super) async fn only(&self) -> Option<Arc<Shard>> {
        self.open.lock().await.get(&None).cloned()
    }

    /// The tables of these days, made ready.
    ///
    /// # Errors
    /// One cannot be had now, or only the operator can help.
    pub(super) async fn of(&self, days: &[Day]) -> Result<Vec<Arc<Shard>>, WriteError> {
        let mut open = self.open.lock().await;
        let mut found = Vec::with_capacity(days.len());
        for day in days {
            let shard = match open.get(day) {
                Some(shard) => Arc::clone(shard),
                None => {
                    let shard = Arc::new(self.ready(*day).await?);
                    open.insert(*day, Arc::clone(&shard));
                    shard
                }
            };
            found.push(shard);
        }
        // The oldest day has least to do. What is in use stays.
        while open.len() > MAX_OPEN {
            let idle = open.iter().find(|(_, shard)| Arc::strong_count(shard) == 1);
            let Some(day) = idle.map(|(day, _)| *day) else {
                break;
            };
            if let Some(shard) = open.remove(&day) {
                end(&shard).await;
            }
        }
        Ok(found)
    }

    /// Ends all that is open.
    pub(super) async fn close(&self) {
        if let Some(ahead) = &*self.ahead.lock().unwrap_or_else(PoisonError::into_inner) {
            ahead.abort();
        }
        for shard in self.open.lock().await.values() {
            end(shard).await;
        }
    }

    async fn ready(&self, day: Day) -> Result<Shard, WriteError> {
        let definition = definition(self.are_daily());
        let table = self
            .tables
            .prepare(&name(&self.config, day), &definition)
            .await?;
        let appender = self.appender(self.journal_path(day))?;
        appender.begin(table.clone()).await?;
        Ok(Shard {
            table,
            appender,
            seen: Mutex::default(),
        })
    }

    /// Looks whether the table of a day still has all columns, unless that was seen within `time`, and adds those that it lacks.
    ///
    /// # Errors
    /// It cannot be asked now, or it cannot hold the rows.
    pub(super) async fn look_after(&self, day: Day, time: Duration) -> Result<(), WriteError> {
        let Some(shard) = self.open.lock().await.get(&day).cloned() else {
            return Ok(());
        };
        let seen = *shard.seen.lock().unwrap_or_else(PoisonError::into_inner);
        if seen.is_some_and(|seen| seen.elapsed() < time) {
            return Ok(());
        }
        let definition = definition(self.are_daily());
        self.tables
            .prepare(&name(&self.config, day), &definition)
            .await?;
        *shard.seen.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        Ok(())
    }

    fn appender(&self, journal: Option<PathBuf>) -> Result<Appender, WriteError> {
        let journal = match journal {
            Some(path) => {
                let journal = Journal::open(Arc::clone(&self.disk), &path);
                Some(journal.map_err(|error| {
                    WriteError::fatal(format!("{} cannot be read: {error}", path.display()))
                })?)
            }
            None => None,
        };
        Appender::new(
            Access::new(&self.config.grpc_endpoint)?,
            schema::bigquery::writer_descriptor(),
            journal,
            self.config.answer_timeout,
        )
    }

    /// The folder of the journals, if it is there.
    fn journal_folder(&self) -> Option<&Path> {
        let folder = self.config.journal.as_ref()?.parent()?;
        // It is made with the first journal.
        self.disk.list(folder).is_ok().then_some(folder)
    }

    /// Each day's table has a journal of its own: numbers are settled for each by itself.
    fn journal_path(&self, day: Day) -> Option<PathBuf> {
        let path = self.config.journal.as_ref()?;
        let Some(day) = day else {
            return Some(path.clone());
        };
        let stem = path.file_stem().unwrap_or_default().to_string_lossy();
        Some(path.with_file_name(format!("{stem}-{}.jsonl", written(day))))
    }
}

/// The day of an encoded row, in days since 1970-01-01.
///
/// # Errors
/// Why it has none.
pub(super) fn day_of(record: &Record) -> Result<i32, String> {
    let summary = Summary::of(&record.payload).map_err(|error| error.to_string())?;
    let day = summary.date;
    day.ok_or_else(|| "date: is missing, so the row belongs in no day's table".to_owned())
}

/// What is not ended now is when it is opened the next time.
async fn end(shard: &Shard) {
    match tokio::time::timeout(CLOSE_TIMEOUT, shard.appender.finish()).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => tracing::debug!(table = %shard.table, %error, "stream was not ended"),
        Err(_elapsed) => tracing::debug!(table = %shard.table, "stream was not ended in time"),
    }
}

/// The table of events, of all days or of one.
fn definition(is_daily: bool) -> Definition {
    let mut table = if is_daily {
        schema::bigquery::day_table()
    } else {
        schema::bigquery::table()
    };
    table["description"] = "Events of Real Streaming, as Google Analytics 4 exports them".into();
    Definition {
        table,
        named_by: "WRITERS__BQ__TABLE_ID",
    }
}

fn name(config: &Config, day: Day) -> TableName {
    let day = day.map(written).unwrap_or_default();
    TableName {
        project: config.project.clone(),
        dataset: config.dataset.clone(),
        table: config.table.replace(DATE, &day),
    }
}

/// A day as tables' names have it.
fn written(day: i32) -> String {
    let date = EPOCH.saturating_add(Span::new().days(day));
    date.strftime("%Y%m%d").to_string()
}

const EPOCH: Date = Date::constant(1970, 1, 1);

fn days(date: Date) -> i32 {
    EPOCH.until(date).map_or(0, |span| span.get_days())
}

fn today(clock: &dyn Clock, config: &Config) -> Date {
    let now = Timestamp::from_microsecond(clock.now().0).unwrap_or_default();
    now.to_zoned(config.time_zone.clone()).date()
}

/// Makes the table of each next day, an hour before it begins.
async fn next_days(tables: Arc<Tables>, config: Config, clock: Arc<dyn Clock>) {
    let mut made = None;
    loop {
        let tomorrow = today(clock.as_ref(), &config).saturating_add(1.day());
        let begin = tomorrow.to_zoned(config.time_zone.clone());
        let begin = begin.map_or(i64::MAX, |begin| begin.timestamp().as_microsecond());
        let left = u64::try_from(begin.saturating_sub(clock.now().0)).unwrap_or_default();
        let wait = Duration::from_micros(left).saturating_sub(AHEAD);
        if !wait.is_zero() || made == Some(tomorrow) {
            let wait = if wait.is_zero() { MAX_SLEEP } else { wait };
            tokio::time::sleep(wait.min(MAX_SLEEP)).await;
            continue;
        }
        let table = name(&config, Some(days(tomorrow)));
        match tables.prepare(&table, &definition(true)).await {
            Ok(_) => made = Some(tomorrow),
            Err(error) => {
                tracing::warn!(%table, %error, "tomorrow's table cannot be made yet");
                tokio::time::sleep(MAX_SLEEP / 10).await;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn days_are_written_as_the_names_of_tables_have_them() {
        assert_eq!(written(0), "19700101");
        assert_eq!(written(20_778), "20261121");
        assert_eq!(written(-1), "19691231");
        assert_eq!(days(Date::constant(2026, 11, 21)), 20_778);
    }
}
