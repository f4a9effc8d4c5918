//! From plain data to bytes.

use super::{Group, Hash, List, ListNode, Set, SortedSet, Stream, Strings, Value};
use crate::encoder::{Encode, Encoder};
use crate::format::{ValueType, Version};

impl Encode for Value {
    /// The type that holds the data as it is, whatever the version.
    fn value_type(&self, _: Version) -> ValueType {
        match self {
            Value::String(_) => ValueType::String,
            Value::List(List::Elements(_)) => ValueType::List,
            Value::List(List::Nodes(_)) => ValueType::ListQuicklist,
            Value::Set(Set::Members(_)) => ValueType::Set,
            Value::Set(Set::Intset(_)) => ValueType::SetIntset,
            Value::Set(Set::Listpack(_)) => ValueType::SetListpack,
            Value::SortedSet(SortedSet::Members { .. }) => ValueType::ZsetBinary,
            Value::SortedSet(SortedSet::Listpack(_)) => ValueType::ZsetListpack,
            Value::Hash(Hash::Fields { expiries, .. }) if expiries.is_empty() => ValueType::Hash,
            Value::Hash(Hash::Fields { .. }) => ValueType::HashValkeyExpiry,
            Value::Hash(Hash::Listpack(_)) => ValueType::HashListpack,
            Value::Hash(Hash::ExpiringListpack { next_expiry: None, .. }) => {
                ValueType::HashListpackExpiryPreGa
            }
            Value::Hash(Hash::ExpiringListpack { .. }) => ValueType::HashListpackExpiry,
            Value::Stream(stream) if stream.counters.is_none() => ValueType::Stream,
            Value::Stream(_) => ValueType::Stream3,
        }
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        match self {
            Value::String(text) => encoder.string(text),
            Value::List(List::Elements(texts)) | Value::Set(Set::Members(texts)) => {
                strings(encoder, texts, 1);
            }
            Value::List(List::Nodes(nodes)) => list_nodes(encoder, nodes),
            Value::Set(Set::Intset(blob) | Set::Listpack(blob))
            | Value::SortedSet(SortedSet::Listpack(blob))
            | Value::Hash(Hash::Listpack(blob)) => encoder.string(blob),
            Value::SortedSet(SortedSet::Members { members, scores }) => {
                encoder.length(members.len() as u64);
                for (member, score) in members.iter().zip(scores) {
                    encoder.string(member);
                    encoder.double(*score);
                }
            }
            Value::Hash(Hash::Fields { texts, expiries }) if expiries.is_empty() => {
                strings(encoder, texts, 2);
            }
            Value::Hash(Hash::Fields { texts, expiries }) => {
                encoder.length(expiries.len() as u64);
                let mut texts = texts.iter();
                for expiry in expiries {
                    texts.by_ref().take(2).for_each(|text| encoder.string(text));
                    encoder.time(*expiry);
                }
            }
            Value::Hash(Hash::ExpiringListpack { next_expiry, listpack }) => {
                if next_expiry.is_some() {
                    encoder.time(*next_expiry);
                }
                encoder.string(listpack);
            }
            Value::Stream(stream) => put_stream(encoder, stream),
        }
    }
}

fn strings(encoder: &mut Encoder<'_>, texts: &Strings, each: usize) {
    encoder.length((texts.len() / each) as u64);
    texts.iter().for_each(|text| encoder.string(text));
}

fn list_nodes(encoder: &mut Encoder<'_>, nodes: &[ListNode]) {
    encoder.length(nodes.len() as u64);
    for node in nodes {
        match node {
            ListNode::Plain(text) => {
                encoder.plain_node();
                encoder.string(text);
            }
            ListNode::Packed(listpack) => {
                encoder.packed_node();
                encoder.string(listpack);
            }
        }
    }
}

fn put_stream(encoder: &mut Encoder<'_>, stream: &Stream) {
    encoder.length(stream.nodes.len() as u64);
    for node in &stream.nodes {
        encoder.node_id(node.id);
        encoder.string(&node.listpack);
    }
    encoder.length(stream.length);
    encoder.id(stream.last_id);
    if let Some(counters) = stream.counters {
        encoder.id(counters.first_id);
        encoder.id(counters.max_deleted_id);
        encoder.length(counters.entries_added);
    }
    encoder.length(stream.groups.len() as u64);
    for group in &stream.groups {
        put_group(encoder, group, stream.counters.is_some());
    }
}

/// `is_new`: version 3 of the format, else version 1.
fn put_group(encoder: &mut Encoder<'_>, group: &Group, is_new: bool) {
    encoder.string(&group.name);
    encoder.id(group.last_id);
    if is_new {
        encoder.entries_read(group.entries_read);
    }
    encoder.length(group.pending.len() as u64);
    for pending in &group.pending {
        encoder.raw_id(pending.id);
        encoder.time(Some(pending.delivered_at));
        encoder.length(pending.deliveries);
    }
    encoder.length(group.consumers.len() as u64);
    for consumer in &group.consumers {
        encoder.string(&consumer.name);
        encoder.time(Some(consumer.seen_at));
        if is_new {
            encoder.time(consumer.active_at);
        }
        encoder.length(consumer.pending.len() as u64);
        consumer.pending.iter().for_each(|id| encoder.raw_id(*id));
    }
}
