//! DEBUG DIGEST, DIGEST-VALUE and POPULATE: for tests that compare the data of two servers.
//!
//! The digests are those of Valkey: SHA-1s, joined by exclusive or where the order must not matter,
//! and chained where it does. How a value is kept does not matter. So data can be compared with
//! other servers' too (Redis 7.0 writes some scores differently).

use super::check_allowed;
use crate::arguments::integer;
use crate::commands::string;
use crate::{Args, Cx, Db, Done, Fail};
use sha1::{Digest as _, Sha1};
use std::ops::ControlFlow;
use tessera_collections::{
    AnyCollection, Digits, Direction, DoubleText, Element, Hash, List, Set, SortedSet, Stream,
    StreamId,
};
use tessera_slot::Millis;
use tessera_store::{Entry, Lookup, NewValue, ScanCursor};

const LEN: usize = 20;

/// A digest under way.
#[derive(Clone, Copy, Default)]
struct Digest([u8; LEN]);

impl Digest {
    /// Adds something whose order does not matter.
    fn join(&mut self, bytes: &[u8]) {
        let hash = Sha1::digest(bytes);
        self.0.iter_mut().zip(hash).for_each(|(digest, hash)| *digest ^= hash);
    }

    /// Adds something that comes behind what was added before.
    fn chain(&mut self, bytes: &[u8]) {
        self.join(bytes);
        self.0 = Sha1::digest(self.0).into();
    }

    fn chain_element(&mut self, element: Element<'_>) {
        self.chain(element.text(&mut Digits::default()));
    }

    /// Adds a part that has a digest of its own.
    fn join_digest(&mut self, part: Digest) {
        self.join(&part.0);
    }

    fn text(&self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    /// Adds value and expiry of an entry.
    fn add_value(&mut self, entry: &Entry, now: Millis) {
        let number: u32 = match entry.any_collection().as_deref() {
            None => 0,
            Some(AnyCollection::List(_)) => 1,
            Some(AnyCollection::Set(_)) => 2,
            Some(AnyCollection::SortedSet(_)) => 3,
            Some(AnyCollection::Hash(_)) => 4,
            Some(AnyCollection::Stream(_)) => 6,
        };
        self.chain(&number.to_be_bytes());
        if let Some(value) = entry.string() {
            self.chain(string::text(value, &mut itoa::Buffer::new()));
        }
        match entry.any_collection().as_deref() {
            None => {}
            Some(AnyCollection::Stream(stream)) => self.add_stream(stream),
            Some(AnyCollection::List(list)) => self.add_list(list),
            Some(AnyCollection::Set(set)) => self.add_set(set),
            Some(AnyCollection::SortedSet(set)) => self.add_sorted_set(set),
            Some(AnyCollection::Hash(hash)) => self.add_hash(hash, now),
        }
        if entry.expiry().is_some() {
            self.join(b"!!expire!!");
        }
    }

    fn add_list(&mut self, list: &List) {
        list.visit(0, Direction::Forward, |element| {
            self.chain_element(element);
            ControlFlow::<()>::Continue(())
        });
    }

    fn add_set(&mut self, set: &Set) {
        set.iter().for_each(|member| self.join(member.text(&mut Digits::default())));
    }

    fn add_sorted_set(&mut self, set: &SortedSet) {
        let mut text = DoubleText::default();
        for (member, score) in set.iter() {
            let mut part = Digest::default();
            part.chain_element(member);
            part.chain(text.format_shortest(score).as_bytes());
            self.join_digest(part);
        }
    }

    /// The entries alone, not the groups.
    fn add_stream(&mut self, stream: &Stream) {
        for entry in stream.entries.range(StreamId::MIN, StreamId::MAX) {
            self.chain(format!("{}.{}", entry.id.ms, entry.id.seq).as_bytes());
            for (field, value) in entry.pairs() {
                self.chain_element(field);
                self.chain_element(value);
            }
        }
    }

    /// Fields that have expired are left out: when they are removed differs from server to server.
    fn add_hash(&mut self, hash: &Hash, now: Millis) {
        hash.for_each(now.0, |field| {
            let mut part = Digest::default();
            part.chain_element(field.name);
            part.chain_element(field.value);
            if field.expiry.is_some() {
                part.join(b"!!hexpire!!");
            }
            self.join_digest(part);
        });
    }
}

pub(super) fn digest(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    let (mut digest, now) = (Digest::default(), db.now);
    for index in 0..db.keyspace().databases() {
        let (mut keys, mut is_empty) = (Digest::default(), true);
        let patience = db.patience;
        let scanned =
            db.world().scan(index, ScanCursor::default(), usize::MAX, false, patience, |entry| {
                is_empty = false;
                let mut part = Digest::default();
                part.chain(entry.key());
                part.add_value(entry, now);
                keys.join_digest(part);
            });
        scanned?;
        if !is_empty {
            digest.chain(&(index as u32).to_be_bytes());
            digest.0.iter_mut().zip(keys.0).for_each(|(digest, keys)| *digest ^= keys);
        }
    }
    cx.reply.simple(&digest.text());
    Ok(())
}

/// A digest for each key, of value and expiry; zeros where there is none.
pub(super) fn digest_value(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let now = db.now;
    cx.reply.array(args.len() - 2);
    for (ordinal, key) in args.from(2).enumerate() {
        let mut digest = Digest::default();
        if let Some(found) = db.peek(db.key(key, ordinal)) {
            digest.add_value(&found.entry(), now);
        }
        cx.reply.simple(&digest.text());
    }
    Ok(())
}
/// Keys `prefix:0`, `prefix:1` …, each with the value `value:0` and so on, cut or filled with zeros
/// to a size. Existing keys stay, and nothing is propagated.
pub(super) fn populate(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    if args.len() > 5 {
        return Err(Fail::Syntax);
    }
    let number = |at: usize| -> Result<Option<usize>, Fail> {
        args.get(at)
            .map(|arg| usize::try_from(integer(arg)?).map_err(|_| Fail::NotInteger))
            .transpose()
    };
    let count = number(2)?.unwrap_or(0);
    let size = number(4)?;
    if size.is_some_and(|size| size as u64 > cx.config.network.proto_max_bulk_len.0) {
        return Err(Fail::text("ERR value is out of range"));
    }
    let (index, access) = (db.index, db.access());
    for at in 0..count {
        let mut key = args.get(3).unwrap_or(b"key").to_vec();
        key.extend_from_slice(format!(":{at}").as_bytes());
        let mut value = format!("value:{at}").into_bytes();
        value.resize(size.filter(|&size| size > 0).unwrap_or(value.len()), 0);
        let hash = db.keyspace().locate(&key);
        if let Lookup::Vacant(vacant) = db.lock_slot(hash.slot())?.lookup(index, &key, hash) {
            vacant.insert(NewValue::String(&value), None, access);
        }
    }
    cx.reply.ok();
    Ok(())
}
