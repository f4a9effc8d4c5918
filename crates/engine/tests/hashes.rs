//! Commands on hashes.

mod harness;

use harness::{Client, START, limited_output};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex};
use tessera_engine::{Event, EventSink, ExpireCursor, Mode};
use tessera_resp::Protocol;

#[test]
fn fields_are_set_and_read() {
    Client::new().expect(&[
        ("hset h a 1 b two", ":2"),
        ("hset h a 3 c 4", ":1"),
        ("hset h a", "-ERR wrong number of arguments for 'hset' command"),
        ("hset h a 1 b", "-ERR wrong number of arguments for 'hset' command"),
        ("hmset h a 1 b", "-ERR wrong number of arguments for 'hmset' command"),
        ("hmset h d 5", "+OK"),
        ("hget h a", "$1|3"),
        ("hget h nosuch", "$-1"),
        ("hget nosuch a", "$-1"),
        ("hmget h b nosuch a", "*3|$3|two|$-1|$1|3"),
        ("hmget nosuch a b", "*2|$-1|$-1"),
        ("hgetall h", "*8|$1|a|$1|3|$1|b|$3|two|$1|c|$1|4|$1|d|$1|5"),
        ("hkeys h", "*4|$1|a|$1|b|$1|c|$1|d"),
        ("hvals h", "*4|$1|3|$3|two|$1|4|$1|5"),
        ("hgetall nosuch", "*0"),
        ("hlen h", ":4"),
        ("hlen nosuch", ":0"),
        ("hstrlen h b", ":3"),
        ("hstrlen h a", ":1"),
        ("hstrlen h nosuch", ":0"),
        ("hexists h a", ":1"),
        ("hexists h nosuch", ":0"),
        ("hsetnx h a 9", ":0"),
        ("hsetnx h e 9", ":1"),
        ("hdel h a nosuch a b", ":2"),
        ("hdel nosuch a", ":0"),
        ("hdel h c d e", ":3"),
        ("exists h", ":0"),
        ("set s x", "+OK"),
        ("hset s a 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("hget s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("hgetall s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("hdel s a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn in_the_third_protocol_a_hash_is_a_map() {
    let mut client = Client::new();
    client.protocol = Protocol::Resp3;
    client.expect(&[
        ("hset h a 1", ":1"),
        ("hgetall h", "%1|$1|a|$1|1"),
        ("hgetall nosuch", "%0"),
        ("hkeys h", "*1|$1|a"),
        ("hget h nosuch", "_"),
        ("hrandfield h 2 withvalues", "*1|*2|$1|a|$1|1"),
        ("hrandfield h -2 withvalues", "*2|*2|$1|a|$1|1|*2|$1|a|$1|1"),
        ("hrandfield nosuch", "_"),
        ("hrandfield nosuch 5", "*0"),
    ]);
}

#[test]
fn encodings_change_at_the_configured_limits() {
    let mut client = Client::new();
    client.expect(&[
        ("config set hash-max-listpack-entries 3 hash-max-listpack-value 5", "+OK"),
        ("hset h a 1 b 2 c 12345", ":3"),
        ("object encoding h", "$8|listpack"),
        ("hset h d 4", ":1"),
        ("object encoding h", "$9|hashtable"),
        ("hdel h b c d", ":3"),
        ("object encoding h", "$9|hashtable"),
        ("hset v a 123456", ":1"),
        ("object encoding v", "$9|hashtable"),
        ("hincrby n a 99999", ":99999"),
        ("object encoding n", "$8|listpack"),
        ("hincrby n a 1", ":100000"),
        ("object encoding n", "$9|hashtable"),
        ("hset t a 1", ":1"),
        ("hpexpire t 1000 FIELDS 1 a", "*1|:1"),
        ("object encoding t", "$9|hashtable"),
    ]);
}

#[test]
fn fields_count() {
    for entries in [512, 0] {
        let mut client = Client::new();
        client.run(&format!("config set hash-max-listpack-entries {entries}"));
        client.expect(&[
            ("hincrby h n 5", ":5"),
            ("hincrby h n -7", ":-2"),
            ("hincrby h n x", "-ERR value is not an integer or out of range"),
            ("hset h text abc max 9223372036854775807", ":2"),
            ("hincrby h text 1", "-ERR hash value is not an integer"),
            ("hincrby h max 1", "-ERR increment or decrement would overflow"),
            ("hincrbyfloat h n 0.5", "$4|-1.5"),
            ("hincrbyfloat h f 3", "$1|3"),
            ("hincrbyfloat h f x", "-ERR value is not a valid float"),
            ("hincrbyfloat h f inf", "-ERR value is NaN or Infinity"),
            ("hincrbyfloat h text 1", "-ERR hash value is not a float"),
            ("hset h huge 1e4932", ":1"),
            ("hincrbyfloat h huge 1e4932", "-ERR increment would produce NaN or Infinity"),
            ("set s x", "+OK"),
            ("hincrby s n 1", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ]);
    }
}

#[test]
fn chance_chooses_fields() {
    for (count, encoding) in [(20, "listpack"), (600, "hashtable")] {
        let mut client = Client::new();
        for n in 0..count {
            client.run(&format!("hset h f{n} v{n}"));
        }
        assert!(client.run("object encoding h").ends_with(encoding));
        let fields = |reply: String| -> Vec<String> {
            reply.split('|').skip(1).skip(1).step_by(2).map(str::to_owned).collect()
        };
        let all = fields(client.run(&format!("hrandfield h {}", count + 5)));
        assert_eq!(all.iter().collect::<BTreeSet<_>>().len(), count);
        let some = fields(client.run("hrandfield h 15"));
        assert_eq!((some.len(), some.iter().collect::<BTreeSet<_>>().len()), (15, 15));
        let pairs = fields(client.run("hrandfield h 15 withvalues"));
        assert_eq!(pairs.len(), 30);
        assert!(pairs.chunks(2).all(|pair| pair[0][1..] == pair[1][1..]));
        let repeated = fields(client.run("hrandfield h -2000"));
        assert_eq!(repeated.len(), 2000);
        assert!(repeated.iter().collect::<BTreeSet<_>>().len() > count / 2);
        assert!(client.run("hrandfield h").contains("|f"));
        client.expect(&[
            ("hrandfield h 0", "*0"),
            ("hrandfield h x", "-ERR value is not an integer or out of range"),
            ("hrandfield h 1 novalues", "-ERR syntax error"),
            ("hrandfield h 1 withvalues x", "-ERR syntax error"),
            ("hrandfield h 9223372036854775807 withvalues", "-ERR value is out of range"),
            ("hrandfield h -9223372036854770000 withvalues", "-ERR value is out of range"),
            (
                "hrandfield h -9223372036854775808",
                "-ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807",
            ),
        ]);
    }
}

/// The cursor and the elements of a scan's reply.
fn scanned(reply: &str) -> (String, Vec<String>) {
    let parts: Vec<&str> = reply.split('|').collect();
    let elements = parts[4..].iter().skip(1).step_by(2).map(|part| (*part).to_owned()).collect();
    (parts[2].to_owned(), elements)
}

#[test]
fn a_scan_shows_every_field_that_stays() {
    let mut client = Client::new();
    for n in 0..2000 {
        client.run(&format!("hset h stays:{n} x"));
    }
    let (mut cursor, mut seen, mut step) = ("0".to_owned(), BTreeSet::new(), 0);
    loop {
        let (next, fields) =
            scanned(&client.run(&format!("hscan h {cursor} match stays* novalues")));
        seen.extend(fields);
        for n in 0..20 {
            client.run(&format!("hset h passing:{step}:{n} x"));
            if step % 2 == 0 {
                client.run(&format!("hdel h passing:{}:{n}", step / 2));
            }
        }
        step += 1;
        cursor = next;
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 2000);
    assert!(step > 50, "{step} steps of about 10");
}

#[test]
fn a_small_hash_is_scanned_at_once() {
    Client::new().expect(&[
        ("hset h a1 1 a2 2 b 3", ":3"),
        ("hscan h 0", "*2|$1|0|*6|$2|a1|$1|1|$2|a2|$1|2|$1|b|$1|3"),
        ("hscan h 5 count 1 match a*", "*2|$1|0|*4|$2|a1|$1|1|$2|a2|$1|2"),
        ("hscan h 0 novalues", "*2|$1|0|*3|$2|a1|$2|a2|$1|b"),
        ("hscan h 0 match none", "*2|$1|0|*0"),
        ("hscan nosuch 0", "*2|$1|0|*0"),
        ("hscan h x", "-ERR invalid cursor"),
        ("hscan h 0 count 0", "-ERR syntax error"),
        ("hscan h 0 count", "-ERR syntax error"),
        ("hscan h 0 type hash", "-ERR syntax error"),
        ("hscan h 0 noscores", "-ERR NOSCORES option can only be used in ZSCAN"),
        ("scan 0 novalues", "-ERR NOVALUES option can only be used in HSCAN"),
        ("set s x", "+OK"),
        ("hscan s 0", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn fields_expire() {
    let mut client = Client::new();
    client.expect(&[
        ("hset h a 1 b 2 c 3", ":3"),
        ("hexpire h 10 FIELDS 3 a b nosuch", "*3|:1|:1|:-2"),
        ("hpexpire h 5000 FIELDS 1 b", "*1|:1"),
        ("httl h FIELDS 4 a b c nosuch", "*4|:10|:5|:-1|:-2"),
        ("hpttl h FIELDS 1 b", "*1|:5000"),
        ("hexpiretime h FIELDS 1 a", "*1|:1700000010"),
        ("hpexpiretime h FIELDS 1 a", "*1|:1700000010000"),
        ("httl nosuch FIELDS 2 a b", "*2|:-2|:-2"),
        ("hexpire nosuch 10 FIELDS 1 a", "*1|:-2"),
        ("hpersist h FIELDS 3 a c nosuch", "*3|:1|:-1|:-2"),
        ("hpersist nosuch FIELDS 1 a", "*1|:-2"),
    ]);
    client.now = START.plus(5000);
    client.expect(&[
        ("hget h b", "$-1"),
        ("hexists h b", ":0"),
        ("hstrlen h b", ":0"),
        ("hmget h a b", "*2|$1|1|$-1"),
        ("hgetall h", "*4|$1|a|$1|1|$1|c|$1|3"),
        ("hscan h 0 novalues", "*2|$1|0|*2|$1|a|$1|c"),
        ("hrandfield h 5", "*2|$1|a|$1|c"),
        ("hdel h b", ":0"),
        ("httl h FIELDS 1 b", "*1|:-2"),
        ("hexpire h 10 FIELDS 1 b", "*1|:-2"),
        ("hpersist h FIELDS 1 b", "*1|:-2"),
        // It counts until it is removed.
        ("hlen h", ":3"),
        ("hsetnx h b 9", ":1"),
        ("httl h FIELDS 1 b", "*1|:-1"),
        ("hlen h", ":3"),
    ]);
}

#[test]
fn conditions_on_expiries() {
    Client::new().expect(&[
        ("hset h a 1 b 2", ":2"),
        ("hexpire h 10 XX FIELDS 1 a", "*1|:0"),
        ("hexpire h 10 GT FIELDS 1 a", "*1|:0"),
        ("object encoding h", "$8|listpack"),
        ("hexpire h 10 LT FIELDS 1 a", "*1|:1"),
        ("hexpire h 10 NX FIELDS 2 a b", "*2|:0|:1"),
        ("hexpire h 20 LT FIELDS 1 a", "*1|:0"),
        ("hexpire h 20 GT FIELDS 1 a", "*1|:1"),
        ("hexpire h 5 XX FIELDS 1 a", "*1|:1"),
        (
            "hexpire h 5 NX XX FIELDS 1 a",
            "-ERR NX and XX, GT or LT options at the same time are not compatible",
        ),
        (
            "hexpire h 5 GT LT FIELDS 1 a",
            "-ERR GT and LT options at the same time are not compatible",
        ),
        ("hexpire h 5 WRONG FIELDS 1 a", "-ERR Unsupported option WRONG"),
        ("hexpire h x FIELDS 1 a", "-ERR value is not an integer or out of range"),
        ("hexpire h -1 FIELDS 1 a", "-ERR invalid expire time in 'hexpire' command"),
        (
            "hpexpire h 9223372036854775807 FIELDS 1 a",
            "-ERR invalid expire time in 'hpexpire' command",
        ),
        (
            "hexpire h 5 FIELDS 2 a",
            "-ERR numfields should be greater than 0 and match the provided number of fields",
        ),
        (
            "hexpire h 5 FIELDS 0 a",
            "-ERR numfields should be greater than 0 and match the provided number of fields",
        ),
        (
            "hexpire h 5 a 1 a",
            "-ERR numfields should be greater than 0 and match the provided number of fields",
        ),
        ("httl h FIELDS 2 a", "-ERR syntax error"),
        ("httl h FIELD 1 a", "-ERR syntax error"),
        ("hpersist h FIELDS x a", "-ERR value is not an integer or out of range"),
        // A moment that has passed removes the field.
        ("hexpireat h 1 GT FIELDS 2 a nosuch", "*2|:0|:-2"),
        ("hexpireat h 1 NX FIELDS 1 a", "*1|:0"),
        ("hexpireat h 1 FIELDS 2 a nosuch", "*2|:2|:-2"),
        ("hpexpireat h 1 FIELDS 1 b", "*1|:2"),
        ("exists h", ":0"),
        ("set s x", "+OK"),
        (
            "hexpire s 5 FIELDS 1 a",
            "-WRONGTYPE Operation against a key holding the wrong kind of value",
        ),
        ("httl s FIELDS 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn values_are_read_and_set_together_with_expiries() {
    const MISMATCH: &str =
        "-ERR numfields should be greater than 0 and match the provided number of fields";
    Client::new().expect(&[
        ("hsetex h EX 10 FIELDS 2 a 1 b 2", ":1"),
        ("httl h FIELDS 2 a b", "*2|:10|:10"),
        ("hsetex h KEEPTTL FIELDS 2 a 3 c 4", ":1"),
        ("httl h FIELDS 2 a c", "*2|:10|:-1"),
        ("hsetex h FIELDS 1 a 5", ":1"),
        ("httl h FIELDS 1 a", "*1|:-1"),
        ("hsetex h FNX PX 100 FIELDS 2 a 6 new 7", ":0"),
        ("hsetex h FXX PX 100 FIELDS 2 a 6 new 7", ":0"),
        ("hsetex h FXX PX 5000 FIELDS 1 a 6", ":1"),
        ("hsetex h FNX FIELDS 1 new 7", ":1"),
        ("hsetex h NX FIELDS 1 a 8", ":0"),
        ("hsetex nosuch XX FIELDS 1 a 8", ":0"),
        ("hsetex nosuch FXX FIELDS 1 a 8", ":0"),
        ("exists nosuch", ":0"),
        ("hsetex h FNX FXX FIELDS 1 a 8", "-ERR syntax error"),
        ("hsetex h EX 5 KEEPTTL FIELDS 1 a 8", "-ERR syntax error"),
        ("hsetex h EX FIELDS 1 a 8", "-ERR syntax error"),
        ("hsetex h EX 5 FIELDS 1 a 8 b", MISMATCH),
        ("hsetex h EX 5 FIELDS 2 a 8", MISMATCH),
        ("hsetex h EX 5 FIELDS 9223372036854775807 a 8", MISMATCH),
        ("hsetex h EX -5 FIELDS 1 a 8", "-ERR invalid expire time in 'hsetex' command"),
        ("hsetex h PXAT 1 FIELDS 1 new 1", ":1"),
        ("hexists h new", ":0"),
        ("hsetex h PXAT 1 FIELDS 1 new 1", ":1"),
        ("hsetex nosuch PXAT 1 FIELDS 1 new 1", ":1"),
        ("exists h nosuch", ":1"),
        ("hgetex h FIELDS 2 a nosuch", "*2|$1|6|$-1"),
        ("httl h FIELDS 1 a", "*1|:5"),
        ("hgetex h PERSIST FIELDS 1 a", "*1|$1|6"),
        ("httl h FIELDS 1 a", "*1|:-1"),
        ("hgetex h EXAT 1700000020 FIELDS 2 a c", "*2|$1|6|$1|4"),
        ("httl h FIELDS 2 a c", "*2|:20|:20"),
        ("hgetex h EX 5 PERSIST FIELDS 1 a", "-ERR syntax error"),
        ("hgetex h EX 0 FIELDS 1 a", "*1|$1|6"),
        ("hexists h a", ":0"),
        ("hgetex nosuch EX 5 FIELDS 1 a", "*1|$-1"),
        ("hgetex h EX 5 FIELDS 2 a", MISMATCH),
        ("hgetdel h FIELDS 3 b nosuch b", "*3|$1|2|$-1|$-1"),
        ("hgetdel h FIELDS 1 c", "*1|$1|4"),
        ("exists h", ":0"),
        ("hgetdel h FIELDS 1 c", "*1|$-1"),
        ("hgetdel h FIELDS 2 c", MISMATCH),
    ]);
}

#[test]
fn counting_keeps_an_expiry_and_setting_forgets_it() {
    let mut client = Client::new();
    client.expect(&[
        ("hsetex h EX 10 FIELDS 2 a 1 b 1", ":1"),
        ("hincrby h a 1", ":2"),
        ("hincrbyfloat h a 0.5", "$3|2.5"),
        ("hset h b 2", ":0"),
        ("httl h FIELDS 2 a b", "*2|:10|:-1"),
        ("copy h h2", ":1"),
        ("httl h2 FIELDS 2 a b", "*2|:10|:-1"),
        ("rename h2 h3", "+OK"),
    ]);
    client.now = START.plus(10_000);
    client.expect(&[
        ("hincrby h a 1", ":1"),
        ("httl h FIELDS 1 a", "*1|:-1"),
        ("hget h3 a", "$-1"),
    ]);
}

/// Lets active expiry come to its end.
fn expire_all(client: &Client) -> u64 {
    let expired = client.engine.expire_cycle(1, client.now, &mut ExpireCursor::default(), || true);
    assert!(expired.complete);
    expired.removed
}

#[test]
fn due_fields_are_removed_though_nobody_asks() {
    let mut client = Client::new();
    for n in 0..1000 {
        client.run(&format!("hset big f{n} v"));
        client.run(&format!("hpexpire big {} FIELDS 1 f{n}", 1000 + n % 2 * 1000));
    }
    client.expect(&[
        ("hset big stays v", ":1"),
        ("hset small a 1", ":1"),
        ("hexpire small 1 FIELDS 1 a", "*1|:1"),
        ("select 3", "+OK"),
        ("hsetex other EX 1 FIELDS 1 a 1", ":1"),
        ("select 0", "+OK"),
    ]);
    assert!(
        client
            .run("info keyspace")
            .contains("db0:keys=2,expires=0,avg_ttl=0,keys_with_volatile_items=2|")
    );
    assert_eq!(expire_all(&client), 0);
    client.now = START.plus(1000);
    assert_eq!(expire_all(&client), 502);
    client.expect(&[("hlen big", ":501"), ("exists small", ":0"), ("dbsize", ":1")]);
    assert_eq!(expire_all(&client), 0);
    client.now = START.plus(2000);
    assert_eq!(expire_all(&client), 500);
    client.expect(&[("hgetall big", "*2|$5|stays|$1|v"), ("hlen big", ":1")]);
    assert!(
        client
            .run("info keyspace")
            .contains("db0:keys=1,expires=0,avg_ttl=0,keys_with_volatile_items=0|")
    );
    assert!(client.run("info stats").contains("expired_fields:1002|"));
}

#[test]
fn a_replica_hides_due_fields_and_leaves_them() {
    let mut client = Client::new();
    client.expect(&[("hset h a 1 b 2", ":2"), ("hexpire h 1 FIELDS 1 a", "*1|:1")]);
    client.engine.set_mode(Mode::REPLICA, true);
    client.now = START.plus(1000);
    assert_eq!(expire_all(&client), 0);
    client.expect(&[("hgetall h", "*2|$1|b|$1|2"), ("hlen h", ":2")]);
    client.session.is_primary = true;
    client.expect(&[("hgetall h", "*4|$1|a|$1|1|$1|b|$1|2"), ("hdel h a", ":1")]);
}

/// The history of commands that run when the time of the field `due` of `h` has come, and that of
/// `x` of `ttl` has not.
fn told(commands: &[&str]) -> Vec<String> {
    let mut client = Client::new();
    client.run("hset h a 1 due 5");
    client.run("hexpire h 1 FIELDS 1 due");
    client.run("hsetex ttl EX 100 FIELDS 1 x 1");
    let mut reader = client.follow();
    client.now = START.plus(1000);
    commands.iter().for_each(|command| drop(client.run(command)));
    harness::told(&mut reader).into_iter().skip_while(|command| command == "SELECT 0").collect()
}

#[test]
fn replicas_are_told_what_was_done() {
    let none: &[&str] = &[];
    for (command, expected) in [
        ("hset h a 2", &["hset h a 2"][..]),
        ("hset h due 2", &["HDEL h due", "hset h due 2"]),
        ("hsetnx h due 2", &["HDEL h due", "hsetnx h due 2"]),
        ("hincrby h due 2", &["HDEL h due", "hincrby h due 2"]),
        ("hincrbyfloat h due 2", &["HDEL h due", "HSET h due 2"]),
        ("hincrbyfloat ttl x 2", &["HSETEX ttl KEEPTTL FIELDS 1 x 3"]),
        ("hsetex h KEEPTTL FIELDS 1 due 2", &["HDEL h due", "HSETEX h KEEPTTL FIELDS 1 due 2"]),
        ("hsetex h EX 10 FIELDS 1 a 2", &["HSETEX h PXAT 1700000011000 FIELDS 1 a 2"]),
        ("hsetex h FXX FIELDS 1 a 2", &["HSET h a 2"]),
        ("hsetex h PXAT 1 FIELDS 2 a 2 n 3", &["HDEL h a"]),
        ("hexpire h 10 FIELDS 3 a due n", &["HPEXPIREAT h 1700000011000 FIELDS 1 a"]),
        ("hexpire h 0 FIELDS 3 a due n", &["HDEL h a"]),
        ("hexpire h 10 XX FIELDS 1 a", none),
        ("hpersist ttl FIELDS 2 x y", &["HPERSIST ttl FIELDS 1 x"]),
        ("hpersist h FIELDS 1 due", none),
        ("hgetex h EX 10 FIELDS 2 a due", &["HPEXPIREAT h 1700000011000 FIELDS 1 a"]),
        ("hgetex ttl PERSIST FIELDS 1 x", &["HPERSIST ttl FIELDS 1 x"]),
        ("hgetex h PXAT 1 FIELDS 1 a", &["HDEL h a"]),
        ("hgetex h FIELDS 1 a", none),
        ("hgetdel h FIELDS 3 a due n", &["HDEL h a"]),
        ("hdel h due", none),
        ("hget h due", none),
    ] {
        assert_eq!(told(&[command]), expected, "{command}");
    }
}

/// Notes events as `class event key`.
#[derive(Default)]
struct Notes(Mutex<Vec<String>>);

impl EventSink for Notes {
    fn happened(&self, event: &Event<'_>) {
        let (letter, key) = (event.class.letter() as char, String::from_utf8_lossy(event.key));
        self.0.lock().unwrap().push(format!("{letter} {} {key}", event.event));
    }
}

#[test]
fn what_each_command_tells() {
    let none: &[&str] = &[];
    for (command, events) in [
        ("hset h a 2", &["h hset h"][..]),
        ("hset new a 2", &["n new new", "h hset new"]),
        ("hmset h a 2", &["h hset h"]),
        ("hsetnx h a 2", none),
        ("hsetnx h b 2", &["h hset h"]),
        ("hdel h a", &["h hdel h"]),
        ("hdel h a due", &["h hdel h"]),
        ("hdel one a", &["h hdel one", "g del one"]),
        ("hgetdel one FIELDS 1 a", &["h hdel one", "g del one"]),
        ("hincrby h a 1", &["h hincrby h"]),
        ("hincrbyfloat new a 1", &["n new new", "h hincrbyfloat new"]),
        ("hexpire h 10 FIELDS 1 a", &["h hexpire h"]),
        ("hexpire h 10 XX FIELDS 1 a", none),
        ("hexpire one 0 FIELDS 1 a", &["h hexpired one", "g del one"]),
        ("hgetex h EX 10 FIELDS 1 a", &["h hexpire h"]),
        ("hgetex h FIELDS 1 a", none),
        ("hsetex h EX 10 FIELDS 1 a 1", &["h hset h", "h hexpire h"]),
        ("hsetex h FIELDS 1 a 1", &["h hset h"]),
        ("hset h due 1", &["h hexpired h", "h hset h"]),
        ("hset all due 1", &["h hexpired all", "g del all", "n new all", "h hset all"]),
    ] {
        let (mut client, notes) = (Client::new(), Arc::new(Notes::default()));
        client.run("hset h a 1 due 1");
        client.run("hset one a 1");
        client.run("hset all due 1");
        client.run("hexpire h 1 FIELDS 1 due");
        client.run("hexpire all 1 FIELDS 1 due");
        client.now = START.plus(1000);
        client.engine.set_event_sink(notes.clone());
        assert_eq!(client.run("config set notify-keyspace-events KEAn"), "+OK");
        client.run(command);
        assert_eq!(*notes.0.lock().unwrap(), events, "{command}");
    }
}

#[test]
fn any_number_of_repetitions_ends_with_the_limit_of_the_output() {
    let mut client = Client::with(limited_output());
    client.run("hset s a 1 b 2");
    for count in ["-9223372036854775807", "-1000000000"] {
        let length = client.run(&format!("hrandfield s {count}")).len();
        assert!((500..2000).contains(&length), "{length}");
    }
    assert!(client.run("hrandfield s -5").starts_with("*5|"));
}
