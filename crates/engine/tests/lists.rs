//! List commands.

mod harness;

use harness::{Client, told};
use tessera_config::Config;
use tessera_engine::{Outcome, Park};

const WRONG: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

#[test]
fn elements_come_and_go_at_both_ends() {
    Client::new().expect(&[
        ("rpush l b c", ":2"),
        ("lpush l a 1", ":4"),
        ("lrange l 0 -1", "*4|$1|1|$1|a|$1|b|$1|c"),
        ("lpop l", "$1|1"),
        ("rpop l", "$1|c"),
        ("llen l", ":2"),
        ("lpop l 5", "*2|$1|a|$1|b"),
        ("exists l", ":0"),
        ("lpop l", "$-1"),
        ("rpop l", "$-1"),
        ("lpop l 1", "*-1"),
        ("lpushx l a", ":0"),
        ("rpushx l a", ":0"),
        ("rpush l a", ":1"),
        ("lpushx l x y", ":3"),
        ("rpushx l z", ":4"),
        ("rpop l 2", "*2|$1|z|$1|a"),
        ("lpop l 0", "*0"),
        ("lpop l -1", "-ERR value is out of range, must be positive"),
        ("lpop l x", "-ERR value is out of range, must be positive"),
        ("lpop l 1 1", "-ERR wrong number of arguments for 'lpop' command"),
        ("set s v", "+OK"),
        ("lpush s a", WRONG),
        ("lpushx s a", WRONG),
        ("rpop s", WRONG),
        ("llen s", WRONG),
    ]);
}

#[test]
fn elements_by_number() {
    Client::new().expect(&[
        ("rpush l a b c", ":3"),
        ("lindex l 0", "$1|a"),
        ("lindex l -1", "$1|c"),
        ("lindex l 3", "$-1"),
        ("lindex l -4", "$-1"),
        ("lindex l x", "-ERR value is not an integer or out of range"),
        ("lindex none x", "$-1"),
        ("lrange l 1 1", "*1|$1|b"),
        ("lrange l -100 100", "*3|$1|a|$1|b|$1|c"),
        ("lrange l 2 1", "*0"),
        ("lrange l 3 9", "*0"),
        ("lrange l -9223372036854775808 9223372036854775807", "*3|$1|a|$1|b|$1|c"),
        ("lrange none 0 -1", "*0"),
        ("lset l 1 B", "+OK"),
        ("lset l -1 C", "+OK"),
        ("lset l 3 x", "-ERR index out of range"),
        ("lset none 0 x", "-ERR no such key"),
        ("linsert l before B 1", ":4"),
        ("linsert l AFTER B 2", ":5"),
        ("linsert l after none 2", ":-1"),
        ("linsert l beside B 2", "-ERR syntax error"),
        ("linsert none after B 2", ":0"),
        ("lrange l 0 -1", "*5|$1|a|$1|1|$1|B|$1|2|$1|C"),
        ("ltrim l 1 -2", "+OK"),
        ("lrange l 0 -1", "*3|$1|1|$1|B|$1|2"),
        ("ltrim l 5 9", "+OK"),
        ("exists l", ":0"),
        ("ltrim l 0 1", "+OK"),
    ]);
}

#[test]
fn elements_by_value() {
    let range = "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807";
    Client::new().expect(&[
        ("rpush l a b a c a 1", ":6"),
        ("lpos l a", ":0"),
        ("lpos l 1", ":5"),
        ("lpos l x", "$-1"),
        ("lpos none x", "$-1"),
        ("lpos none x count 2", "*0"),
        ("lpos l a RANK 2", ":2"),
        ("lpos l a RANK -1", ":4"),
        ("lpos l a RANK -1 COUNT 0", "*3|:4|:2|:0"),
        ("lpos l a COUNT 2", "*2|:0|:2"),
        ("lpos l a RANK 2 COUNT 1 MAXLEN 2", "*0"),
        ("lpos l a RANK 4", "$-1"),
        (
            "lpos l a RANK 0",
            "-ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... or use negative to \
             start from the end of the list",
        ),
        ("lpos l a RANK -9223372036854775808", range),
        ("lpos l a COUNT -1", "-ERR COUNT can't be negative"),
        ("lpos l a MAXLEN -1", "-ERR MAXLEN can't be negative"),
        ("lpos l a COUNT", "-ERR syntax error"),
        ("lrem l 1 a", ":1"),
        ("lrange l 0 -1", "*5|$1|b|$1|a|$1|c|$1|a|$1|1"),
        ("lrem l -1 a", ":1"),
        ("lrange l 0 -1", "*4|$1|b|$1|a|$1|c|$1|1"),
        ("lrem l 0 x", ":0"),
        ("lrem none 0 x", ":0"),
        ("lrem l -9223372036854775808 x", range),
        ("ltrim l 1 1", "+OK"),
        ("lrem l 0 a", ":1"),
        ("exists l", ":0"),
    ]);
}

#[test]
fn elements_move_from_list_to_list() {
    Client::new().expect(&[
        ("rpush a 1 2 3", ":3"),
        ("lmove a b left right", "$1|1"),
        ("lmove a b right left", "$1|3"),
        ("lrange b 0 -1", "*2|$1|3|$1|1"),
        ("rpoplpush a b", "$1|2"),
        ("exists a", ":0"),
        ("lrange b 0 -1", "*3|$1|2|$1|3|$1|1"),
        ("rpoplpush b b", "$1|1"),
        ("lmove b b left left", "$1|1"),
        ("lrange b 0 -1", "*3|$1|1|$1|2|$1|3"),
        ("lmove a b left right", "$-1"),
        ("lmove b a up down", "-ERR syntax error"),
        ("set s v", "+OK"),
        ("lmove b s left right", WRONG),
        ("lmove s b left right", WRONG),
        ("llen b", ":3"),
    ]);
}

#[test]
fn several_lists_at_once() {
    Client::new().expect(&[
        ("rpush b 1 2 3", ":3"),
        ("lmpop 2 a b left", "*2|$1|b|*1|$1|1"),
        ("lmpop 2 a b RIGHT COUNT 9", "*2|$1|b|*2|$1|3|$1|2"),
        ("lmpop 2 a b left", "*-1"),
        ("lmpop 0 a left", "-ERR numkeys should be greater than 0"),
        ("lmpop x a left", "-ERR numkeys should be greater than 0"),
        ("lmpop 9 a left", "-ERR syntax error"),
        ("lmpop 9223372036854775807 a left", "-ERR syntax error"),
        ("lmpop 1 a up", "-ERR syntax error"),
        ("lmpop 1 a left count 0", "-ERR count should be greater than 0"),
        ("lmpop 1 a left count 1 count 1", "-ERR syntax error"),
        ("command getkeys lmpop 2 a b left", "*2|$1|a|$1|b"),
        ("command getkeys blmpop 0 2 a b left", "*2|$1|a|$1|b"),
        ("set s v", "+OK"),
        ("lmpop 2 a s left", WRONG),
    ]);
}

#[test]
fn encodings_follow_the_configuration() {
    let mut config = Config::default();
    config.data.list_max_listpack_size = 3;
    Client::with(config).expect(&[
        ("rpush l a b c", ":3"),
        ("object encoding l", "$8|listpack"),
        ("rpush l d", ":4"),
        ("object encoding l", "$9|quicklist"),
        ("rpop l 3", "*3|$1|d|$1|c|$1|b"),
        ("object encoding l", "$8|listpack"),
        ("rpush m a b c d", ":4"),
        ("rpush l b c", ":3"),
        ("lmove m l left left", "$1|a"),
        ("object encoding l", "$9|quicklist"),
        ("copy l n", ":1"),
        ("lrange n 0 -1", "*4|$1|a|$1|a|$1|b|$1|c"),
        ("config set list-max-listpack-size -2", "+OK"),
        ("lpop l", "$1|a"),
        ("object encoding l", "$8|listpack"),
    ]);
}

/// The answers that came for clients which waited: id and reply.
fn answers(client: &Client) -> Vec<(u64, String)> {
    let answers = std::mem::take(&mut *client.host.answers.lock().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("\r\n", "|");
    answers.into_iter().map(|(id, bytes)| (id, text(bytes))).collect()
}

fn waits(client: &mut Client, line: &str) -> u64 {
    assert_eq!(client.run(line), "", "{line}");
    assert!(matches!(client.outcome, Outcome::Wait(Park::Blocked { .. })), "{line}");
    client.session.info.id
}

#[test]
fn who_waits_is_served() {
    for (wait, reply, left) in [
        ("blpop x l 0", "*2|$1|l|$1|a|", "*2|$1|b|$1|c"),
        ("brpop l x 0", "*2|$1|l|$1|c|", "*2|$1|a|$1|b"),
        ("blmpop 0 2 x l left count 2", "*2|$1|l|*2|$1|a|$1|b|", "*1|$1|c"),
        ("blmove l to right left 0", "$1|c|", "*2|$1|a|$1|b"),
        ("brpoplpush l to 0", "$1|c|", "*2|$1|a|$1|b"),
    ] {
        let mut feeder = Client::new();
        let mut waiting = feeder.another();
        let id = waits(&mut waiting, wait);
        feeder.expect(&[("rpush l a b c", ":3")]);
        assert_eq!(answers(&feeder), [(id, reply.to_owned())], "{wait}");
        feeder.expect(&[("lrange l 0 -1", left)]);
    }
}

#[test]
fn who_need_not_wait_does_not() {
    let mut client = Client::new();
    client.expect(&[
        ("rpush l a b c d e", ":5"),
        ("blpop x l 0", "*2|$1|l|$1|a"),
        ("brpop l 0.5", "*2|$1|l|$1|e"),
        ("blmpop 0 1 l right", "*2|$1|l|*1|$1|d"),
        ("blmove l to left left 0", "$1|b"),
        ("brpoplpush l to 0", "$1|c"),
        ("lrange to 0 -1", "*2|$1|c|$1|b"),
        ("blpop l -1", "-ERR timeout is negative"),
        ("brpoplpush l to x", "-ERR timeout is not a float or out of range"),
        ("set s v", "+OK"),
        ("blpop l s 0", WRONG),
        ("blmove to s left left 0", WRONG),
        ("llen to", ":2"),
    ]);
}

#[test]
fn who_waits_is_told_of_a_destination_of_another_type() {
    let mut feeder = Client::new();
    let mut waiting = feeder.another();
    feeder.expect(&[("set to v", "+OK")]);
    let id = waits(&mut waiting, "brpoplpush l to 0");
    // A key of another type in the place of the source does not concern it.
    feeder.expect(&[("set l v", "+OK"), ("del l", ":1")]);
    assert_eq!(answers(&feeder), []);
    feeder.expect(&[("rpush l a b", ":2")]);
    assert_eq!(answers(&feeder), [(id, format!("{WRONG}|"))]);
    feeder.expect(&[("llen l", ":2")]);
}

#[test]
fn a_chain_of_moves_is_one_turn() {
    let mut feeder = Client::new();
    let (mut a, mut b, mut c) = (feeder.another(), feeder.another(), feeder.another());
    let first = waits(&mut a, "brpoplpush l m 0");
    let second = waits(&mut b, "blmove m n left right 0");
    let third = waits(&mut c, "blpop n 0");
    feeder.expect(&[("lpush l v", ":1"), ("dbsize", ":0")]);
    let mut answers = answers(&feeder);
    answers.sort();
    assert_eq!(
        answers,
        [
            (first, "$1|v|".to_owned()),
            (second, "$1|v|".to_owned()),
            (third, "*2|$1|n|$1|v|".to_owned())
        ]
    );
}

#[test]
fn replicas_get_what_does_not_wait() {
    let mut client = Client::new();
    let mut reader = client.follow();
    for line in [
        "rpush l a b c d e f g",
        "blpop l 0",
        "brpop l 0",
        "lmpop 1 l left count 2",
        "blmpop 0 1 l right count 1",
        "blmove l m left right 0",
        "brpoplpush l m 0",
    ] {
        client.run(line);
    }
    let mut other = client.another();
    waits(&mut other, "blmove l m right right 0");
    client.run("rpush l h i");
    assert_eq!(
        told(&mut reader),
        [
            "SELECT 0",
            "rpush l a b c d e f g",
            "LPOP l",
            "RPOP l",
            "LPOP l 2",
            "RPOP l 1",
            "LMOVE l m left right",
            "RPOPLPUSH l m",
            "rpush l h i",
            "LMOVE l m right right",
        ]
    );
}

#[test]
fn what_changes_nothing_is_not_written() {
    let mut client = Client::new();
    client.run("rpush l a b c");
    let mut reader = client.follow();
    for line in [
        "lrem l 0 x",
        "ltrim l 0 -1",
        "linsert l before x y",
        "lpop none",
        "lmove none l left left",
    ] {
        client.run(line);
    }
    assert_eq!(told(&mut reader), Vec::<String>::new());
}

#[test]
fn debugging_tells_of_nodes() {
    let mut config = Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    config.data.list_max_listpack_size = 2;
    let mut client = Client::with(config);
    client.expect(&[
        ("debug quicklist-packed-threshold 5b", "+OK"),
        ("rpush l a b c", ":3"),
        ("rpush l large", ":4"),
        ("debug quicklist-packed-threshold 0", "+OK"),
        ("lrange l 0 -1", "*4|$1|a|$1|b|$1|c|$5|large"),
        (
            "debug quicklist-packed-threshold 4gb",
            "-ERR argument must be a memory value bigger than 1 and smaller than 4gb",
        ),
    ]);
    let described = client.run("debug object l");
    assert!(
        described.ends_with(
            " ql_nodes:3 ql_avg_node:1.33 ql_listpack_max:2 ql_compressed:0 ql_uncompressed_size:28"
        ),
        "{described}"
    );
}

#[test]
fn blocking_commands_in_a_transaction_do_not_wait() {
    let mut client = Client::new();
    client.expect(&[
        ("multi", "+OK"),
        ("blpop none 0", "+QUEUED"),
        ("blmpop 0 1 none left", "+QUEUED"),
        ("blmove none l left left 0", "+QUEUED"),
        ("rpush l a b", "+QUEUED"),
        ("brpoplpush l m 0", "+QUEUED"),
        ("exec", "*5|*-1|*-1|$-1|:2|$1|b"),
    ]);
    let list = client.run("client list");
    assert!(list.contains("cmd=client|list"), "{list}");
    let mut other = client.another();
    other.expect(&[("multi", "+OK"), ("get k", "+QUEUED"), ("exec", "*1|$-1")]);
    let list = client.run("client list");
    assert!(list.contains("cmd=exec"), "{list}");
}

#[test]
fn what_expires_while_a_transaction_sleeps_feeds_nobody() {
    let mut config = Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    let mut feeder = Client::with(config);
    let mut waiting = feeder.another();
    waits(&mut waiting, "brpop l 0");
    feeder.expect(&[
        ("multi", "+OK"),
        ("rpush l a", "+QUEUED"),
        ("pexpire l 100", "+QUEUED"),
        ("debug sleep 0.2", "+QUEUED"),
        ("exec", "*3|:1|:1|+OK"),
    ]);
    assert_eq!(answers(&feeder), []);
    assert_eq!(feeder.engine.blocked_clients(), 1);
}
