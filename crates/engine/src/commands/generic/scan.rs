//! Walking through all keys.

use super::{GENERIC, READ};
use crate::command::{Categories, Command};
use crate::commands::element_scan::{self, Options, Scanned};
use crate::{Args, Cx, Db, Done};
use tessera_config::Glob;
use tessera_resp::Reply;
use tessera_slot::{SLOT_COUNT, Slot};
use tessera_store::{Busy, Entry, ScanCursor};

pub(super) const RANDOMKEY: Command = Command::new("randomkey", 1, random_key)
    .flags(READ)
    .tips(&["request_policy:all_shards", "response_policy:special", "nondeterministic_output"])
    .doc(GENERIC, "1.0.0", "O(1)", "Answers some key of the database.", "");
pub(super) const KEYS: Command = Command::new("keys", 2, keys)
    .flags(READ)
    .categories(Categories::KEYSPACE.or(Categories::DANGEROUS))
    .tips(&["request_policy:all_shards", "nondeterministic_output_order"])
    .doc(
        GENERIC,
        "1.0.0",
        "O(N) where N is the number of keys in the database",
        "Answers all keys that match a pattern.",
        "pattern",
    );
pub(super) const SCAN: Command = Command::new("scan", -2, scan)
    .flags(READ)
    .tips(&["nondeterministic_output", "request_policy:special", "response_policy:special"])
    .doc(
        GENERIC,
        "2.8.0",
        "O(1) for a step, O(N) for all of them, where N is the number of keys in the database",
        "Answers some keys, and a cursor to go on with.",
        "cursor [MATCH pattern] [COUNT count] [TYPE type]",
    );

fn keys(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let filter = Filter { pattern: element_scan::pattern(args.at(1)), kind: None };
    let mut found = Found::default();
    // Expired keys are left to other commands: all slots together may hold any number of them.
    walk(db, ScanCursor::default(), usize::MAX, &filter, &mut found, |_| {})?;
    found.become_answer(cx.reply);
    Ok(())
}

/// The keys that are answered.
#[derive(Default)]
struct Filter<'a> {
    pattern: Option<Glob>,
    kind: Option<&'a [u8]>,
}

impl Filter<'_> {
    #[inline]
    fn lets_through(&self, entry: &Entry) -> bool {
        self.kind.is_none_or(|kind| kind.eq_ignore_ascii_case(entry.kind().name().as_bytes()))
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(entry.key()))
    }
}

/// Keys already in the form of the reply, whose number is not known before the walk is over.
#[derive(Default)]
struct Found {
    keys: Reply,
    count: usize,
    /// The length of the first key.
    first: usize,
}

impl Found {
    fn add(&mut self, key: &[u8]) {
        if self.count == 0 {
            self.first = key.len();
        }
        self.keys.bulk(key);
        self.count += 1;
    }

    /// The first key; empty if there is none.
    fn first(&self) -> &[u8] {
        let start = self.keys.buf.iter().position(|&byte| byte == b'\n').map_or(0, |at| at + 1);
        &self.keys.buf[start..start + self.first]
    }

    /// As [`Found::answer`], where there may be millions: the keys are not copied.
    fn become_answer(mut self, reply: &mut Reply) {
        if !reply.buf.is_empty() {
            return self.answer(reply);
        }
        reply.array(self.count);
        self.keys.buf.splice(0..0, reply.buf.drain(..));
        reply.buf = self.keys.buf;
    }

    fn answer(self, reply: &mut Reply) {
        reply.array(self.count);
        reply.buf.extend_from_slice(&self.keys.buf);
    }
}

/// Walks on from `cursor` through the database, each slot under its own lock. `due` is shown those
/// of the keys that match whose time has come.
///
/// # Errors
/// If somebody has a slot locked for longer than the thread waits.
fn walk(
    db: &mut Db<'_, '_>,
    cursor: ScanCursor,
    count: usize,
    filter: &Filter<'_>,
    found: &mut Found,
    mut due: impl FnMut(&[u8]),
) -> Result<ScanCursor, Busy> {
    let (index, now, shows_expired) = (db.index, db.now, db.is_live(Some(db.now)));
    let patience = db.patience;
    db.world().scan(index, cursor, count, false, patience, |entry| {
        if !filter.lets_through(entry) {
            return;
        }
        if !shows_expired && entry.expiry().is_some_and(|at| at <= now) {
            due(entry.key());
        } else {
            found.add(entry.key());
        }
    })
}

fn scan(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let cursor = ScanCursor(element_scan::cursor(args.at(1))?);
    let options = Options::parse(args, 2, Scanned::Keys)?;
    let filter = Filter { pattern: options.pattern, kind: options.kind };
    let mut found = Found::default();
    let mut due: Vec<Vec<u8>> = Vec::new();
    let next = walk(db, cursor, options.count, &filter, &mut found, |key| due.push(key.to_vec()))?;
    due.iter().for_each(|key| db.remove_due(key));
    cx.reply.array(2);
    cx.reply.bulk(itoa::Buffer::new().format(next.0).as_bytes());
    found.answer(cx.reply);
    Ok(())
}

/// How many slots RANDOMKEY tries before it counts them all.
const LUCK: usize = 32;
/// How often RANDOMKEY tries again when it has picked a key whose time has come.
const PATIENCE: usize = 100;

fn random_key(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    for _ in 0..PATIENCE {
        let Some(slot) = random_slot(db, cx)? else {
            cx.reply.null();
            return Ok(());
        };
        let (index, now, shows_expired) = (db.index, db.now, db.is_live(Some(db.now)));
        let (engine, mut key, mut due) = (cx.engine, None, None);
        let guard = db.lock_slot(slot)?;
        // Some buckets of a table that is not empty may be.
        while !guard.is_empty(index)
            && !guard.random_entry(index, engine.random(), |entry| {
                let live = shows_expired || entry.expiry().is_none_or(|at| at > now);
                let chosen = if live { &mut key } else { &mut due };
                *chosen = Some(entry.key().to_vec());
            })
        {}
        drop(guard);
        if let Some(due) = due {
            db.remove_due(&due);
        }
        if let Some(key) = key {
            cx.reply.bulk(&key);
            return Ok(());
        }
    }
    first_key(db, cx)
}

/// Answers the first key whose time has not come: nearly all others wait to be removed.
fn first_key(db: &mut Db<'_, '_>, cx: &mut Cx<'_>) -> Done {
    let mut cursor = ScanCursor::default();
    loop {
        let mut found = Found::default();
        cursor = walk(db, cursor, 1, &Filter::default(), &mut found, |_| {})?;
        if found.count > 0 {
            cx.reply.bulk(found.first());
            return Ok(());
        }
        if cursor == ScanCursor::default() {
            cx.reply.null();
            return Ok(());
        }
    }
}

/// A slot with keys of the database. If most slots have some, any will do; otherwise they are
/// counted, so that a sparse database is picked from evenly too.
fn random_slot(db: &mut Db<'_, '_>, cx: &Cx<'_>) -> Result<Option<Slot>, Busy> {
    let index = db.index;
    for _ in 0..LUCK {
        let slot = Slot::from_low_bits((cx.engine.random() >> 40) as u16);
        if db.lock_slot(slot).is_ok_and(|guard| !guard.is_empty(index)) {
            return Ok(Some(slot));
        }
    }
    let mut lens = Vec::with_capacity(SLOT_COUNT);
    for slot in Slot::all() {
        lens.push(db.lock_slot(slot)?.len(index) as u64);
    }
    let total: u64 = lens.iter().sum();
    let Some(mut pick) = (cx.engine.random() >> 16).checked_rem(total) else { return Ok(None) };
    let found = lens.iter().enumerate().find(|(_, len)| {
        let here = pick < **len;
        pick = pick.saturating_sub(**len);
        here
    });
    Ok(found.and_then(|(at, _)| Slot::new(at as u16)))
}
