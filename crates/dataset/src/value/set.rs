//! Sets: an intset, a listpack (which RDB has since version 11), or member by member.

use super::{Refused, listpack, put_element};
use std::cmp::Ordering;
use tessera_collections::set::{IntSet, Limits, Probe};
use tessera_collections::{Collection, Corrupt, Element, Listpack, Set};
use tessera_rdb::value::{Set as RdbSet, Strings};
use tessera_rdb::{Encoder, ValueType, Version};

pub(super) fn value_type(set: &Set, version: Version) -> ValueType {
    match set {
        Set::Ints(_) => ValueType::SetIntset,
        Set::Packed(_) if version >= ValueType::SetListpack.first_version() => {
            ValueType::SetListpack
        }
        Set::Packed(_) | Set::Table(_) => ValueType::Set,
    }
}

pub(super) fn encode(set: &Set, encoder: &mut Encoder<'_>) {
    match (set, value_type(set, encoder.version())) {
        (Set::Ints(ints), _) => encoder.string(ints.as_bytes()),
        (Set::Packed(listpack), ValueType::SetListpack) => encoder.string(listpack.as_bytes()),
        _ => {
            encoder.length(set.len() as u64);
            set.iter().for_each(|member| put_element(encoder, member));
        }
    }
}

pub(super) fn take_in(set: RdbSet, limits: &Limits) -> Result<Set, Refused> {
    let mut set = match set {
        RdbSet::Members(members) => of_members(members, limits)?,
        RdbSet::Intset(bytes) => Set::Ints(
            IntSet::from_bytes(&bytes)
                .map_err(|Corrupt| Refused::Corrupt("an intset that is none"))?,
        ),
        RdbSet::Listpack(bytes) => Set::Packed(different(listpack(&bytes)?)?),
    };
    set.make_room(set.len(), limits);
    if set.is_empty() { Err(Refused::Empty) } else { Ok(set) }
}

const TWICE: Refused = Refused::Corrupt("a set with a member twice");

fn of_members(members: Strings, limits: &Limits) -> Result<Set, Refused> {
    let mut first = Probe::text_of(members.iter().next().ok_or(Refused::Empty)?);
    let mut set = Set::for_members(&mut first, members.len(), limits);
    let mut members = members.into_reader();
    while let Some(member) = members.next_string() {
        if !set.insert(&mut Probe::text_of(member), limits) {
            return Err(TWICE);
        }
    }
    Ok(set)
}

/// Gives the listpack back if no two of its elements are the same.
fn different(listpack: Listpack) -> Result<Listpack, Refused> {
    let mut elements: Vec<Element<'_>> = listpack.iter().collect();
    elements.sort_unstable_by(|a, b| match (a, b) {
        (Element::Integer(a), Element::Integer(b)) => a.cmp(b),
        (Element::Bytes(a), Element::Bytes(b)) => a.cmp(b),
        (Element::Integer(_), Element::Bytes(_)) => Ordering::Less,
        (Element::Bytes(_), Element::Integer(_)) => Ordering::Greater,
    });
    if elements.windows(2).any(|pair| pair[0] == pair[1]) { Err(TWICE) } else { Ok(listpack) }
}
