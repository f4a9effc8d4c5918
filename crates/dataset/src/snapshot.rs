//! The entries of a snapshot, as bytes of an RDB file.
//!
//! Writers encode what they hand over themselves ([`PreservedEntries`]), the thread that walks
//! encodes what the walk shows ([`SnapshotEncoder`]). Large values come part by part, and are
//! written as they come. A large string that is to be compressed is first put together, and
//! compressed when nothing is locked.
//!
//! Deliberately not here: where the bytes go.

use crate::Payload;
use crate::value::{large_value_type, put_part};
use parking_lot::Mutex;
use tessera_config::Config;
use tessera_config::table::memory::MaxmemoryPolicy;
use tessera_rdb::{Compression, Encoder, Eviction, Options, Version, encode_entry, encode_head};
use tessera_slot::Millis;
use tessera_store::{Entry, Keyspace, LargeHead, Lfu, Shown, SnapshotSink};

/// Bytes of entries that are kept together.
const CHUNK: usize = 64 << 10;

/// Entries that writers have handed over before they changed them, encoded, with their databases.
pub struct PreservedEntries {
    /// A leaf: nothing is locked while it is held.
    entries: Mutex<Vec<(usize, Vec<u8>)>>,
    format: EntryFormat,
}

impl PreservedEntries {
    /// None yet.
    pub fn new(format: EntryFormat) -> PreservedEntries {
        PreservedEntries { entries: Mutex::default(), format }
    }

    /// How they are written.
    pub fn format(&self) -> EntryFormat {
        self.format
    }

    /// Takes those that have come since the last call.
    pub fn take(&self) -> Vec<(usize, Vec<u8>)> {
        std::mem::take(&mut *self.entries.lock())
    }
}

/// How entries are written.
#[derive(Clone, Copy, Debug)]
pub struct EntryFormat {
    /// Version and compression.
    pub options: Options,
    /// The eviction policy's knowledge about keys goes with them.
    clock: Clock,
    /// When the snapshot was begun.
    now: Millis,
}

/// The meaning of the access clocks for the reader of the snapshot.
#[derive(Clone, Copy, Debug)]
enum Clock {
    Unused,
    Idle,
    Frequency(Lfu),
}

impl EntryFormat {
    /// As the configuration wants entries, in this version of the format. `now` is the time, Unix
    /// ms, by which idle times are judged.
    pub fn of(config: &Config, keyspace: &Keyspace, version: Version, now: Millis) -> EntryFormat {
        let policy = config.memory.maxmemory_policy;
        let compression = match config.persistence.rdbcompression {
            true => Compression::Lzf,
            false => Compression::Off,
        };
        EntryFormat {
            options: Options { version, compression },
            clock: match (keyspace.lfu(), policy) {
                (Some(lfu), _) => Clock::Frequency(lfu),
                (None, MaxmemoryPolicy::AllkeysLru | MaxmemoryPolicy::VolatileLru) => Clock::Idle,
                (None, _) => Clock::Unused,
            },
            now,
        }
    }

    /// Appends an entry.
    pub fn encode(self, out: &mut Vec<u8>, entry: &Entry) {
        let (payload, eviction) = (Payload::of(entry), self.eviction(entry.access()));
        encode_entry(out, entry.key(), entry.expiry(), eviction, payload, self.options);
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

impl SnapshotSink for PreservedEntries {
    fn preserve(&self, db: usize, entry: &Entry) {
        let mut entries = self.entries.lock();
        if entries.last().is_none_or(|(last, bytes)| *last != db || bytes.len() >= CHUNK) {
            entries.push((db, Vec::with_capacity(256)));
        }
        let (_, bytes) = entries.last_mut().expect("just pushed");
        self.format.encode(bytes, entry);
    }
}

/// Encoded entries by their databases, in the order in which they are written.
#[derive(Default)]
pub struct EncodedBatch {
    /// The entries.
    pub entries: Vec<(usize, Vec<u8>)>,
    /// How much has been encoded, or copied: it measures for how long the world has been entered.
    pub bytes: usize,
}

impl EncodedBatch {
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

/// Makes bytes of what the walk of a snapshot shows.
pub struct SnapshotEncoder {
    format: EntryFormat,
    large: Option<LargeValue>,
    /// A large string that has come whole, with its database. It is compressed when nobody waits
    /// for it.
    whole: Option<(usize, Vec<u8>)>,
}

impl SnapshotEncoder {
    /// Nothing has been shown yet.
    pub fn new(format: EntryFormat) -> SnapshotEncoder {
        SnapshotEncoder { format, large: None, whole: None }
    }

    /// Whether a large string waits for [`SnapshotEncoder::finish_string`].
    pub fn has_string(&self) -> bool {
        self.whole.is_some()
    }

    /// Appends what the walk shows.
    pub fn take(&mut self, batch: &mut EncodedBatch, shown: Shown<'_>) {
        let format = self.format;
        match (shown, &mut self.large) {
            (Shown::Entry(db, entry), _) => batch.add(db, |out| format.encode(out, entry)),
            (Shown::Large(head), large) => {
                let large = large.insert(LargeValue::of(head, format));
                batch.add(head.db, |out| large.encode_head(out, format));
            }
            (Shown::Text(bytes), Some(LargeValue { text: Some(text), .. })) => {
                text.extend_from_slice(bytes);
                batch.bytes += bytes.len();
            }
            (Shown::Text(bytes), Some(large)) => {
                batch.add(large.head.db, |out| out.extend_from_slice(bytes));
            }
            (Shown::Part(part), Some(LargeValue { head, .. })) => batch.add(head.db, |out| {
                put_part(head, part, &mut Encoder::new(out, format.options));
            }),
            (Shown::End, large) => {
                let large = large.take();
                self.whole = large.and_then(|large| Some((large.head.db, large.text?)));
            }
            (Shown::Text(_) | Shown::Part(_), None) => unreachable!("parts come after their head"),
        }
    }

    /// Writes a large string that has come whole.
    pub fn finish_string(&mut self, batch: &mut EncodedBatch) {
        if let Some((db, text)) = self.whole.take() {
            batch.add(db, |out| Encoder::new(out, self.format.options).string(&text));
        }
    }
}

impl LargeValue {
    fn of(head: &LargeHead, format: EntryFormat) -> LargeValue {
        let is_compressed = head.is_string() && format.options.compression != Compression::Off;
        let text = is_compressed.then(|| Vec::with_capacity(head.len));
        LargeValue { head: head.clone(), text }
    }

    fn encode_head(&self, out: &mut Vec<u8>, format: EntryFormat) {
        let (head, options) = (&self.head, format.options);
        let value_type = large_value_type(head, options.version);
        let eviction = format.eviction(head.access);
        encode_head(out, &head.key, head.expiry, eviction, value_type, options);
        if head.is_string() && self.text.is_none() {
            Encoder::new(out, options).length(head.len as u64);
        }
    }
}
