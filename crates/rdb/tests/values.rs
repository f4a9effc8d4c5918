//! Values of every type: written and read back, read from the bytes of every version, and from real
//! servers.

mod peer;

use std::path::PathBuf;

use peer::{Peer, installed};
use proptest::prelude::*;
use tessera_rdb::value::{
    Consumer, Counters, Group, Hash, List, ListNode, Pending, Set, SortedSet, Stream, StreamId,
    StreamNode, Strings,
};
use tessera_rdb::{
    Checksum, Compression, Dialect, Error, Item, Limits, Reader, Value, ValueType, Version, Writer,
    dump, encode_entry, parse_dump,
};
use tessera_slot::Millis;

fn a_text() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..40),
        any::<i32>().prop_map(|value| value.to_string().into_bytes()),
        (any::<u8>(), 0usize..300).prop_map(|(byte, len)| vec![byte; len]),
    ]
}

fn texts(pairs: bool) -> impl Strategy<Value = Strings> {
    prop::collection::vec(a_text(), 0..20).prop_map(move |mut texts| {
        if pairs && texts.len() % 2 == 1 {
            texts.pop();
        }
        texts.into_iter().collect()
    })
}

fn an_id() -> impl Strategy<Value = StreamId> {
    any::<(u64, u64)>().prop_map(|(ms, seq)| StreamId { ms, seq })
}

fn a_time() -> impl Strategy<Value = Millis> {
    (0..i64::MAX as u64).prop_map(Millis)
}

fn a_list() -> impl Strategy<Value = List> {
    let node = prop_oneof![a_text().prop_map(ListNode::Plain), a_text().prop_map(ListNode::Packed)];
    prop_oneof![
        texts(false).prop_map(List::Elements),
        prop::collection::vec(node, 0..5).prop_map(List::Nodes),
    ]
}

fn a_sorted_set() -> impl Strategy<Value = SortedSet> {
    let score = any::<f64>().prop_filter("a number", |score| !score.is_nan());
    prop_oneof![
        prop::collection::vec((a_text(), score), 0..10).prop_map(|pairs| {
            let (members, scores): (Vec<_>, Vec<_>) = pairs.into_iter().unzip();
            SortedSet::Members { members: members.into_iter().collect(), scores }
        }),
        a_text().prop_map(SortedSet::Listpack),
    ]
}

fn a_hash() -> impl Strategy<Value = Hash> {
    let expiring = prop::collection::vec((a_text(), a_text(), prop::option::of(a_time())), 1..9);
    prop_oneof![
        texts(true).prop_map(|texts| Hash::Fields { texts, expiries: Vec::new() }),
        expiring.prop_map(|fields| {
            let (mut texts, mut expiries) = (Strings::new(), Vec::new());
            for (field, value, expiry) in fields {
                texts.push(&field);
                texts.push(&value);
                expiries.push(expiry);
            }
            Hash::Fields { texts, expiries }
        }),
        a_text().prop_map(Hash::Listpack),
        (prop::option::of(a_time()), a_text()).prop_map(|(next_expiry, listpack)| {
            Hash::ExpiringListpack { next_expiry, listpack }
        }),
    ]
}

fn a_group(is_new: bool) -> impl Strategy<Value = Group> {
    let pending = (an_id(), a_time(), any::<u64>())
        .prop_map(|(id, delivered_at, deliveries)| Pending { id, delivered_at, deliveries });
    let consumer =
        (a_text(), a_time(), prop::option::of(a_time()), prop::collection::vec(an_id(), 0..3))
            .prop_map(move |(name, seen_at, active_at, pending)| {
                let active_at = if is_new { active_at } else { Some(seen_at) };
                Consumer { name, seen_at, active_at, pending }
            });
    let read = prop::option::of(0..u64::MAX);
    let pending = prop::collection::vec(pending, 0..4);
    let consumers = prop::collection::vec(consumer, 0..3);
    (a_text(), an_id(), read, pending, consumers).prop_map(
        move |(name, last_id, read, pending, consumers)| {
            let entries_read = if is_new { read } else { None };
            Group { name, last_id, entries_read, pending, consumers }
        },
    )
}

fn a_stream(is_new: bool) -> impl Strategy<Value = Stream> {
    let node = (an_id(), a_text()).prop_map(|(id, listpack)| StreamNode { id, listpack });
    let nodes = prop::collection::vec(node, 0..4);
    let counters =
        (an_id(), an_id(), any::<u64>()).prop_map(|(first_id, max_deleted_id, entries_added)| {
            Counters { first_id, max_deleted_id, entries_added }
        });
    let groups = prop::collection::vec(a_group(is_new), 0..3);
    (nodes, any::<u64>(), an_id(), counters, groups).prop_map(
        move |(nodes, length, last_id, counters, groups)| {
            let counters = is_new.then_some(counters);
            Stream { nodes, length, last_id, counters, groups }
        },
    )
}

fn a_value() -> impl Strategy<Value = Value> {
    let set = prop_oneof![
        texts(false).prop_map(Set::Members),
        a_text().prop_map(Set::Intset),
        a_text().prop_map(Set::Listpack),
    ];
    prop_oneof![
        a_list().prop_map(Value::List),
        set.prop_map(Value::Set),
        a_sorted_set().prop_map(Value::SortedSet),
        a_hash().prop_map(Value::Hash),
        a_stream(false).prop_map(|stream| Value::Stream(Box::new(stream))),
        a_stream(true).prop_map(|stream| Value::Stream(Box::new(stream))),
    ]
}

/// The version of a file that may hold this value.
fn version_of(value: &Value) -> Version {
    tessera_rdb::Encode::value_type(value, Version::V10).first_version()
}

fn file(version: Version, value: &Value, compression: Compression) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), version, Checksum::On).unwrap();
    let mut entry = Vec::new();
    encode_entry(&mut entry, b"key", None, None, value, compression);
    writer.entries(&entry).unwrap();
    writer.finish().unwrap()
}

/// The value of a file's last entry.
fn read_one(bytes: &[u8]) -> Result<Value, Error> {
    let mut reader = Reader::new(bytes, Limits { string: 1 << 20 })?;
    let mut value = None;
    loop {
        match reader.next_item()? {
            Item::Entry(entry) => value = Some(entry.value),
            Item::End => return Ok(value.expect("an entry")),
            _ => {}
        }
    }
}

/// Reads a file of this version with nothing but this value.
fn read_raw(header: &[u8], kind: ValueType, body: &[u8]) -> Result<Value, Error> {
    let rest = [&[kind.to_byte()][..], b"\x01k", body, b"\xff", &[0; 8]].concat();
    read_one(&[header, &rest].concat())
}

proptest! {
    #[test]
    fn a_value_is_read_as_it_was_written(value in a_value(), compress: bool) {
        let compression = if compress { Compression::Lzf } else { Compression::Off };
        let bytes = file(version_of(&value), &value, compression);
        prop_assert_eq!(&read_one(&bytes).unwrap(), &value);
        let payload = dump(&value, compression);
        prop_assert_eq!(parse_dump(&payload, Limits::default()).unwrap(), value);
    }

    #[test]
    fn every_truncation_of_a_value_is_noticed(value in a_value()) {
        let bytes = file(version_of(&value), &value, Compression::Lzf);
        for len in 0..bytes.len() {
            let error = read_one(&bytes[..len]).expect_err("a truncated file was read");
            let is_truncated = matches!(error, Error::Truncated { .. });
            prop_assert!(is_truncated, "{}", error);
        }
    }

    #[test]
    fn noise_is_an_error_or_a_small_value(
        byte: u8, body in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for (header, dialect) in
            [(&b"REDIS0012"[..], Dialect::Redis), (b"VALKEY080", Dialect::Valkey)]
        {
            if let Some(kind) = ValueType::from_byte(byte % 30, dialect) {
                let _ = read_raw(header, kind, &body);
            }
        }
    }
}

fn strings(texts: &[&[u8]]) -> Strings {
    texts.iter().collect()
}

#[test]
fn hashes_with_expiring_fields_in_every_form() {
    let expected = Value::Hash(Hash::Fields {
        texts: strings(&[b"f", b"1", b"g", b"2", b"h", b"3"]),
        expiries: vec![Some(Millis(1000)), None, Some(Millis(1041))],
    });
    let cases: [(&[u8], ValueType, &[u8]); 3] = [
        (
            b"REDIS0012",
            ValueType::HashExpiry,
            b"\xe8\x03\0\0\0\0\0\0\x03\x01\x01f\x011\x00\x01g\x012\x2a\x01h\x013",
        ),
        (
            b"REDIS0012",
            ValueType::HashExpiryPreGa,
            b"\x03\x43\xe8\x01f\x011\x00\x01g\x012\x44\x11\x01h\x013",
        ),
        (
            b"VALKEY080",
            ValueType::HashValkeyExpiry,
            b"\x03\x01f\x011\xe8\x03\0\0\0\0\0\0\
              \x01g\x012\xff\xff\xff\xff\xff\xff\xff\xff\
              \x01h\x013\x11\x04\0\0\0\0\0\0",
        ),
    ];
    for (header, kind, body) in cases {
        assert_eq!(read_raw(header, kind, body).unwrap(), expected, "{kind:?}");
    }

    let packed = |next_expiry| {
        Value::Hash(Hash::ExpiringListpack { next_expiry, listpack: b"any".to_vec() })
    };
    let with =
        read_raw(b"REDIS0012", ValueType::HashListpackExpiry, b"\xe8\x03\0\0\0\0\0\0\x03any");
    assert_eq!(with.unwrap(), packed(Some(Millis(1000))));
    let without = read_raw(b"REDIS0012", ValueType::HashListpackExpiryPreGa, b"\x03any");
    assert_eq!(without.unwrap(), packed(None));

    let late = b"\xff\xff\xff\xff\xff\xff\xff\xff\x01\x05\x01f\x011";
    let error = read_raw(b"REDIS0012", ValueType::HashExpiry, late).unwrap_err();
    assert!(matches!(error, Error::Corrupt { what: "an expiry beyond all time", .. }), "{error}");
}

#[test]
fn scores_as_text() {
    let body = b"\x05\x01a\x032.5\x01b\xff\x01c\xfe\x01d\x02-3\x01e\x041e-8";
    let expected = Value::SortedSet(SortedSet::Members {
        members: strings(&[b"a", b"b", b"c", b"d", b"e"]),
        scores: vec![2.5, f64::NEG_INFINITY, f64::INFINITY, -3.0, 1e-8],
    });
    assert_eq!(read_raw(b"REDIS0005", ValueType::ZsetText, body).unwrap(), expected);
    for wrong in [&b"\x01\x01a\xfd"[..], b"\x01\x01a\x03abc", b"\x01\x01a\x00"] {
        let error = read_raw(b"REDIS0005", ValueType::ZsetText, wrong).unwrap_err();
        assert!(matches!(error, Error::Corrupt { .. }), "{error}");
    }
    let nan = b"\x01\x01a\x00\x00\x00\x00\x00\x00\xf8\x7f";
    let error = read_raw(b"REDIS0008", ValueType::ZsetBinary, nan).unwrap_err();
    assert!(matches!(error, Error::Corrupt { .. }), "{error}");
}

/// A ziplist of the texts `a`, `1`, `b`, `2`: the numbers are integers of four bits.
const ZIPLIST: &[u8] = b"\x15\0\0\0\x12\0\0\0\x04\0\0\x01a\x03\xf2\x02\x01b\x03\xf3\xff";

#[test]
fn ziplists_of_every_type() {
    let mut blob = ZIPLIST.to_vec();
    blob[0] = blob.len() as u8;
    blob[4] = blob.len() as u8 - 3;
    let body = [&[blob.len() as u8], &blob[..]].concat();
    let all = strings(&[b"a", b"1", b"b", b"2"]);
    let read = |kind, body: &[u8]| read_raw(b"REDIS0009", kind, body);
    assert_eq!(
        read(ValueType::ListZiplist, &body).unwrap(),
        Value::List(List::Elements(all.clone()))
    );
    let twice = [b"\x02", &body[..], &body].concat();
    let doubled = strings(&[b"a", b"1", b"b", b"2", b"a", b"1", b"b", b"2"]);
    assert_eq!(
        read(ValueType::ListQuicklistZiplist, &twice).unwrap(),
        Value::List(List::Elements(doubled))
    );
    assert_eq!(
        read(ValueType::HashZiplist, &body).unwrap(),
        Value::Hash(Hash::Fields { texts: all, expiries: Vec::new() })
    );
    assert_eq!(
        read(ValueType::ZsetZiplist, &body).unwrap(),
        Value::SortedSet(SortedSet::Members {
            members: strings(&[b"a", b"b"]),
            scores: vec![1.0, 2.0]
        })
    );
    // Scores that are none, and a field without a value.
    let swapped = [&body[..1], &body[1..11], b"\0\xf2\x02\x01a\x03\xf3\x02\x01b\xff"].concat();
    assert!(matches!(read(ValueType::ZsetZiplist, &swapped), Err(Error::Corrupt { .. })));
    let odd = b"\x0e\x0e\0\0\0\x0a\0\0\0\x01\0\0\x01a\xff";
    assert!(matches!(read(ValueType::HashZiplist, odd), Err(Error::Corrupt { .. })));
    let zipmap = b"\x09\x01\x01f\x01\x00v\xff";
    let zipmap = [&[zipmap.len() as u8 - 1], &zipmap[1..]].concat();
    assert_eq!(
        read_raw(b"REDIS0005", ValueType::HashZipmap, &zipmap).unwrap(),
        Value::Hash(Hash::Fields { texts: strings(&[b"f", b"v"]), expiries: Vec::new() })
    );
}

#[test]
fn modules_and_later_streams_are_named() {
    for (kind, name) in [
        (ValueType::Module, "module value"),
        (ValueType::ModulePreGa, "module value"),
        (ValueType::Stream4, "stream"),
    ] {
        let error = read_raw(b"REDIS0012", kind, b"\x01").unwrap_err().to_string();
        assert_eq!(error, format!("key 'k' at byte 9 is a {name}, which is not supported"));
    }
}

fn servers() -> Vec<PathBuf> {
    let others = ["VALKEY_SERVER", "REDIS8_SERVER"].map(std::env::var_os);
    let others = others.into_iter().flatten().map(PathBuf::from);
    installed("redis-server").into_iter().chain(others).collect()
}

/// Makes a value of each type in each of its encodings.
fn fill(server: &mut Peer) {
    let ints: Vec<String> = (0..40).map(|n| (n * 70_000 - 300).to_string()).collect();
    let words: Vec<String> = (0..40).map(|n| format!("word:{n}:{}", "x".repeat(n * 5))).collect();
    let both = |a: &[String], b: &[String]| -> Vec<String> {
        a.iter().zip(b).flat_map(|(a, b)| [a.clone(), b.clone()]).collect()
    };
    let many: Vec<String> = (0..700).map(|n| format!("m{n}")).collect();
    for (command, key, args) in [
        ("RPUSH", "list:small", &ints),
        ("RPUSH", "list:words", &words),
        ("RPUSH", "list:many", &many),
        ("SADD", "set:ints", &ints),
        ("SADD", "set:words", &words[..5].to_vec()),
        ("SADD", "set:many", &many),
        ("HSET", "hash:small", &both(&words[..10], &ints)),
        ("HSET", "hash:many", &both(&many, &many)),
        ("ZADD", "zset:small", &both(&ints, &words[..10])),
        ("ZADD", "zset:many", &both(&ints, &words)),
    ] {
        let line: Vec<&str> =
            [command, key].into_iter().chain(args.iter().map(String::as_str)).collect();
        server.command(&line);
    }
    server.command(&["ZADD", "zset:small", "-inf", "low", "0.1", "tenth"]);
    for n in 1..300 {
        server.command(&["XADD", "stream", &format!("{n}-1"), "a", "1", "b", &"y".repeat(n % 50)]);
    }
    server.command(&["XDEL", "stream", "7-1"]);
    server.command(&["XGROUP", "CREATE", "stream", "g", "0"]);
    let read = "redis.call('XREADGROUP', 'GROUP', 'g', 'c', 'COUNT', 5, 'STREAMS', KEYS[1], '>')";
    server.command(&["EVAL", read, "1", "stream"]);
}

#[test]
fn real_servers_restore_what_we_read_of_theirs() {
    for program in servers() {
        let mut server = Peer::start(&program, &["--enable-debug-command", "yes"], |_| {});
        fill(&mut server);
        let before = server.command(&["DEBUG", "DIGEST"]);
        let keys = [
            "list:small",
            "list:words",
            "list:many",
            "set:ints",
            "set:words",
            "set:many",
            "hash:small",
            "hash:many",
            "zset:small",
            "zset:many",
            "stream",
        ];
        for key in keys {
            let theirs = server.command(&["DUMP", key]);
            let value = parse_dump(&theirs, Limits::default()).unwrap();
            for compression in [Compression::Off, Compression::Lzf] {
                let ours = as_old_as_possible(&value, compression);
                server.command(&[b"RESTORE", key.as_bytes(), b"0", &ours, b"REPLACE"]);
                assert!(server.command(&["DEBUG", "DIGEST"]) == before, "{key}");
            }
        }
    }
}

/// Redis 7.0 knows neither sets as listpacks nor version 3 of streams; it never has them in its own
/// payloads, and others read both.
fn as_old_as_possible(value: &Value, compression: Compression) -> Vec<u8> {
    let Value::Stream(stream) = value else { return dump(value, compression) };
    struct Version2<'a>(&'a Stream);
    impl tessera_rdb::Encode for Version2<'_> {
        fn value_type(&self, _: Version) -> ValueType {
            ValueType::Stream2
        }
        fn encode(&self, encoder: &mut tessera_rdb::Encoder<'_>) {
            let stream = self.0;
            encoder.length(stream.nodes.len() as u64);
            for node in &stream.nodes {
                encoder.node_id(node.id);
                encoder.string(&node.listpack);
            }
            encoder.length(stream.length);
            encoder.id(stream.last_id);
            let counters = stream.counters.expect("Redis 7 has them");
            encoder.id(counters.first_id);
            encoder.id(counters.max_deleted_id);
            encoder.length(counters.entries_added);
            encoder.length(stream.groups.len() as u64);
            for group in &stream.groups {
                encoder.string(&group.name);
                encoder.id(group.last_id);
                encoder.entries_read(group.entries_read);
                encoder.length(group.pending.len() as u64);
                for pending in &group.pending {
                    encoder.raw_id(pending.id);
                    encoder.time(Some(pending.delivered_at));
                    encoder.length(pending.deliveries);
                }
                encoder.length(group.consumers.len() as u64);
                for consumer in &group.consumers {
                    encoder.string(&consumer.name);
                    encoder.time(Some(consumer.seen_at));
                    encoder.length(consumer.pending.len() as u64);
                    consumer.pending.iter().for_each(|id| encoder.raw_id(*id));
                }
            }
        }
    }
    dump(Version2(stream), compression)
}
