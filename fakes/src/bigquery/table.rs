//! A table: what REST shows of it, its rules for changes, and the rows that it got.
//!
//! Writers may see a new table or new columns later than REST does, as they do at BigQuery: each version of the columns
//! has a time from which they count for writers.

use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Map, Value, json};

use super::chunk::Chunk;
use super::layout::{check_layout, check_texts};
use super::refusal::Refusal;
use super::schema::{self, Column};

/// A table's definition changes so often at most in [`CHANGES_WITHIN`].
const MAX_CHANGES: usize = 5;
const CHANGES_WITHIN: Duration = Duration::from_secs(10);
/// What a table can be told at its creation.
const KNOWN: [&str; 12] = [
    "kind",
    "tableReference",
    "schema",
    "timePartitioning",
    "clustering",
    "description",
    "friendlyName",
    "labels",
    "expirationTime",
    "requirePartitionFilter",
    "etag",
    "type",
];

/// Name of a table.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct TableName {
    pub project: String,
    pub dataset: String,
    pub table: String,
}

impl TableName {
    pub(super) fn new(project: &str, dataset: &str, table: &str) -> Self {
        Self {
            project: project.to_owned(),
            dataset: dataset.to_owned(),
            table: table.to_owned(),
        }
    }

    /// Of `project.dataset.table`.
    pub(super) fn parse(name: &str) -> Self {
        let mut parts = name.split('.');
        let mut part = || parts.next().expect("project.dataset.table").to_owned();
        Self {
            project: part(),
            dataset: part(),
            table: part(),
        }
    }

    /// The name of the table, and the rest, of `projects/…/datasets/…/tables/…[/rest]`.
    pub(super) fn of_path(path: &str) -> Option<(Self, &str)> {
        let rest = path.strip_prefix("projects/")?;
        let (project, rest) = rest.split_once("/datasets/")?;
        let (dataset, rest) = rest.split_once("/tables/")?;
        let (table, rest) = rest.split_once('/').unwrap_or((rest, ""));
        let is_whole = ![project, dataset, table]
            .iter()
            .any(|part| part.is_empty() || part.contains('/'));
        is_whole.then(|| (Self::new(project, dataset, table), rest))
    }

    pub(super) fn path(&self) -> String {
        let (project, dataset) = (&self.project, &self.dataset);
        format!(
            "projects/{project}/datasets/{dataset}/tables/{}",
            self.table
        )
    }
}

impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}.{}", self.project, self.dataset, self.table)
    }
}

/// A version of the columns.
#[derive(Clone, Debug)]
struct Version {
    columns: Arc<Vec<Column>>,
    counts_from: Instant,
}

/// A table.
#[derive(Debug)]
pub(super) struct Table {
    /// Tells it from one of the same name before it.
    pub generation: u64,
    pub chunks: Vec<Chunk>,
    resource: Map<String, Value>,
    versions: Vec<Version>,
    changes: VecDeque<Instant>,
    etag: u64,
}

impl Table {
    /// Makes a table that writers see after `lag`.
    ///
    /// # Errors
    /// It cannot be made like that.
    pub(super) fn create(
        name: &TableName,
        body: &Value,
        generation: u64,
        lag: Duration,
    ) -> Result<Self, Refusal> {
        let body = body
            .as_object()
            .ok_or_else(|| Refusal::invalid("The body is no object"))?;
        if let Some(key) = body.keys().find(|key| !KNOWN.contains(&key.as_str())) {
            return Err(unknown(key));
        }
        let reference =
            json!({"projectId": name.project, "datasetId": name.dataset, "tableId": name.table});
        if body.get("tableReference") != Some(&reference) {
            return Err(Refusal::invalid("Invalid value for tableReference"));
        }
        let is_word = |c: char| c.is_alphanumeric() || c == '_' || c == '-' || c == ' ';
        if name.table.is_empty() || name.table.len() > 1024 || !name.table.chars().all(is_word) {
            let message = format!("Invalid table ID \"{}\".", name.table);
            return Err(Refusal::invalid(message));
        }
        let columns = fields(body)?;
        check_layout(body, &columns)?;
        check_texts(body)?;
        let mut resource = body.clone();
        resource.insert("kind".to_owned(), json!("bigquery#table"));
        resource.insert("id".to_owned(), json!(name.to_string()));
        resource.insert("type".to_owned(), json!("TABLE"));
        resource.insert("location".to_owned(), json!("EU"));
        let version = Version {
            columns: Arc::new(columns),
            counts_from: Instant::now() + lag,
        };
        Ok(Self {
            generation,
            chunks: Vec::new(),
            resource,
            versions: vec![version],
            changes: VecDeque::new(),
            etag: 1,
        })
    }

    /// Changes what the body names; writers see new columns after `lag`.
    ///
    /// # Errors
    /// It is no change that a table can have, or somebody else was first.
    pub(super) fn patch(
        &mut self,
        body: &Value,
        if_match: Option<&str>,
        lag: Duration,
    ) -> Result<(), Refusal> {
        let body = body
            .as_object()
            .ok_or_else(|| Refusal::invalid("The body is no object"))?;
        if if_match.is_some_and(|etag| etag != "*" && etag != self.etag()) {
            return Err(Refusal::stale());
        }
        let now = Instant::now();
        self.changes
            .retain(|change| now.duration_since(*change) < CHANGES_WITHIN);
        if self.changes.len() >= MAX_CHANGES {
            return Err(Refusal::too_often(
                "Exceeded rate limits: too many table update operations for this table.",
            ));
        }
        let mut changed = self.resource.clone();
        for (key, value) in body {
            match key.as_str() {
                "schema" | "description" | "friendlyName" | "clustering" | "expirationTime" => {
                    changed.insert(key.clone(), value.clone());
                }
                "labels" => merge_labels(&mut changed, value),
                "timePartitioning" if self.resource.get(key) != Some(value) => {
                    let message = "Cannot change partitioning/clustering spec for a partitioned/clustered table.";
                    return Err(Refusal::invalid(message));
                }
                "kind" | "etag" | "id" | "type" | "tableReference" | "timePartitioning" => {}
                other => return Err(unknown(other)),
            }
        }
        check_texts(&changed)?;
        let columns = fields(&changed)?;
        let before = self.columns();
        schema::check_change(&before, &columns, "").map_err(|change| {
            let table = changed["id"].as_str().unwrap_or_default();
            Refusal::invalid(format!(
                "Provided Schema does not match Table {table}. {change}."
            ))
        })?;
        check_layout(&changed, &columns)?;
        if columns != *before {
            self.versions.push(Version {
                columns: Arc::new(columns),
                counts_from: now + lag,
            });
        }
        self.resource = changed;
        self.etag += 1;
        self.changes.push_back(now);
        Ok(())
    }

    /// As REST shows it.
    pub(super) fn resource(&self) -> Value {
        let mut resource = self.resource.clone();
        resource.insert("etag".to_owned(), json!(self.etag()));
        let rows: usize = self.chunks.iter().map(|chunk| chunk.len()).sum();
        resource.insert("numRows".to_owned(), json!(rows.to_string()));
        if let Some(fields) = resource
            .get_mut("schema")
            .and_then(|schema| schema.get_mut("fields"))
        {
            fill_modes(fields);
        }
        Value::Object(resource)
    }

    fn etag(&self) -> String {
        format!("e{}v{}==", self.generation, self.etag)
    }

    /// The columns as REST shows them.
    pub(super) fn columns(&self) -> Arc<Vec<Column>> {
        let version = self.versions.last().expect("the first stays");
        Arc::clone(&version.columns)
    }

    /// The columns that count for writers, and their version; none if the table does not count yet.
    pub(super) fn columns_for_writers(&self) -> Option<(usize, &[Column])> {
        let now = Instant::now();
        let counts = |version: &Version| version.counts_from <= now;
        let index = self.versions.iter().rposition(counts)?;
        Some((index, &self.versions[index].columns))
    }

    /// The column by which it is partitioned.
    pub(super) fn partition(&self) -> Option<&str> {
        self.resource.get("timePartitioning")?["field"].as_str()
    }
}

fn unknown(key: &str) -> Refusal {
    Refusal::invalid(format!(
        "Invalid JSON payload received. Unknown name \"{key}\": Cannot find field."
    ))
}

fn fields(body: &Map<String, Value>) -> Result<Vec<Column>, Refusal> {
    let schema = body.get("schema");
    let fields = schema.map_or(&Value::Null, |schema| &schema["fields"]);
    schema::columns(fields).map_err(Refusal::invalid)
}

fn merge_labels(resource: &mut Map<String, Value>, changes: &Value) {
    let labels = resource.entry("labels").or_insert_with(|| json!({}));
    for (key, value) in changes.as_object().into_iter().flatten() {
        labels[key] = value.clone();
    }
    if let Some(labels) = labels.as_object_mut() {
        labels.retain(|_, value| !value.is_null());
    }
}

/// BigQuery always says the mode.
fn fill_modes(fields: &mut Value) {
    for field in fields.as_array_mut().into_iter().flatten() {
        if field["mode"].is_null() {
            field["mode"] = json!("NULLABLE");
        }
        if let Some(inner) = field.get_mut("fields") {
            fill_modes(inner);
        }
    }
}
