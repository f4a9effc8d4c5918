//! XREADGROUP: entries for the consumers of a group.

use super::read::{Question, key_positions, reply_stream, reply_streams};
use super::told::Told;
use super::{STREAM, WRITE, ids, notify, now, put_before, reply_entry, reply_id};
use crate::command::{Command, Flags, KeyPlace, KeyUse, Keys};
use crate::db::Key;
use crate::{Args, Blocked, Cx, Db, Done, Fail, Served};
use tessera_collections::{ConsumerId, Entries, Group, Pending, Stream, StreamBody, StreamId};

pub(super) const XREADGROUP: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(key_positions(args).collect()),
        specs: &[(KeyPlace::HalfBehind("STREAMS", 4), KeyUse::RO_ACCESS)],
    },
    ..Command::new("xreadgroup", -7, xreadgroup)
}
.flags(WRITE.or(Flags::BLOCKING))
.uses(&[KeyUse::RO_ACCESS])
.doc(
    STREAM,
    "5.0.0",
    "O(N) with N the number of entries answered",
    "Gives a consumer of a group entries that nobody in the group has had yet, or again those that it has not acknowledged; \
     waits for an entry if there is none.",
    "GROUP <group consumer> [COUNT count] [BLOCK milliseconds] [NOACK] STREAMS key... id...",
);

/// The entries that a consumer wants of a stream.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wish {
    /// `>`: what nobody has had yet.
    New,
    /// The entries that it has not acknowledged, behind this id.
    Again(StreamId),
}

impl Wish {
    fn parse(text: &[u8]) -> Result<Wish, Fail> {
        let meaningless = |word| {
            Err(Fail::text(format!(
                "ERR The {word} ID is meaningless in the context of XREADGROUP: you want to read the history of \
                 this consumer by specifying a proper ID, or use the > ID to get new messages. \
                 The {word} ID would just return an empty result set."
            )))
        };
        match text {
            b"$" => meaningless('$'),
            b"+" => meaningless('+'),
            b">" => Ok(Wish::New),
            text => match ids::id(text, 0)? {
                StreamId::MAX => Ok(Wish::New),
                id => Ok(Wish::Again(id)),
            },
        }
    }
}

/// The reading consumer, and its options.
struct Reader {
    group: Box<[u8]>,
    consumer: Box<[u8]>,
    count: usize,
    noack: bool,
}

fn xreadgroup(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let question = Question::parse(args, cx.now, true)?;
    let (group, consumer) =
        question.group.ok_or(Fail::text("ERR Missing GROUP option for XREADGROUP"))?;
    let reader = Reader {
        group: group.into(),
        consumer: consumer.into(),
        count: question.count,
        noack: question.noack,
    };
    // Everything is looked at before anything is changed.
    let mut wishes = Vec::new();
    for (key, id) in question.streams(db, args) {
        let found = db.read_as::<Stream>(key)?;
        found
            .filter(|found| found.get().groups.contains_key(group))
            .ok_or_else(|| reader.missing(key))?;
        wishes.push((key, Wish::parse(id)?));
    }
    if reader.read_all(db, cx, wishes.iter().copied())? == Served::Yes {
        return Ok(());
    }
    if let Some(deadline) = question.block {
        let keys: Vec<Key<'_>> = wishes.into_iter().map(|(key, _)| key).collect();
        cx.block(&keys, deadline, reader);
    } else {
        cx.reply.null_array();
    }
    Ok(())
}

impl Blocked for Reader {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        self.serve_keys(db, cx, &[key])
    }

    /// Reads all streams, if one of them has something: one transaction may have fed several.
    fn serve_keys(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        keys: &[Key<'_>],
    ) -> Result<Served, Fail> {
        let mut any_news = false;
        for &key in keys {
            let found = db.find_as::<Stream>(key)?.ok_or_else(|| self.missing(key))?;
            let stream = found.get();
            let group = stream.groups.get(&self.group).ok_or_else(|| self.missing(key))?;
            any_news |= has_news(&stream.entries, group);
        }
        match any_news {
            true => self.read_all(db, cx, keys.iter().map(|&key| (key, Wish::New))),
            false => Ok(Served::No),
        }
    }

    fn wants_deletion(&self) -> bool {
        true
    }
}

/// Whether a stream has entries that the group has not read.
fn has_news(entries: &Entries, group: &Group) -> bool {
    entries.last_id() > group.last_id
        && entries.last_present().is_some_and(|last| last > group.last_id)
}

impl Reader {
    fn missing(&self, key: Key<'_>) -> Fail {
        let (key, group) =
            (String::from_utf8_lossy(key.bytes), String::from_utf8_lossy(&self.group));
        Fail::text(format!(
            "NOGROUP No such key '{key}' or consumer group '{group}' in XREADGROUP with GROUP option"
        ))
    }

    /// Reads these streams, whose groups are there.
    fn read_all<'a>(
        &self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        wishes: impl Iterator<Item = (Key<'a>, Wish)>,
    ) -> Result<Served, Fail> {
        let (start, mut served, mut told) = (cx.reply.buf.len(), 0, Told::new(cx));
        for (key, wish) in wishes {
            served += usize::from(self.read(db, cx, key, wish, &mut told)?);
        }
        told.propagate(cx);
        if served == 0 {
            return Ok(Served::No);
        }
        put_before(cx.reply, start, |reply| reply_streams(reply, served));
        Ok(Served::Yes)
    }

    /// Reads one stream, whose group is there. False: there was nothing to be answered, and nothing
    /// was.
    fn read(
        &self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
        wish: Wish,
        told: &mut Told,
    ) -> Result<bool, Fail> {
        let mut found = db.find_as::<Stream>(key)?.ok_or_else(|| self.missing(key))?;
        let mut stream = found.edit();
        let StreamBody { entries, groups } = &mut **stream;
        let group = groups.get_mut(&self.group).ok_or_else(|| self.missing(key))?;
        let (consumer, is_new) = group.find_or_make(&self.consumer, now(cx));
        group.consumer_mut(consumer).seen = now(cx);
        if is_new {
            cx.changed(1);
            notify(cx, "xgroup-createconsumer", key);
        }
        let before = told.len();
        let served = match wish {
            Wish::New if has_news(entries, group) => {
                reply_stream(cx.reply, key.bytes);
                if is_new && self.noack {
                    told.made(key, &self.group, &self.consumer);
                }
                self.deliver(cx, key, entries, group, consumer, told);
                true
            }
            Wish::New => false,
            Wish::Again(id) => {
                reply_stream(cx.reply, key.bytes);
                self.repeat(cx, entries, group, consumer, id);
                true
            }
        };
        if is_new && told.len() == before {
            told.made(key, &self.group, &self.consumer);
        }
        cx.changed(u64::from(served));
        Ok(served)
    }

    /// Gives a consumer entries that nobody has had yet.
    fn deliver(
        &self,
        cx: &mut Cx<'_>,
        key: Key<'_>,
        entries: &Entries,
        group: &mut Group,
        consumer: ConsumerId,
        told: &mut Told,
    ) {
        let (start, mut len, now) = (cx.reply.buf.len(), 0, now(cx));
        let mut moved = false;
        let first = group.last_id.next().unwrap_or(StreamId::MAX);
        for entry in entries.range(first, StreamId::MAX).take(self.count) {
            moved |= group.advance(entries, entry.id);
            reply_entry(cx.reply, &entry);
            len += 1;
            if !self.noack {
                let pending = Pending { consumer, time: now, count: 1 };
                group.assign(entry.id, pending);
                group.consumer_mut(consumer).active = Some(now);
                told.claimed(key, (&self.group, group), entry.id, pending);
            }
        }
        if moved {
            told.moved(key, &self.group, group);
        }
        put_before(cx.reply, start, |reply| reply.array(len));
    }

    /// Gives a consumer once more what it has not acknowledged.
    fn repeat(
        &self,
        cx: &mut Cx<'_>,
        entries: &Entries,
        group: &mut Group,
        consumer: ConsumerId,
        behind: StreamId,
    ) {
        let first = behind.next().unwrap_or(StreamId::MAX);
        let ids: Vec<StreamId> =
            group.consumer(consumer).pending_from(first).take(self.count).collect();
        cx.reply.array(ids.len());
        for id in ids {
            match entries.range(id, id).next() {
                Some(entry) => {
                    reply_entry(cx.reply, &entry);
                    group.deliver_again(id, now(cx));
                }
                None => {
                    // It is gone from the stream.
                    cx.reply.array(2);
                    reply_id(cx.reply, id);
                    cx.reply.null_array();
                }
            }
        }
    }
}
