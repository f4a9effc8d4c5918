//! Stream commands.

mod harness;

use harness::{Client, START};
use tessera_engine::{Outcome, Park};
use tessera_resp::Protocol;

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";
const BAD_ID: &str = "-ERR Invalid stream ID specified as stream command argument";
const SMALLER: &str =
    "-ERR The ID specified in XADD is equal or smaller than the target stream top item";

/// A stream `s` with entries 1-1, 2-1 … with field `f`, and a group `g` that begins before them.
fn with_group(entries: u64) -> Client {
    let mut client = Client::new();
    client.run("xgroup create s g 0 MKSTREAM");
    (1..=entries).for_each(|ms| drop(client.run(&format!("xadd s {ms}-1 f {ms}"))));
    client
}

/// The history since `reader` was made, without MULTI, EXEC and SELECT.
fn told(reader: &mut tessera_log::Reader) -> Vec<String> {
    let mut commands = harness::told(reader);
    commands.retain(|command| !["SELECT 0", "MULTI", "EXEC"].contains(&command.as_str()));
    commands
}

/// The answers that came for clients which waited.
fn answers(client: &Client) -> Vec<(u64, String)> {
    let answers = std::mem::take(&mut *client.host.answers.lock().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("\r\n", "|");
    answers.into_iter().map(|(id, bytes)| (id, text(bytes))).collect()
}

/// Has another client wait; gives its id.
fn waits(client: &Client, line: &str) -> u64 {
    let mut other = client.another();
    other.now = client.now;
    assert_eq!(other.run(line), "", "{line}");
    assert!(matches!(other.outcome, Outcome::Wait(Park::Blocked { .. })), "{line}");
    other.session.info.id
}

#[test]
fn entries_are_added_behind_the_last() {
    Client::new().expect(&[
        ("xadd s NOMKSTREAM * f v", "$-1"),
        ("xadd s * f v", "$15|1700000000000-0"),
        ("xadd s * f v", "$15|1700000000000-1"),
        ("xadd s 1700000000000-* f v", "$15|1700000000000-2"),
        ("xadd s 1700000000001-* f v", "$15|1700000000001-0"),
        ("xadd s 1700000000001-0 f v", SMALLER),
        ("xadd s 5 f v", SMALLER),
        ("xadd s x f v", BAD_ID),
        ("xadd s + f v", BAD_ID),
        ("xadd s 0-0 f v", "-ERR The ID specified in XADD must be greater than 0-0"),
        ("xadd n 0-* f v", "$3|0-1"),
        ("xadd n * f", "-ERR wrong number of arguments for 'xadd' command"),
        ("xadd n * f v g", "-ERR wrong number of arguments for 'xadd' command"),
        (
            "xadd n 18446744073709551615-18446744073709551615 f v",
            "$41|18446744073709551615-18446744073709551615",
        ),
        (
            "xadd n * f v",
            "-ERR The stream has exhausted the last possible ID, unable to add more items",
        ),
        ("xlen s", ":4"),
        ("xlen none", ":0"),
        ("type s", "+stream"),
        ("object encoding s", "$6|stream"),
        ("set x v", "+OK"),
        ("xadd x * f v", WRONG),
        ("xlen x", WRONG),
    ]);
}

#[test]
fn entries_are_answered_by_ranges() {
    let mut client = Client::new();
    for line in ["xadd s 1-1 a 1", "xadd s 1-2 b x", "xadd s 2-0 a 1 b 22"] {
        client.run(line);
    }
    let (one, two, three) =
        ("*2|$3|1-1|*2|$1|a|$1|1", "*2|$3|1-2|*2|$1|b|$1|x", "*2|$3|2-0|*4|$1|a|$1|1|$1|b|$2|22");
    client.expect(&[
        ("xrange s - +", &format!("*3|{one}|{two}|{three}")),
        ("xrevrange s + -", &format!("*3|{three}|{two}|{one}")),
        ("xrange s 1 1", &format!("*2|{one}|{two}")),
        ("xrange s (1-1 (2-0", &format!("*1|{two}")),
        ("xrevrange s + - COUNT 1", &format!("*1|{three}")),
        ("xrange s - + COUNT 2", &format!("*2|{one}|{two}")),
        ("xrange s 3 2", "*0"),
        ("xrange s - + COUNT 0", "*-1"),
        ("xrange none - +", "*0"),
        ("xrange s - + COUNT", "-ERR syntax error"),
        ("xrange s x +", BAD_ID),
        ("xrange s - (0-0", "-ERR invalid end ID for the interval"),
        (
            "xrange s (18446744073709551615-18446744073709551615 +",
            "-ERR invalid start ID for the interval",
        ),
    ]);
}

#[test]
fn streams_are_trimmed() {
    let mut client = Client::new();
    client.run("config set stream-node-max-entries 10");
    (1..=100).for_each(|ms| drop(client.run(&format!("xadd s {ms} f v"))));
    client.expect(&[
        ("xtrim s MAXLEN ~ 85", ":10"),
        ("xtrim s MAXLEN ~ 0 LIMIT 30", ":30"),
        ("xtrim s MINID = 45", ":4"),
        ("xtrim s MAXLEN 50", ":6"),
        ("xtrim s MAXLEN 50", ":0"),
        ("xtrim none MAXLEN 5", ":0"),
        ("xrange s - + COUNT 1", "*1|*2|$4|51-0|*2|$1|f|$1|v"),
        ("xadd s MAXLEN 2 101 f v", "$5|101-0"),
        ("xlen s", ":2"),
        ("xtrim s", "-ERR wrong number of arguments for 'xtrim' command"),
        ("xtrim s MAXLEN -1", "-ERR The MAXLEN argument must be >= 0."),
        ("xtrim s MAXLEN x", "-ERR value is not an integer or out of range"),
        (
            "xtrim s MAXLEN 1 LIMIT 5",
            "-ERR syntax error, LIMIT cannot be used without the special ~ option",
        ),
        ("xtrim s MAXLEN ~ 1 LIMIT -5", "-ERR The LIMIT argument must be >= 0."),
        (
            "xtrim s LIMIT 5",
            "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        ),
        (
            "xadd s LIMIT 5 * f v",
            "-ERR syntax error, LIMIT cannot be used without specifying a trimming strategy",
        ),
        (
            "xtrim s LIMIT 0 LIMIT 0",
            "-ERR syntax error, XTRIM must be called with a trimming strategy",
        ),
        (
            "xtrim s MAXLEN 1 MINID 5",
            "-ERR syntax error, MAXLEN and MINID options at the same time are not compatible",
        ),
        ("xtrim s FOO 1", "-ERR syntax error"),
    ]);
}

#[test]
fn entries_are_deleted_and_what_was_there_is_remembered() {
    let mut client = with_group(3);
    client.expect(&[
        ("xdel s 2-1 2-1 9-9", ":1"),
        ("xdel s 1-1", ":1"),
        ("xdel none 1-1", ":0"),
        ("xdel s x", BAD_ID),
        ("xlen s", ":1"),
    ]);
    let info = client.run("xinfo stream s");
    for part in [
        "$6|length|:1",
        "$20|max-deleted-entry-id|$3|2-1",
        "$13|entries-added|:3",
        "$23|recorded-first-entry-id|$3|3-1",
        "$17|last-generated-id|$3|3-1",
        "$6|groups|:1",
    ] {
        assert!(info.contains(part), "{part} in {info}");
    }
    client.expect(&[
        ("xdel s 3-1", ":1"),
        ("exists s", ":1"),
        ("xadd s 3-1 f v", SMALLER),
        ("xsetid s 9-1 ENTRIESADDED 20 MAXDELETEDID 8-8", "+OK"),
        (
            "xsetid s 5-1",
            "-ERR The ID specified in XSETID is smaller than current max_deleted_entry_id",
        ),
        ("xsetid none 5-1", "-ERR no such key"),
        ("xsetid s 9-1 ENTRIESADDED -1", "-ERR entries_added must be positive"),
        (
            "xsetid s 9-1 MAXDELETEDID 10-1",
            "-ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id",
        ),
        ("xadd s 10-1 f v", "$4|10-1"),
        (
            "xsetid s 10-0",
            "-ERR The ID specified in XSETID is smaller than the target stream top item",
        ),
        (
            "xsetid s 10-1 ENTRIESADDED 0",
            "-ERR The entries_added specified in XSETID is smaller than the target stream length",
        ),
        ("xsetid s 10-1 FOO", "-ERR syntax error"),
    ]);
}

#[test]
fn streams_are_read_behind_ids() {
    let mut client = with_group(2);
    let second = "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|2";
    client.expect(&[
        ("xread STREAMS s 1-1", second),
        ("xread COUNT 1 STREAMS s none 1 0", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|1"),
        ("xread STREAMS s +", second),
        ("xread STREAMS s $", "*-1"),
        ("xread STREAMS none 0", "*-1"),
        ("xread STREAMS s", "-ERR wrong number of arguments for 'xread' command"),
        ("xread COUNT 1 s 0", "-ERR syntax error"),
        ("xread STREAMS s >", "-ERR The > ID can be specified only when calling XREADGROUP using the GROUP <group> <consumer> option."),
        ("xread NOACK STREAMS s 0", "-ERR The NOACK option is only supported by XREADGROUP. You called XREAD instead."),
        (
            "xread STREAMS s 0 1",
            "-ERR Unbalanced 'xread' list of streams: for each stream key an ID or '$' must be specified.",
        ),
        ("set x v", "+OK"),
        ("xread STREAMS s x 0 0", WRONG),
        ("command getkeys xread count 5 streams a b 0 0", "*2|$1|a|$1|b"),
    ]);
    client.protocol = Protocol::Resp3;
    client.expect(&[
        ("xread STREAMS s 1-1", "%1|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|2"),
        ("xread STREAMS s $", "_"),
    ]);
}

/// The only group of `s` in XINFO GROUPS: the entries that it has read, and its lag.
fn read_and_lag(client: &mut Client) -> String {
    let shown = client.run("xinfo groups s");
    let (_, shown) = shown.split_once("|$12|entries-read|").expect("the field");
    shown.replace("|$3|lag|", " ")
}

#[test]
fn a_group_has_never_read_more_than_was_added() {
    for (stories, shown) in [
        (&["xgroup create s g 1-1 ENTRIESREAD 100"][..], ":3 :0"),
        (&["xgroup create s g 0", "xgroup setid s g 1-1 ENTRIESREAD 100"], ":3 :0"),
        (&["xgroup create s g 1-1 ENTRIESREAD 1"], ":1 :2"),
        // The entries read then count up to those added.
        (&["xgroup create s g 1-1 ENTRIESREAD 100", "xreadgroup GROUP g c STREAMS s >"], ":3 :0"),
        (&["xgroup create s g 1-1 ENTRIESREAD 100", "xadd s 9-1 f v"], ":3 :1"),
        (&["xgroup create s g $ ENTRIESREAD 100", "xtrim s MAXLEN 0"], ":3 :0"),
        (&["xgroup create s g 3-1 ENTRIESREAD 3", "xdel s 1-1 2-1"], ":3 :0"),
        // The number of added entries is said to be less than that of read ones.
        (
            &["xgroup create s g $ ENTRIESREAD 3", "xdel s 1-1", "xsetid s 3-1 ENTRIESADDED 2"],
            ":3 :0",
        ),
    ] {
        let mut client = Client::new();
        for line in ["xadd s 1-1 f v", "xadd s 2-1 f v", "xadd s 3-1 f v"] {
            client.run(line);
        }
        for line in stories {
            assert!(!client.run(line).starts_with('-'), "{line}");
        }
        assert_eq!(read_and_lag(&mut client), shown, "{stories:?}");
    }
}

#[test]
fn groups_share_entries() {
    let mut client = with_group(3);
    client.expect(&[
        ("xgroup create s g $", "-BUSYGROUP Consumer Group name already exists"),
        ("xreadgroup GROUP g a COUNT 1 STREAMS s >", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|1"),
        ("xreadgroup GROUP g b COUNT 1 STREAMS s >", "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|2"),
        ("xreadgroup GROUP g b NOACK STREAMS s >", "*1|*2|$1|s|*1|*2|$3|3-1|*2|$1|f|$1|3"),
        ("xreadgroup GROUP g b STREAMS s >", "*-1"),
        ("xreadgroup GROUP g b STREAMS s 0", "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|2"),
        ("xpending s g", "*4|:2|$3|1-1|$3|2-1|*2|*2|$1|a|$1|1|*2|$1|b|$1|1"),
        ("xpending s g - + 10", "*2|*4|$3|1-1|$1|a|:0|:1|*4|$3|2-1|$1|b|:0|:2"),
        ("xpending s g - + 10 a", "*1|*4|$3|1-1|$1|a|:0|:1"),
        ("xpending s g IDLE 1 - + 10", "*0"),
        ("xpending s g - + 10 nobody", "*0"),
        ("xpending s g - +", "-ERR syntax error"),
        ("xpending s none", "-NOGROUP No such key 's' or consumer group 'none'"),
        ("xack s g 1-1 9-9", ":1"),
        ("xack s none 1-1", ":0"),
        ("xack s g x", BAD_ID),
        ("xdel s 2-1", ":1"),
        ("xreadgroup GROUP g b STREAMS s 0", "*1|*2|$1|s|*1|*2|$3|2-1|*-1"),
        ("xgroup delconsumer s g b", ":1"),
        ("xpending s g", "*4|:0|$-1|$-1|*-1"),
        ("xgroup createconsumer s g c", ":1"),
        ("xgroup createconsumer s g c", ":0"),
        ("xgroup setid s g 0", "+OK"),
        ("xgroup destroy s g", ":1"),
        ("xgroup destroy s g", ":0"),
        (
            "xreadgroup GROUP g b STREAMS s >",
            "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option",
        ),
        ("xgroup setid s g 0", "-NOGROUP No such consumer group 'g' for key name 's'"),
        ("xgroup create s g 0 ENTRIESREAD -2", "-ERR value for ENTRIESREAD must be positive or -1"),
        (
            "xgroup create s g 0 FOO",
            "-ERR unknown subcommand or wrong number of arguments for 'create'. Try XGROUP HELP.",
        ),
        ("xgroup create s g x", BAD_ID),
    ]);
}

#[test]
fn entries_are_claimed() {
    let mut client = with_group(4);
    client.run("xreadgroup GROUP g a STREAMS s >");
    client.now = START.plus(100);
    client.expect(&[
        ("xclaim s g b 200 1-1", "*0"),
        ("xclaim s g b 100 1-1 2-1 JUSTID", "*2|$3|1-1|$3|2-1"),
        ("xclaim s g b 0 1-1 RETRYCOUNT 7 IDLE 50", "*1|*2|$3|1-1|*2|$1|f|$1|1"),
        ("xpending s g - + 2 b", "*2|*4|$3|1-1|$1|b|:50|:7|*4|$3|2-1|$1|b|:0|:1"),
        ("xdel s 2-1 3-1", ":2"),
        ("xautoclaim s g c 0 0 COUNT 2", "*3|$3|3-1|*1|*2|$3|1-1|*2|$1|f|$1|1|*1|$3|2-1"),
        ("xautoclaim s g c 0 3-1 JUSTID", "*3|$3|0-0|*1|$3|4-1|*1|$3|3-1"),
        ("xack s g 4-1", ":1"),
        ("xclaim s g c 0 4-1", "*0"),
        ("xclaim s g c 0 4-1 FORCE JUSTID", "*1|$3|4-1"),
        ("xclaim s g c x 4-1", "-ERR Invalid min-idle-time argument for XCLAIM"),
        ("xclaim s g c 0 4-1 FOO", "-ERR Unrecognized XCLAIM option 'FOO'"),
        ("xclaim s none c 0 4-1", "-NOGROUP No such key 's' or consumer group 'none'"),
        ("xautoclaim s g c x 0", "-ERR Invalid min-idle-time argument for XAUTOCLAIM"),
        ("xautoclaim s g c 0 0 COUNT 0", "-ERR COUNT must be > 0"),
        ("xautoclaim s none c 0 0", "-NOGROUP No such key 's' or consumer group 'none'"),
    ]);
}

#[test]
fn groups_know_how_far_behind_they_are() {
    let mut client = with_group(4);
    let progress = |client: &mut Client| {
        let info = client.run("xinfo groups s");
        info.split_once("$12|entries-read|").expect("it says so").1.replace("|$3|lag", "")
    };
    assert_eq!(progress(&mut client), "$-1|:4");
    client.run("xreadgroup GROUP g a COUNT 1 STREAMS s >");
    assert_eq!(progress(&mut client), ":1|:3");
    client.run("xdel s 3-1");
    assert_eq!(progress(&mut client), ":1|$-1");
    client.run("xreadgroup GROUP g a STREAMS s >");
    assert_eq!(progress(&mut client), ":4|:0");
    client.run("xgroup setid s g 0 ENTRIESREAD 2");
    assert_eq!(progress(&mut client), ":2|$-1");
    client.run("xtrim s MAXLEN 0");
    assert_eq!(progress(&mut client), ":2|:2");
}

#[test]
fn what_there_is_to_know_is_told() {
    let mut client = with_group(2);
    client.run("xreadgroup GROUP g a COUNT 1 STREAMS s >");
    client.now = START.plus(30);
    client.expect(&[
        ("xinfo consumers s g", "*1|*8|$4|name|$1|a|$7|pending|:1|$4|idle|:30|$8|inactive|:30"),
        ("xinfo consumers s none", "-NOGROUP No such consumer group 'none' for key name 's'"),
        ("xinfo stream none", "-ERR no such key"),
        (
            "xinfo stream s FOO",
            "-ERR unknown subcommand or wrong number of arguments for 'stream'. Try XINFO HELP.",
        ),
    ]);
    let full = client.run("xinfo stream s FULL COUNT 1");
    for part in [
        "$7|entries|*1|*2|$3|1-1|*2|$1|f|$1|1|",
        "$17|last-delivered-id|$3|1-1|$12|entries-read|:1|$3|lag|:1|$9|pel-count|:1|\
         $7|pending|*1|*4|$3|1-1|$1|a|:1700000000000|:1|",
        "$9|consumers|*1|*10|$4|name|$1|a|$9|seen-time|:1700000000000|$11|active-time|:1700000000000|\
         $9|pel-count|:1|$7|pending|*1|*3|$3|1-1|:1700000000000|:1",
    ] {
        assert!(full.contains(part), "{part} in {full}");
    }
}

#[test]
fn every_reader_that_waits_is_served() {
    let mut client = Client::new();
    client.run("xadd s 1-1 f 1");
    let first = waits(&client, "xread BLOCK 0 STREAMS s $");
    let second = waits(&client, "xread BLOCK 0 COUNT 1 STREAMS none s 0 1-1");
    let third = waits(&client, "xread BLOCK 0 STREAMS s 9");
    client.run("xadd s 2-1 f 2");
    let entry = "*1|*2|$1|s|*1|*2|$3|2-1|*2|$1|f|$1|2|".to_owned();
    assert_eq!(answers(&client), [(first, entry.clone()), (second, entry)]);
    client.expect(&[("del s", ":1"), ("set s x", "+OK"), ("del s", ":1")]);
    assert_eq!(answers(&client), []);
    client.run("xadd s 10-1 f v");
    assert_eq!(answers(&client).iter().map(|(id, _)| *id).collect::<Vec<_>>(), [third]);
    assert_eq!(client.engine.blocking_keys(), 0);
}

#[test]
fn consumers_that_wait_are_served_one_by_one() {
    let mut client = with_group(0);
    let line = "xreadgroup GROUP g a BLOCK 0 STREAMS s >";
    let (first, second) = (waits(&client, line), waits(&client, line));
    let mut reader = client.follow();
    client.run("xadd s 1-1 f 1");
    assert_eq!(answers(&client), [(first, "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|1|".to_owned())]);
    assert_eq!(
        told(&mut reader),
        [
            "xadd s 1-1 f 1",
            "XCLAIM s g a 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1",
            "XGROUP SETID s g 1-1 ENTRIESREAD 1",
        ]
    );
    client.run("xgroup destroy s g");
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|";
    assert_eq!(answers(&client), [(second, gone.to_owned())]);
}

#[test]
fn consumers_do_not_wait_for_what_is_gone() {
    let gone = "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|";
    let wrong = format!("{WRONG}|");
    for (command, answer) in [("del s", gone), ("flushall", gone), ("set s x", &wrong)] {
        let mut client = with_group(0);
        let id = waits(&client, "xreadgroup GROUP g a BLOCK 0 STREAMS s >");
        assert_eq!(client.engine.blocking_keys_for_deletion(), 1);
        client.run(command);
        assert_eq!(answers(&client), [(id, answer.to_owned())], "{command}");
        assert_eq!(client.engine.blocking_keys_for_deletion(), 0);
    }
}

#[test]
fn replicas_are_told_what_became_of_it() {
    for (command, expected) in [
        ("xadd s * f v", &["xadd s 1700000000000-0 f v"][..]),
        ("xadd s 9-* f v", &["xadd s 9-0 f v"]),
        ("xadd s 9-9 f v", &["xadd s 9-9 f v"]),
        ("xadd s MAXLEN ~ 2 LIMIT 5 9-9 f v", &["xadd s MAXLEN = 4 9-9 f v"]),
        ("xadd s MINID 2 9-9 f v", &["xadd s MINID 2 9-9 f v"]),
        ("xtrim s MAXLEN ~ 0", &["xtrim s MAXLEN = 0"]),
        ("xtrim s MINID ~ 9", &["xtrim s MINID = 18446744073709551615-18446744073709551615"]),
        ("xtrim s MAXLEN ~ 2", &[]),
        ("xdel s 1-1", &["xdel s 1-1"]),
        ("xdel s 8-8", &[]),
        ("xack s g 1-1", &[]),
        (
            "xreadgroup GROUP g a COUNT 1 STREAMS s >",
            &[
                "XCLAIM s g a 0 1-1 TIME 1700000000000 RETRYCOUNT 1 FORCE JUSTID LASTID 1-1",
                "XGROUP SETID s g 1-1 ENTRIESREAD 1",
            ],
        ),
        (
            "xreadgroup GROUP g a NOACK STREAMS s >",
            &["XGROUP CREATECONSUMER s g a", "XGROUP SETID s g 3-1 ENTRIESREAD 3"],
        ),
        ("xreadgroup GROUP g a STREAMS s 0", &["XGROUP CREATECONSUMER s g a"]),
        (
            "xclaim s g a 0 1-1 FORCE",
            &["XCLAIM s g a 0 1-1 TIME 1700000000000 RETRYCOUNT 2 FORCE JUSTID LASTID 0-0"],
        ),
        (
            "xclaim s g a 0 9-9 LASTID 2-1",
            &["XGROUP SETID s g 2-1 ENTRIESREAD -1", "XGROUP CREATECONSUMER s g a"],
        ),
        ("xautoclaim s g a 0 0", &["XGROUP CREATECONSUMER s g a"]),
    ] {
        let mut client = with_group(3);
        let mut reader = client.follow();
        client.run(command);
        assert_eq!(told(&mut reader), expected, "{command}");
    }
}

#[test]
fn what_was_trimmed_before_it_was_read_counts_as_read() {
    let mut client = Client::new();
    client.run("xgroup create x g $ mkstream");
    client.run("xadd x 3 a 1");
    client.run("xreadgroup group g bob count 1 streams x >");
    for line in ["xadd x 3-1 a 1", "xtrim x minid 10-2", "xadd x 11-0 a 1"] {
        client.run(line);
    }
    client.run("xreadgroup group g alice streams x >");
    let groups = client.run("xinfo groups x");
    assert!(groups.ends_with("$12|entries-read|:3|$3|lag|:0"), "{groups}");
}

#[test]
fn a_lag_is_not_known_behind_a_deleted_entry() {
    let mut client = Client::new();
    client.expect(&[
        ("xadd x 13-0 a 1", "$4|13-0"),
        ("xgroup create x g 11-2", "+OK"),
        ("xgroup create x h 12-5", "+OK"),
        ("xsetid x 60-0 entriesadded 1 maxdeletedid 12-3", "+OK"),
    ]);
    let groups = client.run("xinfo groups x");
    let lags: Vec<&str> = groups.split("$3|lag|").skip(1).map(|lag| &lag[..2]).collect();
    assert_eq!(lags, ["$-", ":1"], "{groups}");

    // As Valkey 8.1.8 answers: what a group is said to have read does not count up to a deleted
    // entry.
    for (from, then, lag) in [
        ("0", "xdel x 1-0", ":2"),
        ("0 entriesread 2", "xdel x 1-0", ":2"),
        ("0 entriesread 1", "ping", ":2"),
        ("1-0 entriesread 3", "xdel x 2-0", "$-1"),
        ("1-0 entriesread 3", "xtrim x minid 3-0", ":0"),
        ("0 entriesread 1", "xdel x 1-0 2-0 3-0", ":2"),
        ("1-0 entriesread 7", "xdel x 1-0", ":2"),
        ("0-5 entriesread 7", "xdel x 1-0", "$-1"),
    ] {
        client.run("del x");
        for id in 1..=3 {
            client.run(&format!("xadd x {id}-0 f v"));
        }
        client.run(&format!("xgroup create x g {from}"));
        client.run(then);
        let groups = client.run("xinfo groups x");
        assert!(groups.ends_with(&format!("$3|lag|{lag}")), "{from}, {then}: {groups}");
    }
}

#[test]
fn counters_of_groups_end_where_signed_numbers_do() {
    let mut client = Client::new();
    let most = i64::MAX;
    for id in 1..=3 {
        client.run(&format!("xadd x {id}-1 f v"));
    }
    client.run(&format!("xsetid x 3-1 entriesadded {most}"));
    client.run(&format!("xgroup create x g 1-1 entriesread {most}"));
    client.run("xreadgroup group g c count 1 streams x >");
    let groups = client.run("xinfo groups x");
    assert!(groups.contains(&format!("|$12|entries-read|:{most}|")), "{groups}");
    client.run(&format!("xclaim x g c 0 2-1 retrycount {most} justid"));
    client.run("xclaim x g d 0 2-1");
    let pending = client.run("xpending x g - + 10");
    assert!(pending.contains("|$1|d|") && pending.ends_with(&format!(":{most}")), "{pending}");
    client.run("xreadgroup group g d streams x 0");
    assert!(client.run("xpending x g - + 10").ends_with(&format!(":{most}")));
}
