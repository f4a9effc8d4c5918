//! Members by chance.

use super::{READ, SET, SHRINK_FAST, limits, reply_member, told_of_loss};
use crate::arguments::integer;
use crate::command::{Command, KeyUse};
use crate::commands::repeated::Room;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::{Collection, Element, Set};

const TIPS: &[&str] = &["nondeterministic_output"];

pub(super) const SPOP: Command = Command::new("spop", -2, spop)
    .flags(SHRINK_FAST)
    .keys(1, 1, 1)
    .uses(&[KeyUse::RW_ACCESS_DELETE])
    .tips(TIPS)
    .doc(
        SET,
        "1.0.0",
        "O(N) where N is the count, 1 without one",
        "Removes members by chance, and answers them; the key goes with the last of them.",
        "key [count]",
    );
pub(super) const SRANDMEMBER: Command =
    Command::new("srandmember", -2, srandmember).flags(READ).keys(1, 1, 1).tips(TIPS).doc(
        SET,
        "1.0.0",
        "O(N) where N is the count without its sign, 1 without one",
        "Answers members by chance: different ones, or with a negative count any.",
        "key [count]",
    );

/// Members of one SREM that replicas get for SPOP.
const BATCH: usize = 1024;

fn spop(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    match args.len() {
        2 => pop_one(db, cx, args.at(1)),
        3 => {
            let positive = Fail::text("ERR value is out of range, must be positive");
            let count = integer(args.at(2)).ok().and_then(|count| usize::try_from(count).ok());
            pop_many(db, cx, args.at(1), count.ok_or(positive)?)
        }
        _ => Err(Fail::Syntax),
    }
}

fn pop_one(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, key: &[u8]) -> Done {
    let Some(mut found) = db.find_as::<Set>(db.key(key, 0))? else {
        cx.reply.null();
        return Ok(());
    };
    let engine = cx.engine;
    found.edit().pop(
        || engine.random(),
        |member| {
            reply_member(cx.reply, member);
            // Replicas must take the same one.
            cx.propagate_instead(|| vec![b"SREM".to_vec(), key.to_vec(), member.to_vec()]);
        },
    );
    let is_gone = found.delete_if_empty();
    cx.changed(1);
    told_of_loss(cx, "spop", key, is_gone);
    Ok(())
}

fn pop_many(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, key: &[u8], count: usize) -> Done {
    let found = db.find_as::<Set>(db.key(key, 0))?;
    let Some(mut found) = found.filter(|_| count > 0) else {
        cx.reply.set(0);
        return Ok(());
    };
    let len = found.get().len();
    if count >= len {
        cx.reply.set(len);
        found.get().iter().for_each(|member| reply_member(cx.reply, member));
        found.delete();
        cx.changed(len as u64);
        told_of_loss(cx, "spop", key, true);
        let verb = crate::db::deletion(cx.config.memory.lazyfree_lazy_server_del);
        cx.propagate_instead(|| vec![verb.to_vec(), key.to_vec()]);
        return Ok(());
    }
    cx.reply.set(count);
    let (limits, engine) = (limits(cx), cx.engine);
    let (mut popped, is_followed) = (Vec::new(), engine.log.is_active());
    found.edit().pop_many(
        count,
        &limits,
        || engine.random(),
        |member| {
            reply_member(cx.reply, member);
            if is_followed {
                popped.push(member.to_vec());
            }
        },
    );
    cx.changed(count as u64);
    told_of_loss(cx, "spop", key, false);
    cx.propagate_many(|| popped.chunks_mut(BATCH).map(|batch| removal(key, batch)).collect());
    Ok(())
}

/// SREM of these members, which are taken out of the slice.
fn removal(key: &[u8], members: &mut [Vec<u8>]) -> Vec<Vec<u8>> {
    let words = [b"SREM".to_vec(), key.to_vec()];
    words.into_iter().chain(members.iter_mut().map(std::mem::take)).collect()
}

fn srandmember(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let engine = cx.engine;
    let random = || engine.random();
    let count = match args.len() {
        2 => None,
        3 => Some(count_of(args.at(2))?),
        _ => return Err(Fail::Syntax),
    };
    let found = db.read_as::<Set>(db.key(args.at(1), 0))?;
    let set = found.as_ref().map(|found| found.get());
    let show = |member: Element<'_>| reply_member(cx.reply, member);
    match (set, count) {
        (None, None) => cx.reply.null(),
        (None, Some(_)) => cx.reply.array(0),
        (Some(set), None) => set.draw(random).into_iter().for_each(show),
        (Some(set), Some(count)) if count < 0 => {
            let count = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
            let (room, mut shown) = (Room::of(cx), 0);
            cx.reply.array(count);
            set.draw_many(count, random, |member| {
                reply_member(cx.reply, member);
                shown += 1;
                room.is_left(cx.reply)
            });
            if shown < count {
                return room.used_up();
            }
        }
        (Some(set), Some(count)) => {
            let count = usize::try_from(count).unwrap_or(usize::MAX).min(set.len());
            cx.reply.array(count);
            set.sample(count, random, |member| reply_member(cx.reply, member));
        }
    }
    Ok(())
}

/// A count whose sign has a meaning.
fn count_of(arg: &[u8]) -> Result<i64, Fail> {
    match integer(arg)? {
        i64::MIN => Err(Fail::text(format!(
            "ERR value is out of range, value must between {} and {}",
            -i64::MAX,
            i64::MAX
        ))),
        count => Ok(count),
    }
}
