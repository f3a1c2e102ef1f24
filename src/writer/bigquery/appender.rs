//! Appends rows to the table by one stream: the default one, or one of our own whose every row is accounted for.
//!
//! The default stream takes rows at least once. A stream of our own takes each at the offset that it was given; what was
//! about to be sent is in the journal first. Whenever it is not known what the stream took (a connection broke, the
//! process ended), it is finalized, which ends it and tells how many rows it has; the next append begins a new one.
//! One caller at a time is in here until its request is handed over, so that requests leave in the order of the log.

use std::time::Duration;

use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, CreateWriteStreamRequest, FinalizeWriteStreamRequest,
    ProtoRows, ProtoSchema, WriteStream, append_rows_request, append_rows_response,
    big_query_write_client::BigQueryWriteClient, storage_error::StorageErrorCode, write_stream,
};
use googleapis_tonic_google_cloud_bigquery_storage_v1::google::rpc;
use prost_types::DescriptorProto;
use tokio::sync::Mutex;
use tokio::task::block_in_place;
use tonic::transport::Channel;
use tonic::{Code, Request, Status};

use crate::schema::{LogId, Record, SequenceNumber};
use crate::writer::WriteError;
use crate::writer::google::Access;

use super::TableName;
use super::connection::{Connection, Pending};
use super::error::Reaction;
use super::journal::Journal;

/// How long a single call may take. New streams take their time where many are made.
const CALL_TIMEOUT: Duration = Duration::from_secs(60);

/// See the module.
#[derive(Debug)]
pub(super) struct Appender {
    access: Access,
    /// How the rows are to be read.
    descriptor: DescriptorProto,
    answer_timeout: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// The table that was prepared.
    table: Option<TableName>,
    /// With a journal, rows go to streams of our own.
    journal: Option<Journal>,
    open: Option<Open>,
    /// How far the stream before had come.
    ended: Option<Progress>,
    /// Counts the streams and connections, to tell answers of old ones.
    generation: u64,
}

/// A stream under way.
#[derive(Debug)]
struct Open {
    connection: Connection,
    /// Where the next rows go, if they are told where to go.
    offset: Option<u64>,
    progress: Progress,
    /// Requests that were not answered yet.
    under_way: usize,
    /// Whether the server has taken a request, and so knows where the rows go and how they are written.
    is_introduced: bool,
}

/// How far a stream has come in a log.
#[derive(Clone, Copy, Debug)]
struct Progress {
    log_id: LogId,
    /// The last number that was handed over.
    handed_over: SequenceNumber,
    /// The last number that was answered for; answers come in order.
    answered: SequenceNumber,
}

/// Rows that were handed over.
#[derive(Debug)]
struct Sent {
    pending: Pending,
    generation: u64,
    /// Whether nothing else was under way on a connection that had answered before.
    was_idle: bool,
    /// Rows before them that were there already.
    skipped: usize,
    rows: usize,
    offset: Option<u64>,
    before: SequenceNumber,
    last: SequenceNumber,
}

impl Appender {
    pub(super) fn new(
        access: Access,
        descriptor: DescriptorProto,
        journal: Option<Journal>,
        answer_timeout: Duration,
    ) -> Result<Self, WriteError> {
        // An endpoint that is no address is told now.
        access.channel()?;
        Ok(Self {
            access,
            descriptor,
            answer_timeout,
            state: Mutex::new(State {
                table: None,
                journal,
                open: None,
                ended: None,
                generation: 0,
            }),
        })
    }

    /// Rows go to this table from now on. What an earlier process left open is settled.
    ///
    /// # Errors
    /// It cannot be settled now.
    pub(super) async fn begin(&self, table: TableName) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        state.table = Some(table);
        self.settle(&mut state).await
    }

    /// Ends the stream, so that nobody need ask about it later.
    ///
    /// # Errors
    /// It cannot be ended now; the next [`Appender::begin`] does it.
    pub(super) async fn finish(&self) -> Result<(), WriteError> {
        let mut state = self.state.lock().await;
        state.end();
        self.settle(&mut state).await
    }

    /// How far the table is, and in which log, if that is known.
    pub(super) async fn reached(&self) -> Option<(LogId, SequenceNumber)> {
        self.state.lock().await.journal.as_ref()?.reached_in()
    }

    /// Up to which number of the log the table has all rows, where that is known.
    pub(super) async fn settled(&self, log_id: LogId) -> Option<SequenceNumber> {
        let state = self.state.lock().await;
        state.journal.as_ref()?.settled(log_id)
    }

    /// Appends rows in one request. Where `previous` is given, only behind the row of that number.
    ///
    /// # Errors
    /// What is to be done about it.
    pub(super) async fn append(
        &self,
        log_id: LogId,
        previous: Option<SequenceNumber>,
        records: &[Record],
    ) -> Result<(), Reaction> {
        match self.append_once(log_id, previous, records).await {
            // That is no failure: another connection takes them.
            Err(Reaction::Stale(_)) => self.append_once(log_id, previous, records).await,
            result => result,
        }
    }

    async fn append_once(
        &self,
        log_id: LogId,
        previous: Option<SequenceNumber>,
        records: &[Record],
    ) -> Result<(), Reaction> {
        let Some(sent) = self.hand_over(log_id, previous, records).await? else {
            return Ok(());
        };
        let (generation, skipped) = (sent.generation, sent.skipped);
        let (offset, before, last) = (sent.offset, sent.before, sent.last);
        let reaction = match sent.pending.answer(self.answer_timeout).await {
            Ok(answer) => in_stream(&answer, sent.rows),
            Err(status) => {
                self.access.failed(status.code());
                at_the_end(&status, sent.was_idle)
            }
        };
        let mut state = self.state.lock().await;
        if state.generation == generation {
            state.answered(&reaction, offset, before, last);
        }
        match reaction {
            Reaction::Done => Ok(()),
            Reaction::Rows(rows) => {
                let rows = rows.into_iter();
                Err(Reaction::Rows(
                    rows.map(|(index, reason)| (index + skipped, reason))
                        .collect(),
                ))
            }
            other => Err(other),
        }
    }

    /// Sends rows, if they are not there already.
    async fn hand_over(
        &self,
        log_id: LogId,
        previous: Option<SequenceNumber>,
        records: &[Record],
    ) -> Result<Option<Sent>, Reaction> {
        let mut state = self.state.lock().await;
        let unknown = |error: &dyn std::fmt::Display| Reaction::Unknown(error.to_string());
        let is_over = state.open.as_ref().is_some_and(|open| {
            let is_other = open.progress.log_id != log_id;
            // A new stream begins a new journal.
            let is_quiet = open.progress.is_quiet();
            let is_long = state.journal.as_ref().is_some_and(Journal::is_long);
            open.connection.is_over() || is_other || (is_quiet && is_long)
        });
        if is_over {
            state.end();
        } else if state.journal.as_ref().is_some_and(Journal::is_too_long) {
            // What is under way is waited for; then a new stream begins a new journal.
            return Err(Reaction::Rewind);
        }
        if state.open.is_none() {
            self.settle(&mut state)
                .await
                .map_err(|error| Reaction::of_write_error(&error))?;
        }
        let settled = match &state.journal {
            Some(journal) => {
                let answered = state.open.as_ref().map(|open| open.progress.answered);
                journal.settled(log_id).max(answered).unwrap_or_default()
            }
            None => SequenceNumber::ZERO,
        };
        // Rows that an attempt wrote whose answer did not come, or that went with others that were refused.
        let skipped = records.partition_point(|record| record.sequence <= settled);
        let records = &records[skipped..];
        let (Some(first), Some(last)) = (records.first(), records.last()) else {
            return Ok(None);
        };
        // Numbers are settled by how far the stream has come: nothing may go before what was refused.
        let open = state.open.as_ref();
        let handed_over = open.map_or(settled, |open| open.progress.handed_over);
        if state.journal.is_some() && previous.is_some_and(|previous| previous > handed_over) {
            return Err(Reaction::Rewind);
        }
        if state.open.is_none() {
            self.open(&mut state, log_id, settled).await?;
        }
        let generation = state.generation;
        let State {
            open: Some(open),
            journal,
            ..
        } = &mut *state
        else {
            return Err(Reaction::Unknown("the table is not open".to_owned()));
        };
        if journal.is_some() && first.sequence <= open.progress.handed_over {
            return Err(Reaction::Unknown(
                "rows came again before it was known what became of them".to_owned(),
            ));
        }
        let before = open.progress.handed_over;
        let was_idle = open.is_introduced && open.under_way == 0;
        if let (Some(journal), Some(offset)) = (journal.as_mut(), open.offset)
            && let Err(error) = block_in_place(|| journal.append(offset, records))
        {
            state.end();
            return Err(unknown(&error));
        }
        let request = request(open, &self.descriptor, records);
        let offset = open.offset;
        let pending = match open.connection.send(request).await {
            Ok(pending) => pending,
            Err(status) => {
                state.end();
                return Err(at_the_end(&status, was_idle));
            }
        };
        open.offset = offset.map(|offset| offset + records.len() as u64);
        open.progress.handed_over = last.sequence;
        open.under_way += 1;
        Ok(Some(Sent {
            pending,
            generation,
            was_idle,
            skipped,
            rows: records.len(),
            offset,
            before,
            last: last.sequence,
        }))
    }

    /// Finds out what the stream took that is not accounted for, and ends it.
    async fn settle(&self, state: &mut State) -> Result<(), WriteError> {
        let Some(journal) = &mut state.journal else {
            return Ok(());
        };
        let Some(stream) = journal.stream().map(str::to_owned) else {
            return Ok(());
        };
        let mut request = Request::new(FinalizeWriteStreamRequest {
            name: stream.clone(),
        });
        self.address(&mut request, "name", &stream).await?;
        let ended = match self.client()?.finalize_write_stream(request).await {
            Ok(answer) => {
                let rows = u64::try_from(answer.into_inner().row_count).unwrap_or_default();
                tracing::debug!(stream, rows, "stream settled");
                journal.ended(rows)
            }
            // It took nothing for days and is gone, or its table is: what was answered and what the cursor says count,
            // and of what was under way then, rows may be there twice rather than not at all.
            Err(status) if status.code() == Code::NotFound && !is_of_table(&status) => {
                if !state.ended.is_some_and(|ended| ended.is_quiet()) {
                    tracing::error!(
                        alarm = "stream_expired",
                        stream,
                        "what the stream took last cannot be asked any more; rows that were under way may be doubled"
                    );
                }
                journal.ended_at(state.ended.map(|ended| ended.answered).unwrap_or_default())
            }
            Err(status) => {
                self.access.failed(status.code());
                return Err(Reaction::of_status(&status).into_write_error());
            }
        };
        ended.map_err(WriteError::transient)?;
        state.ended = None;
        Ok(())
    }

    async fn open(
        &self,
        state: &mut State,
        log_id: LogId,
        settled: SequenceNumber,
    ) -> Result<(), Reaction> {
        let write_error = |error: WriteError| Reaction::of_write_error(&error);
        let Some(table) = state.table.clone() else {
            return Err(Reaction::Unknown("the table is not open".to_owned()));
        };
        let (stream, offset) = if let Some(journal) = &mut state.journal {
            let stream = self.create_stream(&table).await?;
            journal
                .began(log_id, settled, &stream)
                .map_err(|error| Reaction::Unknown(error.to_string()))?;
            (stream, Some(0))
        } else {
            (default_stream(&table), None)
        };
        let metadata = self.access.metadata().await.map_err(write_error)?;
        let channel = self.access.channel().map_err(write_error)?;
        state.generation += 1;
        state.open = Some(Open {
            connection: Connection::open(channel, metadata, &stream),
            offset,
            progress: Progress {
                log_id,
                handed_over: settled,
                answered: settled,
            },
            under_way: 0,
            is_introduced: false,
        });
        Ok(())
    }

    async fn create_stream(&self, table: &TableName) -> Result<String, Reaction> {
        let parent = table.path();
        let mut request = Request::new(CreateWriteStreamRequest {
            parent: parent.clone(),
            write_stream: Some(WriteStream {
                r#type: write_stream::Type::Committed.into(),
                ..WriteStream::default()
            }),
        });
        self.address(&mut request, "parent", &parent)
            .await
            .map_err(|error| Reaction::of_write_error(&error))?;
        let client = self.client();
        let mut client = client.map_err(|error| Reaction::of_write_error(&error))?;
        match client.create_write_stream(request).await {
            Ok(answer) => Ok(answer.into_inner().name),
            Err(status) => {
                self.access.failed(status.code());
                Err(Reaction::of_status(&status))
            }
        }
    }

    fn client(&self) -> Result<BigQueryWriteClient<Channel>, WriteError> {
        Ok(BigQueryWriteClient::new(self.access.channel()?))
    }

    /// Says who asks and to where it is to be led.
    async fn address<T>(
        &self,
        request: &mut Request<T>,
        field: &str,
        name: &str,
    ) -> Result<(), WriteError> {
        *request.metadata_mut() = self.access.metadata().await?;
        let route = format!("{field}={name}").parse();
        let route = route.map_err(|_| WriteError::fatal("the table's name is no header value"))?;
        request
            .metadata_mut()
            .insert("x-goog-request-params", route);
        request.set_timeout(CALL_TIMEOUT);
        Ok(())
    }
}

impl Progress {
    /// Whether nothing is under way.
    fn is_quiet(&self) -> bool {
        self.handed_over == self.answered
    }
}

impl State {
    /// Draws the consequence of an answer for what follows.
    fn answered(
        &mut self,
        reaction: &Reaction,
        offset: Option<u64>,
        before: SequenceNumber,
        last: SequenceNumber,
    ) {
        let Some(open) = &mut self.open else {
            return;
        };
        open.under_way -= 1;
        let is_known = match reaction {
            Reaction::Done => {
                open.progress.answered = open.progress.answered.max(last);
                open.is_introduced = true;
                return;
            }
            Reaction::Rows(_)
            | Reaction::Something(_)
            | Reaction::SchemaLag(_)
            | Reaction::Throttled(_) => true,
            // Right if one before it was refused; else we and the stream count differently.
            Reaction::Rewind => open.offset < offset,
            Reaction::NoTable(_)
            | Reaction::StreamEnded(_)
            | Reaction::Ended(_)
            | Reaction::Stale(_)
            | Reaction::Unknown(_)
            | Reaction::Operator(_) => false,
        };
        if is_known {
            // Nothing was written: the next rows go where these should have gone.
            open.offset = open.offset.min(offset);
            open.progress.handed_over = open.progress.handed_over.min(before);
        } else {
            self.end();
        }
    }

    /// What comes next begins with asking what the stream took.
    fn end(&mut self) {
        if let Some(open) = self.open.take() {
            open.connection.end();
            self.ended = Some(open.progress);
        }
        self.generation += 1;
    }
}

/// What an answer in the stream asks for.
fn in_stream(answer: &AppendRowsResponse, rows: usize) -> Reaction {
    match &answer.response {
        Some(append_rows_response::Response::Error(error)) => {
            Reaction::of_answer(error, &answer.row_errors, rows)
        }
        _ if answer.row_errors.is_empty() => Reaction::Done,
        _ => Reaction::of_answer(&rpc::Status::default(), &answer.row_errors, rows),
    }
}

/// What the end of a connection asks for before the answer came. Whether the rows were written is not known,
/// whatever its code says of the request that ended it. One that was idle before may have ended by itself: servers close
/// what nobody uses.
fn at_the_end(status: &Status, was_idle: bool) -> Reaction {
    match Reaction::of_status(status) {
        found @ (Reaction::NoTable(_) | Reaction::StreamEnded(_) | Reaction::Operator(_)) => found,
        Reaction::Something(text) => Reaction::Ended(text),
        _ if was_idle && status.code() != Code::DeadlineExceeded => {
            Reaction::Stale(status.to_string())
        }
        _ => Reaction::Unknown(status.to_string()),
    }
}

/// Whether it is the table that is not known: not yet, perhaps. Its streams can be asked once it is.
fn is_of_table(status: &Status) -> bool {
    let text = match Reaction::of_status(status) {
        Reaction::NoTable(text) => text,
        _ => return false,
    };
    text.starts_with(StorageErrorCode::TableNotFound.as_str_name())
}

fn default_stream(table: &TableName) -> String {
    format!("{}/streams/_default", table.path())
}

fn request(open: &Open, descriptor: &DescriptorProto, records: &[Record]) -> AppendRowsRequest {
    let rows = records.iter().map(|record| record.payload.clone());
    // The first requests of a connection say where the rows go and how they are written, until one is taken.
    let writer_schema = (!open.is_introduced).then(|| ProtoSchema {
        proto_descriptor: Some(descriptor.clone()),
    });
    let write_stream = if open.is_introduced {
        String::new()
    } else {
        open.connection.stream().to_owned()
    };
    AppendRowsRequest {
        write_stream,
        offset: open.offset.and_then(|offset| i64::try_from(offset).ok()),
        trace_id: if open.is_introduced {
            String::new()
        } else {
            "real-streaming".to_owned()
        },
        rows: Some(append_rows_request::Rows::ProtoRows(
            append_rows_request::ProtoData {
                writer_schema,
                rows: Some(ProtoRows {
                    serialized_rows: rows.collect(),
                }),
            },
        )),
        ..AppendRowsRequest::default()
    }
}
