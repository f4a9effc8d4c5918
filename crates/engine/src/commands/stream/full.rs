//! XINFO STREAM FULL.

use super::info::{reply_common, reply_number, reply_progress};
use super::{reply_entries, reply_id};
use tessera_collections::{Consumer, Group, StreamBody, StreamId};
use tessera_resp::Reply;

/// Answers a stream with its entries and groups, of each list at most `count`.
pub(super) fn reply_full(reply: &mut Reply, stream: &StreamBody, count: usize) {
    reply.map(9);
    reply_common(reply, &stream.entries);
    reply.bulk(b"entries");
    reply_entries(reply, stream.entries.range(StreamId::MIN, StreamId::MAX), count);
    reply.bulk(b"groups");
    reply.array(stream.groups.len());
    for (name, group) in &stream.groups {
        reply.map(7);
        reply.bulk(b"name");
        reply.bulk(name);
        reply_progress(reply, &stream.entries, group);
        reply_number(reply, "pel-count", group.pending() as u64);
        reply_pending(reply, group, count);
        reply.bulk(b"consumers");
        reply.array(group.consumers());
        group.iter().for_each(|consumer| reply_consumer(reply, group, consumer, count));
    }
}

fn reply_pending(reply: &mut Reply, group: &Group, count: usize) {
    let len = group.pending().min(count);
    reply.bulk(b"pending");
    reply.array(len);
    for (id, pending) in group.pending_from(StreamId::MIN).take(len) {
        reply.array(4);
        reply_id(reply, id);
        reply.bulk(group.consumer(pending.consumer).name());
        reply.integer(pending.time);
        reply.integer(pending.count as i64);
    }
}

fn reply_consumer(reply: &mut Reply, group: &Group, consumer: &Consumer, count: usize) {
    reply.map(5);
    reply.bulk(b"name");
    reply.bulk(consumer.name());
    reply.bulk(b"seen-time");
    reply.integer(consumer.seen);
    reply.bulk(b"active-time");
    reply.integer(consumer.active.unwrap_or(-1));
    reply_number(reply, "pel-count", consumer.pending() as u64);
    let len = consumer.pending().min(count);
    reply.bulk(b"pending");
    reply.array(len);
    for id in consumer.pending_from(StreamId::MIN).take(len) {
        let pending = group.pending_at(id).expect("the group has what its consumers have");
        reply.array(3);
        reply_id(reply, id);
        reply.integer(pending.time);
        reply.integer(pending.count as i64);
    }
}
