//! The table: made if it is missing, grown if columns are, never anything else.
//!
//! Nothing is deleted, emptied or made again. A table that cannot hold our rows is told with every difference, but for
//! the predecessor's, beside which one of ours is used. What a table is to be is said by its [`Definition`], the same for
//! that of the events and those beside it. Four calls of the REST API
//! (<https://cloud.google.com/bigquery/docs/reference/rest/v2/tables>).

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::{Value, json};

use crate::schema;
use crate::writer::WriteError;
use crate::writer::google::Access;

use super::TableName;

/// How often a change is tried again when somebody else was faster.
const ATTEMPTS: usize = 5;

/// Tables that were just made are known everywhere after seconds.
const UNKNOWN_WAIT: Duration = Duration::from_secs(2);

/// What a table is to be.
#[derive(Clone, Debug, PartialEq)]
pub struct Definition {
    /// `schema`, and where there are any `timePartitioning`, `clustering` and `description`, as `tables.insert` takes them.
    pub table: Value,
    /// The variable by which the operator names another table.
    pub named_by: &'static str,
}

/// Calls the REST API.
#[derive(Debug)]
pub(super) struct Tables {
    client: reqwest::Client,
    access: Access,
}

/// What a call was answered.
struct Answer {
    status: StatusCode,
    body: Value,
}

impl Tables {
    pub(super) fn new(access: Access) -> Result<Self, WriteError> {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .build()
            .map_err(WriteError::fatal)?;
        Ok(Self { client, access })
    }

    /// Makes the table ready for our rows; which one it came to be.
    ///
    /// # Errors
    /// It cannot be had now, or only the operator can help.
    pub(super) async fn prepare(
        &self,
        wanted: &TableName,
        definition: &Definition,
    ) -> Result<TableName, WriteError> {
        let mut name = wanted.clone();
        for _ in 0..ATTEMPTS {
            let found = self.call(Method::GET, &path(&name), None, None).await?;
            if found.status == StatusCode::NOT_FOUND {
                if self.make(&name, definition).await? {
                    return Ok(name);
                }
                // Somebody else made it meanwhile.
                continue;
            }
            let table = expect(found, &name)?;
            if is_of_predecessor(&table) && name == *wanted {
                name.table.push_str(schema::bigquery::OURS_BESIDE);
                tracing::warn!(
                    table = %wanted, beside = %name,
                    "the table has the predecessor's layout and is left alone; rows go to one beside it. A view of both: real-streaming schema bigquery --migrate {wanted}{}",
                    if has(&table, "event_id") { "" } else { " --old-has synced_at_utc_" }
                );
                continue;
            }
            let (fields, missing) = united(&table["schema"]["fields"], definition, &name)?;
            if missing.is_empty() || self.grow(&name, &table, fields, &missing).await? {
                return Ok(name);
            }
        }
        Err(WriteError::transient(format!(
            "{name} was changed by others each time that columns were to be added"
        )))
    }

    /// What is to be done when writers do not know a prepared table: one that was just made is not known everywhere at once.
    pub(super) async fn unknown(&self, name: &TableName, text: String) -> WriteError {
        match self.is_there(name).await {
            Ok(true) => WriteError::Transient {
                source: text.into(),
                retry_after: Some(UNKNOWN_WAIT),
            },
            Ok(false) => WriteError::fatal(format!(
                "alarm table_gone: {name} was deleted; it is not made again by itself, restart the collector if it is to be ({text})"
            )),
            Err(error) => error,
        }
    }

    async fn is_there(&self, name: &TableName) -> Result<bool, WriteError> {
        let found = self.call(Method::GET, &path(name), None, None).await?;
        if found.status == StatusCode::NOT_FOUND {
            return Ok(false);
        }
        expect(found, name).map(|_| true)
    }

    /// False if it was there already.
    async fn make(&self, name: &TableName, definition: &Definition) -> Result<bool, WriteError> {
        let mut table = definition.table.clone();
        table["tableReference"] = json!({
            "projectId": name.project, "datasetId": name.dataset, "tableId": name.table,
        });
        table["labels"] = json!({"made_by": "real-streaming"});
        let tables = format!("projects/{}/datasets/{}/tables", name.project, name.dataset);
        let made = self.call(Method::POST, &tables, None, Some(&table)).await?;
        match made.status {
            StatusCode::CONFLICT => Ok(false),
            StatusCode::NOT_FOUND => Err(WriteError::fatal(format!(
                "there is no dataset {}.{}: make it, in the region of your choice, with `bq mk --dataset {}:{}`",
                name.project, name.dataset, name.project, name.dataset
            ))),
            _ => {
                expect(made, name)?;
                tracing::info!(table = %name, "table created");
                Ok(true)
            }
        }
    }

    /// False if somebody else changed the table meanwhile.
    async fn grow(
        &self,
        name: &TableName,
        table: &Value,
        fields: Value,
        missing: &[String],
    ) -> Result<bool, WriteError> {
        let change = json!({"schema": {"fields": fields}});
        let tag = table["etag"].as_str();
        let grown = self
            .call(Method::PATCH, &path(name), tag, Some(&change))
            .await?;
        if grown.status == StatusCode::PRECONDITION_FAILED {
            return Ok(false);
        }
        expect(grown, name)?;
        tracing::info!(table = %name, columns = missing.join(", "), "columns added");
        Ok(true)
    }

    /// The table as REST shows it.
    pub(super) async fn get(&self, name: &TableName) -> Result<Value, WriteError> {
        let found = self.call(Method::GET, &path(name), None, None).await?;
        expect(found, name)
    }

    /// What REST shows below the table, with a query.
    pub(super) async fn get_below(
        &self,
        name: &TableName,
        below: &str,
    ) -> Result<Value, WriteError> {
        let path = format!("{}/{below}", path(name));
        let found = self.call(Method::GET, &path, None, None).await?;
        expect(found, name)
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        tag: Option<&str>,
        body: Option<&Value>,
    ) -> Result<Answer, WriteError> {
        let url = format!("{}/bigquery/v2/{path}", self.access.endpoint());
        let mut request = self
            .client
            .request(method, url)
            .headers(self.access.headers().await?);
        if let Some(tag) = tag {
            request = request.header(http::header::IF_MATCH, tag);
        }
        if let Some(body) = body {
            request = request.json(body);
        }
        let answer = request.send().await.map_err(WriteError::transient)?;
        let status = answer.status();
        if status == StatusCode::UNAUTHORIZED {
            self.access.renew();
        }
        let text = answer.text().await.map_err(WriteError::transient)?;
        let body = serde_json::from_str(&text).unwrap_or_default();
        Ok(Answer { status, body })
    }
}

fn path(name: &TableName) -> String {
    format!(
        "projects/{}/datasets/{}/tables/{}",
        name.project, name.dataset, name.table
    )
}

/// The body of a success; else what is to be done.
fn expect(answer: Answer, name: &TableName) -> Result<Value, WriteError> {
    if answer.status.is_success() {
        return Ok(answer.body);
    }
    let message = answer.body["error"]["message"].as_str().unwrap_or_default();
    let text = format!("{name}: {} {message}", answer.status);
    let reason = answer.body["error"]["errors"][0]["reason"].as_str();
    let is_quota = matches!(reason, Some("rateLimitExceeded" | "quotaExceeded"));
    Err(match answer.status {
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED if !is_quota => {
            WriteError::fatal(format!(
                "{text}; the collector's account needs roles/bigquery.dataEditor on the dataset"
            ))
        }
        StatusCode::BAD_REQUEST | StatusCode::NOT_FOUND => WriteError::fatal(text),
        _ => WriteError::transient(text),
    })
}

/// Both layouts of the predecessor have a whole number for the stream, and no such column of ours.
fn is_of_predecessor(table: &Value) -> bool {
    let fields = table["schema"]["fields"].as_array();
    let kind = |wanted: &str| {
        let field = fields?.iter().find(|field| is_named(field, wanted));
        field.and_then(|field| field["type"].as_str())
    };
    matches!(kind("stream_id"), Some("INTEGER" | "INT64")) && kind("collector").is_none()
}

fn has(table: &Value, name: &str) -> bool {
    let fields = table["schema"]["fields"].as_array().into_iter().flatten();
    fields.into_iter().any(|field| is_named(field, name))
}

fn is_named(field: &Value, name: &str) -> bool {
    let found = field["name"].as_str().unwrap_or_default();
    found.eq_ignore_ascii_case(name)
}

/// The table's fields with those of ours that it lacks, and the paths of these.
fn united(
    theirs: &Value,
    definition: &Definition,
    name: &TableName,
) -> Result<(Value, Vec<String>), WriteError> {
    let (mut missing, mut differences) = (Vec::new(), Vec::new());
    let ours = &definition.table["schema"]["fields"];
    let fields = unite(theirs, ours, "", &mut missing, &mut differences);
    if differences.is_empty() {
        return Ok((fields, missing));
    }
    Err(WriteError::fatal(format!(
        "{name} cannot hold the rows; name another table in {}, or change these columns:\n{}",
        definition.named_by,
        differences.join("\n")
    )))
}

fn unite(
    theirs: &Value,
    ours: &Value,
    above: &str,
    missing: &mut Vec<String>,
    differences: &mut Vec<String>,
) -> Value {
    let mut fields = theirs.as_array().cloned().unwrap_or_default();
    for field in ours.as_array().into_iter().flatten() {
        let name = field["name"].as_str().unwrap_or_default();
        let path = format!("{above}{name}");
        let Some(found) = fields.iter_mut().find(|found| is_named(found, name)) else {
            missing.push(path);
            fields.push(field.clone());
            continue;
        };
        let (has, wanted) = (described(found), described(field));
        if has != wanted {
            differences.push(format!("  {path}: is {has}, must be {wanted}"));
        } else if !field["fields"].is_null() {
            found["fields"] = unite(
                &found["fields"],
                &field["fields"],
                &format!("{path}."),
                missing,
                differences,
            );
        }
    }
    for field in &fields {
        let name = field["name"].as_str().unwrap_or_default();
        let is_ours = ours.as_array().into_iter().flatten();
        if field["mode"] == "REQUIRED" && !is_ours.into_iter().any(|ours| is_named(ours, name)) {
            differences.push(format!(
                "  {above}{name}: is REQUIRED, and the rows have no such column"
            ));
        }
    }
    fields.into()
}

/// Type and mode in one spelling. A column that must be there is as good as one that may.
fn described(field: &Value) -> String {
    let kind = match field["type"].as_str().unwrap_or_default() {
        "INT64" => "INTEGER",
        "FLOAT64" => "FLOAT",
        "BOOL" => "BOOLEAN",
        "STRUCT" => "RECORD",
        other => other,
    };
    if field["mode"] == "REPEATED" {
        format!("REPEATED {kind}")
    } else {
        kind.to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schema;

    fn name() -> TableName {
        TableName {
            project: "p".to_owned(),
            dataset: "d".to_owned(),
            table: "t".to_owned(),
        }
    }

    fn definition(fields: Value) -> Definition {
        Definition {
            table: json!({"schema": {"fields": fields}}),
            named_by: "SOME__TABLE",
        }
    }

    fn fields(fields: &[(&str, &str)]) -> Value {
        let fields = fields
            .iter()
            .map(|(name, kind)| json!({"name": name, "type": kind, "mode": "NULLABLE"}));
        fields.collect()
    }

    #[test]
    fn missing_columns_are_added_at_the_end_and_foreign_ones_kept() {
        let theirs = json!([
            {"name": "A", "type": "INT64"},
            {"name": "own", "type": "STRING"},
            {"name": "r", "type": "STRUCT", "fields": fields(&[("x", "STRING")])},
        ]);
        let ours = json!([
            {"name": "a", "type": "INTEGER", "mode": "NULLABLE"},
            {"name": "r", "type": "RECORD", "mode": "NULLABLE", "fields": fields(&[("x", "STRING"), ("y", "FLOAT")])},
            {"name": "b", "type": "STRING", "mode": "NULLABLE"},
        ]);
        let (united, missing) = united(&theirs, &definition(ours), &name()).unwrap();
        assert_eq!(missing, ["r.y", "b"]);
        let names = |fields: &Value| -> Vec<String> {
            let fields = fields.as_array().unwrap().iter();
            fields
                .map(|field| field["name"].as_str().unwrap().to_owned())
                .collect()
        };
        assert_eq!(names(&united), ["A", "own", "r", "b"]);
        assert_eq!(names(&united[2]["fields"]), ["x", "y"]);
    }

    #[test]
    fn every_difference_is_told() {
        let theirs = json!([
            {"name": "a", "type": "STRING"},
            {"name": "r", "type": "RECORD", "fields": [{"name": "x", "type": "STRING", "mode": "REPEATED"}]},
            {"name": "must", "type": "STRING", "mode": "REQUIRED"},
        ]);
        let ours = json!([
            {"name": "a", "type": "INTEGER"},
            {"name": "r", "type": "RECORD", "fields": fields(&[("x", "STRING")])},
        ]);
        let error = united(&theirs, &definition(ours), &name()).unwrap_err();
        let text = error.to_string();
        for line in [
            "a: is STRING, must be INTEGER",
            "r.x: is REPEATED STRING, must be STRING",
            "must: is REQUIRED",
            "SOME__TABLE",
        ] {
            assert!(text.contains(line), "{text}");
        }
        assert!(matches!(error, WriteError::Fatal(_)));
    }

    #[test]
    fn the_predecessors_table_is_told_from_ours() {
        let of = |fields: Value| json!({"schema": {"fields": fields}});
        assert!(is_of_predecessor(&of(fields(&[("stream_id", "INTEGER")]))));
        assert!(!is_of_predecessor(&of(fields(&[("stream_id", "STRING")]))));
        assert!(!is_of_predecessor(&schema::bigquery::table()));
        assert!(!is_of_predecessor(&of(json!([]))));
    }
}
