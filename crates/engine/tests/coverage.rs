//! Every command is run, with the arity that it takes and with one that it does not.

mod harness;

use harness::Client;
use tessera_resp::Protocol;

/// One call of every command, with the beginning of its reply.
const CALLS: &[(&str, &str)] = &[
    ("append k v", ":"),
    ("asking", "-ERR This instance has cluster"),
    ("auth x", "-ERR AUTH <password> called"),
    ("bitcount k", ":"),
    ("bitfield bf set u8 0 5", "*1|:0"),
    ("bitfield_ro bf get u8 0", "*1|:5"),
    ("bitop not bn bf", ":1"),
    ("bitpos bf 1", ":5"),
    ("client getname", "$"),
    ("client getredir", ":-1"),
    ("client help", "*"),
    ("client id", ":1"),
    ("client info", "$"),
    ("client kill id 999", ":0"),
    ("client list", "$"),
    ("client no-evict on", "+OK"),
    ("client no-touch on", "+OK"),
    ("client reply on", "+OK"),
    ("client setinfo lib-name x", "+OK"),
    ("client pause 0", "+OK"),
    ("client setname x", "+OK"),
    ("client trackinginfo", "*6"),
    ("client unblock 999", ":0"),
    ("client unpause", "+OK"),
    ("cluster addslots 1", "+CORE"),
    ("cluster addslotsrange 1 2", "+CORE"),
    ("cluster bumpepoch", "+CORE"),
    ("cluster count-failure-reports x", "+CORE"),
    ("cluster countkeysinslot 1", ":0"),
    ("cluster delslots 1", "+CORE"),
    ("cluster delslotsrange 1 2", "+CORE"),
    ("cluster failover", "+CORE"),
    ("cluster flushslots", "+CORE"),
    ("cluster forget x", "+CORE"),
    ("cluster getkeysinslot 1 1", "*0"),
    ("cluster help", "+CORE"),
    ("cluster info", "+CORE"),
    ("cluster keyslot mykey", ":14687"),
    ("cluster links", "+CORE"),
    ("cluster meet ip 1", "+CORE"),
    ("cluster myid", "+CORE"),
    ("cluster myshardid", "+CORE"),
    ("cluster nodes", "+CORE"),
    ("cluster replicas x", "+CORE"),
    ("cluster replicate x", "+CORE"),
    ("cluster reset", "+CORE"),
    ("cluster saveconfig", "+CORE"),
    ("cluster set-config-epoch 1", "+CORE"),
    ("cluster setslot 1 stable", "+CORE"),
    ("cluster shards", "+CORE"),
    ("cluster slaves x", "+CORE"),
    ("cluster slots", "+CORE"),
    ("command", "*"),
    ("command count", ":"),
    ("command docs get", "*2"),
    ("command getkeys get k", "*1"),
    ("command getkeysandflags get k", "*1"),
    ("command help", "*"),
    ("command info get", "*1"),
    ("command list", "*"),
    ("config get port", "*2"),
    ("config help", "*"),
    ("config resetstat", "+OK"),
    ("config rewrite", "-ERR The server is running without a config file"),
    ("config set timeout 5", "+OK"),
    ("copy k k2", ":"),
    ("dbsize", ":"),
    ("debug help", "*"),
    (
        "debug close-cluster-link-on-packet-drop 0",
        "-ERR this DEBUG subcommand is not supported here",
    ),
    ("debug drop-cluster-packet-filter 1", "-ERR this DEBUG subcommand is not supported here"),
    ("debug dict-resizing 0", "+OK"),
    ("debug digest", "+"),
    ("debug error x", "-x"),
    ("debug digest-value k", "*1"),
    ("debug htstats 0", "$"),
    ("debug htstats-key nosuch", "-ERR no such key"),
    ("debug listpack nosuch", "-ERR no such key"),
    ("debug quicklist nosuch", "-ERR no such key"),
    ("debug reload", "+OK"),
    ("debug set-skip-checksum-validation 0", "+OK"),
    ("debug stringmatch-len 3 a*", ":1"),
    ("dump nosuch", "$-1"),
    ("restore k 0 x", "-"),
    ("restore-asking k 0 x", "-"),
    ("debug populate 2", "+OK"),
    ("debug hold k 0", "+OK"),
    ("debug jmap", "+OK"),
    ("debug log x", "-ERR this DEBUG subcommand is not supported here"),
    ("debug change-repl-id", "-ERR this DEBUG subcommand is not supported here"),
    ("debug protocol integer", ":12345"),
    ("debug object nosuch", "-ERR no such key"),
    ("debug set-active-expire 1", "+OK"),
    ("rpush list a b c", ":3"),
    ("lpush list z", ":4"),
    ("lpushx list y", ":5"),
    ("rpushx list d", ":6"),
    ("llen list", ":6"),
    ("lindex list 0", "$1"),
    ("lrange list 0 1", "*2"),
    ("lpos list a", ":2"),
    ("lset list 0 x", "+OK"),
    ("linsert list before a n", ":7"),
    ("lrem list 1 n", ":1"),
    ("ltrim list 0 5", "+OK"),
    ("sort list alpha", "*6"),
    ("sort_ro list alpha limit 0 1", "*1"),
    ("lmove list list left left", "$1"),
    ("rpoplpush list list", "$1"),
    ("blmove list list left right 0", "$1"),
    ("brpoplpush list list 0", "$1"),
    ("lpop list", "$1"),
    ("rpop list", "$1"),
    ("lmpop 1 list left", "*2"),
    ("blmpop 0 1 list left", "*2"),
    ("blpop list 0", "*2"),
    ("brpop list 0", "*2"),
    ("debug quicklist-packed-threshold 0", "+OK"),
    ("debug sleep 0", "+OK"),
    ("decr n", ":-1"),
    ("decrby n 2", ":-3"),
    ("del nosuch", ":0"),
    ("echo x", "$1"),
    ("exists k", ":"),
    ("expire nosuch 1", ":0"),
    ("expireat nosuch 1", ":0"),
    ("expiretime nosuch", ":-2"),
    ("flushall", "+OK"),
    ("flushdb", "+OK"),
    ("geoadd g 1 1 a", ":1"),
    ("geodist g a a", "$6|0.0000"),
    ("geohash g a", "*1"),
    ("geopos g a", "*1"),
    ("georadius g 1 1 1 m", "*1"),
    ("georadius_ro g 1 1 1 m", "*1"),
    ("georadiusbymember g a 1 m", "*1"),
    ("georadiusbymember_ro g a 1 m", "*1"),
    ("geosearch g FROMMEMBER a BYRADIUS 1 m", "*1"),
    ("geosearchstore g2 g FROMMEMBER a BYRADIUS 1 m", ":1"),
    ("get nosuch", "$-1"),
    ("getbit bf 5", ":"),
    ("getdel nosuch", "$-1"),
    ("getex nosuch", "$-1"),
    ("getrange nosuch 0 1", "$0"),
    ("getset gs v", "$-1"),
    ("hdel nosuch f", ":0"),
    ("hello", "*14"),
    ("hset h f 1 g 2", ":2"),
    ("hsetnx h f 1", ":0"),
    ("hmset h f 1", "+OK"),
    ("hget h f", "$1|1"),
    ("hmget h f no", "*2|$1|1|$-1"),
    ("hgetall h", "*4"),
    ("hkeys h", "*2"),
    ("hvals h", "*2"),
    ("hlen h", ":2"),
    ("hstrlen h f", ":1"),
    ("hexists h f", ":1"),
    ("hincrby h f 2", ":3"),
    ("hincrbyfloat h f 0.5", "$3|3.5"),
    ("hrandfield nosuch", "$-1"),
    ("hscan h 0", "*2|$1|0|*4"),
    ("hexpire h 100 FIELDS 1 f", "*1|:1"),
    ("hpexpire h 100000 FIELDS 1 f", "*1|:1"),
    ("hexpireat h 1700000100 FIELDS 1 f", "*1|:1"),
    ("hpexpireat h 1700000100000 FIELDS 1 f", "*1|:1"),
    ("httl h FIELDS 1 f", "*1|:100"),
    ("hpttl h FIELDS 1 f", "*1|:100000"),
    ("hexpiretime h FIELDS 1 f", "*1|:1700000100"),
    ("hpexpiretime h FIELDS 1 f", "*1|:1700000100000"),
    ("hpersist h FIELDS 1 f", "*1|:1"),
    ("hgetex h EX 100 FIELDS 1 f", "*1|$3|3.5"),
    ("hsetex h EX 100 FIELDS 1 f v", ":1"),
    ("hgetdel h FIELDS 1 f", "*1|$1|v"),
    ("incr n", ":"),
    ("incrby n 2", ":"),
    ("incrbyfloat f 1.5", "$3|1.5"),
    ("info", "$"),
    ("keys *", "*"),
    ("lastsave", ":0"),
    ("lcs a b", "$0"),
    ("lolwut", "$"),
    ("memory doctor", "$"),
    ("memory help", "*"),
    ("memory malloc-stats", "$"),
    ("memory purge", "+OK"),
    ("memory stats", "*"),
    ("memory usage nosuch", "$-1"),
    ("mget a b", "*2"),
    ("move nosuch 1", ":0"),
    ("mset a 1 b 2", "+OK"),
    ("msetnx a 1 b 2", ":0"),
    ("object encoding a", "$3|int"),
    ("object freq a", "-ERR An LFU maxmemory policy is not selected"),
    ("object help", "*"),
    ("object idletime a", ":0"),
    ("object refcount a", ":1"),
    ("persist a", ":0"),
    ("pexpire nosuch 1", ":0"),
    ("pexpireat nosuch 1", ":0"),
    ("pexpiretime nosuch", ":-2"),
    ("pfadd hll a", ":1"),
    ("pfcount hll", ":1"),
    ("pfdebug encoding hll", "+sparse"),
    ("pfmerge hll2 hll", "+OK"),
    ("pfselftest", "+OK"),
    ("ping", "+PONG"),
    ("psetex k 1000 v", "+OK"),
    ("psync ? -1", ""),
    ("pttl nosuch", ":-2"),
    ("quit", "+OK"),
    ("randomkey", "$"),
    ("readonly", "+OK"),
    ("readwrite", "+OK"),
    ("rename a c", "+OK"),
    ("renamenx c a", ":1"),
    ("replconf capa eof", ""),
    ("replicaof no one", "+OK"),
    ("reset", "+RESET"),
    ("role", "*3|$6|master"),
    ("sadd s a 1", ":2"),
    ("scan 0", "*2"),
    ("scard s", ":2"),
    ("sdiff s", "*2"),
    ("sdiffstore s2 s nosuch", ":2"),
    ("select 1", "+OK"),
    ("set k v", "+OK"),
    ("setbit bf 0 1", ":0"),
    ("setex k 10 v", "+OK"),
    ("setnx k v", ":0"),
    ("setrange k 1 x", ":2"),
    ("shutdown abort", "+OK"),
    ("sinter s", "*"),
    ("sintercard 1 s", ":"),
    ("sinterstore s2 s s", ":"),
    ("sismember s a", ":"),
    ("slaveof no one", "+OK"),
    ("smembers s", "*"),
    ("smismember s a b", "*2"),
    ("smove s s2 a", ":"),
    ("spop nosuch", "$-1"),
    ("srandmember nosuch", "$-1"),
    ("srem s nosuch", ":0"),
    ("sscan s 0", "*2"),
    ("strlen k", ":2"),
    ("substr k 0 0", "$1"),
    ("sunion s s2", "*"),
    ("sunionstore s2 s", ":"),
    ("swapdb 0 1", "+OK"),
    ("sync", ""),
    ("time", "*2"),
    ("touch a", ":"),
    ("ttl nosuch", ":-2"),
    ("type nosuch", "+none"),
    ("unlink nosuch", ":0"),
    ("discard", "-ERR DISCARD without MULTI"),
    ("exec", "-ERR EXEC without MULTI"),
    ("watch a b", "+OK"),
    ("unwatch", "+OK"),
    ("multi", "+OK"),
    ("discard", "+OK"),
    ("wait 0 0", ":0"),
    ("zadd z 1 a 2 b 3 c 4 d 5 e", ":5"),
    ("bzmpop 0 1 z MIN", "*2"),
    ("bzpopmax z 0", "*3"),
    ("bzpopmin z 0", "*3"),
    ("zadd z 1 a 2 b 5 e", ":3"),
    ("zcard z", ":5"),
    ("zcount z 1 2", ":2"),
    ("zdiff 1 z", "*5"),
    ("zdiffstore z2 1 z", ":5"),
    ("zincrby z 0 a", "$1|1"),
    ("zinter 1 z", "*5"),
    ("zintercard 1 z", ":5"),
    ("zinterstore z2 1 z", ":5"),
    ("zlexcount z - +", ":5"),
    ("zmpop 1 z2 MIN", "*2"),
    ("zmscore z a", "*1"),
    ("zpopmax z2", "*2"),
    ("zpopmin z2", "*2"),
    ("zrandmember z", "$1"),
    ("zrange z 0 -1", "*5"),
    ("zrangebylex z - +", "*5"),
    ("zrangebyscore z 1 2", "*2"),
    ("zrangestore z2 z 0 -1", ":5"),
    ("zrank z a", ":0"),
    ("zrem z2 a", ":1"),
    ("zremrangebylex z2 - [b", ":1"),
    ("zremrangebyrank z2 0 0", ":1"),
    ("zremrangebyscore z2 4 5", ":2"),
    ("zrevrange z 0 0", "*1"),
    ("zrevrangebylex z + -", "*5"),
    ("zrevrangebyscore z 2 1", "*2"),
    ("zrevrank z a", ":4"),
    ("zscan z 0", "*2"),
    ("zscore z a", "$1|1"),
    ("zunion 1 z", "*5"),
    ("zunionstore z2 1 z", ":5"),
    ("xack nosuch g 1-1", ":0"),
    ("xadd xs 1-1 f v", "$3|1-1"),
    ("xautoclaim nosuch g c 0 0", "-NOGROUP"),
    ("xclaim nosuch g c 0 1-1", "-NOGROUP"),
    ("xdel xs 9-9", ":0"),
    ("xgroup create xs g 0", "+OK"),
    ("xgroup createconsumer xs g c", ":1"),
    ("xgroup delconsumer xs g c", ":0"),
    ("xgroup help", "*"),
    ("xgroup setid xs g $", "+OK"),
    ("xgroup destroy xs g", ":1"),
    ("xinfo consumers xs g", "-NOGROUP"),
    ("xinfo groups xs", "*0"),
    ("xinfo help", "*"),
    ("xinfo stream xs", "*20"),
    ("xlen xs", ":1"),
    ("xpending xs g", "-NOGROUP"),
    ("xrange xs - +", "*1"),
    ("xread streams xs 0", "*1"),
    ("xreadgroup group g c streams xs >", "-NOGROUP"),
    ("xrevrange xs + -", "*1"),
    ("xsetid xs 5-0", "+OK"),
    ("xtrim xs maxlen 5", ":0"),
];

/// The names that COMMAND LIST gives.
fn names(client: &mut Client) -> Vec<String> {
    let bytes = client.command(&["command", "list"]);
    let text = String::from_utf8(bytes).expect("names are text");
    text.split("\r\n").skip(2).step_by(2).map(str::to_owned).collect()
}

fn server_for(call: &str) -> Client {
    if call.starts_with("cluster") {
        return Client::in_cluster();
    }
    let mut config = tessera_config::Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    Client::with(config)
}

#[test]
fn every_command_is_run() {
    let (mut plain, mut cluster) = (server_for(""), server_for("cluster"));
    for (call, expected) in CALLS {
        let client = if call.starts_with("cluster") { &mut cluster } else { &mut plain };
        let reply = client.run(call);
        assert!(reply.starts_with(expected), "{call}: {reply}");
    }
    let mut missing = names(&mut plain);
    // A command that only holds subcommands has no calls of its own.
    missing.retain(|name| {
        !["client", "cluster", "config", "debug", "memory", "object", "xgroup", "xinfo"]
            .contains(&name.as_str())
    });
    missing.retain(|name| {
        let words = name.replace('|', " ");
        !CALLS.iter().any(|(call, _)| *call == words || call.starts_with(&format!("{words} ")))
    });
    assert!(missing.is_empty(), "never run: {missing:?}");
}

#[test]
fn every_command_checks_how_many_arguments_it_has() {
    let mut client = server_for("");
    for name in names(&mut client) {
        let words: Vec<&str> = name.split('|').collect();
        let info = client.run(&format!("command info {name}"));
        let arity: i64 = info
            .split('|')
            .find_map(|part| part.strip_prefix(':')?.parse().ok())
            .expect("an arity");
        let mut too_few = words.clone();
        too_few.resize((arity.unsigned_abs() as usize - 1).max(words.len()), "x");
        let mut too_many = words.clone();
        too_many.resize(arity.unsigned_abs() as usize + 1, "x");
        let refusal = format!("-ERR wrong number of arguments for '{name}' command");
        if too_few.len() < arity.unsigned_abs() as usize {
            assert_eq!(client.run(&too_few.join(" ")), refusal, "{too_few:?}");
        }
        // One more argument after the name of what has subcommands is another subcommand.
        if arity > 0 && too_many.len() > words.len() {
            assert_eq!(client.run(&too_many.join(" ")), refusal, "{too_many:?}");
        }
    }
}

#[test]
fn arguments_of_any_kind_do_no_harm() {
    let hostile = [
        "",
        "0",
        "-1",
        "9223372036854775807",
        "-9223372036854775808",
        "\u{0}",
        "*",
        "NX",
        "é",
        "1e400",
        "db",
        "match",
    ];
    for protocol in [Protocol::Resp2, Protocol::Resp3] {
        for in_cluster in [false, true] {
            let mut client = if in_cluster { Client::in_cluster() } else { server_for("") };
            client.protocol = protocol;
            // DEBUG POPULATE does what it is told, and is told to make 9,223,372,036,854,775,807
            // keys here.
            for name in names(&mut client).into_iter().filter(|name| name != "debug|populate") {
                for (at, first) in hostile.iter().enumerate() {
                    for len in 0..5 {
                        let mut words: Vec<&str> = name.split('|').collect();
                        words.extend(
                            std::iter::once(first).chain(&hostile[at..]).chain(&hostile).take(len),
                        );
                        client.protocol = protocol;
                        client.session.authenticated = true;
                        client.session.reply_mode = tessera_engine::ReplyMode::On;
                        let reply = client.command(&words);
                        let waits = !matches!(
                            client.outcome,
                            tessera_engine::Outcome::Next | tessera_engine::Outcome::Close
                        );
                        let silent = waits || name == "client|reply";
                        assert!(silent || reply.ends_with(b"\r\n"), "{words:?}");
                    }
                }
            }
        }
    }
}
