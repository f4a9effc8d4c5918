//! Values of the keyspace as RDB has them.
//!
//! [`Payload`] writes an entry's value, [`put_part`] what a snapshot shows of a large one.
//! [`take_in`] makes a value of what a file holds. Every blob is checked through and through there,
//! whoever has sent it (`sanitize-dump-payload` cannot lower that): structure, order, doubles,
//! counts. So what comes in is as good as what commands have made, and thresholds of this server
//! decide its encoding.

mod hash;
mod list;
mod parts;
mod set;
mod sorted_set;
mod stream;

pub(crate) use parts::{large_value_type, put_part};
use tessera_collections::set::Limits as SetLimits;
use tessera_collections::sorted_set::Limits as SortedSetLimits;
use tessera_collections::{
    AnyCollection, Corrupt, Digits, Element, HashLimits, ListLimits, Listpack, canonical_integer,
};
use tessera_config::Config;
use tessera_rdb::{Encode, Encoder, Value as RdbValue, ValueRef, ValueType, Version};
use tessera_store::{Entry, StringRef, Value};

/// Bytes from which a string is kept as it was read rather than copied.
const LONG_STRING: usize = 512;

/// The value of an entry, to be written.
#[derive(Clone, Copy, Debug)]
pub struct Payload<'a>(&'a Entry);

impl<'a> Payload<'a> {
    /// The value of this entry.
    pub fn of(entry: &'a Entry) -> Payload<'a> {
        Payload(entry)
    }
}

fn string_ref(string: StringRef<'_>) -> ValueRef<'_> {
    match string {
        StringRef::Integer(number) => ValueRef::Integer(number),
        StringRef::Bytes(bytes) => ValueRef::String(bytes),
    }
}

/// A collection that is in no entry, to be written.
#[derive(Clone, Copy, Debug)]
pub struct CollectionPayload<'a>(pub &'a AnyCollection);

impl Encode for Payload<'_> {
    fn value_type(&self, version: Version) -> ValueType {
        match self.0.any_collection() {
            Some(any) => CollectionPayload(&any).value_type(version),
            None => ValueType::String,
        }
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        match (self.0.string(), self.0.any_collection()) {
            (Some(string), _) => string_ref(string).encode(encoder),
            (None, Some(any)) => CollectionPayload(&any).encode(encoder),
            (None, None) => unreachable!("what is no string is a collection"),
        }
    }
}

impl Encode for CollectionPayload<'_> {
    fn value_type(&self, version: Version) -> ValueType {
        match self.0 {
            AnyCollection::List(_) => ValueType::ListQuicklist,
            AnyCollection::Hash(hash) => hash::value_type(hash),
            AnyCollection::Set(set) => set::value_type(set, version),
            AnyCollection::SortedSet(set) => sorted_set::value_type(set),
            AnyCollection::Stream(_) => stream::value_type(version),
        }
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        match self.0 {
            AnyCollection::List(list) => list::encode(list, encoder),
            AnyCollection::Hash(hash) => hash::encode(hash, encoder),
            AnyCollection::Set(set) => set::encode(set, encoder),
            AnyCollection::SortedSet(set) => sorted_set::encode(set, encoder),
            AnyCollection::Stream(stream) => stream::encode(stream, encoder),
        }
    }
}

/// Appends an element of a listpack as a string.
fn put_element(encoder: &mut Encoder<'_>, element: Element<'_>) {
    match element {
        Element::Integer(number) => encoder.integer(number),
        Element::Bytes(text) => encoder.string(text),
    }
}

/// Thresholds between encodings, which decide how a value is kept.
#[derive(Clone, Copy, Debug)]
pub struct Thresholds {
    list: ListLimits,
    hash: HashLimits,
    set: SetLimits,
    sorted_set: SortedSetLimits,
}

impl Thresholds {
    /// The thresholds of the configuration.
    pub fn of(config: &Config) -> Thresholds {
        let data = &config.data;
        let many = |number: u64| usize::try_from(number).unwrap_or(usize::MAX);
        Thresholds {
            hash: HashLimits {
                entries: many(data.hash_max_listpack_entries),
                value: many(data.hash_max_listpack_value.0),
            },
            set: SetLimits {
                intset_entries: many(data.set_max_intset_entries),
                listpack_entries: many(data.set_max_listpack_entries),
                listpack_value: many(data.set_max_listpack_value),
            },
            sorted_set: SortedSetLimits {
                entries: many(data.zset_max_listpack_entries),
                value: many(data.zset_max_listpack_value.0),
            },
            list: ListLimits::new(data.list_max_listpack_size, data.list_compress_depth),
        }
    }
}

/// Why a value is not taken in.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refused {
    /// It is not what its type demands.
    #[error("the value is corrupt: {0}")]
    Corrupt(&'static str),
    /// A collection without elements. Old servers have written such; a key must not hold one.
    #[error("the value has no elements")]
    Empty,
}

/// Makes a value of the keyspace of what a file or payload holds.
///
/// # Errors
/// [`Refused`] if it is corrupt, or a collection without elements.
pub fn take_in(value: RdbValue, thresholds: &Thresholds) -> Result<Value, Refused> {
    match value {
        RdbValue::String(text) => Ok(string(text)),
        RdbValue::List(value) => list::take_in(value, thresholds.list).map(collection),
        RdbValue::Hash(value) => hash::take_in(value, thresholds.hash).map(collection),
        RdbValue::Set(value) => set::take_in(value, &thresholds.set).map(collection),
        RdbValue::SortedSet(value) => {
            sorted_set::take_in(value, thresholds.sorted_set).map(collection)
        }
        RdbValue::Stream(value) => stream::take_in(*value).map(collection),
    }
}

fn collection(collection: impl Into<AnyCollection>) -> Value {
    Value::Collection(collection.into())
}

fn string(text: Vec<u8>) -> Value {
    match canonical_integer(&text) {
        Some(number) => Value::Integer(number),
        None if text.len() > LONG_STRING => Value::Boxed(Box::new(text)),
        None => Value::Bytes(text.into_boxed_slice(), false),
    }
}

/// Checks a listpack. Numbers that stand there as strings, as no known server writes them, become
/// numbers: our comparisons rely on it.
fn listpack(bytes: &[u8]) -> Result<Listpack, Refused> {
    let listpack = Listpack::from_bytes(bytes)
        .map_err(|Corrupt| Refused::Corrupt("a listpack that is none"))?;
    let is_ours = |element| match element {
        Element::Integer(_) => true,
        Element::Bytes(text) => canonical_integer(text).is_none(),
    };
    if listpack.iter().all(is_ours) {
        return Ok(listpack);
    }
    let mut ours = Listpack::new();
    for element in &listpack {
        ours.push(element.text(&mut Digits::default()));
    }
    Ok(ours)
}
