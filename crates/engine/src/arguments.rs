//! Arguments that many commands take.

use crate::{Cx, Fail};

/// A 64-bit integer argument, as strict as Redis: no spaces, no sign `+`, no leading zeros.
pub(crate) fn integer(arg: &[u8]) -> Result<i64, Fail> {
    tessera_store::canonical_integer(arg).ok_or(Fail::NotInteger)
}

/// A 32-bit integer argument.
pub(crate) fn int32(arg: &[u8]) -> Result<i32, Fail> {
    i32::try_from(integer(arg)?).map_err(|_| {
        Fail::text("ERR value is out of range, value must between -2147483648 and 2147483647")
    })
}

/// The number of a database. In cluster mode there is only number 0.
pub(crate) fn database(cx: &Cx<'_>, arg: &[u8]) -> Result<usize, Fail> {
    usize::try_from(int32(arg)?)
        .ok()
        .filter(|&index| index < cx.engine.keyspace.databases())
        .ok_or(Fail::text("ERR DB index is out of range"))
}
