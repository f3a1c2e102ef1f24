//! The table's definition: creates it, compares its columns with ours, adds those it lacks.
//!
//! Every column of a table that we make is nullable, so that one can be added later and none has to be
//! filled. Writes no rows.

use std::time::Duration;

use arrow_schema::Schema;
use deltalake_core::kernel::engine::arrow_conversion::TryIntoKernel as _;
use deltalake_core::kernel::transaction::PROTOCOL;
use deltalake_core::kernel::{ArrayType, DataType, EagerSnapshot, StructField, StructType};
use deltalake_core::logstore::LogStoreRef;
use deltalake_core::operations::create::CreateBuilder;
use deltalake_core::protocol::SaveMode;
use deltalake_core::{DeltaTable, DeltaTableError};

use super::Config;
use super::error::Error;
use super::parts::{DATE, TIME};
use super::upkeep::vacuum_interval;

/// How often a change of the columns is tried again when another instance was faster.
const ATTEMPTS: usize = 5;

/// What a table says of itself.
#[derive(Clone, Copy, Debug)]
pub(super) struct Title {
    name: &'static str,
    comment: &'static str,
}

/// The table of events.
pub(super) const EVENTS: Title = Title {
    name: "events",
    comment: "Web events as rows of Google Analytics 4's BigQuery export",
};

/// The table of the ledger's rows.
pub(super) const LEDGER: Title = Title {
    name: "ledger",
    comment: "How many events of which minute and stream had which outcome",
};

/// Creates the table if it is missing and adds the columns that it lacks.
pub(super) async fn prepare(
    store: &LogStoreRef,
    config: &Config,
    ours: &Schema,
    title: Title,
) -> Result<(), Error> {
    let ours = nullable_columns(ours)?;
    if !store.is_delta_table_location().await? {
        create(store, config, &ours, title).await?;
    }
    for _ in 0..ATTEMPTS {
        let snapshot = EagerSnapshot::try_new(store.as_ref(), None).await?;
        let missing = missing_columns(&snapshot, &ours)?;
        if missing.is_empty() {
            return Ok(());
        }
        tracing::info!(columns = missing.join(", "), "adding columns to the table");
        let added = DeltaTable::new(store.clone())
            .add_columns()
            .with_fields(ours.fields().cloned().collect::<Vec<_>>())
            .await;
        match added {
            // Another instance changed the table at the same time: look again.
            Ok(_)
            | Err(DeltaTableError::Transaction { .. } | DeltaTableError::VersionAlreadyExists(_)) =>
                {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(Error::Overtaken(ATTEMPTS))
}

async fn create(
    store: &LogStoreRef,
    config: &Config,
    columns: &StructType,
    title: Title,
) -> Result<(), Error> {
    let seconds = |duration: Duration| Some(format!("interval {} seconds", duration.as_secs()));
    // A tombstone that a checkpoint leaves out before the vacuum has seen it would let its file lie about as
    // an orphan for long.
    let tombstones = config.file_retention * 2 + vacuum_interval(config) * 2;
    let properties = [
        ("delta.logRetentionDuration", seconds(config.log_retention)),
        ("delta.deletedFileRetentionDuration", seconds(tombstones)),
        (
            "delta.checkpointInterval",
            Some(config.checkpoint_interval.to_string()),
        ),
        (
            "delta.dataSkippingStatsColumns",
            columns.field(TIME).map(|_| TIME.to_owned()),
        ),
    ];
    let created = CreateBuilder::new()
        .with_log_store(store.clone())
        .with_table_name(title.name)
        .with_comment(title.comment)
        .with_columns(columns.fields().cloned())
        .with_partition_columns([DATE])
        .with_configuration(properties)
        .with_raise_if_key_not_exists(false)
        .with_save_mode(SaveMode::Ignore)
        .await;
    match created {
        Ok(_) => Ok(()),
        // Another instance made it at the same time.
        Err(_) if store.is_delta_table_location().await? => Ok(()),
        Err(error) => Err(error.into()),
    }
}

/// Our columns as the table has them: all nullable, at every depth.
fn nullable_columns(schema: &Schema) -> Result<StructType, Error> {
    let schema: StructType = schema.try_into_kernel()?;
    nullable_struct(&schema)
}

fn nullable_struct(columns: &StructType) -> Result<StructType, Error> {
    let mut fields = Vec::new();
    for field in columns.fields() {
        let nullable = StructField::nullable(field.name(), nullable_type(field.data_type())?);
        fields.push(nullable.with_metadata(field.metadata().clone()));
    }
    Ok(StructType::try_new(fields).map_err(DeltaTableError::from)?)
}

fn nullable_type(kind: &DataType) -> Result<DataType, Error> {
    Ok(match kind {
        DataType::Struct(columns) => DataType::Struct(Box::new(nullable_struct(columns)?)),
        DataType::Array(array) => {
            let element = nullable_type(array.element_type())?;
            DataType::Array(Box::new(ArrayType::new(element, true)))
        }
        other => other.clone(),
    })
}

/// Whether the table, as it is in this snapshot, can take our rows without a change.
pub(super) fn check(snapshot: &EagerSnapshot, ours: &Schema) -> Result<(), Error> {
    let missing = missing_columns(snapshot, &nullable_columns(ours)?)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Error::Schema(format!("missing: {}", missing.join(", "))))
}

/// The paths of the columns that the table lacks. Fails if rows of ours can never be written to it.
fn missing_columns(snapshot: &EagerSnapshot, ours: &StructType) -> Result<Vec<String>, Error> {
    PROTOCOL.can_write_to(snapshot)?;
    let partitions = snapshot.metadata().partition_columns();
    if *partitions != [DATE] {
        let found = partitions.join(", ");
        return Err(Error::Schema(format!(
            "the table is partitioned by [{found}], it must be by [{DATE}]"
        )));
    }
    for unsupported in [
        "delta.columnMapping.mode",
        "delta.enableInCommitTimestamps",
        "delta.enableRowTracking",
    ] {
        let value = snapshot.metadata().configuration().get(unsupported);
        if let Some(value) = value.filter(|value| !["none", "false"].contains(&value.as_str())) {
            return Err(Error::Schema(format!(
                "{unsupported} = {value} is not supported"
            )));
        }
    }
    let mut differences = Differences::default();
    differences.compare("", ours, snapshot.schema().as_ref());
    if differences.conflicts.is_empty() {
        return Ok(differences.missing);
    }
    Err(Error::Schema(differences.conflicts.join("\n")))
}

#[derive(Debug, Default)]
struct Differences {
    missing: Vec<String>,
    conflicts: Vec<String>,
}

impl Differences {
    fn compare(&mut self, prefix: &str, ours: &StructType, theirs: &StructType) {
        for column in ours.fields() {
            let path = format!("{prefix}{}", column.name());
            match theirs.field(column.name()) {
                Some(found) => self.compare_types(&path, column.data_type(), found.data_type()),
                None => self.missing.push(path),
            }
        }
        for extra in theirs.fields() {
            if !extra.is_nullable() && ours.field(extra.name()).is_none() {
                let path = format!("{prefix}{}", extra.name());
                self.conflicts
                    .push(format!("{path}: required by the table, unknown to us"));
            }
        }
    }

    fn compare_types(&mut self, path: &str, ours: &DataType, theirs: &DataType) {
        match (ours, theirs) {
            (DataType::Struct(ours), DataType::Struct(theirs)) => {
                self.compare(&format!("{path}."), ours, theirs);
            }
            (DataType::Array(ours), DataType::Array(theirs)) => {
                self.compare_types(path, ours.element_type(), theirs.element_type());
            }
            (ours, theirs) if ours == theirs => {}
            (ours, theirs) => self
                .conflicts
                .push(format!("{path}: {theirs} in the table, must be {ours}")),
        }
    }
}
