//! Streams as plain data.

pub use tessera_collections::StreamId;
use tessera_slot::Millis;

/// A stream, as it stands in the file.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Stream {
    /// The nodes, in the order of the file.
    pub nodes: Vec<StreamNode>,
    /// How many entries there are.
    pub length: u64,
    /// The id of the entry added last.
    pub last_id: StreamId,
    /// The counters that version 2 of the format has added; `None` in version 1.
    pub counters: Option<Counters>,
    /// The consumer groups.
    pub groups: Vec<Group>,
}

/// A node of a stream.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct StreamNode {
    /// The id to which those of its entries are relative.
    pub id: StreamId,
    /// The listpack.
    pub listpack: Vec<u8>,
}

/// The counters that a stream keeps beside its entries.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Counters {
    /// The id of the first entry.
    pub first_id: StreamId,
    /// The highest id that was ever deleted.
    pub max_deleted_id: StreamId,
    /// How many entries were ever added.
    pub entries_added: u64,
}

/// A consumer group.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Group {
    /// Its name.
    pub name: Vec<u8>,
    /// The id delivered last.
    pub last_id: StreamId,
    /// How many entries it has read; `None`: not known, as always in version 1 of the format.
    pub entries_read: Option<u64>,
    /// The entries that are delivered and not acknowledged.
    pub pending: Vec<Pending>,
    /// The consumers.
    pub consumers: Vec<Consumer>,
}

/// An entry that is delivered and not acknowledged.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Pending {
    /// The entry.
    pub id: StreamId,
    /// When it was delivered last.
    pub delivered_at: Millis,
    /// How often it was delivered.
    pub deliveries: u64,
}

/// A consumer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Consumer {
    /// Its name.
    pub name: Vec<u8>,
    /// When it was heard of last.
    pub seen_at: Millis,
    /// When it got or claimed an entry last; `None`: never. Before version 3 of the format the same
    /// as `seen_at`.
    pub active_at: Option<Millis>,
    /// Its own among the group's pending entries.
    pub pending: Vec<StreamId>,
}
