//! Values of every type, and in every form that files have, for targets to change.

use tessera_rdb::value::{
    Consumer, Counters, Group, Hash, List, ListNode, Pending, Set, SortedSet, Stream, StreamId,
    StreamNode,
};
use tessera_rdb::{Value, ValueType};
use tessera_slot::Millis;

fn listpack(texts: &[&str]) -> Vec<u8> {
    let mut listpack = tessera_collections::Listpack::new();
    texts.iter().for_each(|text| listpack.push(text.as_bytes()));
    listpack.as_bytes().to_vec()
}

/// Values of every type in every form that is written.
pub(super) fn values() -> Vec<Value> {
    let texts = |texts: &[&str]| texts.iter().collect();
    let pairs = listpack(&["a", "1", "b", "-70000", "c", "2.5", "some longer text", "1e300"]);
    let intset = b"\x04\0\0\0\x03\0\0\0\x01\0\0\0\x02\0\0\0\0\x01\x01\0".to_vec();
    let later = Some(Millis(1 << 41));
    vec![
        Value::String(b"text".to_vec()),
        Value::String(vec![b'a'; 500]),
        Value::String(b"-7".to_vec()),
        Value::List(List::Elements(texts(&["a", "1", "-300", ""]))),
        Value::List(List::Nodes(vec![
            ListNode::Packed(pairs.clone()),
            ListNode::Plain(vec![b'x'; 100]),
            ListNode::Packed(listpack(&["z"])),
        ])),
        Value::Set(Set::Members(texts(&["a", "1", "b"]))),
        Value::Set(Set::Intset(intset)),
        Value::Set(Set::Listpack(pairs.clone())),
        Value::SortedSet(SortedSet::Members {
            members: texts(&["a", "b", "c"]),
            scores: vec![1.5, -0.0, f64::INFINITY],
        }),
        Value::SortedSet(SortedSet::Listpack(pairs.clone())),
        Value::Hash(Hash::Fields { texts: texts(&["f", "1", "g", "2"]), expiries: Vec::new() }),
        Value::Hash(Hash::Fields {
            texts: texts(&["f", "1", "g", "2"]),
            expiries: vec![later, None],
        }),
        Value::Hash(Hash::Listpack(pairs)),
        Value::Hash(Hash::ExpiringListpack {
            next_expiry: later,
            listpack: listpack(&["f", "1", "2199023255552", "g", "2", "0"]),
        }),
        Value::Stream(Box::new(a_stream())),
        Value::Stream(Box::new(Stream { counters: None, ..a_stream() })),
    ]
}

fn a_stream() -> Stream {
    let id = |ms, seq| StreamId { ms, seq };
    let first = [
        "2", "1", "1", "f", "0", "2", "0", "0", "v1", "4", "3", "1", "0", "v2", "4", "0", "7", "0",
        "1", "g", "w", "6",
    ];
    let second = ["1", "0", "1", "f", "0", "2", "0", "0", "v3", "4"];
    let at = Millis(1 << 41);
    let consumer = |name: &[u8], pending| Consumer {
        name: name.to_vec(),
        seen_at: at,
        active_at: Some(at),
        pending,
    };
    Stream {
        nodes: vec![
            StreamNode { id: id(10, 5), listpack: listpack(&first) },
            StreamNode { id: id(20, 0), listpack: listpack(&second) },
        ],
        length: 3,
        last_id: id(30, 0),
        counters: Some(Counters {
            first_id: id(10, 5),
            max_deleted_id: id(11, 5),
            entries_added: 5,
        }),
        groups: vec![Group {
            name: b"g".to_vec(),
            last_id: id(20, 0),
            entries_read: None,
            pending: vec![Pending { id: id(17, 5), delivered_at: at, deliveries: 3 }],
            consumers: vec![consumer(b"one", vec![id(17, 5)]), consumer(b"two", Vec::new())],
        }],
    }
}

/// A ziplist of `a`, 1, `b`, 2 with its length before it.
const ZIPLIST: &[u8] = b"\x15\x15\0\0\0\x12\0\0\0\x04\0\0\x01a\x03\xf2\x02\x01b\x03\xf3\xff";

/// Forms that are read only: version, type, and what follows it.
pub(super) const LEGACY: &[(u8, ValueType, &[u8])] = &[
    (3, ValueType::ZsetText, b"\x02\x01a\x032.5\x01b\xff"),
    (4, ValueType::HashZipmap, b"\x0c\x02\x01a\x01\0b\x01c\x01\0d\xff"),
    (9, ValueType::ListZiplist, ZIPLIST),
    (9, ValueType::HashZiplist, ZIPLIST),
    (9, ValueType::ZsetZiplist, ZIPLIST),
    (12, ValueType::HashExpiry, b"\xe8\x03\0\0\0\0\0\0\x02\x01\x01f\x011\x00\x01g\x012"),
    (12, ValueType::HashExpiryPreGa, b"\x02\x43\xe8\x01f\x011\x00\x01g\x012"),
];

#[cfg(test)]
mod tests {
    use super::super::rdb::{LIMITS, PAYLOADS};

    #[test]
    fn the_samples_are_valid() {
        for payload in PAYLOADS.iter() {
            let value = tessera_rdb::parse_dump(payload, LIMITS).expect("a valid payload");
            let thresholds = tessera_dataset::Thresholds::of(&Default::default());
            tessera_dataset::take_in(value, &thresholds).expect("a valid value");
        }
    }
}
