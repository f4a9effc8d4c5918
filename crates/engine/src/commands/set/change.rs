//! Members come and go.

use super::{SET, SHRINK_FAST, WRITE_FAST, limits, told_of_loss};
use crate::command::{Command, KeyUse};
use crate::{Args, Cx, Db, Done, EventClass};
use tessera_collections::Set;
use tessera_collections::set::Probe;

pub(super) const SADD: Command =
    Command::new("sadd", -3, sadd).flags(WRITE_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_INSERT]).doc(
        SET,
        "1.0.0",
        "O(N) where N is the number of members given",
        "Adds members to a set, which is made if there is none.",
        "key member [member ...]",
    );
pub(super) const SREM: Command =
    Command::new("srem", -3, srem).flags(SHRINK_FAST).keys(1, 1, 1).uses(&[KeyUse::RW_DELETE]).doc(
        SET,
        "1.0.0",
        "O(N) where N is the number of members given",
        "Removes members from a set; the key goes with the last of them.",
        "key member [member ...]",
    );
pub(super) const SMOVE: Command = Command::new("smove", 4, smove)
    .flags(SHRINK_FAST)
    .keys(1, 2, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE, KeyUse::RW_INSERT])
    .doc(SET, "1.0.0", "O(1)", "Moves a member to another set.", "source destination member");

fn sadd(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (limits, key, count) = (limits(cx), args.at(1), args.len() - 2);
    let mut is_new = false;
    let mut found = db.find_or_make(db.key(key, 0), || {
        is_new = true;
        Set::for_members(&mut Probe::text_of(args.at(2)), count, &limits)
    })?;
    if found.get().lacks_room(count, &limits) {
        found.edit().make_room(count, &limits);
    }
    // The set is taken for a change only once there is a new member.
    let mut members = args.from(2).map(Probe::text_of);
    let first = members.by_ref().find_map(|mut probe| {
        let is_member = found.get().contains(&mut probe);
        (!is_member).then_some(probe)
    });
    let mut added = 0;
    if let Some(mut probe) = first {
        let mut set = found.edit();
        set.insert_new(&mut probe, &limits);
        added = 1;
        for mut probe in members {
            added += u64::from(set.insert(&mut probe, &limits));
        }
    }
    if added > 0 {
        cx.changed(added);
        if is_new {
            cx.notify_new(key);
        }
        cx.notify(EventClass::Set, "sadd", key);
    }
    cx.reply.integer(added as i64);
    Ok(())
}

fn srem(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let Some(mut found) = db.find_as::<Set>(db.key(args.at(1), 0))? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let mut members = args.from(2).map(Probe::text_of);
    let first = members.by_ref().find_map(|mut probe| {
        let is_member = found.get().contains(&mut probe);
        is_member.then_some(probe)
    });
    let Some(mut probe) = first else {
        cx.reply.integer(0);
        return Ok(());
    };
    let mut set = found.edit();
    let mut removed = u64::from(set.remove(&mut probe));
    for mut probe in members {
        removed += u64::from(set.remove(&mut probe));
    }
    drop(set);
    let is_gone = found.delete_if_empty();
    cx.changed(removed);
    told_of_loss(cx, "srem", args.at(1), is_gone);
    cx.reply.integer(removed as i64);
    Ok(())
}

fn smove(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let (from, to) = (db.key(args.at(1), 0), db.key(args.at(2), 1));
    let (limits, mut probe) = (limits(cx), Probe::text_of(args.at(3)));
    let Some(source) = db.find_as::<Set>(from)? else {
        cx.reply.integer(0);
        return Ok(());
    };
    let is_member = source.get().contains(&mut probe);
    db.find_as::<Set>(to)?;
    cx.reply.integer(i64::from(is_member));
    if !is_member || from.bytes == to.bytes {
        return Ok(());
    }
    let mut source = db.find_as::<Set>(from)?.expect("it was there, and its slot is locked");
    source.edit().remove(&mut probe);
    let is_gone = source.delete_if_empty();
    cx.changed(1);
    told_of_loss(cx, "srem", from.bytes, is_gone);
    let mut is_new = false;
    let mut destination = db.find_or_make(to, || {
        is_new = true;
        Set::for_members(&mut probe, 1, &limits)
    })?;
    if destination.get().contains(&mut probe) {
        return Ok(());
    }
    destination.edit().insert_new(&mut probe, &limits);
    cx.changed(1);
    if is_new {
        cx.notify_new(to.bytes);
    }
    cx.notify(EventClass::Set, "sadd", to.bytes);
    Ok(())
}
