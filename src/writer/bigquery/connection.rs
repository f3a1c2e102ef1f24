//! One connection on which rows are appended: requests go out as they come, answers come back in their order.
//!
//! It ends with the first error of the connection itself; whether requests without an answer were written is
//! then not known. It opens nothing again: whoever uses it makes a new one.

use std::collections::VecDeque;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use googleapis_tonic_google_cloud_bigquery_storage_v1::google::cloud::bigquery::storage::v1::{
    AppendRowsRequest, AppendRowsResponse, big_query_write_client::BigQueryWriteClient,
};
use tokio::sync::{mpsc, oneshot};
use tokio::task::AbortHandle;
use tonic::metadata::MetadataMap;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Requests that may wait to be sent.
const QUEUE: usize = 16;

/// The largest answer taken: one with an error for each of many rows.
const MAX_ANSWER_BYTES: usize = 32 << 20;

/// An answer, or how the connection ended before it.
pub(super) type Answer = Result<AppendRowsResponse, Status>;

type Waiting = Arc<Mutex<VecDeque<oneshot::Sender<Answer>>>>;

/// See the module.
#[derive(Debug)]
pub(super) struct Connection {
    stream: String,
    requests: mpsc::Sender<AppendRowsRequest>,
    waiting: Waiting,
    is_over: Arc<AtomicBool>,
    task: AbortHandle,
}

impl Connection {
    /// A connection for a stream, to whose first request `metadata` belongs.
    pub(super) fn open(channel: Channel, metadata: MetadataMap, stream: &str) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let waiting = Waiting::default();
        let is_over = Arc::new(AtomicBool::new(false));
        let exchange = exchange(
            channel,
            metadata,
            stream.to_owned(),
            queue,
            Arc::clone(&waiting),
        );
        let (over, unanswered) = (Arc::clone(&is_over), Arc::clone(&waiting));
        let task = tokio::spawn(async move {
            let status = exchange.await;
            over.store(true, Ordering::Release);
            let unanswered: Vec<_> = lock(&unanswered).drain(..).collect();
            if unanswered.is_empty() {
                // Idle connections are ended by the server after ten minutes.
                tracing::debug!(%status, "connection to BigQuery ended");
            }
            for waiting in unanswered {
                // Whoever does not wait any more need not know.
                drop(waiting.send(Err(status.clone())));
            }
        });
        Self {
            stream: stream.to_owned(),
            requests,
            waiting,
            is_over,
            task: task.abort_handle(),
        }
    }

    /// Where its rows go.
    pub(super) fn stream(&self) -> &str {
        &self.stream
    }

    /// Whether it takes nothing more.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Hands a request over to be sent behind those before it. To be called by one at a time.
    ///
    /// # Errors
    /// The connection is over; the request was not sent.
    pub(super) async fn send(&self, request: AppendRowsRequest) -> Result<Pending, Status> {
        let over = || Status::unavailable("the connection is over");
        let place = self.requests.reserve().await.map_err(|_| over())?;
        let (answered, answer) = oneshot::channel();
        {
            let mut waiting = lock(&self.waiting);
            if self.is_over() {
                return Err(over());
            }
            waiting.push_back(answered);
        }
        place.send(request);
        Ok(Pending(answer))
    }

    /// Ends it at once.
    pub(super) fn end(&self) {
        self.is_over.store(true, Ordering::Release);
        self.task.abort();
        lock(&self.waiting).clear();
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// An answer that is to come.
#[derive(Debug)]
pub(super) struct Pending(oneshot::Receiver<Answer>);

impl Pending {
    /// Waits for it, for as long as `limit`: a server may take a request and never answer.
    pub(super) async fn answer(self, limit: Duration) -> Answer {
        match tokio::time::timeout(limit, self.0).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_gone)) => Err(Status::unavailable("the connection was given up")),
            Err(_elapsed) => Err(Status::deadline_exceeded("no answer came in time")),
        }
    }
}

/// Sends what is in the queue and hands out the answers, until the connection ends; how it ended.
async fn exchange(
    channel: Channel,
    metadata: MetadataMap,
    stream: String,
    queue: mpsc::Receiver<AppendRowsRequest>,
    waiting: Waiting,
) -> Status {
    let mut client = BigQueryWriteClient::new(channel).max_decoding_message_size(MAX_ANSWER_BYTES);
    let requests = futures_util::stream::unfold(queue, |mut queue| async move {
        queue.recv().await.map(|request| (request, queue))
    });
    let mut request = Request::new(requests);
    *request.metadata_mut() = metadata;
    match format!("write_stream={stream}").parse() {
        Ok(route) => drop(
            request
                .metadata_mut()
                .insert("x-goog-request-params", route),
        ),
        Err(_) => return Status::invalid_argument("the stream's name is no header value"),
    }
    let mut answers = match client.append_rows(request).await {
        Ok(answers) => answers.into_inner(),
        Err(status) => return status,
    };
    loop {
        match answers.message().await {
            Ok(Some(answer)) => {
                let Some(next) = lock(&waiting).pop_front() else {
                    return Status::internal("an answer came that nobody waits for");
                };
                // Whoever does not wait any more need not know.
                drop(next.send(Ok(answer)));
            }
            Ok(None) => return Status::unavailable("the server closed the connection"),
            Err(status) => return status,
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
