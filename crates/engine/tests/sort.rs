//! SORT and SORT_RO.

mod harness;

use harness::Client;

#[test]
fn numbers_and_texts() {
    Client::new().expect(&[
        ("rpush l 10 2 -1 3.5 2", ":5"),
        ("sort l", "*5|$2|-1|$1|2|$1|2|$3|3.5|$2|10"),
        ("sort_ro l DESC", "*5|$2|10|$3|3.5|$1|2|$1|2|$2|-1"),
        ("sort l ALPHA", "*5|$2|-1|$2|10|$1|2|$1|2|$3|3.5"),
        ("sort l LIMIT 1 2", "*2|$1|2|$1|2"),
        ("sort l desc limit 0 1", "*1|$2|10"),
        ("sort l limit 3 -1", "*2|$3|3.5|$2|10"),
        ("sort l limit 9 1", "*0"),
        ("sort l limit 0 0", "*0"),
        ("sort none", "*0"),
        ("rpush m 1 x", ":2"),
        ("sort m", "-ERR One or more scores can't be converted into double"),
        ("sort m alpha desc", "*2|$1|x|$1|1"),
        ("set s v", "+OK"),
        ("sort s", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
        ("sort l limit 1", "-ERR syntax error"),
        ("sort l limit x 1", "-ERR value is not an integer or out of range"),
        ("sort l sideways", "-ERR syntax error"),
        ("sort_ro l store m", "-ERR syntax error"),
        ("sort l by", "-ERR syntax error"),
    ]);
}

#[test]
fn by_other_keys() {
    Client::new().expect(&[
        ("rpush l a b c d", ":4"),
        ("mset w:a 3 w:b 1 w:d -2", "+OK"),
        ("sort l by w:*", "*4|$1|d|$1|c|$1|b|$1|a"),
        ("sort l by w:* desc limit 0 2", "*2|$1|a|$1|b"),
        ("mset n:a x n:b w n:d x", "+OK"),
        ("sort l by n:* alpha", "*4|$1|c|$1|b|$1|a|$1|d"),
        ("sort l by n:* alpha desc", "*4|$1|a|$1|d|$1|b|$1|c"),
        ("sort l by n:*", "-ERR One or more scores can't be converted into double"),
        ("sort l by nothing", "*4|$1|a|$1|b|$1|c|$1|d"),
        ("sort l by nothing desc limit 1 2", "*2|$1|c|$1|b"),
        ("sort l by nothing limit 2 9", "*2|$1|c|$1|d"),
        ("sort l by nothing limit 9 9", "*0"),
        ("sort_ro l by w:* get #", "*4|$1|d|$1|c|$1|b|$1|a"),
    ]);
}

#[test]
fn what_other_keys_hold() {
    Client::new().expect(&[
        ("rpush l 2 1", ":2"),
        ("mset v:1 one v:2 2 x:1-> arrow", "+OK"),
        ("rpush v:3 x", ":1"),
        ("sort l get v:* get # get none get no:*", "*8|$3|one|$1|1|$-1|$-1|$1|2|$1|2|$-1|$-1"),
        ("sort l get x:*->", "*2|$5|arrow|$-1"),
        ("sort l get v:*->field", "*2|$-1|$-1"),
        ("rpush l 3", ":3"),
        ("sort_ro l get v:*", "*3|$3|one|$1|2|$-1"),
    ]);
}

#[test]
fn what_is_stored() {
    Client::new().expect(&[
        ("rpush l 3 1 2", ":3"),
        ("mset v:1 one v:2 two", "+OK"),
        ("sort l store m", ":3"),
        ("lrange m 0 -1", "*3|$1|1|$1|2|$1|3"),
        ("object encoding m", "$8|listpack"),
        ("set m v EX 100", "+OK"),
        ("sort l get v:* get # store m", ":6"),
        ("lrange m 0 -1", "*6|$3|one|$1|1|$3|two|$1|2|$0||$1|3"),
        ("ttl m", ":-1"),
        ("sort l limit 9 9 store m", ":0"),
        ("exists m", ":0"),
        ("sort none store m", ":0"),
        ("sort l by nothing desc store l", ":3"),
        ("lrange l 0 -1", "*3|$1|2|$1|1|$1|3"),
        ("command getkeys sort l store a by store get x store m", "*2|$1|l|$1|m"),
        ("command getkeys sort_ro l", "*1|$1|l"),
        ("sort l by w* store", "-ERR syntax error"),
    ]);
}

#[test]
fn in_a_cluster_all_keys_are_in_one_slot() {
    let mut client = Client::in_cluster();
    let by = "-ERR BY option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.";
    let get = "-ERR GET option of SORT denied in Cluster mode when keys formed by the pattern may be in different slots.";
    client.expect(&[
        ("rpush {a}l 1 2 3", ":3"),
        ("mset {a}by1 20 {a}by2 30 {a}by3 0", "+OK"),
        ("sort {a}l by {a}by*", "*3|$1|3|$1|1|$1|2"),
        ("sort_ro {a}l by {a}by* get # get {a}by*", "*6|$1|3|$1|0|$1|1|$2|20|$1|2|$2|30"),
        ("sort {a}l by by*", by),
        ("sort {a}l by {b}by*", by),
        ("sort {a}l by nothing get by*", get),
        ("sort_ro {a}l get nothing", get),
        ("sort {a}l by nothing store {a}m", ":3"),
        (
            "sort {a}l by nothing store {b}m",
            "-CROSSSLOT Keys in request don't hash to the same slot",
        ),
    ]);
}

#[test]
fn sets_and_sorted_sets() {
    Client::new().expect(&[
        ("sadd s c a b", ":3"),
        ("sort s alpha desc", "*3|$1|c|$1|b|$1|a"),
        ("sort s by nothing store l", ":3"),
        ("lrange l 0 -1", "*3|$1|a|$1|b|$1|c"),
        ("sadd n 3 1 2", ":3"),
        ("sort n limit 1 1", "*1|$1|2"),
        ("zadd z 1 x 5 y 2 z", ":3"),
        ("sort z by nothing", "*3|$1|x|$1|z|$1|y"),
        ("sort z by nothing desc limit 0 2", "*2|$1|y|$1|z"),
        ("sort z by nothing limit 1 1", "*1|$1|z"),
        ("sort z alpha desc", "*3|$1|z|$1|y|$1|x"),
        ("hset h f 1", ":1"),
        ("sort h", "-WRONGTYPE Operation against a key holding the wrong kind of value"),
    ]);
}

#[test]
fn fields_of_hashes() {
    Client::new().expect(&[
        ("rpush l 1 2 3", ":3"),
        ("hset h:1 w 9 name one", ":2"),
        ("hset h:2 w 8", ":1"),
        ("sort l by h:*->w get h:*->name get #", "*6|$-1|$1|3|$-1|$1|2|$3|one|$1|1"),
        ("set h:3 text", "+OK"),
        ("sort_ro l get h:*->w", "*3|$1|9|$1|8|$-1"),
    ]);
}

#[test]
fn in_a_transaction_other_keys_can_be_read() {
    Client::new().expect(&[
        ("rpush l 1 2 3", ":3"),
        ("mset w:1 3 w:2 2 w:3 1", "+OK"),
        ("multi", "+OK"),
        ("sort l by w:* store m", "+QUEUED"),
        ("lrange m 0 -1", "+QUEUED"),
        ("exec", "*2|:3|*3|$1|3|$1|2|$1|1"),
    ]);
}

#[test]
fn texts_are_compared_beyond_a_zero_byte() {
    let mut client = Client::new();
    let push: [&[u8]; 5] = [b"RPUSH", b"k", b"a\0b", b"a\0a", b"a"];
    client.command(&push);
    let sorted = client.command(&[&b"SORT"[..], b"k", b"ALPHA"]);
    assert_eq!(sorted, b"*3\r\n$1\r\na\r\n$3\r\na\0a\r\n$3\r\na\0b\r\n");
}
