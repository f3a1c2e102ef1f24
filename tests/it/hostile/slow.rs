//! B8–B14 once more: clients that take their time. Each is cut at its deadline, whatever trickles.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;

use super::{HEAD, check_memory, event, finish, good, request, start};

const SETTINGS: [(&str, &str); 5] = [
    ("WRITERS__STRATEGY", "memory"),
    ("HTTP__HEADER_TIMEOUT", "1.5"),
    ("HTTP__BODY_TIMEOUT", "2"),
    ("HTTP__IDLE_TIMEOUT", "2.5"),
    ("HTTP__REQUEST_TIMEOUT", "3"),
];

/// How much later than at its deadline a connection may end on a busy machine.
const SLACK: Duration = Duration::from_secs(10);

/// What a slow client does: all of `first` at once, then `drop` again and again.
struct Slow {
    what: &'static str,
    first: Vec<u8>,
    drop: &'static [u8],
    every: Duration,
    /// What the answers begin with; empty for none.
    answer: &'static str,
    /// Seconds after which it is cut.
    deadline: f64,
}

/// Until the collector ends the connection, and what it said.
async fn trickle(address: SocketAddr, slow: &Slow) -> (Duration, String) {
    let begun = Instant::now();
    let stream = TcpStream::connect(address).await.expect("it listens");
    let (mut reader, mut writer) = stream.into_split();
    let write = async {
        let mut sent = writer.write_all(&slow.first).await;
        while sent.is_ok() {
            tokio::time::sleep(slow.every).await;
            sent = writer.write_all(slow.drop).await;
        }
    };
    let mut answer = Vec::new();
    let read = async {
        let mut byte = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut byte).await {
            answer.extend_from_slice(&byte[..count]);
        }
        begun.elapsed()
    };
    tokio::pin!(read);
    let took = tokio::select! {
        took = &mut read => took,
        () = write => read.await,
    };
    (took, String::from_utf8_lossy(&answer).into_owned())
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_at_their_deadline() {
    let (folder, process) = start(&SETTINGS).await;
    let (before, _) = process.memory();
    let ms = Duration::from_millis;
    let waiting = format!("{HEAD}Content-Length: 99\r\n\r\n").into_bytes();
    let expecting = format!("{HEAD}Expect: 100-continue\r\nContent-Length: 99\r\n\r\n");
    let slow = |what, first: &[u8], drop, answer, deadline| Slow {
        what,
        first: first.to_vec(),
        drop,
        every: ms(200),
        answer,
        deadline,
    };
    let whole = request(event("slow", ""));
    let second = [whole.as_slice(), b"POST /"].concat();
    let all = [
        slow("nothing at all", b"", b"", "", 1.5),
        slow("empty lines", b"\r\n", b"\r\n", "", 1.5),
        slow("a head, byte by byte", HEAD.as_bytes(), b"x", "", 1.5),
        slow("half of HTTP/2's preface", b"PRI * HT", b"", "", 1.5),
        slow(
            "HTTP/2's preface, then nothing",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
            b"",
            "any",
            1.5,
        ),
        slow("a body, byte by byte", &waiting, b" ", "HTTP/1.1 408", 2.0),
        slow(
            "a body that never comes",
            &waiting,
            b"",
            "HTTP/1.1 408",
            2.0,
        ),
        slow(
            "Expect: 100-continue and no body",
            expecting.as_bytes(),
            b"",
            "HTTP/1.1 100",
            2.0,
        ),
        slow("no second request", &whole, b"", "HTTP/1.1 200", 2.5),
        slow(
            "a second head, byte by byte",
            &second,
            b"a",
            "HTTP/1.1 200",
            1.5,
        ),
    ];
    let mut clients = JoinSet::new();
    for slow in all {
        let address = process.address;
        clients.spawn(async move {
            let (took, answer) = trickle(address, &slow).await;
            let deadline = Duration::from_secs_f64(slow.deadline);
            println!(
                "| {} | {:.1} s | {:?} |",
                slow.what,
                took.as_secs_f64(),
                answer.lines().next()
            );
            assert!(
                took + ms(20) >= deadline && took < deadline + SLACK,
                "{}: {took:?}",
                slow.what
            );
            let as_expected = match slow.answer {
                "" => answer.is_empty(),
                "any" => true,
                begins => answer.starts_with(begins),
            };
            assert!(as_expected, "{}: {answer:?}", slow.what);
        });
    }
    while let Some(client) = clients.join_next().await {
        client.expect("as it should be");
    }
    good(&process).await;
    check_memory(&process, before);
    finish(folder.path(), process);
}

/// A client that sends requests whose answers are large, and takes none of them.
async fn takes_nothing(address: SocketAddr) -> Duration {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small buffer");
    let stream = socket.connect(address).await.expect("it listens");
    // Each of these has a thousand faults, and its answer names them all: more than the system keeps.
    let requests = request(format!("[{}1]", "1,".repeat(999))).repeat(500);
    let begun = Instant::now();
    let mut left = requests.as_slice();
    loop {
        // Once all is sent, bytes that belong to nothing tell whether the connection is still there.
        let bytes = if left.is_empty() { b"\r\n" } else { left };
        match stream.try_write(bytes) {
            Ok(count) if !left.is_empty() => left = &left[count..],
            Ok(_) => tokio::time::sleep(Duration::from_millis(50)).await,
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
            Err(_) => return begun.elapsed(),
        }
        assert!(begun.elapsed() < Duration::from_secs(60), "it never ends");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_takes_no_answer_is_cut_and_costs_a_bounded_amount() {
    // However busy the machine is, no other deadline ends it.
    let (folder, process) = start(&[
        ("WRITERS__STRATEGY", "memory"),
        ("HTTP__HEADER_TIMEOUT", "30"),
        ("HTTP__BODY_TIMEOUT", "30"),
        ("HTTP__IDLE_TIMEOUT", "30"),
        ("HTTP__REQUEST_TIMEOUT", "3"),
    ])
    .await;
    let (before, _) = process.memory();
    let mut clients = JoinSet::new();
    for _ in 0..20 {
        clients.spawn(takes_nothing(process.address));
    }
    while let Some(took) = clients.join_next().await {
        let took = took.expect("it ends");
        assert!(
            took > Duration::from_secs(3),
            "the others are heard: {took:?}"
        );
        println!("cut after {:.1} s", took.as_secs_f64());
    }
    good(&process).await;
    check_memory(&process, before);
    finish(folder.path(), process);
}
