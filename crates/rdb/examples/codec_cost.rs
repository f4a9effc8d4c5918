//! Measures how long entries take to encode and to read: nanoseconds per entry, by size and kind of
//! value.
//!
//! `cargo run --release -p tessera-rdb --example codec_cost`

use std::hint::black_box;
use std::time::Instant;

use tessera_rdb::{
    Checksum, Compression, Item, Limits, Reader, ValueRef, Version, Writer, encode_entry,
};

const ROUNDS: u32 = 100_000;

fn main() {
    let noise: Vec<u8> =
        (0u32..4096).map(|at| (at.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
    let text = b"{\"user\":17,\"name\":\"Theodora\",\"visits\":[1,2,3]}".repeat(90);
    println!("{:>6} {:>10} {:>10} {:>10}", "bytes", "plain", "lzf noise", "lzf text");
    for len in [16, 64, 256, 1024, 4096] {
        let plain = cost(&noise[..len], Compression::Off);
        let packed_noise = cost(&noise[..len], Compression::Lzf);
        let packed_text = cost(&text[..len], Compression::Lzf);
        println!("{len:>6} {plain:>10.0} {packed_noise:>10.0} {packed_text:>10.0}");
    }
    println!("{:>6} {:>10} {:>10}", "bytes", "read plain", "read lzf");
    for len in [16, 64, 256, 1024, 4096] {
        let plain = reading_cost(&text[..len], Compression::Off);
        let packed = reading_cost(&text[..len], Compression::Lzf);
        println!("{len:>6} {plain:>10.0} {packed:>10.0}");
    }
}

fn reading_cost(value: &[u8], compression: Compression) -> f64 {
    let mut writer = Writer::new(Vec::new(), Version::V10, Checksum::On).expect("memory");
    let mut entry = Vec::new();
    encode_entry(&mut entry, b"key:000000012345", None, None, ValueRef::String(value), compression);
    for _ in 0..ROUNDS {
        writer.entries(&entry).expect("memory");
    }
    let file = writer.finish().expect("memory");
    let start = Instant::now();
    let mut reader = Reader::new(&file[..], Limits::default()).expect("our own file");
    while black_box(reader.next_item().expect("our own file")) != Item::End {}
    start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
}

fn cost(value: &[u8], compression: Compression) -> f64 {
    let mut out = Vec::with_capacity(value.len() + 64);
    let start = Instant::now();
    for _ in 0..ROUNDS {
        out.clear();
        let value = ValueRef::String(black_box(value));
        encode_entry(&mut out, b"key:000000012345", None, None, value, compression);
        black_box(&out);
    }
    start.elapsed().as_nanos() as f64 / f64::from(ROUNDS)
}
