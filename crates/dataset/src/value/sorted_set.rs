//! Sorted sets: a listpack, or member by member.

use super::{Refused, listpack, put_element};
use tessera_collections::sorted_set::Limits;
use tessera_collections::{
    Collection, Corrupt, Digits, Element, Listpack, SortedSet, parse_double,
};
use tessera_rdb::value::SortedSet as RdbSortedSet;
use tessera_rdb::{Encoder, ValueType};

pub(super) fn value_type(set: &SortedSet) -> ValueType {
    match set {
        SortedSet::Packed(_) => ValueType::ZsetListpack,
        SortedSet::Tree(_) => ValueType::ZsetBinary,
    }
}

/// A tree goes from the last to the first, as others write it: who reads it adds each in front of
/// all others.
pub(super) fn encode(set: &SortedSet, encoder: &mut Encoder<'_>) {
    if let Some(listpack) = set.as_listpack() {
        return encoder.string(listpack.as_bytes());
    }
    encoder.length(set.len() as u64);
    for (member, score) in set.range(0..set.len(), true) {
        put_element(encoder, member);
        encoder.double(score);
    }
}

pub(super) fn take_in(set: RdbSortedSet, limits: Limits) -> Result<SortedSet, Refused> {
    let set = match set {
        RdbSortedSet::Members { members, scores } => {
            let longest = members.iter().map(<[u8]>::len).max().unwrap_or(0);
            let mut set = SortedSet::with_room(scores.len(), longest, limits);
            let mut members = members.into_reader();
            for score in scores {
                let member = members.next_string().ok_or(CORRUPT)?;
                add(&mut set, member, score, limits)?;
            }
            set
        }
        RdbSortedSet::Listpack(bytes) => {
            let listpack = listpack(&bytes)?;
            // One that is too large need not be brought into order first, which would take long.
            if listpack.len() / 2 > limits.entries {
                of_pairs(&listpack, limits)?
            } else {
                SortedSet::from_listpack(listpack).map_err(|Corrupt| CORRUPT)?
            }
        }
    };
    if set.is_empty() { Err(Refused::Empty) } else { Ok(set) }
}

const CORRUPT: Refused =
    Refused::Corrupt("a sorted set with a member twice, or without a score that is a number");

fn add(set: &mut SortedSet, member: &[u8], score: f64, limits: Limits) -> Result<(), Refused> {
    let seat = set.find(member);
    if seat.score.is_some() || score.is_nan() {
        return Err(CORRUPT);
    }
    set.put(member, seat, score, limits);
    Ok(())
}

fn of_pairs(listpack: &Listpack, limits: Limits) -> Result<SortedSet, Refused> {
    let mut set = SortedSet::with_room(listpack.len() / 2, 0, limits);
    let mut elements = listpack.iter();
    while let Some(member) = elements.next() {
        let score = match elements.next().ok_or(CORRUPT)? {
            Element::Integer(score) => score as f64,
            Element::Bytes(text) => parse_double(text).ok_or(CORRUPT)?,
        };
        add(&mut set, member.text(&mut Digits::default()), score, limits)?;
    }
    Ok(set)
}
