//! GEOPOS, GEODIST and GEOHASH.

use super::grid::Position;
use super::{GEO, READ, reply_distance, reply_position, unit};
use crate::command::Command;
use crate::{Args, Cx, Db, Done, Fail};
use tessera_collections::SortedSet;
use tessera_resp::Reply;

pub(super) const GEOPOS: Command =
    Command::new("geopos", -2, geopos).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "3.2.0",
        "O(N) where N is the number of members asked for",
        "Answers the longitudes and latitudes of members.",
        "key [member [member ...]]",
    );
pub(super) const GEODIST: Command =
    Command::new("geodist", -4, geodist).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "3.2.0",
        "O(1)",
        "Answers the distance between two members.",
        "key member1 member2 [M|KM|FT|MI]",
    );
pub(super) const GEOHASH: Command =
    Command::new("geohash", -2, geohash).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "3.2.0",
        "O(N) where N is the number of members asked for",
        "Answers the positions of members as geohash texts.",
        "key [member [member ...]]",
    );

/// Answers what `show` writes for each of the members asked for, and `missing` for those which are
/// not there.
fn each(
    db: &mut Db<'_, '_>,
    cx: &mut Cx<'_>,
    args: Args<'_>,
    missing: fn(&mut Reply),
    show: fn(&mut Reply, Position),
) -> Done {
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    cx.reply.array(args.len() - 2);
    for member in args.from(2) {
        match found.as_ref().and_then(|found| found.get().score(member)) {
            Some(score) => show(cx.reply, Position::of_score(score)),
            None => missing(cx.reply),
        }
    }
    Ok(())
}

fn geopos(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    each(db, cx, args, Reply::null_array, reply_position)
}

fn geohash(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    each(db, cx, args, Reply::null, |reply, place| reply.bulk(&place.letters()))
}

fn geodist(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let unit = match args.len() {
        4 => 1.0,
        5 => unit(args.at(4))?,
        _ => return Err(Fail::Syntax),
    };
    let found = db.read_as::<SortedSet>(db.key(args.at(1), 0))?;
    let place = |at: usize| {
        let score = found.as_ref()?.get().score(args.at(at))?;
        Some(Position::of_score(score))
    };
    match (place(2), place(3)) {
        (Some(a), Some(b)) => reply_distance(cx.reply, a.distance(b) / unit),
        _ => cx.reply.null(),
    }
    Ok(())
}
