//! XPENDING: what consumers have not acknowledged.

use super::{READ, STREAM, VARIES, ids, limit, no_group, now, put_before, reply_id};
use crate::arguments::integer;
use crate::command::Command;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Group, Stream, StreamId};
use tessera_resp::Reply;

pub(super) const XPENDING: Command =
    Command::new("xpending", -3, xpending).flags(READ).keys(1, 1, 1).tips(VARIES).doc(
        STREAM,
        "5.0.0",
        "O(N) with N the number of entries answered, or passed over because of IDLE; without a range O(M) with M the \
         number of consumers",
        "Answers what the consumers of a group have not acknowledged: how much, or which entries of a range.",
        "key group [[IDLE min-idle-time] start end count [consumer]]",
    );

/// A range of what is pending.
struct Query<'a> {
    start: StreamId,
    end: StreamId,
    count: usize,
    /// Milliseconds since the last delivery, at least.
    min_idle: i64,
    consumer: Option<&'a [u8]>,
}

impl<'a> Query<'a> {
    fn parse(args: Args<'a>) -> Result<Option<Query<'a>>, Fail> {
        match args.len() {
            3 => return Ok(None),
            6..=9 => {}
            _ => return Err(Fail::Syntax),
        }
        let (mut at, mut min_idle) = (3, 0);
        if args.is(at, "idle") {
            min_idle = integer(args.at(at + 1))?;
            at += 2;
            if args.len() < at + 3 {
                return Err(Fail::Syntax);
            }
        }
        let count = limit(integer(args.at(at + 2))?);
        let (start, end) = (ids::start(args.at(at))?, ids::end(args.at(at + 1))?);
        Ok(Some(Query { start, end, count, min_idle, consumer: args.get(at + 3) }))
    }
}

fn xpending(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let query = Query::parse(args)?;
    let (key, now) = (db.key(args.at(1), 0), now(cx));
    let missing = || no_group(args.at(1), args.at(2));
    let found = db.read_as::<Stream>(key)?.ok_or_else(missing)?;
    let stream = found.get();
    let group = stream.groups.get(args.at(2)).ok_or_else(missing)?;
    match query {
        None => reply_summary(cx.reply, group),
        Some(query) => reply_range(cx.reply, group, &query, now),
    }
    Ok(())
}

fn reply_summary(reply: &mut Reply, group: &Group) {
    reply.array(4);
    reply.integer(group.pending() as i64);
    let mut pending = group.pending_from(StreamId::MIN);
    let Some((first, _)) = pending.next() else {
        reply.null();
        reply.null();
        reply.null_array();
        return;
    };
    let last = pending.next_back().map_or(first, |(id, _)| id);
    reply_id(reply, first);
    reply_id(reply, last);
    let (start, mut len) = (reply.buf.len(), 0);
    for consumer in group.iter().filter(|consumer| consumer.pending() > 0) {
        reply.array(2);
        reply.bulk(consumer.name());
        reply.bulk_integer(consumer.pending() as i64);
        len += 1;
    }
    put_before(reply, start, |reply| reply.array(len));
}

fn reply_range(reply: &mut Reply, group: &Group, query: &Query<'_>, now: i64) {
    let of_group = || group.pending_from(query.start).map(|(id, _)| id);
    match query.consumer {
        None => reply_pending(reply, group, of_group(), query, now),
        Some(name) => match group.find(name) {
            None => reply.array(0),
            Some(consumer) => {
                let ids = group.consumer(consumer).pending_from(query.start);
                reply_pending(reply, group, ids, query, now);
            }
        },
    }
}

fn reply_pending(
    reply: &mut Reply,
    group: &Group,
    ids: impl Iterator<Item = StreamId>,
    query: &Query<'_>,
    now: i64,
) {
    let (start, mut len) = (reply.buf.len(), 0);
    if query.count > 0 {
        for id in ids.take_while(|&id| id <= query.end) {
            let pending = group.pending_at(id).expect("the group has what its consumers have");
            let idle = now.saturating_sub(pending.time);
            if query.min_idle != 0 && idle < query.min_idle {
                continue;
            }
            reply.array(4);
            reply_id(reply, id);
            reply.bulk(group.consumer(pending.consumer).name());
            reply.integer(idle.max(0));
            reply.integer(pending.count as i64);
            len += 1;
            if len == query.count {
                break;
            }
        }
    }
    put_before(reply, start, |reply| reply.array(len));
}
