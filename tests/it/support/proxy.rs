//! What lies between a collector and a service: passes bytes on as a bad network does, and may end TLS before.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

/// What becomes of bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Habit {
    /// They arrive.
    Passes,
    /// They arrive this much later.
    Late(Duration),
    /// They arrive one by one.
    InPieces,
    /// They go nowhere, on open connections and on new ones: nobody says that the other side is gone.
    Swallows,
    /// Connections end, and new ones end at once.
    Cuts,
}

/// A running proxy.
#[derive(Debug)]
pub struct Proxy {
    pub address: SocketAddr,
    habit: watch::Sender<Habit>,
    connections: Arc<AtomicU64>,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.habit.send_replace(Habit::Cuts);
    }
}

impl Proxy {
    /// Stands before the service at this address; with `tls`, clients speak TLS to it.
    pub async fn before(service: &str, tls: Option<TlsAcceptor>) -> Self {
        let service = service.trim_start_matches("http://").to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = listener.local_addr().expect("its address");
        let habit = watch::Sender::new(Habit::Passes);
        let connections = Arc::new(AtomicU64::new(0));
        let (seen, count) = (habit.subscribe(), Arc::clone(&connections));
        let accepting = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.expect("a connection");
                count.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, service.clone(), tls.clone(), seen.clone()));
            }
        });
        Self {
            address,
            habit,
            connections,
            accepting,
        }
    }

    /// Where clients without TLS find it.
    pub fn plain(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where clients with TLS find it, by the name in certificates.
    pub fn secure(&self) -> String {
        format!("https://localhost:{}", self.address.port())
    }

    /// Changes what becomes of bytes from now on.
    pub fn set(&self, habit: Habit) {
        self.habit.send_replace(habit);
    }

    /// Connections so far.
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

async fn serve(
    client: TcpStream,
    service: String,
    tls: Option<TlsAcceptor>,
    mut habit: watch::Receiver<Habit>,
) {
    let cut = habit.clone();
    let exchange = async {
        // A handshake is bytes too.
        let swallows = |habit: &Habit| *habit != Habit::Swallows;
        if habit.wait_for(swallows).await.is_err() {
            return;
        }
        let Ok(server) = TcpStream::connect(service).await else {
            return;
        };
        client.set_nodelay(true).expect("an open socket");
        server.set_nodelay(true).expect("an open socket");
        match tls {
            Some(tls) => {
                if let Ok(client) = tls.accept(client).await {
                    both(client, server, &habit).await;
                }
            }
            None => both(client, server, &habit).await,
        }
    };
    tokio::select! {
        () = exchange => {}
        () = is_cut(cut) => {}
    }
}

async fn is_cut(mut habit: watch::Receiver<Habit>) {
    // The sender is gone: so is the proxy.
    let _gone = habit.wait_for(|habit| *habit == Habit::Cuts).await;
}

async fn both(
    client: impl AsyncRead + AsyncWrite,
    server: TcpStream,
    habit: &watch::Receiver<Habit>,
) {
    let (from_client, to_client) = tokio::io::split(client);
    let (from_server, to_server) = server.into_split();
    tokio::select! {
        () = pass(from_client, to_server, habit.clone()) => {}
        () = pass(from_server, to_client, habit.clone()) => {}
    }
}

async fn pass(
    mut from: impl AsyncRead + Unpin,
    mut to: impl AsyncWrite + Unpin,
    mut habit: watch::Receiver<Habit>,
) {
    let mut buffer = vec![0; 16_384];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let now = *habit.borrow_and_update();
        let sent = match now {
            Habit::Passes | Habit::Cuts => to.write_all(&buffer[..count]).await,
            Habit::Late(time) => {
                tokio::time::sleep(time).await;
                to.write_all(&buffer[..count]).await
            }
            Habit::InPieces => in_pieces(&mut to, &buffer[..count]).await,
            Habit::Swallows => Ok(()),
        };
        if sent.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}

async fn in_pieces(to: &mut (impl AsyncWrite + Unpin), bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes.chunks(1) {
        to.write_all(byte).await?;
        to.flush().await?;
    }
    Ok(())
}
