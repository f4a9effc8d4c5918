//! What a snapshot shows, as bytes of an RDB file.
//!
//! Writers encode what they hand over themselves ([`Handed`]), the snapshot's thread what the walk shows ([`Scribe`]). Large values come part by
//! part, and are written as they come; but a large string that is to be compressed is first put together, and compressed when nothing is
//! locked.
//!
//! Deliberately not here: where the bytes go.

use super::CHUNK;
use crate::time;
use parking_lot::Mutex;
use tessera_config::table::memory::MaxmemoryPolicy;
use tessera_engine::Engine;
use tessera_engine::payload::{Payload, large_value_type, put_part};
use tessera_rdb::{Compression, Encoder, Eviction, Options, Version, encode_entry, encode_head};
use tessera_slot::Millis;
use tessera_store::{Entry, LargeHead, Lfu, Shown, SnapshotSink};

/// Entries that writers handed over, encoded, in the order of their databases' numbers within a batch.
pub(super) struct Handed {
    pub(super) entries: Mutex<Vec<(usize, Vec<u8>)>>,
    pub(super) manner: Manner,
}

/// How entries are written.
#[derive(Clone, Copy)]
pub(super) struct Manner {
    pub(super) options: Options,
    /// What the policy of eviction knows about keys goes with them.
    clock: Clock,
    /// When the snapshot was begun.
    now: Millis,
}

/// What the access clocks of entries are to whoever reads the snapshot.
#[derive(Clone, Copy)]
enum Clock {
    Unused,
    Idle,
    Frequency(Lfu),
}

impl Manner {
    pub(super) fn of(engine: &Engine, version: Version) -> Manner {
        let config = engine.config();
        let policy = config.memory.maxmemory_policy;
        let compression = match config.persistence.rdbcompression {
            true => Compression::Lzf,
            false => Compression::Off,
        };
        Manner {
            options: Options { version, compression },
            clock: match (engine.keyspace.lfu(), policy) {
                (Some(lfu), _) => Clock::Frequency(lfu),
                (None, MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru) => Clock::Idle,
                (None, _) => Clock::Unused,
            },
            now: time::unix(),
        }
    }

    fn eviction(self, access: u32) -> Option<Eviction> {
        match self.clock {
            Clock::Unused => None,
            Clock::Idle => {
                let idle = (self.now.0 / 1000).saturating_sub(u64::from(access));
                Some(Eviction::Idle(idle))
            }
            Clock::Frequency(lfu) => Some(Eviction::Frequency(lfu.frequency(access, self.now))),
        }
    }
}

impl SnapshotSink for Handed {
    fn preserve(&self, db: usize, entry: &Entry) {
        let mut entries = self.entries.lock();
        if entries.last().is_none_or(|(last, bytes)| *last != db || bytes.len() >= CHUNK) {
            entries.push((db, Vec::with_capacity(256)));
        }
        let (_, bytes) = entries.last_mut().expect("just pushed");
        encode(bytes, entry, self.manner);
    }
}

fn encode(out: &mut Vec<u8>, entry: &Entry, manner: Manner) {
    let (payload, eviction) = (Payload::of(entry), manner.eviction(entry.access()));
    encode_entry(out, entry.key(), entry.expiry(), eviction, payload, manner.options);
}

/// Encoded entries by their databases, in the order in which they are written.
#[derive(Default)]
pub(super) struct Batch {
    pub(super) entries: Vec<(usize, Vec<u8>)>,
    /// How much has been encoded, or copied: it measures for how long the world has been entered.
    pub(super) bytes: usize,
}

impl Batch {
    /// Adds to what is of this database.
    fn add(&mut self, db: usize, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.entries.last().is_none_or(|(last, _)| *last != db) {
            self.entries.push((db, Vec::new()));
        }
        let (_, out) = self.entries.last_mut().expect("just pushed");
        let before = out.len();
        encode(out);
        self.bytes += out.len() - before;
    }
}

/// A large value that is being written.
struct LargeValue {
    head: LargeHead,
    /// A string that is to be compressed, as far as it has come.
    text: Option<Vec<u8>>,
}

/// Makes bytes of what the walk shows.
pub(super) struct Scribe {
    manner: Manner,
    large: Option<LargeValue>,
    /// A large string that has come whole, with its database. It is compressed when nobody waits for it.
    whole: Option<(usize, Vec<u8>)>,
}

impl Scribe {
    pub(super) fn new(manner: Manner) -> Scribe {
        Scribe { manner, large: None, whole: None }
    }

    /// Whether a large string waits for [`Scribe::finish_string`].
    pub(super) fn has_string(&self) -> bool {
        self.whole.is_some()
    }

    pub(super) fn take(&mut self, batch: &mut Batch, shown: Shown<'_>) {
        let manner = self.manner;
        match (shown, &mut self.large) {
            (Shown::Entry(db, entry), _) => batch.add(db, |out| encode(out, entry, manner)),
            (Shown::Large(head), large) => {
                let large = large.insert(LargeValue::of(head, manner));
                batch.add(head.db, |out| large.encode_head(out, manner));
            }
            (Shown::Text(bytes), Some(LargeValue { text: Some(text), .. })) => {
                text.extend_from_slice(bytes);
                batch.bytes += bytes.len();
            }
            (Shown::Text(bytes), Some(large)) => {
                batch.add(large.head.db, |out| out.extend_from_slice(bytes));
            }
            (Shown::Part(part), Some(LargeValue { head, .. })) => batch.add(head.db, |out| {
                put_part(head, part, &mut Encoder::new(out, manner.options));
            }),
            (Shown::End, large) => {
                let large = large.take();
                self.whole = large.and_then(|large| Some((large.head.db, large.text?)));
            }
            (Shown::Text(_) | Shown::Part(_), None) => unreachable!("parts come after their head"),
        }
    }

    /// Writes a large string that has come whole.
    pub(super) fn finish_string(&mut self, batch: &mut Batch) {
        if let Some((db, text)) = self.whole.take() {
            batch.add(db, |out| Encoder::new(out, self.manner.options).string(&text));
        }
    }
}

impl LargeValue {
    fn of(head: &LargeHead, manner: Manner) -> LargeValue {
        let is_compressed = head.is_string() && manner.options.compression != Compression::Off;
        let text = is_compressed.then(|| Vec::with_capacity(head.len));
        LargeValue { head: head.clone(), text }
    }

    fn encode_head(&self, out: &mut Vec<u8>, manner: Manner) {
        let (head, options) = (&self.head, manner.options);
        let value_type = large_value_type(head, options.version);
        let eviction = manner.eviction(head.access);
        encode_head(out, &head.key, head.expiry, eviction, value_type, options);
        if head.is_string() && self.text.is_none() {
            Encoder::new(out, options).length(head.len as u64);
        }
    }
}
