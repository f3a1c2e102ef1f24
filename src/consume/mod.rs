//! The other intake: messages of a Pub/Sub subscription, as the writer `pubsub` publishes them.
//!
//! Each message is read as a row, appended to the log like an event that came over HTTP, and acknowledged
//! once its receipt resolves; until then its lease is renewed. Pub/Sub delivers at least once, so redelivered
//! and doubled messages are told by the dedupe window. One that cannot be read is kept with the reason and
//! acknowledged. What is pulled and not yet settled has a bound; nothing is pulled beyond it.
//!
//! ```text
//! subscription  the four calls      row  message → encoded event      unread  messages that are no rows
//! ```

mod row;
mod subscription;
mod unread;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::ReceivedMessage;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;

use self::subscription::Subscription;
use self::unread::Unread;
use crate::clock::Clock;
use crate::durable::Disk;
use crate::ledger::{Minute, Origin, Outcome, Rejection, Trouble};
use crate::pipeline::{Intake, NotAppended, Receipt, Stop};
use crate::writer::WriteError;

/// Pulls that wait for messages at once.
const PULLS: usize = 4;

/// Most pulls whose messages are not settled yet; each brings 1,000 messages or 10 MB at most.
const ROOM: usize = 16;

/// How often leases are renewed: the shortest that a subscription can have is ten seconds.
const RENEWAL: Duration = Duration::from_secs(5);

/// How long a renewed lease lasts.
const LEASE: Duration = Duration::from_secs(60);

/// How long to wait where the log takes nothing now.
const PAUSE: Duration = Duration::from_millis(200);

/// Waits between attempts.
const FIRST_WAIT: Duration = Duration::from_millis(100);
const LONGEST_WAIT: Duration = Duration::from_secs(30);

/// How often an acknowledgement is tried; after that the messages come again, and are told.
const ACKNOWLEDGEMENTS: u32 = 5;

/// Which subscription.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Id of the project on Google Cloud.
    pub project: String,
    /// Id of the subscription.
    pub subscription: String,
    /// `host:port` of an emulator.
    pub emulator: Option<String>,
}

/// What became of a message.
enum Taken {
    /// It is stored once this resolves.
    Promised(Receipt),
    /// It is no row; it is kept with the reason.
    Unread,
    /// Nothing: it will come again.
    Not,
}

/// Takes messages of a subscription to the intake.
#[derive(Debug)]
pub struct Consumer {
    subscription: Subscription,
    intake: Arc<Intake>,
    clock: Arc<dyn Clock>,
    unread: Mutex<Unread>,
    room: Arc<Semaphore>,
    /// No messages can be pulled.
    unreadable: Trouble,
    /// The dead letter takes nothing.
    unwritable: Trouble,
}

impl Consumer {
    /// A consumer that keeps what it cannot read below `dead_letter`. Asks for nothing yet.
    ///
    /// # Errors
    /// There are no credentials.
    pub fn new(
        config: &Config,
        intake: Arc<Intake>,
        clock: Arc<dyn Clock>,
        disk: Arc<dyn Disk>,
        dead_letter: &Path,
    ) -> Result<Self, WriteError> {
        let subscription = Subscription::new(config)?;
        let unread = Unread::new(disk, dead_letter, subscription.name());
        Ok(Self {
            subscription,
            intake,
            clock,
            unread: Mutex::new(unread),
            room: Arc::new(Semaphore::new(ROOM)),
            unreadable: Trouble::default(),
            unwritable: Trouble::default(),
        })
    }

    /// Consumes until it is told to stop and what it has pulled is settled. Cancel it to stop at once: what is
    /// not acknowledged comes again.
    pub async fn run(self: Arc<Self>, stop: watch::Receiver<Stop>) {
        tracing::info!(subscription = self.subscription.name(), "consuming");
        let mut pulls = JoinSet::new();
        for _ in 0..PULLS {
            pulls.spawn(Arc::clone(&self).pull(stop.clone()));
        }
        while pulls.join_next().await.is_some() {}
    }

    async fn pull(self: Arc<Self>, mut stop: watch::Receiver<Stop>) {
        let mut taking = JoinSet::new();
        let mut wait = FIRST_WAIT;
        loop {
            let pulled = async {
                let permit = Arc::clone(&self.room).acquire_owned().await.ok()?;
                Some((permit, self.subscription.pull().await))
            };
            let pulled = tokio::select! {
                () = stopped(&mut stop) => break,
                pulled = pulled => pulled,
            };
            while taking.try_join_next().is_some() {}
            let Some((permit, messages)) = pulled else {
                break;
            };
            if messages.is_ok() && self.unreadable.ends() {
                tracing::info!("messages can be pulled again");
            }
            match messages {
                Ok(messages) if !messages.is_empty() => {
                    wait = FIRST_WAIT;
                    let consumer = Arc::clone(&self);
                    taking.spawn(consumer.take(messages, stop.clone(), permit));
                    continue;
                }
                // The service waits for messages itself; this is for one that does not.
                Ok(_) => wait = FIRST_WAIT,
                Err(error) => {
                    let retry_in_ms = wait.as_millis() as u64;
                    match self.unreadable.begins() {
                        true => {
                            tracing::error!(alarm = "subscription_unreadable", %error, retry_in_ms, "no messages can be pulled");
                        }
                        false => tracing::warn!(%error, retry_in_ms, "no messages can be pulled"),
                    }
                    wait = (wait * 2).min(LONGEST_WAIT);
                }
            }
            tokio::select! {
                () = stopped(&mut stop) => break,
                () = tokio::time::sleep(wait) => {}
            }
        }
        while taking.join_next().await.is_some() {}
    }

    /// Stores the messages of a pull, holding on to them meanwhile, and acknowledges what is stored.
    async fn take(
        self: Arc<Self>,
        messages: Vec<ReceivedMessage>,
        stop: watch::Receiver<Stop>,
        _room: OwnedSemaphorePermit,
    ) {
        let ids: Vec<String> = messages.iter().map(|one| one.ack_id.clone()).collect();
        let is_stored = tokio::select! {
            is_stored = self.store(&messages, stop) => is_stored,
            () = self.hold(&ids) => return,
        };
        let (mut stored, mut left) = (Vec::new(), Vec::new());
        for (id, is_stored) in ids.into_iter().zip(is_stored) {
            if is_stored { &mut stored } else { &mut left }.push(id);
        }
        self.acknowledge(stored).await;
        if !left.is_empty()
            && let Err(error) = self.subscription.lease(&left, Duration::ZERO).await
        {
            tracing::debug!(%error, "messages were not given back; they come when their lease ends");
        }
    }

    /// Renews leases for ever.
    async fn hold(&self, ids: &[String]) {
        loop {
            tokio::time::sleep(RENEWAL).await;
            if let Err(error) = self.subscription.lease(ids, LEASE).await {
                tracing::warn!(%error, "leases were not renewed; messages may come twice");
            }
        }
    }

    /// Whether each of the messages is stored, or kept as unreadable.
    async fn store(
        &self,
        messages: &[ReceivedMessage],
        mut stop: watch::Receiver<Stop>,
    ) -> Vec<bool> {
        let mut taken = Vec::with_capacity(messages.len());
        for message in messages {
            taken.push(self.append(message, &mut stop).await);
        }
        let mut is_stored = Vec::with_capacity(taken.len());
        for taken in taken {
            is_stored.push(match taken {
                Taken::Promised(receipt) => receipt.settled().await.is_ok(),
                Taken::Unread => true,
                Taken::Not => false,
            });
        }
        is_stored
    }

    async fn append(&self, message: &ReceivedMessage, stop: &mut watch::Receiver<Stop>) -> Taken {
        let ledger = self.intake.ledger();
        let row = match row::read(message, self.subscription.name()) {
            Ok(row) => row,
            Err(reason) => {
                let kept = self.keep(message, &reason);
                if let Taken::Unread = kept {
                    ledger.received(1);
                    ledger.ended(Outcome::Rejected(Rejection::Field), 1);
                }
                return kept;
            }
        };
        loop {
            if self.intake.admit(row.encoded.len()).is_ok() {
                ledger.received(1);
                let now = self.clock.now();
                // A row without a time of receipt is received now.
                let origin = Origin::of(&row.encoded).unwrap_or(Origin {
                    stream_id: None,
                    minute: Minute::of(now),
                });
                let appended = self
                    .intake
                    .append(&row.encoded, Some(row.key), &origin, now);
                match appended {
                    Ok(receipt) => return Taken::Promised(receipt),
                    Err(NotAppended::TooLarge) => {
                        return self.keep(message, "it is larger than a row may be");
                    }
                    Err(NotAppended::Refused(_)) => {}
                }
            }
            tokio::select! {
                () = stopped(stop) => return Taken::Not,
                () = tokio::time::sleep(PAUSE) => {}
            }
        }
    }

    /// Keeps a message that is no row.
    fn keep(&self, message: &ReceivedMessage, reason: &str) -> Taken {
        let kept = tokio::task::block_in_place(|| {
            let mut unread = self.unread.lock().unwrap_or_else(PoisonError::into_inner);
            unread.take(message, reason)
        });
        if let Err(error) = kept {
            if self.unwritable.begins() {
                tracing::error!(alarm = "dead_letter_unwritable", %error, "dead letter cannot be written");
            }
            return Taken::Not;
        }
        if self.unwritable.ends() {
            tracing::info!("dead letter can be written again");
        }
        tracing::warn!(
            subscription = self.subscription.name(),
            reason,
            "message is no row and is in the dead letter"
        );
        Taken::Unread
    }

    async fn acknowledge(&self, ids: Vec<String>) {
        if ids.is_empty() {
            return;
        }
        let mut wait = FIRST_WAIT;
        for attempt in 1..=ACKNOWLEDGEMENTS {
            let Err(error) = self.subscription.acknowledge(&ids).await else {
                return;
            };
            if attempt == ACKNOWLEDGEMENTS {
                let messages = ids.len();
                tracing::warn!(%error, messages, "messages were not acknowledged; they come again and are told");
                return;
            }
            tokio::time::sleep(wait).await;
            wait *= 2;
        }
    }
}

/// Resolves when it is to stop.
async fn stopped(stop: &mut watch::Receiver<Stop>) {
    // Nobody can say so any more once the sender is gone.
    drop(stop.wait_for(|stop| *stop != Stop::No).await);
}
