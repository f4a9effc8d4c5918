//! DUMP and RESTORE, and DEBUG RELOAD: values of every type and encoding come back as they were,
//! and nothing else is let in.

mod harness;

use harness::{Client, START};
use proptest::prelude::*;
use tessera_rdb::value::{
    Consumer, Counters, Group, Hash, List, ListNode, Pending, Set, SortedSet, Stream, StreamId,
    StreamNode, Strings,
};
use tessera_rdb::{Compression, Limits, Value, dump, parse_dump};
use tessera_slot::Millis;

const BAD: &str = "-ERR Bad data format";

fn strings<T: AsRef<[u8]>>(texts: impl IntoIterator<Item = T>) -> Strings {
    texts.into_iter().collect()
}

fn words(count: usize) -> impl Iterator<Item = String> {
    (0..count).map(|n| format!("word:{n}"))
}

/// A listpack of these texts.
fn listpack(texts: &[&str]) -> Vec<u8> {
    let mut listpack = tessera_collections::Listpack::new();
    texts.iter().for_each(|text| listpack.push(text.as_bytes()));
    listpack.as_bytes().to_vec()
}

fn fields(texts: Strings, expiries: Vec<Option<Millis>>) -> Value {
    Value::Hash(Hash::Fields { texts, expiries })
}

fn members(texts: Strings, scores: Vec<f64>) -> Value {
    Value::SortedSet(SortedSet::Members { members: texts, scores })
}

fn restore(client: &mut Client, key: &str, value: &Value) -> String {
    let payload = dump(value, Compression::Lzf);
    let command: [&[u8]; 5] = [b"RESTORE", key.as_bytes(), b"0", &payload, b"REPLACE"];
    String::from_utf8_lossy(&client.command(&command)).trim_end().to_owned()
}

/// The payload that DUMP answers.
fn dump_of(client: &mut Client, key: &str) -> Vec<u8> {
    let reply = client.command(&["DUMP", key]);
    let start = reply.iter().position(|&byte| byte == b'\n').expect("a bulk string") + 1;
    reply[start..reply.len() - 2].to_vec()
}

/// The commands of a history.
fn commands_in(history: &[u8]) -> Vec<Vec<Vec<u8>>> {
    let mut rest = history;
    let number = |rest: &mut &[u8]| -> usize {
        let end = rest.iter().position(|&byte| byte == b'\r').expect("a line");
        let number = std::str::from_utf8(&rest[1..end]).expect("digits").parse().expect("a number");
        *rest = &rest[end + 2..];
        number
    };
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let count = number(&mut rest);
        let mut command = Vec::new();
        for _ in 0..count {
            let len = number(&mut rest);
            command.push(rest[..len].to_vec());
            rest = &rest[len + 2..];
        }
        commands.push(command);
    }
    commands
}

fn digest_of(client: &mut Client, key: &str) -> String {
    client.run(&format!("DEBUG DIGEST-VALUE {key}"))
}

fn a_client() -> Client {
    let mut config = tessera_config::Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    Client::with(config)
}

/// A value of each type in each encoding, and the encoding.
fn values() -> Vec<(Value, &'static str)> {
    let later = Some(Millis(START.0 + 100_000));
    let large = "x".repeat(10_000);
    vec![
        (Value::String(b"text".to_vec()), "embstr"),
        (Value::String(b"-17".to_vec()), "int"),
        (Value::String(vec![b'x'; 70_000]), "raw"),
        (Value::List(List::Elements(strings(words(5)))), "listpack"),
        (Value::List(List::Elements(strings(words(5000)))), "quicklist"),
        (
            Value::List(List::Nodes(vec![
                ListNode::Packed(listpack(&["a", "1"])),
                ListNode::Plain(large.clone().into_bytes()),
                ListNode::Packed(listpack(&[])),
            ])),
            "quicklist",
        ),
        (Value::Set(Set::Members(strings(["3", "1", "-70000"]))), "intset"),
        (Value::Set(Set::Members(strings((0..600).map(|n| n.to_string())))), "hashtable"),
        (Value::Set(Set::Members(strings(["a", "1"]))), "listpack"),
        (Value::Set(Set::Listpack(listpack(&["5", "b", "a"]))), "listpack"),
        (Value::Set(Set::Members(strings(words(200)))), "hashtable"),
        (fields(strings(["a", "1", "b", "2"]), vec![]), "listpack"),
        (Value::Hash(Hash::Listpack(listpack(&["a", "1", "b", "1"]))), "listpack"),
        (fields(strings(words(2000)), vec![]), "hashtable"),
        (fields(strings(["a", &large]), vec![]), "hashtable"),
        (fields(strings(["a", "1", "b", "2"]), vec![later, None]), "hashtable"),
        (fields(strings(["a", "1", "b", "2"]), vec![Some(Millis(0)), None]), "hashtable"),
        (
            Value::Hash(Hash::ExpiringListpack {
                next_expiry: later,
                listpack: listpack(&["a", "1", "1800000000000", "b", "2", "0"]),
            }),
            "hashtable",
        ),
        (members(strings(["b", "a"]), vec![2.5, f64::NEG_INFINITY]), "listpack"),
        (Value::SortedSet(SortedSet::Listpack(listpack(&["b", "1", "a", "2.25"]))), "listpack"),
        (members(strings(words(1000)), (0..1000).map(f64::from).collect()), "skiplist"),
        (Value::Stream(Box::new(a_stream())), "stream"),
        (Value::Stream(Box::new(Stream { counters: None, ..a_stream() })), "stream"),
        (Value::Stream(Box::default()), "stream"),
    ]
}

fn id(ms: u64, seq: u64) -> StreamId {
    StreamId { ms, seq }
}

/// Two nodes with an entry that is deleted, and a group whose consumer has one of the others.
fn a_stream() -> Stream {
    let first = listpack(&[
        "2", "1", "1", "f", "0", "2", "0", "0", "v1", "4", "3", "1", "0", "v2", "4", "0", "7", "0",
        "1", "g", "w", "6",
    ]);
    let second = listpack(&["1", "0", "1", "f", "0", "2", "0", "0", "v3", "4"]);
    let pending = Pending { id: id(17, 5), delivered_at: START, deliveries: 3 };
    let consumer = |name: &str, pending: &[StreamId]| Consumer {
        name: name.as_bytes().to_vec(),
        seen_at: START,
        active_at: Some(START),
        pending: pending.to_vec(),
    };
    Stream {
        nodes: vec![
            StreamNode { id: id(10, 5), listpack: first },
            StreamNode { id: id(20, 0), listpack: second },
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
            entries_read: Some(4),
            pending: vec![pending],
            consumers: vec![consumer("one", &[id(17, 5)]), consumer("two", &[])],
        }],
    }
}

#[test]
fn streams_that_contradict_themselves_are_refused() {
    type Break = fn(&mut Stream);
    let cases: [(&str, Break); 13] = [
        ("more entries than there are", |stream| stream.length += 1),
        ("a last id before the last entry", |stream| stream.last_id = id(19, 0)),
        ("nodes in disorder", |stream| stream.nodes.reverse()),
        ("a node twice", |stream| stream.nodes[1] = stream.nodes[0].clone()),
        ("a node without anything", |stream| stream.nodes[1].listpack = listpack(&[])),
        ("no listpack", |stream| stream.nodes[1].listpack = b"none".to_vec()),
        ("too few fields", |stream| {
            stream.nodes[1].listpack =
                listpack(&["1", "0", "2", "f", "0", "2", "0", "0", "v", "4"]);
        }),
        ("a wrong count of elements", |stream| {
            stream.nodes[1].listpack =
                listpack(&["1", "0", "1", "f", "0", "2", "0", "0", "v", "5"]);
        }),
        ("text for a number", |stream| {
            stream.nodes[1].listpack =
                listpack(&["1", "0", "1", "f", "0", "2", "x", "0", "v", "4"]);
        }),
        ("a group twice", |stream| stream.groups.push(stream.groups[0].clone())),
        ("a consumer twice", |stream| stream.groups[0].consumers[1].name = b"one".to_vec()),
        ("what nobody has", |stream| stream.groups[0].consumers[0].pending.clear()),
        ("what is not pending", |stream| stream.groups[0].consumers[1].pending.push(id(20, 0))),
    ];
    let mut client = a_client();
    for (what, change) in cases {
        let mut stream = a_stream();
        change(&mut stream);
        assert_eq!(restore(&mut client, "a", &Value::Stream(Box::new(stream))), BAD, "{what}");
    }
}

#[test]
fn every_form_comes_back_through_dump_and_restore() {
    let mut client = a_client();
    for (value, encoding) in values() {
        assert_eq!(restore(&mut client, "a", &value), "+OK", "{value:?}");
        let shown = client.run("OBJECT ENCODING a");
        assert!(shown.ends_with(&format!("|{encoding}")), "{shown} {value:?}");
        let payload = dump_of(&mut client, "a");
        if let Value::Stream(stream) = &value
            && stream.counters.is_some()
        {
            // Group by group, which no digest covers. Version 2 does not tell when consumers were
            // active.
            assert_eq!(parse_dump(&payload, Limits::default()).unwrap(), value);
        }
        let command: [&[u8]; 4] = [b"RESTORE", b"b", b"0", &payload];
        assert_eq!(client.command(&command), b"+OK\r\n");
        assert_eq!(digest_of(&mut client, "a"), digest_of(&mut client, "b"), "{value:?}");
        assert_eq!(client.run("OBJECT ENCODING b"), shown);
        assert_eq!(client.run("DEL b"), ":1");
        // Version 10 is what Redis 7.0 reads; Valkey 9's is written only where it must be.
        let expires = match &value {
            Value::Hash(Hash::Fields { expiries, .. }) => !expiries.is_empty(),
            Value::Hash(Hash::ExpiringListpack { .. }) => true,
            _ => false,
        };
        assert_eq!(payload[payload.len() - 10], if expires { 80 } else { 10 }, "{value:?}");
    }
}

#[test]
fn debug_reload_keeps_everything() {
    let mut client = a_client();
    for (n, (value, _)) in values().iter().enumerate() {
        client.run(&format!("SELECT {}", n % 3));
        assert_eq!(restore(&mut client, &format!("key:{n}"), value), "+OK");
    }
    client.run("SET mortal 1 PXAT 1700000001000");
    let digest = client.run("DEBUG DIGEST");
    assert_eq!(client.run("DEBUG RELOAD"), "+OK");
    assert_eq!(client.run("DEBUG DIGEST"), digest);
    assert_eq!(client.run("PEXPIRETIME mortal"), ":1700000001000");
    assert!(
        client
            .run("DEBUG RELOAD NOFLUSH")
            .starts_with("-ERR Error trying to load the RDB dump: key")
    );
    assert_eq!(client.run("DEBUG RELOAD NOFLUSH MERGE"), "+OK");
    assert_eq!(client.run("DEBUG DIGEST"), digest);
    client.expect(&[
        (
            "DEBUG RELOAD NOSAVE",
            "-ERR DEBUG RELOAD NOSAVE needs a snapshot file, and there is none",
        ),
        (
            "DEBUG RELOAD SOON",
            "-ERR DEBUG RELOAD only supports the MERGE, NOFLUSH and NOSAVE options.",
        ),
    ]);
}

#[test]
fn a_digest_is_that_of_the_elements() {
    let mut client = a_client();
    let pairs = [
        (
            Value::Set(Set::Members(strings(["a", "b", "7"]))),
            Value::Set(Set::Listpack(listpack(&["7", "b", "a"]))),
        ),
        (
            fields(strings(["f", "1", "g", "2"]), vec![]),
            Value::Hash(Hash::Listpack(listpack(&["g", "2", "f", "1"]))),
        ),
        (
            members(strings(["m", "n"]), vec![1.0, 2.0]),
            Value::SortedSet(SortedSet::Listpack(listpack(&["m", "1", "n", "2"]))),
        ),
    ];
    for (one, other) in pairs {
        restore(&mut client, "a", &one);
        restore(&mut client, "b", &other);
        let digest = digest_of(&mut client, "a");
        assert_eq!(digest_of(&mut client, "b"), digest);
        client.run("PEXPIRE a 1000");
        assert_ne!(digest_of(&mut client, "a"), digest, "an expiry is a part of it");
    }
}

#[test]
fn digests_are_those_of_valkey() {
    let mut client = a_client();
    client.expect(&[("SET k v", "+OK"), ("SET e v EX 1000", "+OK")]);
    let values = [
        ("l", Value::List(List::Elements(strings(["a", "1", "b"])))),
        ("s", Value::Set(Set::Members(strings(["a", "1", "b"])))),
        ("h", fields(strings(["f", "1", "g", "2"]), vec![])),
        ("z", members(strings(["m", "n"]), vec![1.5, 2.0])),
    ];
    for (key, value) in values {
        assert_eq!(restore(&mut client, key, &value), "+OK");
    }
    // The answers of Valkey 8.1 for the same keys.
    client.expect(&[
        (
            "DEBUG DIGEST-VALUE k l s",
            "*3|+d79ee9fe5d5ad902d7f6620efc3b07b75ddd742f|+d5f44352f6226abea9252dad248ef5de0d964396|\
             +e8f32bbb1ad9bf537c8867de4f19fec9e001296d",
        ),
        (
            "DEBUG DIGEST-VALUE h z e none",
            "*4|+d9779aa9c616692decaba51e4c41766464124c52|+908aeffe4e922542b456cb5c8f5b1961a763d7dd|\
             +311b17018163335616e089f6b951c82c477335ac|+0000000000000000000000000000000000000000",
        ),
        ("DEBUG DIGEST", "+1e0e40452420b371d94fc3c5b289dbd33b1938c1"),
    ]);
    client.expect(&[
        ("XADD st 1-1 a 1", "$3|1-1"),
        ("XADD st 5-2 b 22 c -3", "$3|5-2"),
        ("DEBUG DIGEST-VALUE st", "*1|+6ee7b9116c6ac6d501474399c86a620c6d468719"),
    ]);
    // Scores as it digests them: whole ones with an exponent where that is shorter.
    for (score, digest) in [
        ("123456789", "5c9882d01f62d9d69f4a5cd16a14357142aefd6c"),
        ("1e7", "9ecc91bef5855b74ec79fee4561adf210e37bd6e"),
        ("1e8", "dddc2403b2725e5c991f1c5adc90b762a5730adf"),
        ("1230000000000", "d634e8e29a536d90d2aae89c272f9799cb45265c"),
        ("-1e17", "6281eddb6f1b3eba399d9ac4b82dbb81aa5617c6"),
        ("4e18", "b52717e2edb201010da8796483cce434ff2266c3"),
        ("1.5e300", "2c78e57e5e96309c1bb10e9f2f4054328ea263e9"),
        ("-0", "8d8d88c2cfb8d9411b8d9973c96538bd6378d446"),
        ("0", "8d8d88c2cfb8d9411b8d9973c96538bd6378d446"),
        ("inf", "693af63fc2885cc02fbc107a856fc4b9687305ed"),
    ] {
        client.run(&format!("ZADD score {score} a"));
        let reply = format!("*1|+{digest}");
        client.expect(&[("DEBUG DIGEST-VALUE score", &reply), ("DEL score", ":1")]);
    }
}

#[test]
fn what_is_corrupt_is_refused() {
    let mut client = a_client();
    client.run("SET a before");
    let twice = || strings(["a", "1", "a", "2"]);
    let packed = |texts: &[&str]| Value::Hash(Hash::Listpack(listpack(texts)));
    let mut broken = listpack(&["a", "1"]);
    *broken.last_mut().expect("an end") = 0;
    let cases = [
        Value::List(List::Elements(Strings::new())),
        Value::List(List::Nodes(vec![ListNode::Packed(listpack(&[]))])),
        Value::List(List::Nodes(vec![ListNode::Plain(Vec::new())])),
        Value::List(List::Nodes(vec![ListNode::Packed(broken.clone())])),
        Value::Set(Set::Members(Strings::new())),
        Value::Set(Set::Members(strings(["a", "b", "a"]))),
        Value::Set(Set::Members(strings(words(300).chain(words(1))))),
        Value::Set(Set::Intset(b"\x02\0\0\0\x02\0\0\0\x05\0\x05\0".to_vec())),
        Value::Set(Set::Intset(b"\x02\0\0\0\0\0\0\0".to_vec())),
        Value::Set(Set::Listpack(listpack(&["b", "7", "b"]))),
        Value::Set(Set::Listpack(listpack(&[]))),
        Value::Set(Set::Listpack(broken.clone())),
        fields(twice(), vec![]),
        fields(twice(), vec![None, Some(Millis(1))]),
        fields(strings(words(3000).chain(words(2))), vec![]),
        packed(&["a", "1", "b"]),
        packed(&["a", "1", "a", "2"]),
        packed(&[]),
        Value::Hash(Hash::ExpiringListpack { next_expiry: None, listpack: listpack(&["a", "1"]) }),
        members(strings(["a", "a"]), vec![1.0, 2.0]),
        members(strings(words(300).chain(words(1))), vec![1.0; 301]),
        members(Strings::new(), vec![]),
        Value::SortedSet(SortedSet::Listpack(listpack(&["a", "1", "b", "many"]))),
        Value::SortedSet(SortedSet::Listpack(listpack(&["a", "1", "a", "2"]))),
        Value::SortedSet(SortedSet::Listpack(listpack(&["a"]))),
    ];
    for value in cases {
        assert_eq!(restore(&mut client, "a", &value), BAD, "{value:?}");
    }
    assert_eq!(client.run("GET a"), "$6|before", "a refused payload changes nothing");
}

#[test]
fn numbers_that_stand_as_strings_are_found_all_the_same() {
    let mut client = a_client();
    // A listpack with the string `17`, as no server writes it.
    let bytes = b"\x0f\0\0\0\x02\0\x8217\x03\x81v\x02\xff".to_vec();
    let mut bytes = bytes;
    bytes[0] = bytes.len() as u8;
    for value in
        [Value::Set(Set::Listpack(bytes.clone())), Value::Hash(Hash::Listpack(bytes.clone()))]
    {
        assert_eq!(restore(&mut client, "a", &value), "+OK");
        let mut ours = bytes.clone();
        ours.splice(6..10, [17, 1]);
        ours[0] = ours.len() as u8;
        let same = match value {
            Value::Set(_) => Value::Set(Set::Listpack(ours)),
            _ => Value::Hash(Hash::Listpack(ours)),
        };
        assert_eq!(restore(&mut client, "b", &same), "+OK");
        assert_eq!(dump_of(&mut client, "a"), dump_of(&mut client, "b"));
    }
}

#[test]
fn options_of_restore() {
    let mut client = a_client();
    client.run("SET from 12");
    let payload = dump_of(&mut client, "from");
    let mut run = |words: &[&str]| {
        let mut command: Vec<Vec<u8>> = words.iter().map(|word| word.as_bytes().to_vec()).collect();
        command[3] = payload.clone();
        String::from_utf8_lossy(&client.command(&command)).trim_end().to_owned()
    };
    for (words, reply) in [
        (&["RESTORE", "k", "0", ""][..], "+OK"),
        (&["RESTORE", "k", "0", ""], "-BUSYKEY Target key name already exists."),
        (&["RESTORE", "k", "-1", ""], "-BUSYKEY Target key name already exists."),
        (&["RESTORE", "n", "-1", ""], "-ERR Invalid TTL value, must be >= 0"),
        (&["RESTORE", "n", "soon", ""], "-ERR value is not an integer or out of range"),
        (&["RESTORE", "n", "0", "", "IDLETIME", "-1"], "-ERR Invalid IDLETIME value, must be >= 0"),
        (
            &["RESTORE", "n", "0", "", "FREQ", "256"],
            "-ERR Invalid FREQ value, must be >= 0 and <= 255",
        ),
        (&["RESTORE", "n", "0", "", "FREQ", "1", "IDLETIME", "1"], "-ERR syntax error"),
        (&["RESTORE", "n", "0", "", "IDLETIME"], "-ERR syntax error"),
        (&["RESTORE", "n", "0", "", "SOON"], "-ERR syntax error"),
        (&["RESTORE", "idle", "0", "", "IDLETIME", "1000"], "+OK"),
        (&["RESTORE", "often", "0", "", "FREQ", "100"], "+OK"),
        (&["RESTORE", "mortal", "500", ""], "+OK"),
        (&["RESTORE", "k", "1700000000700", "", "REPLACE", "ABSTTL"], "+OK"),
        (&["RESTORE", "late", "1", "", "ABSTTL"], "+OK"),
        (&["RESTORE", "from", "1", "", "ABSTTL", "REPLACE"], "+OK"),
        (&["RESTORE-ASKING", "asked", "0", ""], "+OK"),
    ] {
        assert_eq!(run(words), reply, "{words:?}");
    }
    client.expect(&[
        ("OBJECT IDLETIME idle", ":1000"),
        ("PTTL mortal", ":500"),
        ("PTTL k", ":700"),
        ("EXISTS late from", ":0"),
        ("GET asked", "$2|12"),
        ("DUMP none", "$-1"),
    ]);
    let wrong = "-ERR DUMP payload version or checksum are wrong\r\n".as_bytes();
    let mut changed = payload.clone();
    changed[2] ^= 1;
    for payload in [&b"short"[..], &changed] {
        assert_eq!(client.command(&[b"RESTORE", &b"n"[..], b"0", payload]), wrong);
    }
    client.run("DEBUG SET-SKIP-CHECKSUM-VALIDATION 1");
    assert_eq!(client.command(&[b"RESTORE", &b"n"[..], b"0", &changed]), b"+OK\r\n");
}

#[test]
fn replicas_get_the_moment_and_what_they_can_read() {
    let mut client = a_client();
    let mut log = client.follow();
    client.run("SET from 12");
    let payload = dump_of(&mut client, "from");
    client.command(&[b"RESTORE", &b"to"[..], b"500", &payload]);
    client.command(&[b"RESTORE", &b"to"[..], b"1", &payload, b"REPLACE", b"ABSTTL"]);
    let newer = dump(Value::Set(Set::Listpack(listpack(&["a", "1"]))), Compression::Off);
    client.command(&[b"RESTORE", &b"set"[..], b"0", &newer]);
    let older = dump_of(&mut client, "set");
    assert_eq!((newer[newer.len() - 10], older[older.len() - 10]), (11, 10));
    let mut seen = Vec::new();
    loop {
        let chunk = log.peek().expect("the history goes on").to_vec();
        if chunk.is_empty() {
            break;
        }
        seen.extend_from_slice(&chunk);
        log.advance(chunk.len());
    }
    let seen = commands_in(&seen);
    let at: &[u8] = b"1700000000500";
    assert_eq!(
        seen[2..],
        [
            vec![b"RESTORE".to_vec(), b"to".to_vec(), at.to_vec(), payload, b"ABSTTL".to_vec()],
            vec![b"UNLINK".to_vec(), b"to".to_vec()],
            vec![b"RESTORE".to_vec(), b"set".to_vec(), b"0".to_vec(), older],
        ]
    );
}

#[test]
fn debug_looks_into_values() {
    let mut client = a_client();
    restore(&mut client, "large", &Value::List(List::Elements(strings(words(5000)))));
    restore(&mut client, "small", &Value::List(List::Elements(strings(words(3)))));
    restore(&mut client, "set", &Value::Set(Set::Members(strings(words(300)))));
    let shown = client.run("DEBUG OBJECT large");
    assert!(shown.contains("encoding:quicklist serializedlength:"), "{shown}");
    assert!(
        shown.contains(" ql_nodes:7 ql_avg_node:714.29 ql_listpack_max:-2 ql_compressed:0"),
        "{shown}"
    );
    assert!(client.run("DEBUG QUICKLIST large").contains("ql_nodes:7"));
    assert!(client.run("DEBUG HTSTATS 0").contains("number of elements: 3\n"));
    assert!(client.run("DEBUG HTSTATS-KEY set FULL").contains("number of elements: 300\n"));
    client.expect(&[
        ("DEBUG LISTPACK small", "+Listpack structure is checked whenever it is read"),
        ("DEBUG LISTPACK large", "-ERR Not a listpack encoded object."),
        ("DEBUG QUICKLIST small", "-ERR Not a quicklist encoded object."),
        ("DEBUG QUICKLIST none", "-ERR no such key"),
        ("DEBUG HTSTATS 99", "-ERR Out of range database"),
        (
            "DEBUG HTSTATS-KEY small",
            "-ERR The value stored at the specified key is not represented using an hash table",
        ),
        ("DEBUG STRINGMATCH-LEN 5 a*a", ":1"),
        ("DEBUG STRINGMATCH-LEN 5 a*b", ":0"),
        ("DEBUG DICT-RESIZING 0", "+OK"),
    ]);
    let all: usize = client.run("MEMORY USAGE set SAMPLES 0")[1..].parse().expect("a number");
    let some: usize = client.run("MEMORY USAGE set")[1..].parse().expect("a number");
    assert!(all > 300 * 8 && some.abs_diff(all) < all / 4, "{some} of {all}");
}

proptest! {
    #[test]
    fn noise_in_a_blob_is_refused_or_a_value(
        kind in 0usize..6, blob in prop::collection::vec(any::<u8>(), 0..60),
        at in any::<prop::sample::Index>(), byte: u8, whole: bool,
    ) {
        let blob = if whole {
            blob
        } else {
            let mut blob = listpack(&["a", "1", "-300", "some longer text", "2.5", "b"]);
            let at = at.index(blob.len());
            blob[at] = byte;
            blob
        };
        let value = match kind {
            0 => Value::List(List::Nodes(vec![ListNode::Packed(blob)])),
            1 => Value::Set(Set::Intset(blob)),
            2 => Value::Set(Set::Listpack(blob)),
            3 => Value::Hash(Hash::Listpack(blob)),
            4 => Value::SortedSet(SortedSet::Listpack(blob)),
            _ => Value::Hash(Hash::ExpiringListpack { next_expiry: None, listpack: blob }),
        };
        let mut client = a_client();
        if restore(&mut client, "a", &value) == "+OK" {
            let digest = digest_of(&mut client, "a");
            prop_assert_eq!(client.run("DEBUG RELOAD"), "+OK");
            prop_assert_eq!(digest_of(&mut client, "a"), digest);
        }
    }
}
