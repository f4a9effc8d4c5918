//! EXPIRE and its relatives: when a key's time comes.

use super::{GENERIC, WRITE_FAST};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::commands::string::expiry_options::TimeForm;
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use std::ops::Range;
use tessera_slot::Millis;

pub(super) const EXPIRE: Command = Command::new("expire", -3, expire)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        GENERIC,
        "1.0.0",
        "O(1)",
        "Sets a key's time to live in seconds.",
        "key seconds [NX|XX|GT|LT]",
    );
pub(super) const PEXPIRE: Command = Command::new("pexpire", -3, pexpire)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        GENERIC,
        "2.6.0",
        "O(1)",
        "Sets a key's time to live in milliseconds.",
        "key milliseconds [NX|XX|GT|LT]",
    );
pub(super) const EXPIREAT: Command = Command::new("expireat", -3, expireat)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        GENERIC,
        "1.2.0",
        "O(1)",
        "Sets the moment at which a key expires, in seconds since 1970.",
        "key unix-time-seconds [NX|XX|GT|LT]",
    );
pub(super) const PEXPIREAT: Command = Command::new("pexpireat", -3, pexpireat)
    .flags(WRITE_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_UPDATE])
    .doc(
        GENERIC,
        "2.6.0",
        "O(1)",
        "Sets the moment at which a key expires, in milliseconds since 1970.",
        "key unix-time-milliseconds [NX|XX|GT|LT]",
    );

/// On which present expiry the new one depends.
#[derive(Clone, Copy, Default)]
pub(crate) struct Conditions {
    none: bool,
    some: bool,
    later: bool,
    earlier: bool,
}

impl Conditions {
    /// Reads the options among these arguments.
    pub(crate) fn parse(args: Args<'_>, range: Range<usize>) -> Result<Conditions, Fail> {
        let mut conditions = Conditions::default();
        for at in range {
            let condition = if args.is(at, "nx") {
                &mut conditions.none
            } else if args.is(at, "xx") {
                &mut conditions.some
            } else if args.is(at, "gt") {
                &mut conditions.later
            } else if args.is(at, "lt") {
                &mut conditions.earlier
            } else {
                let option = String::from_utf8_lossy(args.at(at));
                return Err(Fail::text(format!("ERR Unsupported option {option}")));
            };
            *condition = true;
        }
        if conditions.none && (conditions.some || conditions.later || conditions.earlier) {
            return Err(Fail::text(
                "ERR NX and XX, GT or LT options at the same time are not compatible",
            ));
        }
        if conditions.later && conditions.earlier {
            return Err(Fail::text("ERR GT and LT options at the same time are not compatible"));
        }
        Ok(conditions)
    }

    /// Whether the expiry may become `new`. A key without expiry lives for ever.
    pub(crate) fn allow(self, present: Option<Millis>, new: Millis) -> bool {
        (!self.none || present.is_none())
            && (!self.some || present.is_some())
            && (!self.later || present.is_some_and(|present| new > present))
            && (!self.earlier || present.is_none_or(|present| new < present))
    }
}

fn set_expiry(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    form: TimeForm,
    name: &'static str,
) -> Done {
    let conditions = Conditions::parse(args, 3..args.len())?;
    let number = integer(args.at(2))?;
    let at = form.at(number, db.now).ok_or(Fail::InvalidExpire(name))?;
    let past = db.is_past(at);
    let key = args.at(1);
    let allowed = db.find(db.key(key, 0)).filter(|found| conditions.allow(found.expiry(), at));
    let Some(mut found) = allowed else {
        cx.reply.integer(0);
        return Ok(());
    };
    if past {
        found.delete();
        cx.notify(EventClass::Generic, "del", key);
        cx.propagate_expired(key);
    } else {
        found.set_expiry(Some(at));
        cx.notify(EventClass::Generic, "expire", key);
        // Replicas get the moment, not the distance to it, and no condition.
        cx.propagate_instead(|| {
            vec![b"PEXPIREAT".to_vec(), key.to_vec(), at.to_string().into_bytes()]
        });
    }
    cx.changed(1);
    cx.reply.integer(1);
    Ok(())
}

fn expire(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::Ex, "expire")
}

fn pexpire(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::Px, "pexpire")
}

fn expireat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::ExAt, "expireat")
}

fn pexpireat(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    set_expiry(db, cx, args, TimeForm::PxAt, "pexpireat")
}
