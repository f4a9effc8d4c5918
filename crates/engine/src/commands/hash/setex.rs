//! HSETEX: fields that are set together with when they expire.

use super::delete::removed;
use super::field_args::{Fields, fields_word, moment};
use super::{GROW_FAST, HASH, limits, tell, words};
use crate::command::{Command, KeyUse, Touches};
use crate::commands::string::expiry_options::ExpiryOption;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_collections::{Collection, Expiry, Hash};
use tessera_slot::Millis;

pub(super) const HSETEX: Command = Command::new("hsetex", -6, hsetex)
    .flags(GROW_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        HASH,
        "8.0.0",
        "O(N) where N is the number of fields",
        "Sets fields of a hash and when they expire.",
        "key [NX|XX] [FNX|FXX] \
         [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|KEEPTTL] \
         FIELDS numfields <field value>...",
    )
    .touches(Touches::Value);

/// The condition: fields or key must be there, or must not.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Any,
    None,
    All,
}

impl Wanted {
    /// Takes an option, if it does not contradict what was said before.
    fn take(&mut self, args: Args<'_>, at: usize, none: &str, all: &str) -> bool {
        let said = match () {
            () if args.is(at, none) => Wanted::None,
            () if args.is(at, all) => Wanted::All,
            () => return false,
        };
        let agrees = *self == Wanted::Any || *self == said;
        *self = said;
        agrees
    }
}

/// The options.
struct Options<'a> {
    key: Wanted,
    fields: Wanted,
    expiry: ExpiryOption<'a>,
}

impl<'a> Options<'a> {
    /// Reads the arguments from the third to the one before `end`.
    fn parse(args: Args<'a>, end: usize) -> Result<Options<'a>, Fail> {
        let mut options =
            Options { key: Wanted::Any, fields: Wanted::Any, expiry: ExpiryOption::Unsaid };
        let mut at = 2;
        while at < end {
            let is_condition = options.key.take(args, at, "nx", "xx")
                || options.fields.take(args, at, "fnx", "fxx");
            at += match is_condition {
                true => 1,
                false => options.expiry.take(args, at, "keepttl").ok_or(Fail::Syntax)?,
            };
        }
        if at == end { Ok(options) } else { Err(Fail::Syntax) }
    }

    /// Whether the conditions hold for the hash of a key.
    fn hold(&self, hash: Option<&Hash>, fields: Fields<'_>, as_of: u64) -> bool {
        let has = |field| hash.is_some_and(|hash| hash.get(field, as_of).is_some());
        let key_fits = match self.key {
            Wanted::Any => true,
            Wanted::None => hash.is_none(),
            Wanted::All => hash.is_some(),
        };
        key_fits
            && match self.fields {
                Wanted::Any => true,
                Wanted::None => !fields.iter().any(has),
                Wanted::All => fields.iter().all(has),
            }
    }
}

fn hsetex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let word = fields_word(args, 2)?;
    let options = Options::parse(args, word)?;
    let fields = Fields::pairs_at(args, word + 1)?;
    let expiry = match options.expiry {
        ExpiryOption::Unsaid => Expiry::Never,
        ExpiryOption::Word => Expiry::Keep,
        ExpiryOption::Time(form, arg) => Expiry::At(moment(form, arg, db.now, "hsetex")?.0),
    };
    let key = db.key(args.at(1), 0);
    db.retire_fields(key, fields.iter());
    let as_of = db.field_time();
    let holds = {
        let found = db.find_as::<Hash>(key)?;
        let hash = found.as_ref().map(|found| found.get());
        options.hold(hash.as_deref(), fields, as_of)
    };
    if !holds {
        cx.reply.integer(0);
        return Ok(());
    }
    match expiry {
        Expiry::At(at) if db.is_past(Millis(at)) => delete(db, cx, args, fields),
        expiry => set(db, cx, args, fields, expiry),
    }
}

fn set(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    fields: Fields<'_>,
    expiry: Expiry,
) -> Done {
    let (key, as_of, limits) = (args.at(1), db.field_time(), limits(cx));
    let mut found = db.find_or_make(db.key(key, 0), Hash::new)?;
    let is_new = found.get().is_empty();
    let mut hash = found.edit();
    hash.expect(fields.len(), fields.texts(), limits);
    for (field, value) in fields.pairs() {
        hash.set(field, value, expiry, as_of, limits);
    }
    drop(hash);
    if is_new {
        cx.notify_new(key);
    }
    cx.notify(EventClass::Hash, "hset", key);
    if matches!(expiry, Expiry::At(_)) {
        cx.notify(EventClass::Hash, "hexpire", key);
    }
    cx.changed(fields.len() as u64);
    cx.reply.integer(1);
    // Replicas get the moment, not the distance to it, and no condition.
    let count = fields.len().to_string();
    let texts: Vec<&[u8]> = fields.texts().collect();
    let mut head = match expiry {
        Expiry::Never => words(&[b"HSET", key]),
        Expiry::Keep => words(&[b"HSETEX", key, b"KEEPTTL"]),
        Expiry::At(at) => words(&[b"HSETEX", key, b"PXAT", at.to_string().as_bytes()]),
    };
    if expiry != Expiry::Never {
        head.extend(words(&[b"FIELDS", count.as_bytes()]));
    }
    let head: Vec<&[u8]> = head.iter().map(Vec::as_slice).collect();
    tell(cx, &head, &texts);
    Ok(())
}

/// Removes fields which have expired as soon as they would be set.
fn delete(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, fields: Fields<'_>) -> Done {
    let (key, as_of) = (args.at(1), db.field_time());
    let mut gone: Vec<&[u8]> = Vec::new();
    if let Some(mut found) = db.find_as::<Hash>(db.key(key, 0))? {
        for field in fields.iter() {
            if found.get().get(field, as_of).is_some() {
                found.edit().remove(field, as_of);
                gone.push(field);
            }
        }
        if !gone.is_empty() {
            removed(cx, found, key, "hexpired", gone.len());
            tell(cx, &[b"HDEL", key], &gone);
        }
    }
    // All of them count as set, and as expired.
    cx.stats.bump(|stats| &stats.expired_fields, fields.len() as u64);
    cx.reply.integer(1);
    Ok(())
}
