//! HyperLogLog: how many different elements have been added to a key, estimated.
//!
//! The strings and what can be done with them are in `crate::hll`; here are the keys, the replies,
//! and what replicas are told.

mod add;
mod count;
mod debug;
mod merge;

use crate::command::{Command, Flags, Group};
use crate::commands::string::{string_of, text};
use crate::hll::{Hll, HllError, HllMut};
use crate::{Cx, Fail};
use std::iter::once;
use tessera_store::{Entry, Found};

const HYPERLOGLOG: Group = Group::HyperLogLog;
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(super) const COMMANDS: &[Command] =
    &[add::PFADD, count::PFCOUNT, merge::PFMERGE, debug::PFDEBUG, debug::PFSELFTEST];

impl From<HllError> for Fail {
    fn from(error: HllError) -> Fail {
        Fail::text(error.to_string())
    }
}

/// Bytes up to which a string stays sparse.
fn sparse_limit(cx: &Cx<'_>) -> usize {
    usize::try_from(cx.config.data.hll_sparse_max_bytes.0).unwrap_or(usize::MAX)
}

/// Reads the HyperLogLog of an entry where it lies.
fn view<R>(entry: &Entry, read: impl FnOnce(Hll<'_>) -> Result<R, HllError>) -> Result<R, Fail> {
    let (value, mut buffer) = (string_of(entry)?, itoa::Buffer::new());
    Ok(read(Hll::open(text(value, &mut buffer))?)?)
}

/// Makes the string one that is changed in place: its encoding is `raw` from now on, as Redis has
/// it even where nothing changes.
fn make_raw(found: &mut Found<'_, '_>) -> Result<(), Fail> {
    if found.entry().is_raw() { Ok(()) } else { edit(found, |_| Ok(())) }
}

/// Edits the HyperLogLog of an entry in place.
fn edit<R>(
    found: &mut Found<'_, '_>,
    edit: impl FnOnce(&mut HllMut<'_>) -> Result<R, HllError>,
) -> Result<R, Fail> {
    view(&found.entry(), |_| Ok(()))?;
    Ok(found.edit_string(once(0..usize::MAX), |bytes| edit(&mut HllMut::open(bytes)?))?)
}
