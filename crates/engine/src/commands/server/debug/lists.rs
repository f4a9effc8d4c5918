//! DEBUG of lists.

use super::check_allowed;
use crate::{Args, Cx, Db, Done, Fail};
use std::sync::atomic::Ordering::Relaxed;
use tessera_collections::{List, NodeRef};
use tessera_config::value::{Bytes, Kind, Setting};
use tessera_store::Entry;

/// The largest threshold, as in Valkey: 4 GiB less 1 MiB.
const THRESHOLD_MAX: u64 = (1 << 32) - (1 << 20) - 1;

/// Sets the length from which an element has a node for itself; 0: what follows from the configuration.
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

/// What DEBUG OBJECT adds for a quicklist.
pub(super) fn described(cx: &Cx<'_>, entry: &Entry) -> String {
    let Some(list) = entry.collection::<List>() else { return String::new() };
    let List::Quick(list) = &*list else { return String::new() };
    let (mut elements, mut bytes) = (0, 0);
    list.visit_nodes(|node| match node {
        NodeRef::Packed(listpack) => {
            elements += listpack.len();
            bytes += listpack.byte_len();
        }
        NodeRef::Plain(text) => {
            elements += 1;
            bytes += text.len();
        }
    });
    let data = &cx.config.data;
    format!(
        " ql_nodes:{} ql_avg_node:{:.2} ql_listpack_max:{} ql_compressed:{} ql_uncompressed_size:{bytes}",
        list.nodes(),
        elements as f64 / list.nodes() as f64,
        data.list_max_listpack_size.clamp(-5, 32_767),
        u8::from(data.list_compress_depth > 0),
    )
}
