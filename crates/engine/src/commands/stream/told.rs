//! The propagation of deliveries: replicas receive the outcome, not the read.

use crate::Cx;
use crate::db::Key;
use tessera_collections::{Group, Pending, StreamId};

/// Commands that say what has become of a group. Made only if somebody reads the log.
pub(super) struct Told {
    commands: Option<Vec<Vec<Vec<u8>>>>,
}

fn text(number: impl ToString) -> Vec<u8> {
    number.to_string().into_bytes()
}

impl Told {
    /// No commands yet.
    pub(super) fn new(cx: &Cx<'_>) -> Told {
        let is_read = cx.engine.log.is_active() && !cx.session.is_primary;
        Told { commands: is_read.then(Vec::new) }
    }

    /// An entry is a consumer's now, in this way; if it is gone from the stream, it is not pending
    /// any more.
    pub(super) fn claimed(
        &mut self,
        key: Key<'_>,
        (name, group): (&[u8], &Group),
        id: StreamId,
        pending: Pending,
    ) {
        let Some(commands) = &mut self.commands else { return };
        let word = |word: &str| word.as_bytes().to_vec();
        let consumer = group.consumer(pending.consumer).name().to_vec();
        commands.push(vec![
            word("XCLAIM"),
            key.bytes.to_vec(),
            name.to_vec(),
            consumer,
            word("0"),
            text(id),
            word("TIME"),
            text(pending.time),
            word("RETRYCOUNT"),
            text(pending.count),
            word("FORCE"),
            word("JUSTID"),
            word("LASTID"),
            text(group.last_id),
        ]);
    }

    /// Propagates the id that a group has read last.
    pub(super) fn moved(&mut self, key: Key<'_>, name: &[u8], group: &Group) {
        let Some(commands) = &mut self.commands else { return };
        let read = group.entries_read.map_or(-1, |read| read as i64);
        let words: [&[u8]; 4] = [b"XGROUP", b"SETID", key.bytes, name];
        let mut command = words.map(<[u8]>::to_vec).to_vec();
        command.extend([text(group.last_id), b"ENTRIESREAD".to_vec(), text(read)]);
        commands.push(command);
    }

    /// A consumer was made, and nothing else says so.
    pub(super) fn made(&mut self, key: Key<'_>, name: &[u8], consumer: &[u8]) {
        let Some(commands) = &mut self.commands else { return };
        let words: [&[u8]; 5] = [b"XGROUP", b"CREATECONSUMER", key.bytes, name, consumer];
        commands.push(words.map(<[u8]>::to_vec).to_vec());
    }

    /// How many commands there are.
    pub(super) fn len(&self) -> usize {
        self.commands.as_ref().map_or(0, Vec::len)
    }

    /// Has the log get it in place of the command.
    pub(super) fn propagate(self, cx: &mut Cx<'_>) {
        cx.propagate_many(|| self.commands.unwrap_or_default());
    }
}
