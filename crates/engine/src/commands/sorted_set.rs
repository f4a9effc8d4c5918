//! Sorted sets.

mod add;
mod blocking;
mod bounds;
mod combine;
mod combined;
mod pop;
mod random;
mod range;
mod read;
mod remove;
mod scan;

pub(super) use add::{Condition, Tally, add_one};

use crate::arguments::integer;
use crate::command::{Command, Flags, Group, KeyUse};
use crate::{Args, Cx, EventClass, Fail, Key};
use tessera_collections::sorted_set::Limits;
use tessera_collections::{DoubleText, Element};
use tessera_config::Config;
use tessera_resp::{Protocol, Reply};

const SORTED_SET: Group = Group::SortedSet;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE: Flags = Flags::WRITE;
const WRITE_FAST: Flags = WRITE.or(Flags::FAST);
const ADD: Flags = WRITE.or(Flags::DENYOOM);
const ADD_FAST: Flags = ADD.or(Flags::FAST);
const DELETE: &[KeyUse] = &[KeyUse::RW_DELETE];
const TAKE: &[KeyUse] = &[KeyUse::RW_ACCESS_DELETE];
const STORE: &[KeyUse] = &[KeyUse::OW_UPDATE, KeyUse::RO_ACCESS];

pub(super) const COMMANDS: &[Command] = &[
    add::ZADD,
    add::ZINCRBY,
    remove::ZREM,
    remove::ZREMRANGEBYRANK,
    remove::ZREMRANGEBYSCORE,
    remove::ZREMRANGEBYLEX,
    read::ZCARD,
    read::ZSCORE,
    read::ZMSCORE,
    read::ZRANK,
    read::ZREVRANK,
    read::ZCOUNT,
    read::ZLEXCOUNT,
    range::ZRANGE,
    range::ZREVRANGE,
    range::ZRANGEBYSCORE,
    range::ZREVRANGEBYSCORE,
    range::ZRANGEBYLEX,
    range::ZREVRANGEBYLEX,
    range::ZRANGESTORE,
    pop::ZPOPMIN,
    pop::ZPOPMAX,
    pop::ZMPOP,
    blocking::BZPOPMIN,
    blocking::BZPOPMAX,
    blocking::BZMPOP,
    random::ZRANDMEMBER,
    scan::ZSCAN,
    combine::ZUNION,
    combine::ZINTER,
    combine::ZDIFF,
    combine::ZINTERCARD,
    combine::ZUNIONSTORE,
    combine::ZINTERSTORE,
    combine::ZDIFFSTORE,
];

/// Up to where sorted sets keep their compact form.
pub(super) fn limits(config: &Config) -> Limits {
    let size = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
    Limits {
        entries: size(config.data.zset_max_listpack_entries),
        value: size(config.data.zset_max_listpack_value.0),
    }
}

/// Answers a member.
#[inline]
fn reply_member(reply: &mut Reply, member: Element<'_>) {
    match member {
        Element::Bytes(text) => reply.bulk(text),
        Element::Integer(number) => reply.bulk_integer(number),
    }
}

/// Answers a score.
#[inline]
fn reply_score(reply: &mut Reply, score: f64) {
    reply.double_text(DoubleText::default().format(score));
}

/// Answers members, with their scores if asked for: in RESP3 as pairs, in RESP2 one behind the
/// other.
fn reply_members<'a>(
    reply: &mut Reply,
    members: impl ExactSizeIterator<Item = (Element<'a>, f64)>,
    with_scores: bool,
) {
    let nested = with_scores && reply.protocol == Protocol::Resp3;
    reply.array(if with_scores && !nested { members.len() * 2 } else { members.len() });
    for (member, score) in members {
        if nested {
            reply.array(2);
        }
        reply_member(reply, member);
        if with_scores {
            reply_score(reply, score);
        }
    }
}

/// Says that a sorted set has been changed so many times.
#[inline]
pub(super) fn told(cx: &mut Cx<'_>, key: &[u8], event: &'static str, changes: u64) {
    cx.changed(changes);
    cx.notify(EventClass::SortedSet, event, key);
}

/// Says that a key is gone since its last member was taken out.
fn told_gone(cx: &Cx<'_>, key: &[u8]) {
    cx.notify(EventClass::Generic, "del", key);
}

/// Puts a sorted set into the place of whatever a key holds, and answers how many members it has;
/// an empty one deletes the key.
pub(super) fn store(
    db: &mut crate::Db<'_, '_>,
    cx: &mut Cx<'_>,
    key: Key<'_>,
    set: tessera_collections::SortedSet,
    event: &'static str,
    changes: u64,
) {
    use tessera_collections::Collection;
    let len = set.len();
    let existed = db.put(key, set);
    if len > 0 {
        if !existed {
            cx.notify_new(key.bytes);
        }
        told(cx, key.bytes, event, changes);
    } else if existed {
        cx.changed(1);
        told_gone(cx, key.bytes);
    }
    cx.reply.integer(len as i64);
}

/// The positions of keys whose number stands at `at`, before them; `check` reads that number.
fn counted_keys(
    args: Args<'_>,
    at: usize,
    check: impl FnOnce(&[u8]) -> Result<usize, Fail>,
) -> Result<std::ops::Range<usize>, Fail> {
    let count = check(args.get(at).ok_or(Fail::Syntax)?)?;
    let first = at + 1;
    match first.checked_add(count).filter(|&end| end <= args.len()) {
        Some(end) => Ok(first..end),
        None => Err(Fail::Syntax),
    }
}

/// A whole number that is not negative; `otherwise` is the error for everything else.
fn natural(arg: &[u8], otherwise: &'static str) -> Result<usize, Fail> {
    let number = integer(arg).ok().and_then(|number| usize::try_from(number).ok());
    number.ok_or(Fail::text(otherwise))
}
