//! Bitmap commands, beyond what the comparison with a real server sees.

mod harness;

use harness::{Client, START};
use tessera_config::Config;

#[test]
fn bits_are_set_where_strings_end_and_beyond() {
    Client::new().expect(&[
        ("setbit k 1 1", ":0"),
        ("setbit k 1 1", ":1"),
        ("get k", "$1|@"),
        ("setbit k 7 0", ":0"),
        ("strlen k", ":1"),
        ("setbit k 8 0", ":0"),
        ("strlen k", ":2"),
        ("object encoding k", "$3|raw"),
        ("getbit k 1", ":1"),
        ("getbit k 4294967295", ":0"),
        ("getbit none 0", ":0"),
        ("setbit k 4294967296 1", "-ERR bit offset is not an integer or out of range"),
        ("setbit k -1 1", "-ERR bit offset is not an integer or out of range"),
        ("setbit k 0 2", "-ERR bit is not an integer or out of range"),
    ]);
}

#[test]
fn integers_are_strings() {
    Client::new().expect(&[
        ("set k 1", "+OK"),
        ("getbit k 7", ":1"),
        ("bitcount k", ":3"),
        ("bitpos k 1", ":2"),
        ("setbit k 7 1", ":1"),
        ("object encoding k", "$3|int"),
        ("setbit k 6 1", ":0"),
        ("get k", "$1|3"),
        ("object encoding k", "$3|raw"),
        ("bitop or l k k", ":1"),
        ("get l", "$1|3"),
        ("object encoding l", "$3|raw"),
        ("bitfield l get u8 0", "*1|:51"),
    ]);
}

#[test]
fn a_string_never_outgrows_the_limit() {
    let mut config = Config::default();
    config.network.proto_max_bulk_len.0 = 1 << 20;
    let bad = "-ERR bit offset is not an integer or out of range";
    Client::with(config).expect(&[
        ("setbit k 8388607 1", ":0"),
        ("strlen k", ":1048576"),
        ("setbit k 8388608 1", bad),
        ("getbit k 8388608", bad),
        ("bitfield k set u8 8388608 1", bad),
        ("bitfield k set u8 #1048576 1", bad),
        ("bitfield k set u8 #1048575 1", "*1|:1"),
        ("bitfield k set i64 #9223372036854775807 1", bad),
        ("bitfield k set i4 #4611686018427387904 1", bad),
    ]);
}

#[test]
fn counting_takes_a_start_alone() {
    Client::new().expect(&[
        ("set k foobar", "+OK"),
        ("bitcount k 1", ":22"),
        ("bitcount k -1", ":4"),
        ("bitcount k 100", ":0"),
        ("rpush list a", ":1"),
        (
            "bitcount list -6 -7",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("bitcount k x", "-ERR value is not an integer or out of range"),
        ("bitcount k 0 x BAD", "-ERR syntax error"),
        ("bitcount k 0 x BIT", "-ERR value is not an integer or out of range"),
    ]);
}

#[test]
fn the_zeros_behind_a_string_count_unless_an_end_is_given() {
    Client::new().expect(&[
        ("setbit k 15 0", ":0"),
        ("bitop not k k", ":2"),
        ("bitpos k 0", ":16"),
        ("bitpos k 0 1", ":16"),
        ("bitpos k 0 0 -1", ":-1"),
        ("bitpos k 0 0 -1 BIT", ":-1"),
        ("bitpos k 0 2", ":-1"),
        ("bitpos k 1 9 -1 BIT", ":9"),
        ("bitpos none 0", ":0"),
        ("bitpos none 1", ":-1"),
        ("bitpos k 2", "-ERR The bit argument must be 1 or 0."),
    ]);
}

/// Long strings are combined block by block.
#[test]
fn long_strings_are_combined() {
    let mut client = Client::new();
    let long: Vec<u8> = (0..100_000_u32).map(|at| (at % 251) as u8).collect();
    let short: Vec<u8> = (0..40_000_u32).map(|at| (at % 13) as u8 ^ 0xaa).collect();
    client.command(&[b"set".as_slice(), b"long", &long]);
    client.command(&[b"set".as_slice(), b"short", &short]);
    let other = |at: usize| short.get(at).copied().unwrap_or(0);
    type Combine = fn(u8, u8) -> u8;
    let operations: [(&str, Combine); 3] =
        [("and", |a, b| a & b), ("or", |a, b| a | b), ("xor", |a, b| a ^ b)];
    for (name, combine) in operations {
        assert_eq!(client.run(&format!("bitop {name} to long short")), ":100000");
        let mut expected = b"$100000\r\n".to_vec();
        expected.extend(long.iter().enumerate().map(|(at, byte)| combine(*byte, other(at))));
        expected.extend_from_slice(b"\r\n");
        assert!(client.command(&["get", "to"]) == expected, "{name}");
        // And into one of the sources.
        client.run(&format!("bitop {name} short short long"));
        assert!(client.command(&["get", "short"]) == expected, "{name}");
        client.command(&[b"set".as_slice(), b"short", &short]);
    }
}

#[test]
fn the_result_takes_the_place_of_what_was_there() {
    let mut client = Client::new();
    client.expect(&[
        ("set to x EX 10", "+OK"),
        ("set k abc", "+OK"),
        ("bitop and to k none", ":3"),
        ("ttl to", ":-1"),
        ("getrange to 0 -1", "$3|\0\0\0"),
        ("bitop or to none nothing", ":0"),
        ("exists to", ":0"),
        ("bitop not to none", ":0"),
        ("set old x PX 5", "+OK"),
    ]);
    client.now = START.plus(5);
    client.expect(&[("bitop or to k old", ":3"), ("get to", "$3|abc"), ("dbsize", ":2")]);
}

#[test]
fn fields() {
    Client::new().expect(&[
        ("bitfield k set u8 0 255 get u4 0 get u4 #1 get i4 4", "*4|:0|:15|:15|:-1"),
        ("bitfield k incrby u2 100 1 overflow sat incrby u2 102 3 incrby u2 102 3", "*3|:1|:3|:3"),
        ("bitfield k overflow fail incrby u2 102 1", "*1|$-1"),
        ("strlen k", ":13"),
        ("bitfield_ro k get u8 0", "*1|:255"),
        ("bitfield_ro k set u8 0 1", "-ERR BITFIELD_RO only supports the GET subcommand"),
        ("bitfield none get u8 0", "*1|:0"),
        ("exists none", ":0"),
        ("bitfield k", "*0"),
        ("bitfield k overflow bad", "-ERR Invalid OVERFLOW type specified"),
        ("bitfield k get u8", "-ERR syntax error"),
    ]);
}

#[test]
fn a_field_may_end_past_the_last_byte_that_a_bit_may_have() {
    let mut config = Config::default();
    config.network.proto_max_bulk_len.0 = 1 << 20;
    Client::with(config)
        .expect(&[("bitfield k set i64 8388607 -1", "*1|:0"), ("bitcount k", ":64")]);
}

#[test]
fn bitcount_of_another_type_is_an_error_whatever_the_range() {
    let mut client = Client::new();
    client.expect(&[
        ("zadd z 2 a", ":1"),
        (
            "bitcount z -3 -231",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("set s abc", "+OK"),
        ("bitcount s -1 -3", ":0"),
        ("bitcount s -3 -1", ":10"),
    ]);
}
