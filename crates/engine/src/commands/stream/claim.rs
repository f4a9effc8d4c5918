//! XCLAIM and XAUTOCLAIM: entries that one consumer has not acknowledged go to another.

use super::told::Told;
use super::{
    STREAM, VARIES, WRITE_FAST, ids, no_group, notify, now, put_before, reply_entry, reply_id,
};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::db::Key;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{
    ConsumerId, Entries, Group, MAX_STREAM_COUNT, Pending, Stream, StreamBody, StreamId,
};

pub(super) const XCLAIM: Command = Command::new("xclaim", -6, xclaim)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .tips(VARIES)
    .doc(
        STREAM,
        "5.0.0",
        "O(log N) for each id, with N the number of entries that are not acknowledged",
        "Gives entries that were not acknowledged for some time to another consumer.",
        "key group consumer min-idle-time id... [IDLE ms] [TIME unix-time-milliseconds] [RETRYCOUNT count] \
         [FORCE] [JUSTID] [LASTID lastid]",
    );
pub(super) const XAUTOCLAIM: Command = Command::new("xautoclaim", -6, xautoclaim)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_DELETE])
    .tips(VARIES)
    .doc(
        STREAM,
        "6.2.0",
        "O(1) if COUNT is small",
        "Gives entries that were not acknowledged for some time, whichever they are, to another consumer.",
        "key group consumer min-idle-time start [COUNT count] [JUSTID]",
    );

/// An integer, with an error of its own.
fn integer_or(arg: &[u8], error: &'static str) -> Result<i64, Fail> {
    integer(arg).map_err(|_| Fail::text(error))
}

/// How entries are claimed.
struct Terms {
    /// Milliseconds since the last delivery, at least.
    min_idle: i64,
    /// When they count as delivered, Unix ms.
    time: i64,
    /// How often they count as delivered; `None`: once more, unless only ids are answered.
    count: Option<u64>,
    /// Entries that are not pending are taken too.
    force: bool,
    just_id: bool,
}

/// The group that entries are claimed in, and who claims them.
struct Claim<'a> {
    key: Key<'a>,
    name: &'a [u8],
    entries: &'a Entries,
    group: &'a mut Group,
    consumer: ConsumerId,
    told: Told,
}

/// The fate of an entry that was to be claimed.
#[derive(PartialEq, Eq)]
enum Fate {
    /// It was, and is answered.
    Claimed,
    /// It is gone from the stream, and so it is not pending any more.
    Gone,
    /// It stays where it is.
    Kept,
}

impl Claim<'_> {
    /// Claims one entry.
    fn claim(&mut self, cx: &mut Cx<'_>, id: StreamId, terms: &Terms) -> Fate {
        let present = self.group.pending_at(id);
        let Some(entry) = self.entries.range(id, id).next() else {
            let Some(present) = present else { return Fate::Kept };
            self.told.claimed(self.key, (self.name, self.group), id, present);
            self.group.acknowledge(id);
            cx.changed(1);
            return Fate::Gone;
        };
        let delivered = match present {
            Some(present) => {
                let idle = now(cx).saturating_sub(present.time);
                if terms.min_idle > 0 && idle < terms.min_idle {
                    return Fate::Kept;
                }
                present.count
            }
            None if terms.force => 1,
            None => return Fate::Kept,
        };
        let again = (delivered + u64::from(!terms.just_id)).min(MAX_STREAM_COUNT);
        let count = terms.count.unwrap_or(again);
        let pending = Pending { consumer: self.consumer, time: terms.time, count };
        self.group.assign(id, pending);
        self.group.consumer_mut(self.consumer).active = Some(now(cx));
        if terms.just_id {
            reply_id(cx.reply, id);
        } else {
            reply_entry(cx.reply, &entry);
        }
        self.told.claimed(self.key, (self.name, self.group), id, pending);
        cx.changed(1);
        Fate::Claimed
    }

    /// Ends: replicas are told of what was done, and of the consumer if nothing of that names it.
    fn end(mut self, cx: &mut Cx<'_>, consumer: &[u8], is_new: bool, is_named: bool) {
        if is_new && !is_named {
            self.told.made(self.key, self.name, consumer);
        }
        self.told.propagate(cx);
    }
}

/// The options of XCLAIM.
struct Options {
    ids: Vec<StreamId>,
    terms: Terms,
    last_id: StreamId,
}

impl Options {
    fn parse(args: Args<'_>, now: i64) -> Result<Options, Fail> {
        let min_idle =
            integer_or(args.at(4), "ERR Invalid min-idle-time argument for XCLAIM")?.max(0);
        let ids: Vec<StreamId> = args.from(5).map_while(|text| ids::try_id(text, 0)).collect();
        let mut terms = Terms { min_idle, time: now, count: None, force: false, just_id: false };
        let (mut time, mut last_id, mut at) = (None, StreamId::MIN, 5 + ids.len());
        while at < args.len() {
            let value = args.get(at + 1);
            if args.is(at, "force") {
                terms.force = true;
                at += 1;
                continue;
            }
            if args.is(at, "justid") {
                terms.just_id = true;
                at += 1;
                continue;
            }
            let Some(value) = value else { return Err(unrecognized(args.at(at))) };
            if args.is(at, "idle") {
                let idle = integer_or(value, "ERR Invalid IDLE option argument for XCLAIM")?;
                time = Some(now.saturating_sub(idle));
            } else if args.is(at, "time") {
                time = Some(integer_or(value, "ERR Invalid TIME option argument for XCLAIM")?);
            } else if args.is(at, "retrycount") {
                let text = "ERR Invalid RETRYCOUNT option argument for XCLAIM";
                terms.count = u64::try_from(integer_or(value, text)?).ok();
            } else if args.is(at, "lastid") {
                last_id = ids::id(value, 0)?;
            } else {
                return Err(unrecognized(args.at(at)));
            }
            at += 2;
        }
        // A time that cannot be is now: clients compute it from clocks of their own.
        terms.time = time.filter(|time| (0..=now).contains(time)).unwrap_or(now);
        Ok(Options { ids, terms, last_id })
    }
}

fn unrecognized(option: &[u8]) -> Fail {
    Fail::text(format!("ERR Unrecognized XCLAIM option '{}'", String::from_utf8_lossy(option)))
}

/// Whether the stream has the group.
fn check(db: &mut Db<'_, '_>, args: Args<'_>) -> Done {
    let found = db.find_as::<Stream>(db.key(args.at(1), 0))?;
    match found.filter(|found| found.get().groups.contains_key(args.at(2))) {
        Some(_) => Ok(()),
        None => Err(no_group(args.at(1), args.at(2))),
    }
}

/// Does something with the group that was seen by [`check`].
fn with_claim(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    claim: impl FnOnce(Claim<'_>, &mut Cx<'_>, bool),
) -> Done {
    let (key, name) = (db.key(args.at(1), 0), args.at(2));
    let missing = || no_group(key.bytes, name);
    let mut found = db.find_as::<Stream>(key)?.ok_or_else(missing)?;
    let mut stream = found.edit();
    let StreamBody { entries, groups } = &mut **stream;
    let group = groups.get_mut(name).ok_or_else(missing)?;
    let (consumer, is_new) = group.find_or_make(args.at(3), now(cx));
    group.consumer_mut(consumer).seen = now(cx);
    if is_new {
        cx.changed(1);
        notify(cx, "xgroup-createconsumer", key);
    }
    claim(Claim { key, name, entries, group, consumer, told: Told::new(cx) }, cx, is_new);
    Ok(())
}

fn xclaim(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check(db, args)?;
    let options = Options::parse(args, now(cx))?;
    with_claim(db, cx, args, |mut claim, cx, is_new| {
        let moved = options.last_id > claim.group.last_id;
        if moved {
            claim.group.last_id = options.last_id;
        }
        let (start, mut claimed, mut gone) = (cx.reply.buf.len(), 0, 0);
        for &id in &options.ids {
            match claim.claim(cx, id, &options.terms) {
                Fate::Claimed => claimed += 1,
                Fate::Gone => gone += 1,
                Fate::Kept => {}
            }
        }
        if moved && claimed + gone == 0 {
            claim.told.moved(claim.key, claim.name, claim.group);
            cx.changed(1);
        }
        put_before(cx.reply, start, |reply| reply.array(claimed));
        claim.end(cx, args.at(3), is_new, claimed > 0);
    })
}

/// COUNT of XAUTOCLAIM: how many entries are claimed at most.
const DEFAULT_COUNT: i64 = 100;
/// For each of them so many may be looked at.
const ATTEMPTS: u64 = 10;

fn xautoclaim(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let min_idle =
        integer_or(args.at(4), "ERR Invalid min-idle-time argument for XAUTOCLAIM")?.max(0);
    let start = ids::start(args.at(5))?;
    let (mut count, mut just_id, mut at) = (DEFAULT_COUNT, false, 6);
    while at < args.len() {
        if args.is(at, "count") && at + 1 < args.len() {
            /// More would overflow the number of attempts.
            const MOST: i64 = i64::MAX / 16;
            let text = "ERR COUNT must be > 0";
            count = integer_or(args.at(at + 1), text)?;
            if !(1..=MOST).contains(&count) {
                return Err(Fail::text(text));
            }
            at += 2;
        } else if args.is(at, "justid") {
            just_id = true;
            at += 1;
        } else {
            return Err(Fail::Syntax);
        }
    }
    check(db, args)?;
    let terms = Terms { min_idle, time: now(cx), count: None, force: false, just_id };
    with_claim(db, cx, args, |claim, cx, is_new| {
        sweep(claim, cx, (args.at(3), is_new), (start, count as u64), &terms);
    })
}

/// Claims what can be from `start` on, and answers where the next sweep is to begin.
fn sweep(
    mut claim: Claim<'_>,
    cx: &mut Cx<'_>,
    (consumer, is_new): (&[u8], bool),
    (start, mut count): (StreamId, u64),
    terms: &Terms,
) {
    let (mut attempts, mut next) = (count * ATTEMPTS, Some(start));
    let (begin, mut claimed, mut gone) = (cx.reply.buf.len(), 0, Vec::new());
    while attempts > 0
        && count > 0
        && let Some(id) = next_pending(claim.group, next)
    {
        match claim.claim(cx, id, terms) {
            Fate::Claimed => {
                claimed += 1;
                count -= 1;
            }
            Fate::Gone => {
                gone.push(id);
                count -= 1;
            }
            Fate::Kept => {}
        }
        attempts -= 1;
        next = id.next();
    }
    let next = next_pending(claim.group, next).unwrap_or(StreamId::MIN);
    put_before(cx.reply, begin, |reply| {
        reply.array(3);
        reply_id(reply, next);
        reply.array(claimed);
    });
    cx.reply.array(gone.len());
    gone.into_iter().for_each(|id| reply_id(cx.reply, id));
    claim.end(cx, consumer, is_new, claimed > 0);
}

fn next_pending(group: &Group, from: Option<StreamId>) -> Option<StreamId> {
    group.pending_from(from?).next().map(|(id, _)| id)
}
