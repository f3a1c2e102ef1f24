use std::net::TcpListener;
use std::thread::{JoinHandle, sleep, spawn};

use super::*;

const OK: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 15\r\n\r\n{\"status\":\"ok\"}";
const FULL: &[u8] =
    b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\ncontent-length: 2\r\n\r\n{}";

/// A server for one connection: `answer` says what the n-th request gets; `None` closes.
fn server(
    answer: impl Fn(usize) -> Option<&'static [u8]> + Send + 'static,
) -> (SocketAddr, JoinHandle<usize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let thread = spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut buffer = [0; 8192];
        for number in 0.. {
            if stream.read(&mut buffer).unwrap_or(0) == 0 {
                return number;
            }
            match answer(number) {
                Some(bytes) => stream.write_all(bytes).unwrap(),
                None => return number,
            }
        }
        0
    });
    (address, thread)
}

fn client(oracle: Option<Oracle>) -> Client {
    Client::new(1, Mix::new(1).unwrap(), oracle).unwrap()
}

#[test]
fn a_closed_loop_sends_so_many() {
    let (address, thread) = server(|number| Some(if number % 10 == 9 { FULL } else { OK }));
    let mut client = client(None);
    let summary = client
        .run(address, &Plan::new(Pace::Closed, Stop::Count(200)))
        .unwrap();
    assert_eq!(
        (summary.accepted, summary.refused, summary.retry_after),
        (180, 20, 20)
    );
    assert_eq!(
        (summary.unknown, summary.other, client.numbers()),
        (0, 0, 200)
    );
    drop(client);
    assert_eq!(thread.join().unwrap(), 200);
}

#[test]
fn an_open_loop_counts_a_stall_in_full() {
    let (address, _thread) = server(|number| {
        if number == 100 {
            sleep(Duration::from_millis(300));
        }
        Some(OK)
    });
    let mut client = client(None);
    let summary = client
        .run(
            address,
            &Plan::new(Pace::Open(500.0), Stop::After(Duration::from_secs(1))),
        )
        .unwrap();
    assert!(
        (495..=505).contains(&summary.accepted),
        "{}",
        summary.accepted
    );
    // 150 of 500 requests were due during the stall and waited 150 ms in the mean.
    let late = summary.latency.len() - summary.latency.count_between(0, 50_000);
    assert!((110..=160).contains(&late), "{late}");
    assert!(summary.latency.max() >= 280_000);
}

#[test]
fn what_has_no_answer_is_owed_and_sent_again() {
    let path = std::env::temp_dir().join(format!("oracle-{}", std::process::id()));
    let mut client = client(Some(Oracle::create(&path).unwrap()));
    let (address, first) = server(|number| (number < 5).then_some(OK));
    let plan = Plan {
        until_broken: true,
        pay: true,
        ..Plan::new(Pace::Closed, Stop::Count(100))
    };
    let summary = client.run(address, &plan).unwrap();
    assert_eq!(
        (summary.accepted, summary.unknown, client.owed()),
        (5, 1, 1)
    );
    first.join().unwrap();

    let (address, second) = server(|_| Some(OK));
    let summary = client
        .run(
            address,
            &Plan {
                stop: Stop::Count(0),
                ..plan
            },
        )
        .unwrap();
    assert_eq!(
        (summary.accepted, client.owed(), client.numbers()),
        (1, 0, 6)
    );
    drop(client);
    second.join().unwrap();

    let bytes = std::fs::read(&path).unwrap();
    let records: Vec<u64> = bytes
        .chunks(8)
        .map(|chunk| u64::from_le_bytes(chunk.try_into().unwrap()))
        .collect();
    let expected = [(0, 1), (1, 1), (2, 1), (3, 1), (4, 1), (5, 3), (5, 1)];
    assert_eq!(
        records,
        expected.map(|(number, answer)| number << 8 | answer)
    );
    std::fs::remove_file(path).unwrap();
}
