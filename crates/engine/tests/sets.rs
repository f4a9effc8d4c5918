//! Sets: replies, encodings, what is told of them.

mod harness;

use harness::{Client, limited_output};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tessera_engine::{Event, EventSink};
use tessera_resp::Protocol;

const WRONG_TYPE: &str = "-WRONGTYPE Operation against a key holding the wrong kind of value";

/// The bulk strings of a reply, which has no others of the shape.
fn bulks(reply: &str) -> BTreeSet<String> {
    reply
        .split('|')
        .filter(|part| !part.starts_with(['*', '~', '$', ':']))
        .map(str::to_owned)
        .collect()
}

fn words(text: &str) -> BTreeSet<String> {
    text.split(' ').filter(|word| !word.is_empty()).map(str::to_owned).collect()
}

#[test]
fn members_come_and_go() {
    Client::new().expect(&[
        ("sadd s 1 2 2 1", ":2"),
        ("sadd s 2", ":0"),
        ("scard s", ":2"),
        ("smembers s", "*2|$1|1|$1|2"),
        ("sismember s 1", ":1"),
        ("sismember s 01", ":0"),
        ("sismember nosuch 1", ":0"),
        ("smismember s 1 a 2", "*3|:1|:0|:1"),
        ("smismember nosuch 1 a", "*2|:0|:0"),
        ("srem s a b", ":0"),
        ("srem s 1 a 1", ":1"),
        ("srem s 2 3", ":1"),
        ("exists s", ":0"),
        ("srem s 2", ":0"),
        ("scard s", ":0"),
        ("smembers s", "*0"),
        ("set string x", "+OK"),
        ("sadd string a", WRONG_TYPE),
        ("srem string a", WRONG_TYPE),
        ("sismember string a", WRONG_TYPE),
        ("smismember string a", WRONG_TYPE),
        ("scard string", WRONG_TYPE),
        ("smembers string", WRONG_TYPE),
    ]);
}

#[test]
fn a_member_moves() {
    Client::new().expect(&[
        ("sadd a 1 x", ":2"),
        ("set string x", "+OK"),
        ("smove nosuch string 1", ":0"),
        ("smove a string 1", WRONG_TYPE),
        ("smove string a 1", WRONG_TYPE),
        ("smove a b nosuch", ":0"),
        ("exists b", ":0"),
        ("smove a a x", ":1"),
        ("smove a a nosuch", ":0"),
        ("smove a b 1", ":1"),
        ("smembers b", "*1|$1|1"),
        ("object encoding b", "$6|intset"),
        ("sadd b x", ":1"),
        ("object encoding b", "$8|listpack"),
        ("smove a b x", ":1"),
        ("exists a", ":0"),
        ("scard b", ":2"),
    ]);
}

#[test]
fn encodings_follow_the_configured_limits() {
    Client::new().expect(&[
        ("config set set-max-intset-entries 2 set-max-listpack-entries 3 set-max-listpack-value 4", "+OK"),
        ("sadd a 1 2", ":2"),
        ("object encoding a", "$6|intset"),
        ("sadd a 3", ":1"),
        ("object encoding a", "$9|hashtable"),
        ("srem a 3", ":1"),
        ("object encoding a", "$9|hashtable"),
        // All given members may be added: the room for them is taken at once.
        ("sadd b 1 1 1", ":1"),
        ("object encoding b", "$8|listpack"),
        ("sadd c 1", ":1"),
        ("sadd c 1 1 1", ":0"),
        ("object encoding c", "$9|hashtable"),
        ("sadd d abc 12345", ":2"),
        ("object encoding d", "$9|hashtable"),
        ("sadd e a b c", ":3"),
        ("object encoding e", "$8|listpack"),
        ("sadd e d", ":1"),
        ("object encoding e", "$9|hashtable"),
        // Results are made anew.
        ("sadd f 1 x y z", ":4"),
        ("sadd g 1 2 x", ":3"),
        ("sinterstore r f g", ":2"),
        ("object encoding r", "$8|listpack"),
        ("sadd h 1 q r s", ":4"),
        ("sinterstore r f h", ":1"),
        ("object encoding r", "$6|intset"),
        ("sunionstore r h", ":4"),
        ("object encoding r", "$9|hashtable"),
        ("sdiffstore r g f", ":1"),
        ("object encoding r", "$6|intset"),
    ]);
}

#[test]
fn algebra_of_all_forms() {
    let mut client = Client::new();
    client.expect(&[
        ("sadd ints 1 2 3 4", ":4"),
        ("sadd packed 2 3 x y", ":4"),
        ("set string x", "+OK"),
        ("config set set-max-listpack-entries 0", "+OK"),
        ("sadd table 3 4 x z", ":4"),
        ("object encoding table", "$9|hashtable"),
    ]);
    for (command, result) in [
        ("ints", ["1 2 3 4", "1 2 3 4", "1 2 3 4"]),
        ("ints ints", ["1 2 3 4", "1 2 3 4", ""]),
        ("ints packed", ["2 3", "1 2 3 4 x y", "1 4"]),
        ("packed ints", ["2 3", "1 2 3 4 x y", "x y"]),
        ("ints table", ["3 4", "1 2 3 4 x z", "1 2"]),
        ("table ints", ["3 4", "1 2 3 4 x z", "x z"]),
        ("table packed", ["3 x", "2 3 4 x y z", "4 z"]),
        ("ints packed table", ["3", "1 2 3 4 x y z", "1"]),
        ("packed nosuch", ["", "2 3 x y", "2 3 x y"]),
        ("nosuch packed", ["", "2 3 x y", ""]),
        ("nosuch nosuch", ["", "", ""]),
    ] {
        for (verb, result) in ["sinter", "sunion", "sdiff"].into_iter().zip(result) {
            let (result, count) = (words(result), words(result).len());
            let reply = client.run(&format!("{verb} {command}"));
            assert_eq!(
                (bulks(&reply), reply.split('|').next()),
                (result.clone(), Some(&*format!("*{count}"))),
                "{verb} {command}"
            );
            let stored = client.run(&format!("{verb}store result {command}"));
            assert_eq!(stored, format!(":{count}"), "{verb}store {command}");
            assert_eq!(bulks(&client.run("smembers result")), result, "{verb}store {command}");
            assert_eq!(client.run("exists result"), format!(":{}", usize::from(count > 0)));
        }
        let keys = command.split(' ').count();
        let (all, expected) =
            (client.run(&format!("sintercard {keys} {command}")), words(result[0]).len());
        assert_eq!(all, format!(":{expected}"), "{command}");
        let some = client.run(&format!("sintercard {keys} {command} LIMIT 1"));
        assert_eq!(some, format!(":{}", expected.min(1)), "{command}");
    }
    for verb in [
        "sinter",
        "sunion",
        "sdiff",
        "sinterstore r",
        "sunionstore r",
        "sdiffstore r",
        "sintercard 3",
    ] {
        let reply = client.run(&format!("{verb} nosuch ints string"));
        assert_eq!(reply, WRONG_TYPE, "{verb}");
    }
}

#[test]
fn a_stored_result_takes_the_place_of_anything() {
    Client::new().expect(&[
        ("sadd a 1 2", ":2"),
        ("set r x EX 100", "+OK"),
        ("sunionstore r a", ":2"),
        ("ttl r", ":-1"),
        ("sunionstore a a a", ":2"),
        ("sdiffstore a a a", ":0"),
        ("exists a", ":0"),
        ("sinterstore r nosuch r", ":0"),
        ("exists r", ":0"),
    ]);
}

#[test]
fn sintercard_checks_its_arguments() {
    Client::new().expect(&[
        ("sadd a 1 2 3", ":3"),
        ("sintercard 0 a", "-ERR numkeys should be greater than 0"),
        ("sintercard x a", "-ERR numkeys should be greater than 0"),
        ("sintercard 2 a", "-ERR Number of keys can't be greater than number of args"),
        (
            "sintercard 9223372036854775807 a",
            "-ERR Number of keys can't be greater than number of args",
        ),
        ("sintercard 1 a b", "-ERR syntax error"),
        ("sintercard 1 a LIMIT", "-ERR syntax error"),
        ("sintercard 1 a LIMIT -1", "-ERR LIMIT can't be negative"),
        ("sintercard 1 a LIMIT x", "-ERR LIMIT can't be negative"),
        ("sintercard 1 a LIMIT 0", ":3"),
        ("sintercard 1 a LIMIT 1 limit 2", ":2"),
        ("command getkeys sintercard 2 a b limit 1", "*2|$1|a|$1|b"),
    ]);
}

/// A client with the members from 0 to 19 in the set `key`, of each of the forms.
fn with_forms() -> Vec<(Client, Vec<String>)> {
    let forms = [("", 512, "intset"), ("m", 512, "listpack"), ("m", 0, "hashtable")];
    let make = |(prefix, limit, encoding): (&str, i32, &str)| {
        let members: Vec<String> = (0..20).map(|n| format!("{prefix}{n}")).collect();
        let mut client = Client::new();
        client.run(&format!("config set set-max-listpack-entries {limit}"));
        assert_eq!(client.run(&format!("sadd key {}", members.join(" "))), ":20");
        assert!(client.run("object encoding key").ends_with(encoding));
        (client, members)
    };
    forms.into_iter().map(make).collect()
}

#[test]
fn random_members_are_members() {
    for (mut client, members) in with_forms() {
        let all: BTreeSet<String> = members.into_iter().collect();
        for count in [0, 1, 2, 5, 10, 15, 19, 20, 30] {
            let reply = client.run(&format!("srandmember key {count}"));
            let (shown, wanted) = (bulks(&reply), count.min(20));
            assert!(reply.starts_with(&format!("*{wanted}")), "{reply}");
            assert!(shown.len() == wanted && shown.is_subset(&all), "{reply}");
            if count == 0 {
                continue;
            }
            let reply = client.run(&format!("srandmember key -{count}"));
            assert!(reply.starts_with(&format!("*{count}")), "{reply}");
            assert_eq!(reply.matches('$').count(), count);
            assert!(bulks(&reply).is_subset(&all), "{reply}");
        }
        let one = client.run("srandmember key");
        assert!(all.contains(one.split('|').nth(1).expect("a bulk string")), "{one}");
        assert_eq!(client.run("scard key"), ":20");
    }
    Client::new().expect(&[
        ("set string x", "+OK"),
        ("srandmember nosuch", "$-1"),
        ("srandmember nosuch 3", "*0"),
        ("srandmember string", WRONG_TYPE),
        ("srandmember nosuch x", "-ERR value is not an integer or out of range"),
        (
            "srandmember nosuch -9223372036854775808",
            "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
        ),
        ("srandmember nosuch 1 2", "-ERR syntax error"),
    ]);
}

#[test]
fn popped_members_are_gone() {
    for (mut client, members) in with_forms() {
        let mut left: BTreeSet<String> = members.into_iter().collect();
        for count in [1, 3, 0, 13] {
            let popped = bulks(&client.run(&format!("spop key {count}")));
            assert!(popped.len() == count && popped.is_subset(&left));
            left.retain(|member| !popped.contains(member));
            assert_eq!(bulks(&client.run("smembers key")), left);
        }
        let one = bulks(&client.run("spop key"));
        assert!(one.len() == 1 && one.is_subset(&left));
        left.retain(|member| !one.contains(member));
        assert_eq!(bulks(&client.run("spop key 100")), left);
        assert_eq!(client.run("exists key"), ":0");
    }
    Client::new().expect(&[
        ("set string x", "+OK"),
        ("sadd s a", ":1"),
        ("spop s", "$1|a"),
        ("exists s", ":0"),
        ("spop nosuch", "$-1"),
        ("spop nosuch 3", "*0"),
        ("spop string", WRONG_TYPE),
        ("spop string 0", WRONG_TYPE),
        ("spop nosuch -1", "-ERR value is out of range, must be positive"),
        ("spop nosuch x", "-ERR value is out of range, must be positive"),
        ("spop nosuch 1 2", "-ERR syntax error"),
    ]);
}

#[test]
fn resp3_has_sets() {
    let mut client = Client::new();
    client.protocol = Protocol::Resp3;
    client.expect(&[
        ("sadd s 1 2 3", ":3"),
        ("smembers s", "~3|$1|1|$1|2|$1|3"),
        ("sinter s s", "~3|$1|1|$1|2|$1|3"),
        ("sunion s nosuch", "~3|$1|1|$1|2|$1|3"),
        ("sdiff s nosuch", "~3|$1|1|$1|2|$1|3"),
        ("sdiff nosuch s", "~0"),
        ("sinter nosuch s", "~0"),
        ("smembers nosuch", "~0"),
        ("sismember s 1", ":1"),
        ("smismember s 1", "*1|:1"),
        ("srandmember s 5", "*3|$1|1|$1|2|$1|3"),
        ("srandmember nosuch", "_"),
        ("spop nosuch", "_"),
        ("spop nosuch 2", "~0"),
        ("spop s 0", "~0"),
        ("spop s 3", "~3|$1|1|$1|2|$1|3"),
    ]);
}

#[test]
fn a_scan_meets_all_members() {
    for (mut client, members) in with_forms() {
        let (mut cursor, mut met) = ("0".to_owned(), BTreeSet::new());
        loop {
            let reply = client.run(&format!("sscan key {cursor} COUNT 3"));
            let (head, page) = reply.split_once("|*").expect("a cursor and a page");
            cursor = head.rsplit('|').next().expect("a cursor").to_owned();
            met.extend(bulks(page.split_once('|').map_or("", |(_, members)| members)));
            if cursor == "0" {
                break;
            }
        }
        assert_eq!(met, members.iter().cloned().collect());
        let odd = bulks(&client.run("sscan key 0 MATCH *7 COUNT 100"));
        let expected = members.iter().filter(|member| member.ends_with('7')).cloned();
        assert_eq!(odd, expected.chain(["0".to_owned()]).collect());
    }
    Client::new().expect(&[
        ("set string x", "+OK"),
        ("sscan nosuch 0", "*2|$1|0|*0"),
        ("sscan nosuch x", "-ERR invalid cursor"),
        ("sscan string 0", WRONG_TYPE),
        ("sadd s a", ":1"),
        ("sscan s 0 COUNT 0", "-ERR syntax error"),
        ("sscan s 0 NOVALUES", "-ERR NOVALUES option can only be used in HSCAN"),
        ("sscan s 0 TYPE set", "-ERR syntax error"),
    ]);
}

/// The history of a command, after some others: arguments with spaces between them, one command a
/// line.
fn history(before: &[&str], command: &str) -> Vec<String> {
    let mut client = Client::new();
    before.iter().for_each(|line| drop(client.run(line)));
    let mut reader = client.follow();
    client.run(command);
    let mut commands = harness::told(&mut reader);
    commands.retain(|command| command != "SELECT 0");
    commands
}

#[test]
fn replicas_do_what_was_done() {
    let before = ["sadd s a b c", "sadd t a", "config set lazyfree-lazy-server-del no"];
    for (command, told) in [
        ("sadd s x", "sadd s x"),
        ("srem s a", "srem s a"),
        ("smove s t b", "smove s t b"),
        ("spop t", "SREM t a"),
        ("spop t 1", "DEL t"),
        ("sinterstore r s t", "sinterstore r s t"),
        ("sunionstore r s t", "sunionstore r s t"),
        ("sdiffstore t s s", "sdiffstore t s s"),
    ] {
        assert_eq!(history(&before, command), [told], "{command}");
    }
    for command in [
        "sadd s a b",
        "srem s x",
        "smove s s a",
        "smove s t x",
        "spop none",
        "spop s 0",
        "sdiffstore r s s",
    ] {
        assert_eq!(history(&before, command), [""; 0], "{command}");
    }
}

#[test]
fn many_popped_members_are_told_in_batches() {
    let members: BTreeSet<String> = (0..3000).map(|n| format!("m{n}")).collect();
    let add = format!("sadd s {}", members.iter().cloned().collect::<Vec<_>>().join(" "));
    for count in [2000, 2900] {
        let told = history(&[&add], &format!("spop s {count}"));
        let mut gone = BTreeSet::new();
        for command in &told[1..told.len() - 1] {
            let batch = words(command.strip_prefix("SREM s ").expect("a removal"));
            assert!(batch.len() <= 1024);
            gone.extend(batch);
        }
        assert_eq!((told[0].as_str(), told[told.len() - 1].as_str()), ("MULTI", "EXEC"));
        assert!(gone.len() == count && gone.is_subset(&members));
    }
}

/// Notes events as `class event key`.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl EventSink for Notes {
    fn happened(&self, event: &Event<'_>) {
        let (class, key) = (event.class.letter() as char, String::from_utf8_lossy(event.key));
        self.0.lock().unwrap().push(format!("{class} {} {key}", event.event));
    }
}

#[test]
fn what_each_command_tells() {
    let none: &[&str] = &[];
    for (command, told) in [
        ("sadd s a b", none),
        ("sadd s c", &["s sadd s"]),
        ("sadd n c", &["n new n", "s sadd n"]),
        ("srem s x", none),
        ("srem s a", &["s srem s"]),
        ("srem s a b", &["s srem s", "g del s"]),
        ("smove s s a", none),
        ("smove s t a", &["s srem s"]),
        ("smove s t b", &["s srem s", "s sadd t"]),
        ("smove t n a", &["s srem t", "g del t", "n new n", "s sadd n"]),
        ("spop s", &["s spop s"]),
        ("spop t", &["s spop t", "g del t"]),
        ("spop s 1", &["s spop s"]),
        ("spop s 0", none),
        ("spop s 2", &["s spop s", "g del s"]),
        ("sinterstore n s t", &["n new n", "s sinterstore n"]),
        ("sunionstore t s t", &["s sunionstore t"]),
        ("sdiffstore t s t", &["s sdiffstore t"]),
        ("sdiffstore t s s", &["g del t"]),
        ("sdiffstore n s s", none),
    ] {
        let (mut client, notes) = (Client::new(), Arc::new(Notes::default()));
        client.expect(&[("sadd s a b", ":2"), ("sadd t a", ":1")]);
        client.engine.set_event_sink(notes.clone());
        assert_eq!(client.run("config set notify-keyspace-events AnK"), "+OK");
        client.run(command);
        assert_eq!(*notes.0.lock().unwrap(), told, "{command}");
    }
}

#[test]
fn any_number_of_repetitions_ends_with_the_limit_of_the_output() {
    let mut client = Client::with(limited_output());
    client.run("sadd s a b");
    for count in ["-9223372036854775807", "-1000000000"] {
        let length = client.run(&format!("srandmember s {count}")).len();
        assert!((500..2000).contains(&length), "{length}");
    }
    assert!(client.run("srandmember s -5").starts_with("*5|"));
}
