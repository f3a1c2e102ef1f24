//! Pub/Sub for tests: a real emulator, and a strict fake of ours that fails on purpose.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::{ConnectInfo, Request, State};
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::publisher_client::PublisherClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::subscriber_client::SubscriberClient;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::{
    AcknowledgeRequest, GetTopicRequest, ModifyAckDeadlineRequest, PublishRequest, PublishResponse,
    PubsubMessage, PullRequest, PullResponse, ReceivedMessage, Subscription, Topic,
};
use http::{HeaderMap, HeaderValue};
use http_body_util::{BodyExt, Full};
use prost::Message;
use real_streaming::writer::pubsub::Config;
use tonic::Code;
use tonic::transport::{Channel, Endpoint};

/// The topic of tests.
pub const TOPIC: &str = "projects/test-project/topics/events";

/// The subscription of tests.
pub const SUBSCRIPTION: &str = "projects/test-project/subscriptions/events-sub";

/// A writer's configuration for that topic at this `host:port`.
pub fn config(host: &str) -> Config {
    Config {
        project: "test-project".to_owned(),
        topic: "events".to_owned(),
        flush_interval: Duration::from_millis(20),
        emulator: Some(host.to_owned()),
        ..Config::default()
    }
}

/// A running emulator; ended when it is dropped.
#[derive(Debug)]
pub struct Emulator {
    /// `host:port`.
    pub host: String,
    child: Child,
    channel: Channel,
}

impl Emulator {
    /// Starts an emulator with the topic and the subscription of tests.
    pub async fn start() -> Self {
        let (child, host) = match jar() {
            Some(jar) => google(jar),
            None => of_the_go_client(),
        };
        let channel = Endpoint::from_shared(format!("http://{host}")).expect("an address");
        let emulator = Self {
            host,
            child,
            channel: channel.connect_lazy(),
        };
        let begun = Instant::now();
        while let Err(error) = emulator.create_topic().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "{error}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        let subscription = Subscription {
            name: SUBSCRIPTION.to_owned(),
            topic: TOPIC.to_owned(),
            ack_deadline_seconds: 10,
            ..Subscription::default()
        };
        let mut subscriber = emulator.subscriber();
        let created = subscriber.create_subscription(subscription).await;
        created.expect("a subscription");
        emulator
    }

    async fn create_topic(&self) -> Result<(), tonic::Status> {
        let topic = Topic {
            name: TOPIC.to_owned(),
            ..Topic::default()
        };
        self.publisher().create_topic(topic).await.map(drop)
    }

    /// Another client of it.
    pub fn publisher(&self) -> PublisherClient<Channel> {
        PublisherClient::new(self.channel.clone())
    }

    /// Another client of it.
    pub fn subscriber(&self) -> SubscriberClient<Channel> {
        SubscriberClient::new(self.channel.clone()).max_decoding_message_size(64 << 20)
    }

    /// Pulls and acknowledges until so many messages have come.
    pub async fn pull(&self, count: usize) -> Vec<PubsubMessage> {
        let mut messages = Vec::new();
        let begun = Instant::now();
        while messages.len() < count {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{} of {count} messages came",
                messages.len()
            );
            messages.extend(self.pull_some().await);
        }
        messages
    }

    /// Pulls and acknowledges what is there now.
    pub async fn pull_some(&self) -> Vec<PubsubMessage> {
        #[expect(deprecated, reason = "a test does not want to wait")]
        let question = PullRequest {
            subscription: SUBSCRIPTION.to_owned(),
            max_messages: 1000,
            return_immediately: true,
        };
        let answer = self.subscriber().pull(question).await.expect("messages");
        let received = answer.into_inner().received_messages;
        if received.is_empty() {
            tokio::time::sleep(Duration::from_millis(20)).await;
            return Vec::new();
        }
        let question = AcknowledgeRequest {
            subscription: SUBSCRIPTION.to_owned(),
            ack_ids: received.iter().map(|some| some.ack_id.clone()).collect(),
        };
        let acknowledged = self.subscriber().acknowledge(question).await;
        acknowledged.expect("an acknowledgement");
        let messages = received.into_iter();
        messages
            .map(|one| one.message.expect("a message"))
            .collect()
    }
}

impl Drop for Emulator {
    fn drop(&mut self) {
        let _killed = self.child.kill();
        let _gone = self.child.wait();
    }
}

/// The emulator of the Google Cloud CLI.
fn jar() -> Option<PathBuf> {
    let folder = "/usr/lib/google-cloud-sdk/platform/pubsub-emulator/lib";
    let mut files = std::fs::read_dir(folder).ok()?.flatten();
    let jar = files.find(|file| file.file_name().to_string_lossy().ends_with("-all.jar"))?;
    let java = std::env::split_paths(&std::env::var_os("PATH")?)
        .any(|folder| folder.join("java").is_file());
    java.then(|| jar.path())
}

fn google(jar: PathBuf) -> (Child, String) {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let address = listener.local_addr().expect("its address");
    drop(listener);
    let child = Command::new("java")
        .args(["-Xmx512m", "-jar"])
        .arg(jar)
        .args(["--host=127.0.0.1", &format!("--port={}", address.port())])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the emulator starts");
    let begun = Instant::now();
    while TcpStream::connect(address).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(60), "no emulator");
        std::thread::sleep(Duration::from_millis(20));
    }
    (child, address.to_string())
}

fn of_the_go_client() -> (Child, String) {
    let program = super::python::cache().join("tools/bin/pubsub-emulator");
    assert!(
        program.is_file(),
        "there is no Pub/Sub emulator: run `make pubsub`"
    );
    let mut child = Command::new(program)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("the emulator starts");
    let mut host = String::new();
    let output = child.stdout.take().expect("its output");
    BufReader::new(output)
        .read_line(&mut host)
        .expect("its address");
    (child, host.trim().to_owned())
}

/// What the fake does with the next request for a method.
#[derive(Clone, Debug)]
pub enum Act {
    /// It answers with an error and does nothing.
    Fail(Code),
    /// The same, with a wish as to when to come back.
    FailFor(Code, Duration),
    /// It does what it is asked and answers with an error.
    DoAndFail(Code),
    /// It does nothing and answers as if that were all right, with no ids.
    DoNothing,
    /// It never answers.
    Hang,
    /// It does what it is asked.
    Do,
}

#[derive(Debug, Default)]
struct Inside {
    topics: BTreeSet<String>,
    published: Vec<PubsubMessage>,
    requests: Vec<usize>,
    script: VecDeque<Act>,
    always: BTreeMap<String, Code>,
    calls: BTreeMap<String, usize>,
    refused: Option<String>,
    peers: BTreeSet<SocketAddr>,
    waiting: VecDeque<ReceivedMessage>,
    acknowledged: Vec<String>,
    leases: Vec<(String, i32)>,
}

/// A fake that refuses what Pub/Sub refuses.
#[derive(Clone, Debug)]
pub struct Fake {
    /// `host:port`.
    pub host: String,
    state: Arc<Mutex<Inside>>,
}

impl Fake {
    /// Starts it with the topic of tests.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0")
            .await
            .expect("a free port");
        let fake = Self {
            host: listener.local_addr().expect("its address").to_string(),
            state: Arc::default(),
        };
        fake.state().topics.insert(TOPIC.to_owned());
        let router = axum::Router::new()
            .fallback(answer)
            .with_state(fake.clone())
            .into_make_service_with_connect_info::<SocketAddr>();
        tokio::spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        fake
    }

    fn state(&self) -> MutexGuard<'_, Inside> {
        self.state.lock().expect("a state")
    }

    /// Adds to what the next publish requests meet; after that they are done.
    pub fn play(&self, acts: impl IntoIterator<Item = Act>) {
        self.state().script.extend(acts);
    }

    /// Answers a method always so, or no more.
    pub fn always(&self, method: &str, code: Option<Code>) {
        let mut state = self.state();
        match code {
            Some(code) => drop(state.always.insert(method.to_owned(), code)),
            None => drop(state.always.remove(method)),
        }
    }

    /// How often a method was called.
    pub fn calls(&self, method: &str) -> usize {
        self.state().calls.get(method).copied().unwrap_or_default()
    }

    /// Refuses requests with a message whose data holds this text.
    pub fn refuse(&self, text: Option<&str>) {
        self.state().refused = text.map(str::to_owned);
    }

    /// Drops the topic, or makes it again.
    pub fn topic(&self, is_there: bool) {
        let topics = &mut self.state().topics;
        match is_there {
            true => topics.insert(TOPIC.to_owned()),
            false => topics.remove(TOPIC),
        };
    }

    /// Whether the topic of tests is there.
    pub fn has_topic(&self) -> bool {
        self.state().topics.contains(TOPIC)
    }

    /// The ids of the events published.
    pub fn ids(&self) -> Vec<String> {
        let state = self.state();
        let ids = state.published.iter();
        ids.map(|message| message.attributes["event_id"].clone())
            .collect()
    }

    /// How many messages each publish request had.
    pub fn requests(&self) -> Vec<usize> {
        self.state().requests.clone()
    }

    /// Lets a message wait in the subscription of tests; its id acknowledges it too.
    pub fn send(&self, id: &str, data: &str) {
        let message = PubsubMessage {
            data: data.to_owned().into(),
            message_id: id.to_owned(),
            attributes: [("event_id".to_owned(), id.to_owned())].into(),
            ..PubsubMessage::default()
        };
        let waiting = ReceivedMessage {
            ack_id: id.to_owned(),
            message: Some(message),
            ..ReceivedMessage::default()
        };
        self.state().waiting.push_back(waiting);
    }

    /// The messages that were acknowledged, in that order.
    pub fn acknowledged(&self) -> Vec<String> {
        self.state().acknowledged.clone()
    }

    /// The seconds for which leases of a message were asked.
    pub fn leases(&self, id: &str) -> Vec<i32> {
        let state = self.state();
        let leases = state.leases.iter().filter(|(of, _)| of == id);
        leases.map(|(_, seconds)| *seconds).collect()
    }

    /// How many connections were used.
    pub fn connections(&self) -> usize {
        self.state().peers.len()
    }

    fn publish(&self, body: &[u8], headers: &HeaderMap) -> Result<Vec<u8>, (Code, String)> {
        let invalid = |why: &str| Err((Code::InvalidArgument, why.to_owned()));
        let Ok(request) = PublishRequest::decode(body) else {
            return invalid("no request");
        };
        let routing = format!("topic={}", request.topic.replace('/', "%2F"));
        if headers
            .get("x-goog-request-params")
            .is_none_or(|value| value.as_bytes() != routing.as_bytes())
        {
            return invalid("the routing header is wrong");
        }
        let mut state = self.state();
        if !state.topics.contains(&request.topic) {
            return Err((
                Code::NotFound,
                "Resource not found (resource=events).".to_owned(),
            ));
        }
        if body.len() > 10_000_000 || request.messages.is_empty() || request.messages.len() > 1000 {
            return invalid("the request is too large, or empty");
        }
        for message in &request.messages {
            let is_right = |(key, value): (&String, &String)| {
                (1..=256).contains(&key.len()) && value.len() <= 1024
            };
            if message.data.is_empty() && message.attributes.is_empty() {
                return invalid("a message is empty");
            }
            if message.attributes.len() > 100 || !message.attributes.iter().all(is_right) {
                return invalid("an attribute is too long");
            }
            if !message.message_id.is_empty() || message.publish_time.is_some() {
                return invalid("a publisher gives no ids");
            }
            let text = String::from_utf8_lossy(&message.data);
            if state
                .refused
                .as_ref()
                .is_some_and(|refused| text.contains(refused))
            {
                return invalid("the message does not fit the schema");
            }
        }
        state.requests.push(request.messages.len());
        let first = state.published.len();
        let message_ids = (first..first + request.messages.len())
            .map(|id| id.to_string())
            .collect();
        state.published.extend(request.messages);
        Ok(PublishResponse { message_ids }.encode_to_vec())
    }

    fn topic_named(&self, name: &str) -> Result<Vec<u8>, (Code, String)> {
        if !self.state().topics.contains(name) {
            return Err((Code::NotFound, "Resource not found".to_owned()));
        }
        let name = name.to_owned();
        let topic = Topic {
            name,
            ..Topic::default()
        };
        Ok(topic.encode_to_vec())
    }

    fn do_it(
        &self,
        method: &str,
        body: &[u8],
        headers: &HeaderMap,
    ) -> Result<Vec<u8>, (Code, String)> {
        match method {
            "Publish" => self.publish(body, headers),
            "GetTopic" => {
                self.topic_named(&GetTopicRequest::decode(body).expect("a request").topic)
            }
            "CreateTopic" => {
                let topic = Topic::decode(body).expect("a request");
                if !self.state().topics.insert(topic.name.clone()) {
                    return Err((Code::AlreadyExists, "Resource already exists".to_owned()));
                }
                self.topic_named(&topic.name)
            }
            "Pull" => {
                let request = PullRequest::decode(body).expect("a request");
                assert_eq!(request.subscription, SUBSCRIPTION);
                let most = usize::try_from(request.max_messages).expect("a number");
                let waiting = &mut self.state().waiting;
                let count = waiting.len().min(most);
                let answer = PullResponse {
                    received_messages: waiting.drain(..count).collect(),
                };
                Ok(answer.encode_to_vec())
            }
            "Acknowledge" => {
                let request = AcknowledgeRequest::decode(body).expect("a request");
                self.state().acknowledged.extend(request.ack_ids);
                Ok(Vec::new())
            }
            "ModifyAckDeadline" => {
                let request = ModifyAckDeadlineRequest::decode(body).expect("a request");
                let seconds = request.ack_deadline_seconds;
                let leases = request.ack_ids.into_iter().map(|id| (id, seconds));
                self.state().leases.extend(leases);
                Ok(Vec::new())
            }
            other => Err((Code::Unimplemented, other.to_owned())),
        }
    }
}

/// One unary call (<https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md>).
async fn answer(
    State(fake): State<Fake>,
    ConnectInfo(peer): ConnectInfo<SocketAddr>,
    request: Request,
) -> Response {
    let (head, body) = request.into_parts();
    let method = head
        .uri
        .path()
        .rsplit('/')
        .next()
        .unwrap_or_default()
        .to_owned();
    let framed = body.collect().await.expect("a body").to_bytes();
    // One byte for compression, four for the length.
    let body = &framed[5..];
    fake.state().peers.insert(peer);
    *fake.state().calls.entry(method.clone()).or_default() += 1;
    if let Some(code) = fake.state().always.get(&method) {
        return failed(*code, "it always fails", None);
    }
    let act = match method.as_str() {
        "Publish" => fake.state().script.pop_front().unwrap_or(Act::Do),
        _ => Act::Do,
    };
    match act {
        Act::Fail(code) => failed(code, "told to fail", None),
        Act::FailFor(code, delay) => failed(code, "told to fail", Some(delay)),
        Act::Hang => std::future::pending().await,
        Act::DoAndFail(code) => {
            let _done = fake.do_it(&method, body, &head.headers);
            failed(code, "told to lose the answer", None)
        }
        Act::DoNothing => done(&PublishResponse::default().encode_to_vec()),
        Act::Do => match fake.do_it(&method, body, &head.headers) {
            Ok(message) => done(&message),
            Err((code, why)) => failed(code, &why, None),
        },
    }
}

fn done(message: &[u8]) -> Response {
    let length = u32::try_from(message.len())
        .expect("a length")
        .to_be_bytes();
    let framed = [&[0], &length[..], message].concat();
    let trailers = HeaderMap::from_iter([(
        "grpc-status".parse().expect("a name"),
        HeaderValue::from_static("0"),
    )]);
    let body = Full::from(framed).with_trailers(async { Some(Ok(trailers)) });
    Response::builder()
        .header("content-type", "application/grpc")
        .body(Body::new(body))
        .expect("a response")
}

fn failed(code: Code, why: &str, retry_after: Option<Duration>) -> Response {
    let mut response = Response::builder()
        .header("content-type", "application/grpc")
        .header("grpc-status", (code as i32).to_string())
        .header("grpc-message", why);
    if let Some(delay) = retry_after {
        let info = [
            &[0x0a, 2, 0x08],
            &[u8::try_from(delay.as_secs()).expect("seconds")][..],
        ]
        .concat();
        let name = b"type.googleapis.com/google.rpc.RetryInfo";
        let field = |key: u8, bytes: &[u8]| {
            [&[key, u8::try_from(bytes.len()).expect("a length")], bytes].concat()
        };
        let any = [field(0x0a, name), field(0x12, &info)].concat();
        let status = [vec![0x08, code as u8], field(0x1a, &any)].concat();
        let status = STANDARD_NO_PAD.encode(status);
        response = response.header("grpc-status-details-bin", status);
    }
    response.body(Body::empty()).expect("a response")
}
