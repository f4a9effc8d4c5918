//! GEOSEARCH, GEOSEARCHSTORE, and the older GEORADIUS forms.

use super::grid::Position;
use super::options::{Form, Order, Query};
use super::{GEO, READ, WRITE, reply_distance, reply_position};
use crate::command::{Command, KeyPlace, KeyUse, Keys};
use crate::commands::sorted_set::{limits, store};
use crate::{Args, Cx, Db, Done};
use tessera_collections::sorted_set::ScoreRange;
use tessera_collections::{Digits, Element, SortedSet};
use tessera_resp::Reply;

const COST: &str = "O(N + log(M)) where N is the number of members in the cells around the shape, and M that of all members";

pub(super) const GEOSEARCH: Command =
    Command::new("geosearch", -7, geosearch).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "6.2.0",
        COST,
        "Answers the members in a circle or box.",
        "key <FROMMEMBER member|FROMLONLAT <longitude latitude>> \
         <BYRADIUS <radius <M|KM|FT|MI>>|BYBOX <width height <M|KM|FT|MI>>> \
         [ASC|DESC] [COUNT count] [ANY] [WITHCOORD] [WITHDIST] [WITHHASH]",
    );
pub(super) const GEOSEARCHSTORE: Command = Command::new("geosearchstore", -8, geosearchstore)
    .flags(WRITE)
    .keys(1, 2, 1)
    .uses(&[KeyUse::OW_UPDATE, KeyUse::RO_ACCESS])
    .doc(
        GEO,
        "6.2.0",
        COST,
        "Stores the members in a circle or box under another key.",
        "destination-key source-key <FROMMEMBER member|FROMLONLAT <longitude latitude>> \
         <BYRADIUS <radius <M|KM|FT|MI>>|BYBOX <width height <M|KM|FT|MI>>> \
         [ASC|DESC] [COUNT count] [ANY] [STOREDIST]",
    );
pub(super) const GEORADIUS: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(with_stored(args)),
        specs: &[
            (KeyPlace::At(1), KeyUse::RO_ACCESS),
            (KeyPlace::Behind("STORE", 6), KeyUse::OW_UPDATE),
            (KeyPlace::Behind("STOREDIST", 6), KeyUse::OW_UPDATE),
        ],
    },
    ..Command::new("georadius", -6, georadius)
        .flags(WRITE)
        .uses(&[KeyUse::RO_ACCESS, KeyUse::OW_UPDATE])
        .doc(
            GEO,
            "3.2.0",
            COST,
            "Answers or stores the members in a circle around a position.",
            "key longitude latitude radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count] [ANY] [ASC|DESC] [STORE key|STOREDIST key]",
        )
};
pub(super) const GEORADIUSBYMEMBER: Command = Command {
    keys: Keys::Search {
        find: |args| Ok(with_stored(args)),
        specs: &[
            (KeyPlace::At(1), KeyUse::RO_ACCESS),
            (KeyPlace::Behind("STORE", 5), KeyUse::OW_UPDATE),
            (KeyPlace::Behind("STOREDIST", 5), KeyUse::OW_UPDATE),
        ],
    },
    ..Command::new("georadiusbymember", -5, georadiusbymember)
        .flags(WRITE)
        .uses(&[KeyUse::RO_ACCESS, KeyUse::OW_UPDATE])
        .doc(
            GEO,
            "3.2.0",
            COST,
            "Answers or stores the members in a circle around a member.",
            "key member radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
             [COUNT count] [ANY] [ASC|DESC] [STORE key|STOREDIST key]",
        )
};
pub(super) const GEORADIUS_RO: Command =
    Command::new("georadius_ro", -6, georadius_ro).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "3.2.10",
        COST,
        "Answers the members in a circle around a position.",
        "key longitude latitude radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count] [ANY] [ASC|DESC]",
    );
pub(super) const GEORADIUSBYMEMBER_RO: Command =
    Command::new("georadiusbymember_ro", -5, georadiusbymember_ro).flags(READ).keys(1, 1, 1).doc(
        GEO,
        "3.2.10",
        COST,
        "Answers the members in a circle around a member.",
        "key member radius <M|KM|FT|MI> [WITHCOORD] [WITHDIST] [WITHHASH] \
         [COUNT count] [ANY] [ASC|DESC]",
    );

/// The positions of the key and, if there is one, of the key behind the last STORE or STOREDIST.
fn with_stored(args: Args<'_>) -> Vec<usize> {
    let (mut keys, mut at) = (vec![1], 5);
    while at + 1 < args.len() {
        if args.is(at, "store") || args.is(at, "storedist") {
            keys.truncate(1);
            keys.push(at + 1);
            at += 1;
        }
        at += 1;
    }
    keys
}

/// A member that was found.
struct Point<'a> {
    member: Element<'a>,
    score: f64,
    place: Position,
    /// Metres from the centre.
    distance: f64,
}

/// The members that are asked for, in the order in which they are answered.
fn search<'a>(set: &'a SortedSet, query: &Query) -> Vec<Point<'a>> {
    let mut points = Vec::new();
    let Some(region) = query.region else { return points };
    let most = query.count.unwrap_or(usize::MAX);
    let enough = if query.any { most } else { usize::MAX };
    'cells: for cell in region.cells() {
        let (min, max) = cell.scores();
        let range = ScoreRange { min, min_excluded: false, max, max_excluded: true };
        for (member, score) in set.range(set.ranks_by_score(&range), false) {
            let place = Position::of_score(score);
            if let Some(distance) = region.distance(place) {
                points.push(Point { member, score, place, distance });
                if points.len() >= enough {
                    break 'cells;
                }
            }
        }
    }
    let nearest = |a: &Point<'_>, b: &Point<'_>| a.distance.total_cmp(&b.distance);
    match query.order {
        Order::Any => {}
        Order::Nearest => points.sort_by(nearest),
        Order::Farthest => points.sort_by(|a, b| nearest(b, a)),
    }
    points.truncate(most);
    points
}

fn reply_points(reply: &mut Reply, points: &[Point<'_>], query: &Query) {
    let unit = query.region.map_or(1.0, |region| region.unit);
    let more = [query.with_distance, query.with_hash, query.with_position];
    let more = more.into_iter().filter(|&with| with).count();
    reply.array(points.len());
    for point in points {
        if more > 0 {
            reply.array(1 + more);
        }
        reply.bulk(point.member.text(&mut Digits::default()));
        if query.with_distance {
            reply_distance(reply, point.distance / unit);
        }
        if query.with_hash {
            reply.integer(point.score as i64);
        }
        if query.with_position {
            reply_position(reply, point.place);
        }
    }
}

fn run(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>, form: Form) -> Done {
    let (source, ordinal) = if form == Form::SearchStore { (2, 1) } else { (1, 0) };
    let limits = limits(cx.config);
    let (result, query, count) = {
        let found = db.read_as::<SortedSet>(db.key(args.at(source), ordinal))?;
        let set = found.as_ref().map(|found| found.get());
        let query = Query::parse(args, form, set.as_deref())?;
        let points = set.as_ref().map_or_else(Vec::new, |set| search(set, &query));
        if query.store.is_none() {
            reply_points(cx.reply, &points, &query);
            return Ok(());
        }
        let unit = query.region.map_or(1.0, |region| region.unit);
        let mut result = SortedSet::new();
        for point in &points {
            let mut digits = Digits::default();
            let member = point.member.text(&mut digits);
            let score = if query.store_distances { point.distance / unit } else { point.score };
            let seat = result.find(member);
            result.put(member, seat, score, limits);
        }
        (result, query, points.len())
    };
    if let Some(at) = query.store {
        let (ordinal, event) = match form {
            Form::SearchStore => (0, "geosearchstore"),
            _ => (1, "georadiusstore"),
        };
        store(db, cx, db.key(args.at(at), ordinal), result, event, count as u64);
    }
    Ok(())
}

fn geosearch(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::Search)
}

fn geosearchstore(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::SearchStore)
}

fn georadius(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::Radius { may_store: true })
}

fn georadius_ro(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::Radius { may_store: false })
}

fn georadiusbymember(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::RadiusByMember { may_store: true })
}

fn georadiusbymember_ro(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    run(db, cx, args, Form::RadiusByMember { may_store: false })
}
