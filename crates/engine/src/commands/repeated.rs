//! Elements drawn with repetitions: a count below zero asks for any number of them, however small
//! the collection is.

use crate::{Cx, Done, Fail};
use tessera_resp::Reply;

/// The longest answer to a client whose output has no limit, bytes.
const LONGEST: usize = 1 << 30;

/// How long such an answer may become.
#[derive(Clone, Copy)]
pub(crate) struct Room {
    /// The beginning of the answer in the buffer.
    start: usize,
    longest: usize,
    /// Whether the client is disconnected, by its output limit, if the answer becomes so long.
    is_fatal: bool,
}

impl Room {
    /// The room for the answer that begins here.
    pub(crate) fn of(cx: &Cx<'_>) -> Room {
        let hard = cx.config.network.client_output_buffer_limit.normal.hard_bytes;
        let hard = usize::try_from(hard).ok().filter(|hard| (1..LONGEST).contains(hard));
        Room {
            start: cx.reply.buf.len(),
            longest: hard.unwrap_or(LONGEST),
            is_fatal: hard.is_some(),
        }
    }

    /// Whether the answer may go on.
    pub(crate) fn is_left(self, reply: &Reply) -> bool {
        reply.buf.len() - self.start < self.longest
    }

    /// The end of an answer that may not go on. A client that is about to be disconnected needs no
    /// other.
    ///
    /// # Errors
    /// Where no limit of the client's output ends it.
    pub(crate) fn used_up(self) -> Done {
        if self.is_fatal { Ok(()) } else { Err(Fail::text("ERR value is out of range")) }
    }
}
