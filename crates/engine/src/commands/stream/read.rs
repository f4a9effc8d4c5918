//! XREAD, and what it shares with XREADGROUP: the arguments, and the shape of the answer.

use super::{READ, STREAM, ids, limit, put_before, reply_entries};
use crate::arguments::integer;
use crate::command::{Command, Flags, KeyPlace, KeyUse, Keys};
use crate::db::Key;
use crate::{Args, Blocked, Cx, Db, Done, Fail, Served, deadline_in_ms};
use std::collections::BTreeMap;
use std::ops::Range;
use tessera_collections::{Entries, Stream, StreamId};
use tessera_resp::{Protocol, Reply};
use tessera_slot::Millis;

pub(super) const XREAD: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(key_positions(args).collect()),
        specs: &[(KeyPlace::HalfBehind("STREAMS", 1), KeyUse::RO_ACCESS)],
    },
    ..Command::new("xread", -4, xread)
}
.flags(READ.or(Flags::BLOCKING))
.doc(
    STREAM,
    "5.0.0",
    "O(N) with N the number of entries answered",
    "Answers the entries of several streams behind given ids; waits for one if there is none.",
    "[COUNT count] [BLOCK milliseconds] STREAMS key... id...",
);

/// The positions of the keys: behind STREAMS, as many as ids.
pub(super) fn key_positions(args: Args<'_>) -> Range<usize> {
    let mut at = 1;
    while at < args.len() {
        let more = args.len() - 1 - at;
        if args.is(at, "streams") && more > 0 {
            return at + 1..at + 1 + more / 2;
        }
        at += if (args.is(at, "block") || args.is(at, "count")) && more > 0 {
            2
        } else if args.is(at, "group") && more >= 2 {
            3
        } else {
            1
        };
    }
    0..0
}

/// The options of XREAD and XREADGROUP.
#[derive(Default)]
pub(super) struct Question<'a> {
    /// Entries of each stream, at most.
    pub(super) count: usize,
    /// BLOCK: until when to wait, if not for ever.
    pub(super) block: Option<Option<Millis>>,
    /// The group and the consumer.
    pub(super) group: Option<(&'a [u8], &'a [u8])>,
    /// Entries need not be acknowledged.
    pub(super) noack: bool,
    /// The positions of the keys; the ids follow.
    pub(super) keys: Range<usize>,
}

impl<'a> Question<'a> {
    /// Reads the arguments. `of_group`: XREADGROUP.
    pub(super) fn parse(args: Args<'a>, now: Millis, of_group: bool) -> Result<Question<'a>, Fail> {
        let mut question = Question { count: usize::MAX, ..Question::default() };
        let only_group = |option: &str| match of_group {
            true => Ok(()),
            false => Err(Fail::text(format!(
                "ERR The {option} option is only supported by XREADGROUP. You called XREAD instead."
            ))),
        };
        let mut at = 1;
        loop {
            let more = args.len().checked_sub(at + 1).ok_or(Fail::Syntax)?;
            if args.is(at, "block") && more > 0 {
                question.block = Some(deadline_in_ms(args.at(at + 1), now)?);
                at += 2;
            } else if args.is(at, "count") && more > 0 {
                // Zero and less stand for all.
                question.count = match limit(integer(args.at(at + 1))?) {
                    0 => usize::MAX,
                    count => count,
                };
                at += 2;
            } else if args.is(at, "streams") && more > 0 {
                if more % 2 == 1 {
                    return Err(unbalanced(of_group));
                }
                question.keys = at + 1..at + 1 + more / 2;
                break;
            } else if args.is(at, "group") && more >= 2 {
                only_group("GROUP")?;
                question.group = Some((args.at(at + 1), args.at(at + 2)));
                at += 3;
            } else if args.is(at, "noack") {
                only_group("NOACK")?;
                question.noack = true;
                at += 1;
            } else {
                return Err(Fail::Syntax);
            }
        }
        Ok(question)
    }

    /// Each key with its id.
    pub(super) fn streams<'d>(&self, db: &Db<'_, '_>, args: Args<'d>) -> Vec<(Key<'d>, &'d [u8])> {
        let ids = self.keys.end;
        let pair = |(ordinal, at)| (db.key(args.at(at), ordinal), args.at(ids + ordinal));
        self.keys.clone().enumerate().map(pair).collect()
    }
}

fn unbalanced(of_group: bool) -> Fail {
    let (name, symbol) = if of_group { ("xreadgroup", '>') } else { ("xread", '$') };
    Fail::text(format!(
        "ERR Unbalanced '{name}' list of streams: \
         for each stream key an ID or '{symbol}' must be specified."
    ))
}

/// Begins the part of an answer that is about one stream.
pub(super) fn reply_stream(reply: &mut Reply, key: &[u8]) {
    if reply.protocol == Protocol::Resp2 {
        reply.array(2);
    }
    reply.bulk(key);
}

/// The parts of `count` streams follow.
pub(super) fn reply_streams(reply: &mut Reply, count: usize) {
    match reply.protocol {
        Protocol::Resp2 => reply.array(count),
        Protocol::Resp3 => reply.map(count),
    }
}

/// From where a stream is read.
#[derive(Debug, Clone, Copy)]
enum From {
    /// Behind this id.
    Behind(StreamId),
    /// `+`: its last entry.
    Last,
}

impl From {
    fn parse(text: &[u8], entries: Option<&Entries>) -> Result<From, Fail> {
        match text {
            b"$" => Ok(From::Behind(entries.map_or(StreamId::MIN, Entries::last_id))),
            b"+" => Ok(From::Last),
            b">" => Err(Fail::text(
                "ERR The > ID can be specified only when calling XREADGROUP using the \
                 GROUP <group> <consumer> option.",
            )),
            text => ids::id(text, 0).map(From::Behind),
        }
    }

    /// Answers the entries of a stream. False: there are none, and nothing was written.
    fn read(self, reply: &mut Reply, key: &[u8], entries: &Entries, count: usize) -> bool {
        let first = match self {
            From::Behind(id) => id.next(),
            From::Last => Some(entries.last_id()),
        };
        let Some(first) = first.filter(|&first| first <= entries.last_id()) else { return false };
        let mut found = entries.range(first, StreamId::MAX).peekable();
        if found.peek().is_none() {
            return false;
        }
        reply_stream(reply, key);
        reply_entries(reply, found, count);
        true
    }
}

fn xread(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let question = Question::parse(args, cx.now, false)?;
    let (start, mut served) = (cx.reply.buf.len(), 0);
    let mut wanted = Vec::new();
    for (key, id) in question.streams(db, args) {
        let found = db.read_as::<Stream>(key)?;
        let stream = found.as_ref().map(|found| found.get());
        let entries = stream.as_ref().map(|stream| &stream.entries);
        let from = From::parse(id, entries)?;
        if let Some(entries) = entries {
            served += usize::from(from.read(cx.reply, key.bytes, entries, question.count));
        }
        if question.block.is_some() {
            wanted.push((key, from));
        }
    }
    if served > 0 {
        put_before(cx.reply, start, |reply| reply_streams(reply, served));
        return Ok(());
    }
    let Some(deadline) = question.block else {
        cx.reply.null_array();
        return Ok(());
    };
    let keys: Vec<Key<'_>> = wanted.iter().map(|&(key, _)| key).collect();
    let wanted = wanted.iter().map(|&(key, from)| (key.bytes.into(), from)).collect();
    cx.block(&keys, deadline, Wait { wanted, count: question.count });
    Ok(())
}

/// Waits for entries behind given ids.
struct Wait {
    wanted: Vec<(Box<[u8]>, From)>,
    count: usize,
}

impl Blocked for Wait {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        self.serve_keys(db, cx, &[key])
    }

    /// Answers all streams that have something: one transaction may have fed several.
    fn serve_keys(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        keys: &[Key<'_>],
    ) -> Result<Served, Fail> {
        let by_name: BTreeMap<&[u8], Key<'_>> = keys.iter().map(|&key| (key.bytes, key)).collect();
        let (start, mut served) = (cx.reply.buf.len(), 0);
        for (name, from) in &self.wanted {
            let Some(&key) = by_name.get(&**name) else { continue };
            let Ok(Some(found)) = db.read_as::<Stream>(key) else { continue };
            served += usize::from(from.read(cx.reply, key.bytes, &found.get().entries, self.count));
        }
        if served == 0 {
            return Ok(Served::No);
        }
        put_before(cx.reply, start, |reply| reply_streams(reply, served));
        Ok(Served::Yes)
    }
}
