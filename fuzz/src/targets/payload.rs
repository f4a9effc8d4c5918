//! Values as RESTORE and a full synchronisation make them of payloads: refused, or as good as what
//! commands make.

use super::rdb::{LIMITS, PAYLOADS, seal};
use crate::{Meter, Vary};
use tessera_collections::AnyCollection;
use tessera_config::Config;
use tessera_dataset::{CollectionPayload, Thresholds, take_in};
use tessera_rdb::{Compression, dump, parse_dump};
use tessera_store::Value;

/// The memory that a value may take beside its payload: tables begin with some buckets.
const FIXED_BYTES: usize = 4 << 20;
/// Bytes for each of the payload: what LZF unpacks to, and what elements take in tables.
const UNPACKED_MAX: usize = 4 * 88 * 40;

/// Payloads of DUMP, taken in; what was taken in is written, read back, and is the same.
pub fn restored_values(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    let small = vary.flag();
    let mut input = vary.input(&PAYLOADS);
    seal(&mut input);
    let Ok(value) = parse_dump(&input, LIMITS) else { return };
    let mut config = Config::default();
    if small {
        // Every collection is too large for its compact form.
        let data = &mut config.data;
        data.hash_max_listpack_entries = 0;
        data.set_max_intset_entries = 0;
        data.set_max_listpack_entries = 0;
        data.zset_max_listpack_entries = 0;
        data.list_max_listpack_size = 1;
    }
    let thresholds = Thresholds::of(&config);
    let meter = Meter::start();
    let taken = take_in(value, &thresholds);
    let allowed = FIXED_BYTES + UNPACKED_MAX * input.len();
    assert!(meter.peak() <= allowed, "{} bytes for {}", meter.peak(), input.len());
    if let Ok(Value::Collection(collection)) = taken {
        check(&collection, &thresholds);
    }
}

fn check(collection: &AnyCollection, thresholds: &Thresholds) {
    let is_stream = matches!(collection, AnyCollection::Stream(_));
    assert!(is_stream || !collection.is_empty(), "a key must not hold nothing");
    let payload = dump(CollectionPayload(collection), Compression::Lzf);
    let value = parse_dump(&payload, LIMITS)
        .unwrap_or_else(|error| panic!("what was written is read: {error}: {collection:?}"));
    let Ok(Value::Collection(again)) = take_in(value, thresholds) else {
        panic!("what was written is taken in: {collection:?}")
    };
    assert_eq!((again.kind(), again.len()), (collection.kind(), collection.len()));
    // Tables have no order, but the number of bytes is the same.
    let copy = dump(CollectionPayload(&again), Compression::Off);
    assert_eq!(copy.len(), dump(CollectionPayload(collection), Compression::Off).len());
    drop(collection.clone());
}
