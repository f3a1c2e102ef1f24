//! AppendRows: one connection, requests answered in their order.
//!
//! Like Google's, it gives no response headers before the first request came. Requests are done as they come; replies
//! leave after the injected latency, so that several can be on their way.

use std::pin::Pin;
use std::sync::Arc;

use futures_util::Stream as FutureStream;
use futures_util::stream::unfold;
use tokio::sync::mpsc;
use tokio::time::{Duration, Instant, sleep, sleep_until};
use tonic::{Code, Request, Response, Status, Streaming};

use super::fault::{Call, Fault};
use super::grpc::check_route;
use super::judgement::No;
use super::refusal::inside;
use super::rpc;
use super::server::Connection;
use super::session::Session;
use super::state::Fake;
use super::storage::append_rows_response::Response as Outcome;
use super::storage::{AppendRowsRequest, AppendRowsResponse};

/// Replies that wait for their time.
const MAX_WAITING: usize = 4096;
/// In this time replies leave the process before their connection is cut.
const TO_LEAVE: Duration = Duration::from_millis(50);

type Replies = Pin<Box<dyn FutureStream<Item = Result<AppendRowsResponse, Status>> + Send>>;

/// What becomes of a request.
enum Reply {
    /// To so many written rows.
    Answer(AppendRowsResponse, u64),
    End(Status),
    Cut,
    Hang,
}

/// Serves a connection.
pub(super) async fn serve(
    fake: Arc<Fake>,
    connection: Arc<Connection>,
    request: Request<Streaming<AppendRowsRequest>>,
) -> Result<Response<Replies>, Status> {
    let (metadata, _, mut requests) = request.into_parts();
    let Some(first) = requests.message().await? else {
        return Err(Status::invalid_argument("There was no request."));
    };
    check_route(&metadata, "write_stream", &first.write_stream)?;
    let session = Session::new(fake.lock().next_number());
    let (replies, waiting) = mpsc::channel(MAX_WAITING);
    tokio::spawn(answer_all(
        Arc::clone(&fake),
        session,
        requests,
        first,
        replies,
    ));
    let stream = unfold(waiting, move |mut waiting| {
        let (fake, connection) = (Arc::clone(&fake), Arc::clone(&connection));
        async move {
            let (due, reply) = waiting.recv().await?;
            sleep_until(due).await;
            match reply {
                Reply::Answer(answer, rows) => {
                    fake.lock().answered_rows += rows;
                    Some((Ok(answer), waiting))
                }
                Reply::End(status) => Some((Err(status), waiting)),
                Reply::Hang => std::future::pending().await,
                Reply::Cut => {
                    sleep(TO_LEAVE).await;
                    match connection.cut().await {}
                }
            }
        }
    });
    Ok(Response::new(Box::pin(stream)))
}

async fn answer_all(
    fake: Arc<Fake>,
    mut session: Session,
    mut requests: Streaming<AppendRowsRequest>,
    first: AppendRowsRequest,
    replies: mpsc::Sender<(Instant, Reply)>,
) {
    let mut goaways = fake.goaways.subscribe();
    let evicted = Arc::clone(&session.evicted);
    let mut request = first;
    loop {
        let arrived = Instant::now();
        let (latency, idle) = {
            let state = fake.lock();
            (state.latency, state.idle_after)
        };
        let reply = answer(&fake, &mut session, request);
        let is_over = !matches!(reply, Reply::Answer(..));
        if replies.send((arrived + latency, reply)).await.is_err() {
            return;
        }
        if is_over {
            // What else comes is not looked at.
            while let Ok(Some(_)) = requests.message().await {}
            return;
        }
        let end = tokio::select! {
            message = requests.message() => match message {
                Ok(Some(message)) => {
                    request = message;
                    continue;
                }
                _ => return,
            },
            () = evicted.notified() => taken_over(),
            _ = goaways.changed() => Status::aborted(
                "Closing the stream because server is restarted. This is expected and client is advised to reconnect.",
            ),
            () = sleep(idle) => Status::aborted(format!(
                "Closing the stream because it has been inactive for {} seconds.",
                idle.as_secs()
            )),
        };
        let _gone = replies
            .send((Instant::now() + latency, Reply::End(end)))
            .await;
        return;
    }
}

/// How a connection ends when another one takes its stream.
pub(super) fn taken_over() -> Status {
    Status::aborted("Closing the stream because another connection writes to it.")
}

fn answer(fake: &Fake, session: &mut Session, request: AppendRowsRequest) -> Reply {
    let mut state = fake.lock();
    if state.is_unreachable {
        // It came in before the connection was cut.
        return Reply::Cut;
    }
    let fault = state.meet(Call::Append);
    match fault {
        Some(Fault::Cut) => return Reply::Cut,
        Some(Fault::Hang { done: false }) => return Reply::Hang,
        Some(Fault::Status(code, message)) => return Reply::End(Status::new(code, message)),
        Some(Fault::Inside(code, cause, message)) => {
            let stream = session.stream_of(&request);
            return Reply::Answer(error(inside(code, cause, message, &stream), &stream), 0);
        }
        _ => {}
    }
    let stream = session.stream_of(&request);
    let before = state.written_rows;
    let outcome = session.write(&mut state, request);
    let rows = state.written_rows - before;
    match (fault, outcome) {
        (Some(Fault::HideReply), _) => Reply::Cut,
        (Some(Fault::Hang { .. }), _) => Reply::Hang,
        (Some(Fault::DoneThenStatus(code, message)), _) => Reply::End(Status::new(code, message)),
        (_, Ok(answer)) => Reply::Answer(answer, rows),
        (_, Err(No::End(status))) => Reply::End(status),
        (_, Err(No::Inside(status))) => Reply::Answer(error(status, &stream), 0),
        (_, Err(No::Rows(row_errors))) => {
            let message = "Errors found while processing rows. Please refer to the row_errors field for details. The list may not be complete because of the size limitations.";
            let status = rpc::Status {
                code: Code::InvalidArgument.into(),
                message: format!("{message} Entity: {stream}"),
                details: Vec::new(),
            };
            let answer = AppendRowsResponse {
                row_errors,
                ..error(status, &stream)
            };
            Reply::Answer(answer, 0)
        }
    }
}

fn error(status: rpc::Status, stream: &str) -> AppendRowsResponse {
    AppendRowsResponse {
        response: Some(Outcome::Error(status)),
        write_stream: stream.to_owned(),
        ..AppendRowsResponse::default()
    }
}
