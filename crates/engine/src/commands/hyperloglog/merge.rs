//! Several merged into one.

use super::{HYPERLOGLOG, WRITE, edit, sparse_limit, view};
use crate::command::{Command, KeyUse};
use crate::hll::{Encoding, HllError, HllMut, Registers, empty};
use crate::{Args, Cx, Db, Done, EventClass};
use tessera_store::{Lookup, NewValue, Value};

pub(super) const PFMERGE: Command = Command::new("pfmerge", -2, pfmerge)
    .flags(WRITE)
    .keys(1, -1, 1)
    .uses(&[KeyUse::RW_ACCESS_INSERT, KeyUse::RO_ACCESS])
    .doc(
        HYPERLOGLOG,
        "2.8.9",
        "O(N) for N keys",
        "Merges the HyperLogLogs of several keys into that of the first.",
        "destkey [sourcekey [sourcekey ...]]",
    );

fn pfmerge(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (limit, access) = (sparse_limit(cx), db.access());
    let (mut registers, mut is_dense) = (Registers::new(), false);
    for (ordinal, key) in args.from(1).enumerate() {
        if let Some(found) = db.read(db.key(key, ordinal)) {
            is_dense |= view(&found.entry(), |hll| {
                registers.merge(hll)?;
                Ok(hll.encoding() == Encoding::Dense)
            })?;
        }
    }
    let write = |hll: &mut HllMut<'_>| -> Result<(), HllError> {
        if is_dense {
            hll.make_dense()?;
        }
        hll.raise_all(&registers, limit)?;
        hll.expire_cache();
        Ok(())
    };
    match db.lookup(db.key(args.at(1), 0)) {
        Lookup::Found(mut found) => edit(&mut found, write)?,
        Lookup::Vacant(vacant) => {
            let mut bytes = empty();
            write(&mut HllMut::open(&mut bytes)?)?;
            let value = Value::Boxed(Box::new(bytes));
            vacant.insert(NewValue::Owned(value), None, access);
            cx.notify_new(args.at(1));
        }
    }
    cx.changed(1);
    // As Redis: the destination has had elements added.
    cx.notify(EventClass::String, "pfadd", args.at(1));
    cx.reply.ok();
    Ok(())
}
