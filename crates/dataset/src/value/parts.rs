//! Large values, written part by part as a snapshot shows them.
//!
//! Deliberately not here: which parts there are, and when they come
//! (`tessera_collections::capture`).

use super::{hash, list, put_element, stream};
use tessera_collections::capture::Part;
use tessera_collections::{Kind, StreamHistory};
use tessera_rdb::{Encoder, ValueType, Version};
use tessera_slot::Millis;
use tessera_store::LargeHead;

/// The type as which a large value is written.
pub(crate) fn large_value_type(head: &LargeHead, version: Version) -> ValueType {
    match head.kind {
        Kind::String => ValueType::String,
        Kind::List => ValueType::ListQuicklist,
        Kind::Set => ValueType::Set,
        Kind::Hash => hash::table_type(head.is_aging),
        Kind::SortedSet => ValueType::ZsetBinary,
        Kind::Stream => stream::value_type(version),
    }
}

/// Appends a part of a collection, in the order in which they are shown.
pub(crate) fn put_part(head: &LargeHead, part: Part<'_>, encoder: &mut Encoder<'_>) {
    match part {
        Part::Length(count) | Part::Consumers(count) => encoder.length(count),
        Part::ListNode(node) => list::put_node(node, encoder),
        Part::Member(member) => encoder.string(member),
        Part::Field { name, value, expiry } => {
            put_element(encoder, name);
            put_element(encoder, value);
            if head.is_aging {
                encoder.time(expiry.map(Millis));
            }
        }
        Part::Scored { member, score } => {
            encoder.string(member);
            encoder.double(score);
        }
        Part::Node { first, listpack } => {
            encoder.node_id(first);
            encoder.string(listpack);
        }
        Part::History { history, first_id, groups } => {
            let StreamHistory { len, last_id, counters } = history;
            let (max_deleted, added) = counters.unwrap_or_default();
            encoder.length(len);
            encoder.id(last_id);
            encoder.id(first_id);
            encoder.id(max_deleted);
            encoder.length(added);
            encoder.length(groups);
        }
        Part::Group { name, last_id, entries_read, pending } => {
            encoder.string(name);
            encoder.id(last_id);
            encoder.entries_read(entries_read);
            encoder.length(pending);
        }
        Part::Pending { id, time, count } => {
            encoder.raw_id(id);
            encoder.time(stream::millis(time));
            encoder.length(count);
        }
        Part::Consumer { name, seen, active, pending } => {
            encoder.string(name);
            encoder.time(stream::millis(seen));
            if stream::value_type(encoder.version()) == ValueType::Stream3 {
                encoder.time(active.and_then(stream::millis));
            }
            encoder.length(pending);
        }
        Part::Owned(id) => encoder.raw_id(id),
    }
}
