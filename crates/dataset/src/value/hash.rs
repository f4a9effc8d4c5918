//! Hashes: a listpack, or field by field; with expiries where some fields have one.

use super::{Refused, listpack, put_element};
use tessera_collections::{
    Collection, Corrupt, Digits, Element, Hash, HashLimits, Listpack, ListpackIter,
};
use tessera_rdb::value::{Hash as RdbHash, Strings};
use tessera_rdb::{Encoder, ValueType};
use tessera_slot::Millis;

/// At this time all fields are there.
const ALL: u64 = 0;

pub(super) fn value_type(hash: &Hash) -> ValueType {
    match hash {
        Hash::Packed(_) => ValueType::HashListpack,
        Hash::Table(_) => table_type(hash.is_aging()),
    }
}

/// The type of a hash that is no listpack.
pub(super) fn table_type(is_aging: bool) -> ValueType {
    if is_aging { ValueType::HashValkeyExpiry } else { ValueType::Hash }
}

pub(super) fn encode(hash: &Hash, encoder: &mut Encoder<'_>) {
    if let Some(listpack) = hash.as_listpack() {
        return encoder.string(listpack.as_bytes());
    }
    let is_aging = hash.is_aging();
    encoder.length(hash.len() as u64);
    hash.for_each(ALL, |field| {
        put_element(encoder, field.name);
        put_element(encoder, field.value);
        if is_aging {
            encoder.time(field.expiry.map(Millis));
        }
    });
}

pub(super) fn take_in(hash: RdbHash, limits: HashLimits) -> Result<Hash, Refused> {
    let hash = match hash {
        RdbHash::Fields { texts, expiries } => of_fields(texts, &expiries, limits),
        RdbHash::Listpack(bytes) => Hash::from_listpack(listpack(&bytes)?, limits),
        RdbHash::ExpiringListpack { listpack: bytes, .. } => of_triples(&listpack(&bytes)?, limits),
    };
    let hash =
        hash.map_err(|Corrupt| Refused::Corrupt("a hash with a field twice, or without a value"))?;
    if hash.is_empty() { Err(Refused::Empty) } else { Ok(hash) }
}

fn of_fields(
    texts: Strings,
    expiries: &[Option<Millis>],
    limits: HashLimits,
) -> Result<Hash, Corrupt> {
    let mut hash = Hash::new();
    hash.expect(texts.len() / 2, texts.iter(), limits);
    let (mut texts, mut expiries) = (texts.into_reader(), expiries.iter());
    // A reader lends one string at a time.
    let mut name = Vec::new();
    while let Some(text) = texts.next_string() {
        name.clear();
        name.extend_from_slice(text);
        let value = texts.next_string().ok_or(Corrupt)?;
        let expiry = expiries.next().copied().flatten();
        // At the time 0 all fields are there: what expired then expired a moment later.
        hash.add(&name, value, expiry.map(|at| at.0.max(ALL + 1)), limits)?;
    }
    Ok(hash)
}

/// Redis 7.4's listpack: name, value, expiry in Unix ms (0: never), name …
fn of_triples(listpack: &Listpack, limits: HashLimits) -> Result<Hash, Corrupt> {
    let mut hash = Hash::new();
    let mut elements: ListpackIter<'_> = listpack.iter();
    while let Some(name) = elements.next() {
        let value = elements.next().ok_or(Corrupt)?;
        let expiry = match elements.next() {
            Some(Element::Integer(0)) => None,
            Some(Element::Integer(at)) => Some(u64::try_from(at).map_err(|_| Corrupt)?),
            _ => return Err(Corrupt),
        };
        let mut digits = [Digits::default(), Digits::default()];
        let [first, second] = &mut digits;
        hash.add(name.text(first), value.text(second), expiry, limits)?;
    }
    Ok(hash)
}
