//! Hashes: fields with values, which may expire one by one.

mod counter;
mod delete;
mod expire;
mod field_args;
mod get;
mod getex;
mod random;
mod scan;
mod set;
mod setex;
mod ttl;
mod whole;

use crate::Cx;
use crate::command::{Command, Flags, Group};
use tessera_collections::{Element, HashLimits};
use tessera_resp::Reply;

const HASH: Group = Group::Hash;
const READ: Flags = Flags::READONLY;
const READ_FAST: Flags = READ.or(Flags::FAST);
const WRITE_FAST: Flags = Flags::WRITE.or(Flags::FAST);
const GROW_FAST: Flags = WRITE_FAST.or(Flags::DENYOOM);

pub(super) const COMMANDS: &[Command] = &[
    set::HSET,
    set::HSETNX,
    set::HMSET,
    get::HGET,
    get::HMGET,
    get::HLEN,
    get::HSTRLEN,
    get::HEXISTS,
    whole::HGETALL,
    whole::HKEYS,
    whole::HVALS,
    delete::HDEL,
    delete::HGETDEL,
    counter::HINCRBY,
    counter::HINCRBYFLOAT,
    random::HRANDFIELD,
    scan::HSCAN,
    expire::HEXPIRE,
    expire::HPEXPIRE,
    expire::HEXPIREAT,
    expire::HPEXPIREAT,
    ttl::HTTL,
    ttl::HPTTL,
    ttl::HEXPIRETIME,
    ttl::HPEXPIRETIME,
    ttl::HPERSIST,
    getex::HGETEX,
    setex::HSETEX,
];

/// Up to where a hash is a listpack.
fn limits(cx: &Cx<'_>) -> HashLimits {
    let data = &cx.config.data;
    HashLimits {
        entries: usize::try_from(data.hash_max_listpack_entries).unwrap_or(usize::MAX),
        value: usize::try_from(data.hash_max_listpack_value.0).unwrap_or(usize::MAX),
    }
}

/// Answers a name or a value.
#[inline]
fn bulk(reply: &mut Reply, element: Element<'_>) {
    match element {
        Element::Bytes(bytes) => reply.bulk(bytes),
        Element::Integer(number) => reply.bulk_integer(number),
    }
}

/// Answers the value of a field, if there is one.
#[inline]
fn bulk_or_null(reply: &mut Reply, value: Option<Element<'_>>) {
    match value {
        Some(value) => bulk(reply, value),
        None => reply.null(),
    }
}

/// Tells replicas of a command: its first words, then fields. Made only if somebody reads the log.
fn tell(cx: &mut Cx<'_>, head: &[&[u8]], fields: &[&[u8]]) {
    cx.propagate_instead(|| {
        let mut command = words(head);
        command.extend(fields.iter().map(|field| field.to_vec()));
        command
    });
}

/// A command to be told to replicas, of such words.
fn words(words: &[&[u8]]) -> Vec<Vec<u8>> {
    words.iter().map(|word| word.to_vec()).collect()
}
