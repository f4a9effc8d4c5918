//! DEBUG of lists.

use super::check_allowed;
use crate::{Args, Cx, Db, Done, Fail};
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::value::{Bytes, Kind, Setting};

/// The largest threshold, as in Valkey: 4 GiB less 1 MiB.
const THRESHOLD_MAX: u64 = (1 << 32) - (1 << 20) - 1;

/// Sets the length from which an element has a node for itself; 0: what follows from the
/// configuration.
pub(super) fn packed_threshold(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let bytes = Bytes::parse(&Bytes(0), &[args.at(2).to_vec()], &Kind::Memory(0, THRESHOLD_MAX));
    let bytes = bytes.map_err(|_| {
        Fail::text("ERR argument must be a memory value bigger than 1 and smaller than 4gb")
    })?;
    cx.engine.list_packed_threshold.store(bytes.as_usize(), Relaxed);
    cx.reply.ok();
    Ok(())
}
