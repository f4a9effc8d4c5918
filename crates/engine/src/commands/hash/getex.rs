//! HGETEX: values, with something done to when their fields expire.

use super::delete::removed;
use super::expire::tell_expiry;
use super::field_args::{Fields, fields_word, moment};
use super::ttl::persisted;
use super::{HASH, WRITE_FAST, bulk_or_null, tell};
use crate::command::{Command, KeyUse, Touches};
use crate::commands::string::expiry_options::ExpiryOption;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_collections::Hash;
use tessera_slot::Millis;

pub(super) const HGETEX: Command = Command::new("hgetex", -5, hgetex)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE])
    .doc(
        HASH,
        "8.0.0",
        "O(N) where N is the number of fields",
        "Gets the values of fields of a hash and changes when the fields expire.",
        "key [EX seconds|PX milliseconds|EXAT unix-time-seconds|PXAT unix-time-milliseconds|PERSIST] \
         FIELDS numfields field [field ...]",
    ).touches(Touches::Value);

/// The change of the fields' expiry.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Change {
    None,
    Persist,
    Delete,
    Set(Millis),
}

fn change(db: &Db<'_, '_>, option: ExpiryOption<'_>) -> Result<Change, Fail> {
    Ok(match option {
        ExpiryOption::Unsaid => Change::None,
        ExpiryOption::Word => Change::Persist,
        ExpiryOption::Time(form, arg) => match moment(form, arg, db.now, "hgetex")? {
            at if db.is_past(at) => Change::Delete,
            at => Change::Set(at),
        },
    })
}

fn hgetex(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let word = fields_word(args, 2)?;
    let (mut option, mut at) = (ExpiryOption::Unsaid, 2);
    while at < word {
        at += option.take(args, at, "persist").ok_or(Fail::Syntax)?;
    }
    if at > word {
        return Err(Fail::Syntax);
    }
    let fields = Fields::at(args, word + 1)?;
    let change = change(db, option)?;
    let (key, as_of) = (args.at(1), db.field_time());
    let found = db.read_as::<Hash>(db.key(key, 0))?;
    cx.reply.array(fields.len());
    let Some(mut found) = found else {
        fields.iter().for_each(|_| cx.reply.null());
        return Ok(());
    };
    let mut changed: Vec<&[u8]> = Vec::new();
    for field in fields.iter() {
        let hash = found.get();
        bulk_or_null(cx.reply, hash.get(field, as_of));
        let applies = change != Change::None
            && match hash.expiry(field, as_of) {
                None => false,
                Some(expiry) => change != Change::Persist || expiry.is_some(),
            };
        if !applies {
            continue;
        }
        changed.push(field);
        let mut hash = found.edit();
        match change {
            Change::None => {}
            Change::Persist => drop(hash.persist(field, as_of)),
            Change::Delete => drop(hash.remove(field, as_of)),
            Change::Set(at) => drop(hash.set_expiry(field, at.0, as_of, |_| true)),
        }
    }
    if changed.is_empty() {
        return Ok(());
    }
    match change {
        Change::None => {}
        Change::Persist => persisted(cx, key, &changed),
        Change::Delete => {
            cx.stats.bump(|stats| &stats.expired_fields, changed.len() as u64);
            removed(cx, found, key, "hexpired", changed.len());
            tell(cx, &[b"HDEL", key], &changed);
        }
        Change::Set(at) => {
            cx.notify(EventClass::Hash, "hexpire", key);
            cx.changed(changed.len() as u64);
            tell_expiry(cx, key, at, &changed);
        }
    }
    Ok(())
}
