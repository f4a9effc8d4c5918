//! Values that are written are read again, and no bytes from outside break the reader.

use std::io::{self, Read};

use proptest::prelude::*;
use tessera_rdb::{
    Checksum, Compression, Entry, Error, Eviction, Item, Limits, Reader, Value, ValueRef, Version,
    Writer, dump, encode_entry, parse_dump,
};
use tessera_slot::Millis;

/// All items of a stream, up to its end or the first error.
fn read_all(bytes: &[u8]) -> Result<Vec<Item>, Error> {
    let mut reader = Reader::new(bytes, Limits { string: 1 << 20 })?;
    let mut items = Vec::new();
    loop {
        items.push(reader.next_item()?);
        if items.last() == Some(&Item::End) {
            return Ok(items);
        }
    }
}

fn write(databases: &[(u32, Vec<Entry>)], compression: Compression, sum: Checksum) -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Version::V10, sum).unwrap();
    writer.aux(b"redis-ver", b"7.0.0").unwrap();
    writer.function(b"#!lua name=f", compression).unwrap();
    for (db, entries) in databases {
        writer.select_db(*db).unwrap();
        writer.resize_db(entries.len() as u64, 0).unwrap();
        for Entry { key, expires_at, eviction, value } in entries {
            let mut bytes = Vec::new();
            encode_entry(&mut bytes, key, *expires_at, *eviction, value, compression);
            writer.entries(&bytes).unwrap();
        }
    }
    writer.finish().unwrap()
}

fn a_string() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        prop::collection::vec(any::<u8>(), 0..80),
        any::<i64>().prop_map(|value| value.to_string().into_bytes()),
        any::<i16>().prop_map(|value| value.to_string().into_bytes()),
        // Repetitive text of all lengths around the borders of the length encodings.
        (prop::collection::vec(any::<u8>(), 1..9), 0usize..20_000).prop_map(|(piece, len)| piece
            .into_iter()
            .cycle()
            .take(len)
            .collect()),
    ]
}

fn an_entry() -> impl Strategy<Value = Entry> {
    let eviction = prop_oneof![
        Just(None),
        any::<u64>().prop_map(|idle| Some(Eviction::Idle(idle))),
        any::<u8>().prop_map(|uses| Some(Eviction::Frequency(uses))),
    ];
    let expiry = prop::option::of((0..i64::MAX as u64).prop_map(Millis));
    (a_string(), expiry, eviction, a_string()).prop_map(|(key, expires_at, eviction, text)| Entry {
        key,
        expires_at,
        eviction,
        value: Value::String(text),
    })
}

fn a_sample() -> Vec<u8> {
    let entry = |key: &[u8], text: &[u8], expires_at, eviction| Entry {
        key: key.to_vec(),
        expires_at,
        eviction,
        value: Value::String(text.to_vec()),
    };
    let databases = [
        (
            0,
            vec![
                entry(b"small", b"12", None, Some(Eviction::Idle(100_000))),
                entry(b"medium", b"-12345", Some(Millis(1 << 41)), None),
                entry(b"large", b"1234567890", None, Some(Eviction::Frequency(9))),
                entry(b"packed", &b"tessera ".repeat(40), None, None),
            ],
        ),
        (70_000, vec![entry(b"", b"", Some(Millis(1)), None)]),
    ];
    write(&databases, Compression::Lzf, Checksum::On)
}

proptest! {
    #[test]
    fn a_stream_is_read_as_it_was_written(
        databases in prop::collection::vec((any::<u32>(), prop::collection::vec(an_entry(), 0..6)), 0..4),
        compress: bool,
        sum: bool,
    ) {
        let compression = if compress { Compression::Lzf } else { Compression::Off };
        let checksum = if sum { Checksum::On } else { Checksum::Off };
        let bytes = write(&databases, compression, checksum);
        let mut expected = vec![
            Item::Aux { name: b"redis-ver".to_vec(), value: b"7.0.0".to_vec() },
            Item::Function(b"#!lua name=f".to_vec()),
        ];
        for (db, entries) in databases {
            expected.push(Item::SelectDb(db));
            expected.push(Item::ResizeDb { keys: entries.len() as u64, expires: 0 });
            expected.extend(entries.into_iter().map(Item::Entry));
        }
        expected.push(Item::End);
        prop_assert_eq!(read_all(&bytes).unwrap(), expected);
    }

    #[test]
    fn a_dump_is_parsed_as_it_was_made(text in a_string(), compress: bool) {
        let compression = if compress { Compression::Lzf } else { Compression::Off };
        let payload = dump(ValueRef::String(&text), compression);
        let value = parse_dump(&payload, Limits::default()).unwrap();
        prop_assert_eq!(value, Value::String(text));
    }

    #[test]
    fn an_integer_reads_as_its_text(value: i64) {
        let payload = dump(ValueRef::Integer(value), Compression::Lzf);
        let expected = Value::String(value.to_string().into_bytes());
        prop_assert_eq!(parse_dump(&payload, Limits::default()).unwrap(), expected);
    }

    #[test]
    fn changed_bytes_behind_a_missing_checksum_break_nothing(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = a_sample();
        let sum_at = bytes.len() - 8;
        bytes[sum_at..].fill(0);
        for (at, byte) in changes {
            bytes[9 + at.index(sum_at - 9)] = byte;
        }
        // It may even be a file again; what was read is bounded by what was there.
        if let Ok(items) = read_all(&bytes) {
            prop_assert!(items.len() <= bytes.len());
        }
    }

    #[test]
    fn noise_after_a_header_is_an_error_or_a_short_file(noise in prop::collection::vec(any::<u8>(), 0..300)) {
        // Without a checksum (version 4) noise may happen to be a file; no item is shorter than a
        // byte.
        for header in [&b"REDIS0004"[..], b"REDIS0011", b"REDIS0012", b"VALKEY080", b""] {
            if let Ok(items) = read_all(&[header, &noise].concat()) {
                prop_assert!(items.len() <= noise.len());
            }
        }
    }
}

/// A source that gives a few bytes at a time.
struct Trickle<'a>(&'a [u8], usize);

impl Read for Trickle<'_> {
    fn read(&mut self, space: &mut [u8]) -> io::Result<usize> {
        let count = space.len().min(self.1);
        self.0.read(&mut space[..count])
    }
}

#[test]
fn large_strings_from_a_slow_source() {
    let entry = |size: usize| Entry {
        key: size.to_string().into_bytes(),
        expires_at: None,
        eviction: None,
        value: Value::String((0..size).map(|at| (at * at / 7) as u8).collect()),
    };
    let entries = [100, 65_535, 65_536, 200_000, 3_000_000, 5].map(entry).to_vec();
    let bytes = write(&[(0, entries.clone())], Compression::Off, Checksum::On);
    for at_a_time in [7, 1000, 65_536, usize::MAX] {
        let source = Trickle(&bytes, at_a_time);
        let mut reader = Reader::new(source, Limits::default()).unwrap();
        let mut found = Vec::new();
        loop {
            match reader.next_item().unwrap() {
                Item::Entry(entry) => found.push(entry),
                Item::End => break,
                _ => {}
            }
        }
        assert!(found == entries, "{at_a_time} bytes at a time");
        assert_eq!(reader.offset(), bytes.len() as u64);
    }
}

#[test]
fn every_truncation_is_noticed() {
    let sample = a_sample();
    assert!(read_all(&sample).is_ok());
    for len in 0..sample.len() {
        let error = read_all(&sample[..len]).expect_err("a truncated file was read");
        assert!(matches!(error, Error::Truncated { offset } if offset <= len as u64), "{error}");
    }
}

#[test]
fn every_changed_bit_is_noticed() {
    let sample = a_sample();
    for at in 0..sample.len() {
        for bit in 0..8 {
            let mut bytes = sample.clone();
            bytes[at] ^= 1 << bit;
            assert!(read_all(&bytes).is_err(), "bit {bit} of byte {at} changed unnoticed");
        }
    }
}

#[test]
fn a_claimed_length_is_not_believed() {
    // A string of 2^63 bytes, one of 4 GiB within the limit, and one that claims to unpack to 4
    // GiB.
    let huge = b"REDIS0010\x00\x01k\x81\x80\x00\x00\x00\x00\x00\x00\x00";
    let limits = Limits { string: u64::MAX };
    let mut reader = Reader::new(&huge[..], limits).unwrap();
    assert!(matches!(reader.next_item(), Err(Error::Truncated { .. })));
    assert!(matches!(read_all(huge), Err(Error::TooLong { length, .. }) if length == 1 << 63));
    let packed = b"REDIS0010\x00\x01k\xc3\x05\x80\xff\xff\xff\xff\x04aaaaa";
    let mut reader = Reader::new(&packed[..], limits).unwrap();
    assert!(matches!(reader.next_item(), Err(Error::Corrupt { .. })));
}

#[test]
fn what_is_not_supported_is_named() {
    let cases: [(&[u8], &str); 6] = [
        (
            b"REDIS0010\x07\x04cart\x00",
            "key 'cart' at byte 9 is a module value, which is not supported",
        ),
        (
            b"REDIS0010\xf7\x00",
            "the RDB data holds data of a module at byte 9, which is not supported",
        ),
        (b"REDIS0010\x08\x01k", "unknown RDB opcode or value type 8 at byte 9"),
        (b"REDIS0013\xff", "RDB version 13 is not supported"),
        (b"VALKEY011\xff", "not an RDB file: it does not begin with REDIS or VALKEY and a version"),
        (b"+PONG\r\n  ", "not an RDB file: it does not begin with REDIS or VALKEY and a version"),
    ];
    for (bytes, expected) in cases {
        assert_eq!(read_all(bytes).unwrap_err().to_string(), expected);
    }
}

#[test]
fn layouts_of_other_versions() {
    // Version 2 has expiry in seconds and no checksum; Redis 7.4 and Valkey 9 tell the size of
    // slots.
    let old = b"REDIS0002\xfe\x00\xfd\x01\x00\x00\x00\x00\x01k\xc0\x07\xff";
    let entry = Item::Entry(Entry {
        key: b"k".to_vec(),
        expires_at: Some(Millis(1000)),
        eviction: None,
        value: Value::String(b"7".to_vec()),
    });
    assert_eq!(read_all(old).unwrap(), [Item::SelectDb(0), entry, Item::End]);

    for header in [b"REDIS0012", b"VALKEY080"] {
        let body = b"\xf4\x7f\xff\x05\x02\xff\x00\x00\x00\x00\x00\x00\x00\x00";
        let items = read_all(&[&header[..], body].concat()).unwrap();
        let slot = tessera_slot::Slot::MAX;
        assert_eq!(items, [Item::SlotInfo { slot, keys: 5, expires: 2 }, Item::End]);
    }
    let beyond = b"REDIS0012\xf4\x80\x00\x00\x40\x00\x05\x02";
    assert!(matches!(read_all(beyond), Err(Error::Corrupt { offset: 15, .. })));
}

#[test]
fn what_was_read_too_much_is_given_back() {
    let mut bytes = a_sample();
    bytes.extend_from_slice(b"*1\r\n$4\r\nPING\r\n");
    let mut reader = Reader::new(&bytes[..], Limits::default()).unwrap();
    while reader.next_item().unwrap() != Item::End {}
    assert_eq!(reader.offset(), a_sample().len() as u64);
    assert!(reader.next_item().is_err());
    assert_eq!(reader.into_parts().1, b"*1\r\n$4\r\nPING\r\n");
}

#[test]
fn a_dump_with_a_wrong_end_is_refused() {
    let payload = dump(ValueRef::String(b"hello"), Compression::Off);
    for len in 0..payload.len() {
        assert!(parse_dump(&payload[..len], Limits::default()).is_err());
    }
    for at in 0..payload.len() {
        let mut changed = payload.clone();
        changed[at] ^= 0x40;
        assert!(parse_dump(&changed, Limits::default()).is_err(), "byte {at}");
    }
    // A value that is followed by something, under a right checksum.
    let mut longer = b"\x00\x01a\x00\x0a\x00".to_vec();
    longer.extend_from_slice(&tessera_rdb::Crc64::of(&longer).to_le_bytes());
    assert!(matches!(parse_dump(&longer, Limits::default()), Err(Error::Corrupt { .. })));
}
