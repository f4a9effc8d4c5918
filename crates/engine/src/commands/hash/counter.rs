//! Values of fields as numbers.

use super::{GROW_FAST, HASH, bulk, limits, words};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::commands::string::long_double::LongDouble;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_collections::{Collection, Digits, Element, Expiry, Hash};
use tessera_store::canonical_integer;

pub(super) const HINCRBY: Command = Command::new("hincrby", 4, hincrby)
    .flags(GROW_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE])
    .doc(
        HASH,
        "2.0.0",
        "O(1)",
        "Adds to the integer in a field of a hash; a missing field counts as 0.",
        "key field increment",
    );
pub(super) const HINCRBYFLOAT: Command = Command::new("hincrbyfloat", 4, hincrbyfloat)
    .flags(GROW_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_UPDATE])
    .doc(
        HASH,
        "2.6.0",
        "O(1)",
        "Adds to the floating point number in a field of a hash; a missing field counts as 0.",
        "key field increment-float",
    );

/// Puts in the place of a field's value what `change` makes of it; gives the new value's text and
/// whether the field expires.
fn change(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    event: &'static str,
    change: impl FnOnce(Option<Element<'_>>) -> Result<Text, Fail>,
) -> Result<(Text, bool), Fail> {
    let (bytes, field) = (args.at(1), args.at(2));
    let key = db.key(bytes, 0);
    db.retire_fields(key, std::iter::once(field));
    let (as_of, limits) = (db.field_time(), limits(cx));
    let mut found = db.find_or_make(key, Hash::new)?;
    let is_new = found.get().is_empty();
    let changed = change(found.get().get(field, as_of));
    let text = match changed {
        Ok(text) => text,
        Err(fail) => {
            found.delete_if_empty();
            return Err(fail);
        }
    };
    let mut hash = found.edit();
    hash.set(field, text.bytes(&mut Digits::default()), Expiry::Keep, as_of, limits);
    let expires = hash.is_aging() && hash.expiry(field, as_of).flatten().is_some();
    if is_new {
        cx.notify_new(bytes);
    }
    cx.notify(EventClass::Hash, event, bytes);
    cx.changed(1);
    Ok((text, expires))
}

/// A number as text.
enum Text {
    Integer(i64),
    Float(String),
}

impl Text {
    fn bytes<'a>(&'a self, digits: &'a mut Digits) -> &'a [u8] {
        match self {
            Text::Integer(number) => digits.format(*number),
            Text::Float(text) => text.as_bytes(),
        }
    }
}

fn hincrby(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let by = integer(args.at(3))?;
    let (sum, _) = change(db, cx, args, "hincrby", |old| {
        let old = match old {
            None => 0,
            Some(Element::Integer(number)) => number,
            Some(Element::Bytes(text)) => {
                canonical_integer(text).ok_or(Fail::text("ERR hash value is not an integer"))?
            }
        };
        let overflow = Fail::text("ERR increment or decrement would overflow");
        old.checked_add(by).map(Text::Integer).ok_or(overflow)
    })?;
    if let Text::Integer(sum) = sum {
        cx.reply.integer(sum);
    }
    Ok(())
}

fn hincrbyfloat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let by = LongDouble::parse(args.at(3)).ok_or(Fail::NotFloat)?;
    if !by.is_finite() {
        return Err(Fail::text("ERR value is NaN or Infinity"));
    }
    let (sum, expires) = change(db, cx, args, "hincrbyfloat", |old| {
        let old = match old {
            None => LongDouble::ZERO,
            Some(old) => LongDouble::parse(old.text(&mut Digits::default()))
                .ok_or(Fail::text("ERR hash value is not a float"))?,
        };
        let sum = old.plus(by).text();
        sum.map(Text::Float).ok_or(Fail::text("ERR increment would produce NaN or Infinity"))
    })?;
    let mut digits = Digits::default();
    let text = sum.bytes(&mut digits);
    bulk(cx.reply, Element::Bytes(text));
    // Replicas get the result: they need not count alike.
    let (key, field) = (args.at(1), args.at(2));
    cx.propagate_instead(|| match expires {
        true => words(&[b"HSETEX", key, b"KEEPTTL", b"FIELDS", b"1", field, text]),
        false => words(&[b"HSET", key, field, text]),
    });
    Ok(())
}
