//! Sorted sets, beyond what the comparison with a real server sees.

mod harness;

use harness::{Client, START, limited_output};
use tessera_config::Config;
use tessera_engine::{Outcome, Park};
use tessera_resp::Protocol;

/// A client of a server where sorted sets of more than this many members are trees.
fn client(entries: u64) -> Client {
    let mut config = Config::default();
    config.data.zset_max_listpack_entries = entries;
    Client::with(config)
}

/// Runs a story on packed sorted sets and on trees.
fn expect(story: &[(&str, &str)]) {
    for entries in [128, 0] {
        client(entries).expect(story);
    }
}

#[test]
fn members_are_added_under_conditions() {
    expect(&[
        ("zadd z 1 a 2 b", ":2"),
        ("zadd z 1 a 3 b", ":0"),
        ("zadd z CH 1 a 2 b 3 c", ":2"),
        ("zadd z NX 9 a 4 d", ":1"),
        ("zadd z XX CH 9 a 9 e", ":1"),
        ("zadd z GT CH 8 a 10 b", ":1"),
        ("zadd z LT CH 8 a 11 b", ":1"),
        ("zadd z INCR 2 a", "$2|10"),
        ("zadd z NX INCR 2 a", "$-1"),
        ("zadd missing XX INCR 2 a", "$-1"),
        ("zadd missing XX 2 a", ":0"),
        ("exists missing", ":0"),
        ("zincrby z 1.5 a", "$4|11.5"),
        ("zincrby z inf a", "$3|inf"),
        ("zincrby z -inf a", "-ERR resulting score is not a number (NaN)"),
        ("zincrby z nan a", "-ERR value is not a valid float"),
        ("zadd z NX XX 1 a", "-ERR XX and NX options at the same time are not compatible"),
        ("zadd z GT NX 1 a", "-ERR GT, LT, and/or NX options at the same time are not compatible"),
        ("zadd z INCR 1 a 2 b", "-ERR INCR option supports a single increment-element pair"),
        ("zadd z 1 a 2", "-ERR syntax error"),
        ("zadd z 1 f x g", "-ERR value is not a valid float"),
        ("zmscore z a f b", "*3|$3|inf|$-1|$2|10"),
        ("set s x", "+OK"),
        ("zadd s 1 a", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn ranges_by_rank_score_and_text() {
    expect(&[
        ("zadd z 1 a 2 b 3 c 4 d", ":4"),
        ("zrange z 1 2", "*2|$1|b|$1|c"),
        ("zrange z -2 -1 REV WITHSCORES", "*4|$1|b|$1|2|$1|a|$1|1"),
        ("zrevrange z 0 0", "*1|$1|d"),
        ("zrange z (1 3 BYSCORE", "*2|$1|b|$1|c"),
        ("zrange z +inf -inf BYSCORE REV LIMIT 1 2", "*2|$1|c|$1|b"),
        ("zrangebyscore z -inf +inf LIMIT 3 9", "*1|$1|d"),
        ("zrangebyscore z -inf +inf LIMIT 9 9", "*0"),
        ("zrangebyscore z -inf +inf LIMIT -1 9", "*0"),
        ("zrevrangebyscore z 3 2 WITHSCORES LIMIT 0 -1", "*4|$1|c|$1|3|$1|b|$1|2"),
        ("zcount z (1 (4", ":2"),
        ("zcount z 4 1", ":0"),
        (
            "zrange z 0 -1 LIMIT 0 1",
            "-ERR syntax error, LIMIT is only supported in combination with either BYSCORE or BYLEX",
        ),
        (
            "zrange z - + BYLEX WITHSCORES",
            "-ERR syntax error, WITHSCORES not supported in combination with BYLEX",
        ),
        ("zrange z x 1", "-ERR value is not an integer or out of range"),
        ("zrange z x 1 BYSCORE", "-ERR min or max is not a float"),
        ("zrank z c", ":2"),
        ("zrevrank z c WITHSCORE", "*2|:1|$1|3"),
        ("zrank z x", "$-1"),
        ("zrank z x WITHSCORE", "*-1"),
        ("zrangestore t z (1 4 BYSCORE LIMIT 1 2", ":2"),
        ("zrange t 0 -1 WITHSCORES", "*4|$1|c|$1|3|$1|d|$1|4"),
        ("zrangestore t z 9 10", ":0"),
        ("exists t", ":0"),
        ("zadd l 0 a 0 b 0 c", ":3"),
        ("zrangebylex l [b +", "*2|$1|b|$1|c"),
        ("zrevrangebylex l (c - LIMIT 0 1", "*1|$1|b"),
        ("zrange l - (b BYLEX", "*1|$1|a"),
        ("zlexcount l - +", ":3"),
        ("zlexcount l b +", "-ERR min or max not valid string range item"),
        ("zremrangebylex l [b [b", ":1"),
        ("zremrangebyscore z (3 inf", ":1"),
        ("zremrangebyrank z 0 0", ":1"),
        ("zrem z b x b", ":1"),
        ("zcard z", ":1"),
        ("zremrangebyrank z 0 -1", ":1"),
        ("exists z", ":0"),
    ]);
}

#[test]
fn scores_are_written_as_redis_writes_them() {
    for (score, text) in [
        ("0.1", "$3|0.1"),
        ("1e20", "$5|1e+20"),
        ("-1e-8", "$5|-1e-8"),
        ("3.0", "$1|3"),
        ("123456789012", "$12|123456789012"),
        ("-inf", "$4|-inf"),
        ("0x1p4", "$2|16"),
    ] {
        expect(&[(&format!("zadd z {score} a"), ":1"), ("zscore z a", text)]);
    }
    // A listpack has integers, and so no negative zero.
    client(0).expect(&[("zadd z -0 a", ":1"), ("zscore z a", "$2|-0")]);
    client(9).expect(&[("zadd z -0 a", ":1"), ("zscore z a", "$1|0")]);
}

#[test]
fn members_are_taken_from_the_ends() {
    expect(&[
        ("zadd z 1 a 2 b 3 c 4 d 5 e", ":5"),
        ("zpopmin z", "*2|$1|a|$1|1"),
        ("zpopmax z 2", "*4|$1|e|$1|5|$1|d|$1|4"),
        ("zpopmin z 0", "*0"),
        ("zpopmin z -1", "-ERR value is out of range, must be positive"),
        ("zmpop 2 missing z MAX COUNT 1", "*2|$1|z|*1|*2|$1|c|$1|3"),
        ("zmpop 0 z MAX", "-ERR numkeys should be greater than 0"),
        ("zmpop 1 z MAX COUNT 0", "-ERR count should be greater than 0"),
        ("zmpop 1 z TOP", "-ERR syntax error"),
        ("bzpopmin missing z 0", "*3|$1|z|$1|b|$1|2"),
        ("exists z", ":0"),
        ("zmpop 1 z MIN", "*-1"),
    ]);
}

#[test]
fn pairs_in_the_third_protocol() {
    for entries in [128, 0] {
        let mut client = client(entries);
        client.protocol = Protocol::Resp3;
        client.expect(&[
            ("zadd z 1 a 2.5 b", ":2"),
            ("zrange z 0 -1 WITHSCORES", "*2|*2|$1|a|,1|*2|$1|b|,2.5"),
            ("zscore z b", ",2.5"),
            ("zadd z INCR 1 b", ",3.5"),
            ("zrandmember z 2 WITHSCORES", "*2|*2|$1|a|,1|*2|$1|b|,3.5"),
            ("zscan z 0 MATCH b", "*2|$1|0|*2|$1|b|$3|3.5"),
            ("zscan z 0 MATCH b NOSCORES", "*2|$1|0|*1|$1|b"),
            ("zunion 1 z WITHSCORES", "*2|*2|$1|a|,1|*2|$1|b|,3.5"),
            ("zrank z b WITHSCORE", "*2|:1|,3.5"),
            ("zpopmin z", "*2|$1|a|,1"),
            ("zpopmin z 1", "*1|*2|$1|b|,3.5"),
            ("zrank z b WITHSCORE", "_"),
        ]);
    }
}

#[test]
fn unions_intersections_and_differences() {
    expect(&[
        ("zadd x 1 a 2 b 3 c", ":3"),
        ("zadd y 10 b 20 c 30 d", ":3"),
        ("zunion 2 x y WITHSCORES", "*8|$1|a|$1|1|$1|b|$2|12|$1|c|$2|23|$1|d|$2|30"),
        ("zunion 2 x y WEIGHTS 2 0 AGGREGATE MAX", "*4|$1|d|$1|a|$1|b|$1|c"),
        ("zinter 2 x y WITHSCORES AGGREGATE MIN", "*4|$1|b|$1|2|$1|c|$1|3"),
        ("zinter 2 x missing", "*0"),
        ("zdiff 2 x y WITHSCORES", "*2|$1|a|$1|1"),
        ("zdiff 2 x x", "*0"),
        ("zintercard 2 x y", ":2"),
        ("zintercard 2 x y LIMIT 1", ":1"),
        ("zintercard 2 x y LIMIT -1", "-ERR LIMIT can't be negative"),
        ("zunionstore t 2 x y WEIGHTS 1 0.5", ":4"),
        ("zscore t d", "$2|15"),
        ("zinterstore t 2 x y", ":2"),
        ("zrange t 0 -1", "*2|$1|b|$1|c"),
        ("zdiffstore t 2 x y", ":1"),
        ("zdiffstore t 2 x x", ":0"),
        ("exists t", ":0"),
        ("zunion 0 x", "-ERR at least 1 input key is needed for 'zunion' command"),
        ("zunion 3 x y", "-ERR syntax error"),
        ("zunionstore t 1 x WEIGHTS a", "-ERR weight value is not a float"),
        ("zunionstore x 2 x x", ":3"),
        ("zscore x c", "$1|6"),
        ("zadd p inf a", ":1"),
        ("zadd m -inf a", ":1"),
        ("zunion 2 p m WITHSCORES", "*2|$1|a|$1|0"),
        ("set s x", "+OK"),
        ("zunion 2 p s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn encodings_follow_the_thresholds() {
    let mut client = client(3);
    client.expect(&[
        ("zadd z 1 a 2 b 3 c", ":3"),
        ("object encoding z", "$8|listpack"),
        ("zadd z 4 d", ":1"),
        ("object encoding z", "$8|skiplist"),
        ("zrem z d c", ":2"),
        ("object encoding z", "$8|skiplist"),
        ("zrangestore t z 0 -1", ":2"),
        ("object encoding t", "$8|listpack"),
        ("zadd four 1 a 1 a 1 a 1 a", ":1"),
        ("object encoding four", "$8|skiplist"),
        ("copy z y", ":1"),
        ("zrange y 0 -1 WITHSCORES", "*4|$1|a|$1|1|$1|b|$1|2"),
    ]);
    let long = "x".repeat(65);
    client.expect(&[
        (&format!("zadd long 1 {long}"), ":1"),
        ("object encoding long", "$8|skiplist"),
        ("zunionstore u 1 long", ":1"),
        ("object encoding u", "$8|skiplist"),
    ]);
}

#[test]
fn random_members() {
    for entries in [128, 0] {
        let mut client = client(entries);
        let members: Vec<String> = (0..30).map(|n| format!("{n} m{n}")).collect();
        client.run(&format!("zadd z {}", members.join(" ")));
        let mut seen = std::collections::BTreeSet::new();
        for _ in 0..600 {
            seen.insert(client.run("zrandmember z"));
        }
        assert_eq!(seen.len(), 30);
        for count in [1, 5, 25, 30, 99] {
            let reply = client.run(&format!("zrandmember z {count}"));
            let mut parts: Vec<&str> =
                reply.split('|').filter(|part| part.starts_with('m')).collect();
            parts.sort_unstable();
            parts.dedup();
            assert_eq!(parts.len(), count.min(30), "{reply}");
        }
        assert!(client.run("zrandmember z -50").starts_with("*50|"));
        assert!(client.run("zrandmember z -5 WITHSCORES").starts_with("*10|"));
        client.expect(&[
            ("zrandmember z 0", "*0"),
            ("zrandmember missing", "$-1"),
            ("zrandmember missing 3", "*0"),
            ("zrandmember z -9223372036854775807 WITHSCORES", "-ERR value is out of range"),
        ]);
    }
}

#[test]
fn a_scan_shows_every_member_of_a_tree() {
    let mut client = client(0);
    for n in 0..500 {
        client.run(&format!("zadd z {n} m{n}"));
    }
    let (mut cursor, mut seen) = ("0".to_owned(), std::collections::BTreeSet::new());
    loop {
        let reply = client.run(&format!("zscan z {cursor} COUNT 20"));
        let parts: Vec<&str> = reply.split('|').collect();
        cursor = parts[2].to_owned();
        seen.extend(
            parts[3..].iter().filter(|part| part.starts_with('m')).map(|part| part.to_string()),
        );
        if cursor == "0" {
            break;
        }
    }
    assert_eq!(seen.len(), 500);
}

#[test]
fn clients_wait_for_members() {
    let mut client = client(128);
    for command in ["bzpopmin a b 1", "bzpopmax a b 0", "bzmpop 2.5 2 a b MIN COUNT 3"] {
        let mut waiting = client.another();
        assert_eq!(waiting.run(command), "", "{command}");
        assert!(matches!(waiting.outcome, Outcome::Wait(Park::Blocked { .. })), "{command}");
        let before = client.host.answers.lock().unwrap().len();
        client.run("zadd b 1 x 2 y");
        assert!(client.host.answers.lock().unwrap().len() > before, "{command} was answered");
        client.run("del b");
    }
    client.expect(&[
        ("bzpopmin a x", "-ERR timeout is not a float or out of range"),
        ("bzpopmin a -1", "-ERR timeout is negative"),
        ("bzmpop 0 0 a MIN", "-ERR numkeys should be greater than 0"),
    ]);
    client.now = START.plus(1);
}

#[test]
fn any_number_of_repetitions_ends_with_the_limit_of_the_output() {
    let mut client = Client::with(limited_output());
    client.run("zadd s 1 a 2 b");
    for count in ["-9223372036854775807", "-1000000000"] {
        let length = client.run(&format!("zrandmember s {count}")).len();
        assert!((500..2000).contains(&length), "{length}");
    }
    assert!(client.run("zrandmember s -5").starts_with("*5|"));
}

#[test]
fn rev_is_said_once() {
    Client::new().expect(&[
        ("zadd z 1 a 2 b", ":2"),
        ("zrange z 0 -1 rev", "*2|$1|b|$1|a"),
        ("zrange z 0 -1 rev rev", "-ERR syntax error"),
        ("zrangestore y z 0 -1 rev rev", "-ERR syntax error"),
    ]);
}
