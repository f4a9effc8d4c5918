//! RDB streams and payloads of DUMP: reading gives an error or the values that were written, and
//! takes memory in proportion to the input.

use crate::{Meter, Vary};
use std::io::{self, Read};
use std::sync::LazyLock;
use tessera_rdb::{
    Checksum, Compression, Crc64, Entry, Error, Eviction, Item, Limits, Reader, ValueRef, Version,
    Writer, dump, encode_entry, parse_dump,
};
use tessera_slot::Millis;

use super::samples::{LEGACY, values};

/// The default of `proto-max-bulk-len`: an input may claim that much.
pub(super) const LIMITS: Limits = Limits { string: 512 << 20 };
/// The memory that reading takes beside the data: the buffer, and the first step of a string that
/// claims to be long.
const FIXED_BYTES: usize = 2 << 20;
/// LZF turns three bytes into 264 at most, an element of a ziplist takes two bytes at least and
/// some twenty when it is read, and buffers grow by doubling.
const UNPACKED_MAX: usize = 4 * 88 * 10;

static STREAMS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    [(Version::V10, Checksum::On), (Version::V11, Checksum::Off), (Version::V80, Checksum::On)]
        .into_iter()
        .map(|(version, checksum)| stream(version, checksum).expect("a vector takes all bytes"))
        .collect()
});

pub(super) static PAYLOADS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut payloads = Vec::new();
    for value in values() {
        payloads.push(dump(&value, Compression::Lzf));
        payloads.push(dump(&value, Compression::Off));
    }
    for (version, kind, body) in LEGACY {
        let mut payload = [&[kind.to_byte()], *body].concat();
        payload.extend_from_slice(&[*version, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
        seal(&mut payload);
        payloads.push(payload);
    }
    payloads
});

fn stream(version: Version, checksum: Checksum) -> io::Result<Vec<u8>> {
    let mut writer = Writer::new(Vec::new(), version, checksum)?;
    writer.aux(b"redis-ver", b"7.2.4")?;
    writer.aux(b"repl-stream-db", b"0")?;
    writer.function(b"#!lua name=f\n", Compression::Lzf)?;
    for db in [0, 70_000] {
        writer.select_db(db)?;
        writer.resize_db(20_000, 3)?;
        let mut entries = Vec::new();
        let long = vec![b'x'; 400];
        let strings = [
            (ValueRef::String(b"value"), None, None),
            (ValueRef::Integer(70_000), Some(Millis(1 << 41)), None),
            (ValueRef::Integer(i64::MIN), None, Some(Eviction::Idle(20_000))),
            (ValueRef::String(&long), Some(Millis(0)), Some(Eviction::Frequency(255))),
        ];
        for (value, expiry, eviction) in strings {
            encode_entry(&mut entries, b"key", expiry, eviction, value, Compression::Lzf);
            encode_entry(&mut entries, b"", expiry, eviction, value, Compression::Off);
        }
        for value in values() {
            let kind = tessera_rdb::Encode::value_type(&value, version);
            if kind.first_version() <= version {
                encode_entry(&mut entries, b"other", None, None, &value, Compression::Lzf);
            }
        }
        writer.entries(&entries)?;
    }
    writer.finish()
}

/// Puts the right checksum at the end.
pub(super) fn seal(input: &mut [u8]) {
    if let Some((body, sum)) = input.split_last_chunk_mut::<8>() {
        *sum = Crc64::of(body).to_le_bytes();
    }
}

/// A connection that gives what it has piece by piece.
struct Pieces<'a>(std::vec::IntoIter<&'a [u8]>, &'a [u8]);

impl Read for Pieces<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        if self.1.is_empty() {
            self.1 = self.0.next().unwrap_or_default();
        }
        self.1.read(out)
    }
}

/// RDB streams: read whole and in pieces, and what was read is written and read back.
pub fn rdb_streams(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    let is_sealed = vary.flag();
    let mut input = vary.input(&STREAMS);
    if is_sealed {
        seal(&mut input);
    }
    let meter = Meter::start();
    let (items, error) = read(&input[..]);
    let allowed = FIXED_BYTES + UNPACKED_MAX * input.len();
    assert!(meter.peak() <= allowed, "{} bytes for {}", meter.peak(), input.len());
    let pieces = vary.cut(&input);
    let again = read(Pieces(pieces.into_iter(), &[]));
    assert_eq!((&items, shown(&error)), (&again.0, shown(&again.1)), "read in pieces");
    for item in items {
        if let Item::Entry(entry) = item {
            check_entry(entry);
        }
    }
}

fn shown(error: &Option<Error>) -> Option<String> {
    error.as_ref().map(ToString::to_string)
}

/// All items up to the end or the first error.
fn read(source: impl Read) -> (Vec<Item>, Option<Error>) {
    let mut items = Vec::new();
    let mut reader = match Reader::new(source, LIMITS) {
        Ok(reader) => reader,
        Err(error) => return (items, Some(error)),
    };
    loop {
        match reader.next_item() {
            Ok(Item::End) => {
                assert!(reader.next_item().is_err(), "nothing follows the end");
                return (items, None);
            }
            Ok(item) => items.push(item),
            Err(error) => {
                assert!(reader.next_item().is_err(), "nothing follows an error");
                return (items, Some(error));
            }
        }
    }
}

fn check_entry(entry: Entry) {
    for compression in [Compression::Lzf, Compression::Off] {
        let version = tessera_rdb::Encode::value_type(&entry.value, Version::V10).first_version();
        let mut writer =
            Writer::new(Vec::new(), version, Checksum::On).expect("a vector takes all bytes");
        let mut encoded = Vec::new();
        let (expiry, eviction) = (entry.expires_at, entry.eviction);
        encode_entry(&mut encoded, &entry.key, expiry, eviction, &entry.value, compression);
        writer.entries(&encoded).expect("a vector takes all bytes");
        let bytes = writer.finish().expect("a vector takes all bytes");
        let (items, error) = read(&bytes[..]);
        assert!(error.is_none(), "{error:?}");
        let mut expected = entry.clone();
        // A time beyond the signed range is read as one before 1970.
        expected.expires_at = expiry.map(|at| if at.0 > i64::MAX as u64 { Millis(0) } else { at });
        assert_eq!(items, [Item::Entry(expected)]);
    }
}

/// Payloads of DUMP, as RESTORE gets them.
pub fn dump_payloads(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    // Without the right checksum hardly anything gets past the first check.
    let is_sealed = !vary.byte().is_multiple_of(8);
    let mut input = vary.input(&PAYLOADS);
    if is_sealed {
        seal(&mut input);
    }
    let meter = Meter::start();
    let value = parse_dump(&input, LIMITS);
    let allowed = FIXED_BYTES + UNPACKED_MAX * input.len();
    assert!(meter.peak() <= allowed, "{} bytes for {}", meter.peak(), input.len());
    if let Ok(value) = value {
        for compression in [Compression::Lzf, Compression::Off] {
            let payload = dump(&value, compression);
            let again = parse_dump(&payload, LIMITS).expect("what was written is read");
            assert_eq!(again, value);
        }
    }
}
