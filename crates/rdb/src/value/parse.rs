//! From bytes to plain data, one function per type.

use std::io::Read;

use tessera_slot::Millis;

use super::{
    Consumer, Counters, Group, Hash, List, ListNode, Pending, Set, SortedSet, Stream, StreamId,
    StreamNode, Strings, Value,
};
use crate::error::Error;
use crate::format::{ValueType, list_node};
use crate::input::Input;
use crate::legacy::{ziplist, zipmap};

/// A group's counter of read entries that is not known.
const ENTRIES_READ_UNKNOWN: u64 = u64::MAX;

/// Reads a value of this type; `None` if the type cannot be loaded.
pub(crate) fn parse_value<R: Read>(
    input: &mut Input<R>,
    kind: ValueType,
) -> Result<Option<Value>, Error> {
    use ValueType as T;
    let value = match kind {
        T::String => Value::String(input.string()?),
        T::List => Value::List(List::Elements(strings(input, 1)?)),
        T::ListZiplist => Value::List(List::Elements(ziplist_elements(input)?)),
        T::ListQuicklistZiplist => Value::List(List::Elements(ziplists(input)?)),
        T::ListQuicklist => Value::List(List::Nodes(list_nodes(input)?)),
        T::Set => Value::Set(Set::Members(strings(input, 1)?)),
        T::SetIntset => Value::Set(Set::Intset(input.string()?)),
        T::SetListpack => Value::Set(Set::Listpack(input.string()?)),
        T::ZsetText => Value::SortedSet(sorted_set(input, text_score)?),
        T::ZsetBinary => Value::SortedSet(sorted_set(input, binary_score)?),
        T::ZsetZiplist => Value::SortedSet(ziplist_sorted_set(input)?),
        T::ZsetListpack => Value::SortedSet(SortedSet::Listpack(input.string()?)),
        T::Hash => Value::Hash(fields(strings(input, 2)?)),
        T::HashZipmap => Value::Hash(zipmap_hash(input)?),
        T::HashZiplist => Value::Hash(ziplist_hash(input)?),
        T::HashListpack => Value::Hash(Hash::Listpack(input.string()?)),
        T::HashExpiry | T::HashExpiryPreGa => Value::Hash(expiring_hash(input, kind)?),
        T::HashListpackExpiry => {
            let next_expiry = Some(expiry(input)?);
            Value::Hash(Hash::ExpiringListpack { next_expiry, listpack: input.string()? })
        }
        T::HashListpackExpiryPreGa => {
            Value::Hash(Hash::ExpiringListpack { next_expiry: None, listpack: input.string()? })
        }
        T::HashValkeyExpiry => Value::Hash(valkey_hash(input)?),
        T::Stream | T::Stream2 | T::Stream3 => Value::Stream(Box::new(stream(input, kind)?)),
        T::ModulePreGa | T::Module | T::Stream4 => return Ok(None),
    };
    Ok(Some(value))
}

/// A count, then as many groups of `each` strings.
fn strings<R: Read>(input: &mut Input<R>, each: u64) -> Result<Strings, Error> {
    let count = input.plain_length()?;
    let count = count.checked_mul(each).ok_or_else(|| input.corrupt("a count above all memory"))?;
    let mut strings = Strings::new();
    for _ in 0..count {
        strings.push_with(|bytes| input.append_string(bytes))?;
    }
    Ok(strings)
}

fn fields(texts: Strings) -> Hash {
    Hash::Fields { texts, expiries: Vec::new() }
}

fn ziplist_elements<R: Read>(input: &mut Input<R>) -> Result<Strings, Error> {
    let mut elements = Strings::new();
    append_ziplist(input, &mut elements)?;
    Ok(elements)
}

fn append_ziplist<R: Read>(input: &mut Input<R>, to: &mut Strings) -> Result<(), Error> {
    let blob = input.string()?;
    ziplist::decode(&blob, |element| to.push(element))
        .ok_or_else(|| input.corrupt("a ziplist that is none"))
}

fn ziplists<R: Read>(input: &mut Input<R>) -> Result<Strings, Error> {
    let count = input.plain_length()?;
    let mut elements = Strings::new();
    for _ in 0..count {
        append_ziplist(input, &mut elements)?;
    }
    Ok(elements)
}

fn list_nodes<R: Read>(input: &mut Input<R>) -> Result<Vec<ListNode>, Error> {
    let count = input.plain_length()?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        nodes.push(match input.plain_length()? {
            list_node::PLAIN => ListNode::Plain(input.string()?),
            list_node::PACKED => ListNode::Packed(input.string()?),
            _ => return Err(input.corrupt("an unknown node of a list")),
        });
    }
    Ok(nodes)
}

fn sorted_set<R: Read>(
    input: &mut Input<R>,
    score: fn(&mut Input<R>) -> Result<f64, Error>,
) -> Result<SortedSet, Error> {
    let count = input.plain_length()?;
    let (mut members, mut scores) = (Strings::new(), Vec::new());
    for _ in 0..count {
        members.push_with(|bytes| input.append_string(bytes))?;
        let score = score(input)?;
        scores.push(number(input, score)?);
    }
    Ok(SortedSet::Members { members, scores })
}

fn number<R: Read>(input: &Input<R>, score: f64) -> Result<f64, Error> {
    if score.is_nan() { Err(input.corrupt("a score that is no number")) } else { Ok(score) }
}

fn binary_score<R: Read>(input: &mut Input<R>) -> Result<f64, Error> {
    Ok(f64::from_le_bytes(input.array()?))
}

/// One byte of length, then as many of text; three lengths have a meaning of their own.
fn text_score<R: Read>(input: &mut Input<R>) -> Result<f64, Error> {
    let mut text = [0; 252];
    let text = match input.byte()? {
        255 => return Ok(f64::NEG_INFINITY),
        254 => return Ok(f64::INFINITY),
        253 => return Ok(f64::NAN),
        len => &mut text[..usize::from(len)],
    };
    input.fill(text)?;
    parse_score(text).ok_or_else(|| input.corrupt("a score that is no number"))
}

fn parse_score(text: &[u8]) -> Option<f64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn ziplist_sorted_set<R: Read>(input: &mut Input<R>) -> Result<SortedSet, Error> {
    let elements = ziplist_elements(input)?;
    let (mut members, mut scores) = (Strings::new(), Vec::new());
    let mut texts = elements.iter();
    while let Some(member) = texts.next() {
        members.push(member);
        let score = texts.next().and_then(parse_score);
        let score = score.ok_or_else(|| input.corrupt("a member without a score"))?;
        scores.push(number(input, score)?);
    }
    Ok(SortedSet::Members { members, scores })
}

fn ziplist_hash<R: Read>(input: &mut Input<R>) -> Result<Hash, Error> {
    let texts = ziplist_elements(input)?;
    if texts.len() % 2 != 0 {
        return Err(input.corrupt("a field without a value"));
    }
    Ok(fields(texts))
}

fn zipmap_hash<R: Read>(input: &mut Input<R>) -> Result<Hash, Error> {
    let blob = input.string()?;
    let mut texts = Strings::new();
    zipmap::decode(&blob, |text| texts.push(text))
        .ok_or_else(|| input.corrupt("a zipmap that is none"))?;
    Ok(fields(texts))
}

/// Redis 7.4's form: the earliest expiry (not in release candidates), then expiry, field, value.
/// The expiry is one more than what it is later than the earliest, or 0 for never; in release
/// candidates it is Unix ms.
fn expiring_hash<R: Read>(input: &mut Input<R>, kind: ValueType) -> Result<Hash, Error> {
    let earliest = match kind {
        ValueType::HashExpiryPreGa => None,
        _ => Some(expiry(input)?.0),
    };
    let count = input.plain_length()?;
    let (mut texts, mut expiries) = (Strings::new(), Vec::new());
    for _ in 0..count {
        let at = match (input.plain_length()?, earliest) {
            (0, _) => None,
            (at, None) => Some(at),
            (later, Some(earliest)) => Some(earliest.saturating_add(later - 1)),
        };
        expiries.push(at.map(|at| in_time(input, at)).transpose()?);
        texts.push_with(|bytes| input.append_string(bytes))?;
        texts.push_with(|bytes| input.append_string(bytes))?;
    }
    Ok(Hash::Fields { texts, expiries })
}

fn expiry<R: Read>(input: &mut Input<R>) -> Result<Millis, Error> {
    let at = u64::from_le_bytes(input.array()?);
    in_time(input, at)
}

/// Times are signed numbers everywhere else.
fn in_time<R: Read>(input: &Input<R>, at: u64) -> Result<Millis, Error> {
    if i64::try_from(at).is_ok() {
        Ok(Millis(at))
    } else {
        Err(input.corrupt("an expiry beyond all time"))
    }
}

/// Valkey 9's form: field, value, expiry in Unix ms or -1 for never.
fn valkey_hash<R: Read>(input: &mut Input<R>) -> Result<Hash, Error> {
    let count = input.plain_length()?;
    let (mut texts, mut expiries) = (Strings::new(), Vec::new());
    for _ in 0..count {
        texts.push_with(|bytes| input.append_string(bytes))?;
        texts.push_with(|bytes| input.append_string(bytes))?;
        expiries.push(match i64::from_le_bytes(input.array()?) {
            -1 => None,
            at => Some(Millis(u64::try_from(at).unwrap_or(0))),
        });
    }
    Ok(Hash::Fields { texts, expiries })
}

fn stream<R: Read>(input: &mut Input<R>, kind: ValueType) -> Result<Stream, Error> {
    let mut stream = Stream { nodes: stream_nodes(input)?, ..Stream::default() };
    stream.length = input.plain_length()?;
    stream.last_id = id_of_lengths(input)?;
    if kind != ValueType::Stream {
        stream.counters = Some(Counters {
            first_id: id_of_lengths(input)?,
            max_deleted_id: id_of_lengths(input)?,
            entries_added: input.plain_length()?,
        });
    }
    for _ in 0..input.plain_length()? {
        stream.groups.push(group(input, kind)?);
    }
    Ok(stream)
}

fn stream_nodes<R: Read>(input: &mut Input<R>) -> Result<Vec<StreamNode>, Error> {
    let count = input.plain_length()?;
    let mut nodes = Vec::new();
    for _ in 0..count {
        let id = input.string()?;
        let id = id.try_into().map_err(|_| input.corrupt("a stream id that is not of 16 bytes"))?;
        nodes.push(StreamNode { id: StreamId::from_bytes(id), listpack: input.string()? });
    }
    Ok(nodes)
}

fn id_of_lengths<R: Read>(input: &mut Input<R>) -> Result<StreamId, Error> {
    Ok(StreamId { ms: input.plain_length()?, seq: input.plain_length()? })
}

fn raw_id<R: Read>(input: &mut Input<R>) -> Result<StreamId, Error> {
    Ok(StreamId::from_bytes(input.array()?))
}

fn group<R: Read>(input: &mut Input<R>, kind: ValueType) -> Result<Group, Error> {
    let (name, last_id) = (input.string()?, id_of_lengths(input)?);
    let entries_read = match kind {
        ValueType::Stream => None,
        _ => Some(input.plain_length()?).filter(|&count| count != ENTRIES_READ_UNKNOWN),
    };
    let mut pending = Vec::new();
    for _ in 0..input.plain_length()? {
        pending.push(Pending {
            id: raw_id(input)?,
            delivered_at: time(input)?.unwrap_or(Millis(0)),
            deliveries: input.plain_length()?,
        });
    }
    let mut consumers = Vec::new();
    for _ in 0..input.plain_length()? {
        consumers.push(consumer(input, kind)?);
    }
    Ok(Group { name, last_id, entries_read, pending, consumers })
}

fn consumer<R: Read>(input: &mut Input<R>, kind: ValueType) -> Result<Consumer, Error> {
    let name = input.string()?;
    let seen_at = time(input)?.unwrap_or(Millis(0));
    let active_at = match kind {
        ValueType::Stream3 => time(input)?,
        _ => Some(seen_at),
    };
    let mut pending = Vec::new();
    for _ in 0..input.plain_length()? {
        pending.push(raw_id(input)?);
    }
    Ok(Consumer { name, seen_at, active_at, pending })
}

/// A time in Unix ms; a negative one is none.
fn time<R: Read>(input: &mut Input<R>) -> Result<Option<Millis>, Error> {
    Ok(u64::try_from(i64::from_le_bytes(input.array()?)).ok().map(Millis))
}
