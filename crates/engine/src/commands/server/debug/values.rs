//! DEBUG subcommands that look into values: what suites of other servers ask about their encodings.

use super::check_allowed;
use crate::arguments::integer;
use crate::commands::generic::{encoding_name, serialized_length};
use crate::{Args, Cx, Db, Done, Fail};
use std::fmt::Write;
use std::sync::atomic::Ordering::Relaxed;
use tessera_collections::{AnyCollection, Collection, List, NodeRef};
use tessera_config::Config;
use tessera_slot::Slot;

pub(super) fn object(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let now = db.access();
    let found = db.peek(db.key(args.at(2), 0)).ok_or(Fail::NoSuchKey)?;
    let entry = found.entry();
    let mut text = format!(
        "Value at:{:p} refcount:1 encoding:{} serializedlength:{} lru:{} lru_seconds_idle:{}",
        entry.key().as_ptr(),
        encoding_name(&entry),
        serialized_length(&entry, cx.config),
        entry.access(),
        now.saturating_sub(entry.access()),
    );
    if let Some(list) = entry.collection::<List>() {
        describe_nodes(&mut text, &list, cx.config);
    }
    cx.reply.simple(&text);
    Ok(())
}

fn describe_nodes(text: &mut String, list: &List, config: &Config) {
    let List::Quick(quick) = list else { return };
    let mut bytes = 0;
    quick.visit_nodes(|node| {
        bytes += match node {
            NodeRef::Packed(listpack) => listpack.byte_len(),
            NodeRef::Plain(element) => element.len(),
        };
    });
    let nodes = quick.nodes().max(1);
    let average = list.len() as f64 / nodes as f64;
    let data = &config.data;
    let compressed = u8::from(data.list_compress_depth != 0);
    let largest = data.list_max_listpack_size;
    write!(
        text,
        " ql_nodes:{nodes} ql_avg_node:{average:.2} ql_listpack_max:{largest} ql_compressed:{compressed} \
         ql_uncompressed_size:{bytes}"
    )
    .expect("a string takes all text");
}

/// The elements of a listpack. (Others print its bytes to their terminal, and answer a word.)
pub(super) fn listpack(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let found = db.peek(db.key(args.at(2), 0)).ok_or(Fail::NoSuchKey)?;
    let entry = found.entry();
    if encoding_name(&entry) != "listpack" {
        return Err(Fail::text("ERR Not a listpack encoded object."));
    }
    cx.reply.simple("Listpack structure is checked whenever it is read");
    Ok(())
}

pub(super) fn quicklist(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let found = db.peek(db.key(args.at(2), 0)).ok_or(Fail::NoSuchKey)?;
    let entry = found.entry();
    let Some(list) = entry.collection::<List>().filter(|list| matches!(**list, List::Quick(_)))
    else {
        return Err(Fail::text("ERR Not a quicklist encoded object."));
    };
    let mut text = String::from("quicklist");
    describe_nodes(&mut text, &list, cx.config);
    cx.reply.simple(&text);
    Ok(())
}

/// The tables of a database, all slots taken together.
pub(super) fn htstats(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let index = integer(args.at(2))?;
    let index = usize::try_from(index)
        .ok()
        .filter(|&index| index < db.keyspace().databases())
        .ok_or(Fail::text("ERR Out of range database"))?;
    let (mut keys, mut expiring, mut bytes, mut used) = (0, 0, 0, 0);
    for slot in Slot::all() {
        let guard = db.lock_slot(slot)?;
        keys += guard.len(index);
        expiring += guard.expiring(index);
        used += usize::from(guard.len(index) > 0);
        bytes += guard.table_memory();
    }
    let text = format!(
        "[Dictionary HT]\nnumber of elements: {keys}\nslots in use: {used}\nbytes of buckets, all databases: {bytes}\n\
         [Expires HT]\nnumber of elements: {expiring}\n"
    );
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// The table of a large set, hash or sorted set.
pub(super) fn htstats_key(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let found = db.peek(db.key(args.at(2), 0)).ok_or(Fail::NoSuchKey)?;
    let entry = found.entry();
    let any = entry.any_collection().filter(|any| {
        let has_table = matches!(
            **any,
            AnyCollection::Set(_) | AnyCollection::Hash(_) | AnyCollection::SortedSet(_)
        );
        has_table && matches!(any.encoding(), "hashtable" | "skiplist")
    });
    let Some(any) = any else {
        return Err(Fail::text(
            "ERR The value stored at the specified key is not represented using an hash table",
        ));
    };
    let text = format!("number of elements: {}\nbytes: {}\n", any.len(), any.memory(0));
    cx.reply.verbatim("txt", text.as_bytes());
    Ok(())
}

/// Whether a pattern matches a string of so many `a`: tests see how long that takes.
pub(super) fn stringmatch_len(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    let len = usize::try_from(integer(args.at(2))?).map_err(|_| Fail::NotInteger)?;
    if len as u64 > cx.config.network.proto_max_bulk_len.0 {
        return Err(Fail::StringTooLong);
    }
    let is_match = tessera_config::glob_match(args.at(3), &vec![b'a'; len], false);
    cx.reply.integer(i64::from(is_match));
    Ok(())
}

/// Tables here grow and shrink by one bucket at a time: there is nothing to switch off.
pub(super) fn dict_resizing(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, _: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.reply.ok();
    Ok(())
}

pub(super) fn skip_checksums(_: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    check_allowed(cx)?;
    cx.engine.skip_checksums.store(args.at(2) != b"0", Relaxed);
    cx.reply.ok();
    Ok(())
}
