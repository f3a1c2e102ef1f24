//! What a destination tells of how far it is, asked when it is opened: it may have more than the cursor knows, or more than the
//! log ever held.

use crate::schema::{LogId, SequenceNumber};
use crate::writer::{WriteError, Writer};

use super::cursor::Cursor;

/// How far a destination says it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Told {
    /// The last number of this log that it has; `None` if it remembers none.
    pub position: Option<SequenceNumber>,
    /// A number that it cannot have of this log: the log was rewound or cloned.
    pub beyond: Option<SequenceNumber>,
}

impl Told {
    /// Asks an open writer for its position under the `identities` of the log, newest first.
    ///
    /// # Errors
    /// Those of the writer.
    pub async fn by(
        writer: &dyn Writer,
        identities: &[LogId],
        cursor: &Cursor,
    ) -> Result<Self, WriteError> {
        // Under older identities than the cursor's it has said all that it can say.
        let last_heard = identities.iter().position(|id| *id == cursor.log_id);
        let count = last_heard.map_or(identities.len(), |index| index + 1);
        let most = cursor.unheard_since.map(SequenceNumber);
        let (mut position, mut beyond) = (None, None);
        for (age, id) in identities.iter().take(count).enumerate() {
            position = position.max(writer.position(*id).await?);
            // What came under an older identity behind its end came from a copy of the log, and is no matter of this one.
            if age == 0 {
                let furthest = writer.furthest(*id).await?;
                beyond = furthest.filter(|furthest| most.is_some_and(|most| *furthest > most));
            }
        }
        if let Some(most) = most {
            position = position.map(|position: SequenceNumber| position.min(most));
        }
        Ok(Self { position, beyond })
    }
}
