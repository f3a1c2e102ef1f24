//! Messages that are no rows: kept durably beside the dead letters of destinations, with the reason.
//!
//! One JSON object a line. A message that comes again after a crash may be there twice, under the same id.
//!
//! ```json
//! {"subscription":"projects/…","message_id":"7","publish_time":"…","reason":"…","attributes":{…},"data":"<base64>"}
//! ```

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use googleapis_tonic_google_pubsub_v1::google::pubsub::v1::ReceivedMessage;
use jiff::Timestamp;
use serde_json::json;
use uuid::Uuid;

use crate::durable::{Disk, DiskFile, file_stem_of};

/// A file is not continued beyond this size.
const FILE_BYTES: u64 = 64 << 20;

/// The messages of one subscription.
#[derive(Debug)]
pub(super) struct Unread {
    disk: Arc<dyn Disk>,
    folder: PathBuf,
    subscription: String,
    /// Made with the first message.
    file: Option<(Box<dyn DiskFile>, u64)>,
}

impl Unread {
    /// Those of a subscription, in a folder of its own below `folder`.
    pub(super) fn new(disk: Arc<dyn Disk>, folder: &Path, subscription: &str) -> Self {
        let name = format!("consume:{subscription}");
        Self {
            disk,
            folder: folder.join(file_stem_of(&name)),
            subscription: subscription.to_owned(),
            file: None,
        }
    }

    /// Keeps a message, durably. Blocks.
    ///
    /// # Errors
    /// Errors of the disk; the same call may be made again.
    pub(super) fn take(&mut self, received: &ReceivedMessage, reason: &str) -> io::Result<()> {
        let message = received.message.clone().unwrap_or_default();
        let time = message.publish_time;
        let time = time.and_then(|time| Timestamp::new(time.seconds, time.nanos).ok());
        let line = json!({
            "subscription": self.subscription,
            "message_id": message.message_id,
            "publish_time": time.map(|time| time.to_string()),
            "reason": reason,
            "attributes": message.attributes.iter().collect::<BTreeMap<_, _>>(),
            "data": STANDARD.encode(&message.data),
        });
        let line = format!("{line}\n");
        if self.file.is_none() {
            self.disk.create_dir_all(&self.folder)?;
            let name = format!("{}.jsonl", Uuid::new_v4().simple());
            let file = self.disk.create(&self.folder.join(name))?;
            self.disk.sync_dir(&self.folder)?;
            self.file = Some((file, 0));
        }
        let Some((file, length)) = &mut self.file else {
            return Ok(());
        };
        let written = file
            .write_at(line.as_bytes(), *length)
            .and_then(|()| file.sync_data());
        *length += line.len() as u64;
        // After a failed sync nothing more is to be had of a file.
        if written.is_err() || *length > FILE_BYTES {
            self.file = None;
        }
        written
    }
}
