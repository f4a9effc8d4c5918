//! Streams: nodes as they are, what is remembered, and consumer groups. Version 11 of RDB has the
//! times at which consumers were active; in older ones these are lost, and taken to be when the
//! consumers were seen.

use super::Refused;
use tessera_collections::{
    Corrupt, Group, GroupLoader, Stream, StreamHistory, StreamId, StreamLoader,
};
use tessera_rdb::value::{Group as RdbGroup, Stream as RdbStream};
use tessera_rdb::{Encoder, ValueType, Version};
use tessera_slot::Millis;

pub(super) fn value_type(version: Version) -> ValueType {
    if version >= ValueType::Stream3.first_version() {
        ValueType::Stream3
    } else {
        ValueType::Stream2
    }
}

pub(super) fn encode(stream: &Stream, encoder: &mut Encoder<'_>) {
    let entries = &stream.entries;
    encoder.length(entries.nodes() as u64);
    for (first, bytes) in stream.nodes() {
        encoder.node_id(first);
        encoder.string(bytes);
    }
    encoder.length(entries.len());
    encoder.id(entries.last_id());
    encoder.id(entries.first_id());
    encoder.id(entries.max_deleted_id());
    encoder.length(entries.added());
    encoder.length(stream.groups.len() as u64);
    for (name, group) in &stream.groups {
        encoder.string(name);
        put_group(group, encoder);
    }
}

fn put_group(group: &Group, encoder: &mut Encoder<'_>) {
    encoder.id(group.last_id);
    encoder.entries_read(group.entries_read);
    encoder.length(group.pending() as u64);
    for (id, pending) in group.pending_from(StreamId::MIN) {
        encoder.raw_id(id);
        encoder.time(millis(pending.time));
        encoder.length(pending.count);
    }
    encoder.length(group.consumers() as u64);
    let has_active = value_type(encoder.version()) == ValueType::Stream3;
    for consumer in group.iter() {
        encoder.string(consumer.name());
        encoder.time(millis(consumer.seen));
        if has_active {
            encoder.time(consumer.active.and_then(millis));
        }
        encoder.length(consumer.pending() as u64);
        consumer.pending_from(StreamId::MIN).for_each(|id| encoder.raw_id(id));
    }
}

pub(super) fn millis(time: i64) -> Option<Millis> {
    u64::try_from(time).ok().map(Millis)
}

/// The times of a file are signed 64-bit numbers, of which only those below 0 are none.
fn signed(time: Millis) -> i64 {
    i64::try_from(time.0).unwrap_or(i64::MAX)
}

pub(super) fn take_in(stream: RdbStream) -> Result<Stream, Refused> {
    load(stream).map_err(|Corrupt| Refused::Corrupt("a stream whose parts contradict each other"))
}

fn load(stream: RdbStream) -> Result<Stream, Corrupt> {
    let mut loader = StreamLoader::default();
    for node in stream.nodes {
        loader.node(node.id, &node.listpack)?;
    }
    let counters =
        stream.counters.map(|counters| (counters.max_deleted_id, counters.entries_added));
    let (len, last_id) = (stream.length, stream.last_id);
    let mut loaded = loader.finish(StreamHistory { len, last_id, counters })?;
    for mut group in stream.groups {
        if counters.is_none() {
            // Version 1 does not tell; where nothing was deleted it can be counted.
            group.entries_read = loaded.entries.added_until(group.last_id);
        }
        let name = std::mem::take(&mut group.name).into_boxed_slice();
        if loaded.groups.insert(name, load_group(group)?).is_some() {
            return Err(Corrupt);
        }
    }
    Ok(loaded)
}

fn load_group(group: RdbGroup) -> Result<Group, Corrupt> {
    let mut loader = GroupLoader::new(group.last_id, group.entries_read);
    for pending in group.pending {
        loader.pending(pending.id, signed(pending.delivered_at), pending.deliveries)?;
    }
    for consumer in group.consumers {
        let (seen, active) = (signed(consumer.seen_at), consumer.active_at.map(signed));
        let owner = loader.consumer(&consumer.name, seen, active)?;
        for id in consumer.pending {
            loader.owns(owner, id)?;
        }
    }
    loader.finish()
}
