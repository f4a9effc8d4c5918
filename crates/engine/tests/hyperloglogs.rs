//! HyperLogLog commands, beyond what the comparison with a real server sees.

mod harness;

use harness::Client;
use tessera_config::Config;

const NOT_HLL: &str = "-WRONGTYPE Key is not a valid HyperLogLog string value.";
const CORRUPT: &str = "-INVALIDOBJ Corrupted HLL object detected";

/// Adds numbers to a key.
fn add(client: &mut Client, key: &str, numbers: std::ops::Range<u32>) {
    let words: Vec<String> = numbers.map(|number| number.to_string()).collect();
    for chunk in words.chunks(100) {
        let mut command = vec!["pfadd", key];
        command.extend(chunk.iter().map(String::as_str));
        client.command(&command);
    }
}

#[test]
fn adding_tells_whether_something_changed() {
    Client::new().expect(&[
        ("pfadd k", ":1"),
        ("pfadd k", ":0"),
        ("pfadd k a b", ":1"),
        ("pfadd k b a", ":0"),
        ("pfcount k", ":2"),
        ("pfadd k c", ":1"),
        ("pfcount k", ":3"),
        ("pfcount none", ":0"),
        ("object encoding k", "$3|raw"),
        ("type k", "+string"),
    ]);
}

#[test]
fn unions() {
    let mut client = Client::new();
    add(&mut client, "a", 0..600);
    add(&mut client, "b", 300..1000);
    let union = client.run("pfcount a b none");
    client.expect(&[("pfmerge c a b none", "+OK"), ("pfdebug encoding c", "+sparse")]);
    assert_eq!(client.run("pfcount c"), union);
    add(&mut client, "d", 5000..15_000);
    client.expect(&[
        ("pfdebug encoding d", "+dense"),
        ("pfmerge c d", "+OK"),
        ("pfdebug encoding c", "+dense"),
    ]);
    assert_eq!(client.run("pfcount c"), client.run("pfcount a b d"));
    // A dense destination keeps its registers.
    client.run("pfmerge d a b");
    assert_eq!(client.run("pfcount d"), client.run("pfcount c"));
}

#[test]
fn a_limit_makes_it_dense() {
    let mut config = Config::default();
    config.data.hll_sparse_max_bytes.0 = 0;
    Client::with(config).expect(&[
        ("pfadd k", ":1"),
        ("pfdebug encoding k", "+sparse"),
        ("pfadd k a", ":1"),
        ("pfdebug encoding k", "+dense"),
        ("strlen k", ":12304"),
        ("pfdebug todense k", ":0"),
        ("pfdebug decode k", "-ERR HLL encoding is not sparse"),
    ]);
}

#[test]
fn what_developers_see() {
    Client::new().expect(&[
        ("pfadd k a", ":1"),
        ("pfdebug decode k", "$20|Z:12711 v:2,1 Z:3672"),
        ("pfdebug encoding none", "-ERR The specified key does not exist"),
        ("pfdebug bad k", "-ERR Unknown PFDEBUG subcommand 'bad'"),
        ("pfdebug todense k", ":1"),
        ("pfdebug encoding k", "+dense"),
        ("pfcount k", ":1"),
    ]);
}

#[test]
fn other_strings_are_no_hyperloglogs() {
    let mut client = Client::new();
    client.expect(&[("set k hello", "+OK"), ("set n 7", "+OK"), ("pfadd h x", ":1")]);
    for command in [
        "pfadd k a",
        "pfadd n a",
        "pfcount k",
        "pfcount n",
        "pfcount h k",
        "pfmerge k h",
        "pfmerge h h k",
        "pfdebug encoding n",
    ] {
        assert_eq!(client.run(command), NOT_HLL, "{command}");
    }
    client.expect(&[("get k", "$5|hello"), ("object encoding n", "$3|int")]);
}

#[test]
fn corrupt_ones_are_refused() {
    let mut client = Client::new();
    for (offset, bytes) in [(16, &b"\x7f\xfe"[..]), (16, b"\x00"), (16, b"\x40"), (18, b"\x83")] {
        client.run("del k");
        client.run("pfadd k");
        client.command(&[b"setrange".as_slice(), b"k", offset.to_string().as_bytes(), bytes]);
        for command in ["pfcount k", "pfcount k k", "pfmerge l k", "pfmerge k", "pfdebug todense k"]
        {
            assert_eq!(client.run(command), CORRUPT, "{command} {}", bytes.escape_ascii());
        }
        client.expect(&[("exists l", ":0")]);
    }
    // The part before the fault can still be changed.
    client.run("set short HYLL''");
    client.expect(&[("pfadd short a", NOT_HLL)]);
    client.command(&[b"set".as_slice(), b"short", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x00"]);
    client.expect(&[("pfadd short a", CORRUPT), ("strlen short", ":17")]);
}

#[test]
fn the_estimate_is_kept_until_something_changes() {
    let mut client = Client::new();
    client.run("pfadd k a b c");
    let is_current = |client: &mut Client| client.command(&["getrange", "k", "15", "15"])[4] == 0;
    assert!(!is_current(&mut client));
    client.expect(&[("pfcount k", ":3")]);
    assert!(is_current(&mut client));
    client.run("pfadd k a b c");
    assert!(is_current(&mut client));
    client.run("pfadd k d");
    assert!(!is_current(&mut client));
    client.run("pfcount k");
    client.run("pfmerge k");
    assert!(!is_current(&mut client));
}

#[test]
fn whoever_opens_one_makes_its_string_raw() {
    for command in ["pfcount k", "pfadd k", "pfdebug encoding k", "pfmerge k"] {
        let mut client = Client::new();
        // With a current estimate, so that there is nothing to change.
        client.command(&[b"set".as_slice(), b"k", b"HYLL\x01\0\0\0\0\0\0\0\0\0\0\0\x7f\xff"]);
        client.expect(&[("object encoding k", "$6|embstr")]);
        client.run(command);
        client.expect(&[("object encoding k", "$3|raw")]);
    }
}
