//! Elements added.

use super::{HYPERLOGLOG, WRITE, edit, sparse_limit};
use crate::command::{Command, Flags, KeyUse};
use crate::hll::{HllError, HllMut, empty};
use crate::{Args, Cx, Db, Done, EventClass, Fail};
use tessera_store::{Lookup, NewValue, Value};

pub(super) const PFADD: Command = Command::new("pfadd", -2, pfadd)
    .flags(WRITE.or(Flags::FAST))
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_INSERT])
    .doc(
        HYPERLOGLOG,
        "2.8.9",
        "O(1) for each element",
        "Adds elements to a key's HyperLogLog; answers whether its estimate may have changed.",
        "key [element [element ...]]",
    );

/// Adds the elements; says how many have changed something, and what went wrong with the next one.
fn add(hll: &mut HllMut<'_>, args: Args<'_>, limit: usize) -> (u64, Result<(), HllError>) {
    let (mut changed, mut done) = (0, Ok(()));
    for element in args.from(2) {
        match hll.add(element, limit) {
            Ok(is_new) => changed += u64::from(is_new),
            Err(error) => {
                done = Err(error);
                break;
            }
        }
    }
    if changed > 0 {
        hll.expire_cache();
    }
    (changed, done)
}

fn pfadd(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (limit, access) = (sparse_limit(cx), db.access());
    let (changed, done) = match db.lookup(db.key(args.at(1), 0)) {
        Lookup::Found(mut found) => edit(&mut found, |hll| Ok(add(hll, args, limit)))?,
        Lookup::Vacant(vacant) => {
            let mut bytes = empty();
            let mut hll = HllMut::open(&mut bytes)?;
            let (changed, done) = add(&mut hll, args, limit);
            hll.expire_cache();
            let value = Value::Boxed(Box::new(bytes));
            vacant.insert(NewValue::Owned(value), None, access);
            cx.notify_new(args.at(1));
            (changed + 1, done)
        }
    };
    // Elements that were added before the fault stay, here and on replicas.
    cx.changed(changed);
    if changed > 0 {
        cx.notify(EventClass::String, "pfadd", args.at(1));
    }
    cx.reply.integer(i64::from(changed > 0));
    done.map_err(Fail::from)
}
