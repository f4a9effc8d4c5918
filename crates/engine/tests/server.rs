//! Administration: CONFIG, INFO, COMMAND and what goes to the rim.

mod harness;

use harness::{Client, START};
use std::sync::atomic::Ordering::Relaxed;
use tessera_engine::{Mode, Outcome, Park};

#[test]
fn the_configuration_is_set_whole_or_not_at_all() {
    let mut client = Client::new();
    client.expect(&[
        ("config get timeout", "*2|$7|timeout|$1|0"),
        ("config set timeout 5 maxclients 100", "+OK"),
        ("config get timeout maxclients", "*4|$7|timeout|$1|5|$10|maxclients|$3|100"),
        (
            "config set timeout 6 maxclients x",
            "-ERR CONFIG SET failed (possibly related to argument 'maxclients') - argument couldn't be parsed into an integer",
        ),
        ("config get timeout", "*2|$7|timeout|$1|5"),
        ("config set timeout", "-ERR wrong number of arguments for 'config|set' command"),
        ("config set timeout 5 maxclients", "-ERR wrong number of arguments for 'config|set' command"),
        ("config set nosuch 1", "-ERR Unknown option or number of arguments for CONFIG SET - 'nosuch'"),
    ]);
    *client.host.stubborn.lock().unwrap() = Some("timeout");
    client.expect(&[
        (
            "config set timeout 7",
            "-ERR CONFIG SET failed (possibly related to argument 'timeout') - it will not",
        ),
        ("config get timeout", "*2|$7|timeout|$1|5"),
        // Nothing changes, so nothing has to be applied.
        ("config set timeout 5", "+OK"),
    ]);
}

#[test]
fn what_can_fail_is_prepared_before_anything_is_set() {
    let mut client = Client::new();
    *client.host.stubborn.lock().unwrap() = Some("port");
    client.run("config set timeout 7 port 7");
    assert_eq!(*client.host.calls.lock().unwrap(), [r#"prepare ["timeout", "port"]"#]);
    assert_eq!(client.engine.config().network.timeout, 0);
    client.host.calls.lock().unwrap().clear();
    assert_eq!(client.run("config set timeout 7"), "+OK");
    assert_eq!(*client.host.calls.lock().unwrap(), [r#"prepare ["timeout"]"#, "commit"]);
}

#[test]
fn whom_a_node_follows_is_shown_as_its_directive() {
    let mut client = Client::new();
    client.expect(&[("config get slaveof", "*2|$7|slaveof|$3|h 7")]);
}

#[test]
fn a_client_waits_for_what_is_done_when_nothing_is_locked() {
    let mut client = Client::new();
    client.host.busy.store(true, Relaxed);
    assert_eq!(client.run("config set timeout 5"), "");
    assert_eq!(client.outcome, Outcome::Wait(Park::Elsewhere));
    assert_eq!(client.engine.config().network.timeout, 0, "nothing has been done yet");
    let deferred = client.host.deferred.lock().unwrap().pop().expect("it was left");
    let answer = client.engine.carry_out(1, deferred);
    assert_eq!(answer.bytes, b"+OK\r\n");
    assert_eq!(client.engine.config().network.timeout, 5);
}

#[test]
fn a_transaction_is_answered_with_what_is_done_when_nothing_is_locked() {
    let mut client = Client::new();
    client.host.busy.store(true, Relaxed);
    client.expect(&[
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("config set timeout 5", "+QUEUED"),
        ("config get timeout", "+QUEUED"),
        ("config set timeout x", "+QUEUED"),
        ("config rewrite", "+QUEUED"),
        ("get a", "+QUEUED"),
        ("exec", ""),
    ]);
    assert_eq!(client.outcome, Outcome::Wait(Park::Elsewhere));
    let deferred = client.host.deferred.lock().unwrap().pop().expect("it was left");
    assert!(!deferred.concerns_cluster());
    let answer = client.engine.carry_out(1, deferred);
    let answer = String::from_utf8(answer.bytes).expect("text").replace("\r\n", "|");
    let expected = "*6|+OK|+OK|*2|$7|timeout|$1|5|-ERR CONFIG SET failed (possibly related to argument \
                    'timeout') - argument couldn't be parsed into an integer|-ERR The server is running without \
                    a config file|$1|1|";
    assert_eq!(answer, expected);
    client.host.busy.store(false, Relaxed);
    let stats = client.run("info errorstats commandstats");
    assert!(stats.contains("errorstat_ERR:count=2|"), "{stats}");
    for failed in ["cmdstat_config|set:calls=2,", "cmdstat_config|rewrite:calls=1,"] {
        let line = stats.split_once(failed).expect("it has run").1;
        assert_eq!(
            line.split_once("|").expect("a line").0.split(',').next_back(),
            Some("failed_calls=1")
        );
    }
}

#[test]
fn an_unknown_command_is_charged_to_nobody() {
    let mut client = Client::new();
    let args = tessera_engine::Args::new(b"nosuch", &[tessera_resp::Span { start: 0, len: 6 }]);
    let prepared = client.engine.prepare(args);
    assert!(client.engine.stats.thread(0).of(&prepared).is_none());
    client.run("nosuch");
    let stats = client.run("info commandstats");
    assert!(!stats.contains("cmdstat_ping"), "{stats}");
}

#[test]
fn counters_go_back_to_zero() {
    let mut client = Client::new();
    client.expect(&[
        ("get k", "$-1"),
        ("nosuch", "-ERR unknown command 'nosuch', with args beginning with: "),
    ]);
    let stats = client.run("info stats errorstats commandstats");
    for line in [
        "keyspace_misses:1|",
        "total_error_replies:1|",
        "errorstat_ERR:count=1|",
        "cmdstat_get:calls=1,",
    ] {
        assert!(stats.contains(line), "{line} in {stats}");
    }
    assert_eq!(client.run("config resetstat"), "+OK");
    let stats = client.run("info everything");
    assert!(stats.contains("keyspace_misses:0|") && stats.contains("total_error_replies:0|"));
    assert!(!stats.contains("errorstat_ERR") && !stats.contains("cmdstat_get"));
}

#[test]
fn exec_of_a_spoiled_transaction_counts_as_failed() {
    let mut client = Client::new();
    for command in ["multi", "set", "exec"] {
        client.run(command);
    }
    let stats = client.run("info errorstats commandstats");
    let line = |name: &str| {
        let line = stats.split('|').find(|line| line.starts_with(name));
        line.unwrap_or_else(|| panic!("{name} in {stats}")).to_owned()
    };
    assert!(line("cmdstat_exec:").starts_with("cmdstat_exec:calls=1,"));
    assert!(line("cmdstat_exec:").ends_with("rejected_calls=0,failed_calls=1"));
    assert!(line("cmdstat_set:").ends_with("rejected_calls=1,failed_calls=0"));
    assert!(line("errorstat_EXECABORT:").ends_with("count=1"));
}

#[test]
fn how_keys_are_used_may_depend_on_the_call() {
    let mut client = Client::new();
    for (call, uses) in [
        ("set k v", "+OW|+update"),
        ("set k v nx get", "+RW|+access|+update"),
        ("bitfield k get u8 0 overflow sat get u8 8", "+RO|+access"),
        ("bitfield k get u8 0 set u8 0 1", "+RW|+access|+update"),
        ("bitfield k get u8", "+RW|+access|+update"),
    ] {
        let answer = client.run(&format!("command getkeysandflags {call}"));
        assert!(answer.ends_with(uses), "{call}: {answer}");
    }
    for name in ["sort", "sort_ro", "georadius", "zunionstore"] {
        let info = client.run(&format!("command info {name}"));
        assert!(info.contains("|:1|:1|:1|"), "{info}");
        assert_eq!(info.matches("movablekeys").count(), 1, "{info}");
    }
}

#[test]
fn sections_of_info() {
    let mut client = Client::new();
    client.run("set k v EX 10");
    client.run("set l v");
    client.now = START.plus(90_000_000);
    let headings = |text: String| -> Vec<String> {
        text.split('|').filter_map(|line| line.strip_prefix("# ").map(str::to_owned)).collect()
    };
    let usual = [
        "Server",
        "Clients",
        "Memory",
        "Persistence",
        "Stats",
        "Replication",
        "CPU",
        "Modules",
        "Errorstats",
        "Cluster",
        "Keyspace",
    ];
    assert_eq!(headings(client.run("info")), usual);
    assert_eq!(headings(client.run("info DEFAULT")), usual);
    assert_eq!(headings(client.run("info all")).len(), 13);
    assert_eq!(headings(client.run("info keyspace server")), ["Server", "Keyspace"]);
    assert_eq!(client.run("info nosuch"), "$0|");
    let info = client.run("info");
    for line in [
        "redis_version:7.2.4|",
        "redis_mode:standalone|",
        "uptime_in_days:1|",
        "config_file:/etc/x.conf|",
        "instantaneous_ops_per_sec:12|",
        "instantaneous_input_kbps:2.00|",
        "role:master|",
        "cluster_enabled:0|",
        "db0:keys=2,expires=1,avg_ttl=0,keys_with_volatile_items=0|",
        "connected_clients:1|",
        "maxmemory_policy:noeviction|",
        "master_replid:",
        "tcp_port:6379|",
        "loading:0|",
        "connected_slaves:0|",
    ] {
        assert!(info.contains(line), "{line} in {info}");
    }
    client.engine.set_mode(Mode::REPLICA, true);
    assert!(client.run("info replication").contains("role:slave|"));
}

#[test]
fn commands_describe_themselves() {
    let mut client = Client::new();
    let count = client.run("command count");
    assert!(count[1..].parse::<usize>().expect("a number") > 70, "{count}");
    client.expect(&[
        ("command getkeys mset a 1 b 2", "*2|$1|a|$1|b"),
        ("command getkeys get", "-ERR Invalid number of arguments specified for command"),
        ("command getkeys nosuch a", "-ERR Invalid command specified"),
        ("command getkeys ping a", "-ERR The command has no key arguments"),
        (
            "command getkeysandflags rename a b",
            "*2|*2|$1|a|*3|+RW|+access|+delete|*2|$1|b|*2|+OW|+update",
        ),
        ("command info nosuch get|x", "*2|$-1|$-1"),
        ("command list filterby module x", "*0"),
        (
            "command list filterby aclcat BLOCKING",
            "*11|$5|blpop|$5|brpop|$6|blmpop|$6|blmove|$10|brpoplpush|$8|bzpopmin|$8|bzpopmax|\
             $6|bzmpop|$5|xread|$10|xreadgroup|$4|wait",
        ),
        ("command list filterby aclcat", "-ERR syntax error"),
        ("command list filterby pattern *setnx", "*3|$5|setnx|$6|msetnx|$6|hsetnx"),
    ]);
}

#[test]
fn documentation_of_commands() {
    let mut client = Client::new();
    client.run("hello 3");
    let docs = client.run("command docs getex");
    for part in [
        "%1|$5|getex|%5|$7|summary|",
        "|$5|group|$6|string|",
        "|$4|name|$3|key|$4|type|$3|key|$14|key_spec_index|:0|",
        "|$4|type|$5|oneof|$5|flags|~1|+optional|$9|arguments|*5|",
        "|$4|type|$7|integer|$12|display_text|$7|seconds|$5|token|$2|EX|",
        "|$4|type|$10|pure-token|$5|token|$7|PERSIST",
    ] {
        assert!(docs.contains(part), "{part} in {docs}");
    }
    assert_eq!(client.run("command docs nosuch"), "%0");
    let config = client.run("command docs config");
    assert!(config.contains("|$11|subcommands|%5|$10|config|get|"), "{config}");
    let all = client.run("command docs");
    let count = all.split('|').next().and_then(|count| count.strip_prefix('%')?.parse().ok());
    assert!(count.is_some_and(|count: usize| count > 70), "{count:?}");
}

#[test]
fn what_only_the_rim_can_do() {
    let mut client = Client::new();
    for line in ["psync ? -1", "sync", "replconf capa eof"] {
        assert_eq!(client.run(line), "");
        assert_eq!(client.outcome, Outcome::Rim, "{line}");
    }
    client.expect(&[
        ("replicaof 127.0.0.1 7001", "+OK"),
        ("slaveof NO ONE", "+OK"),
        ("replicaof 127.0.0.1 70000", "-ERR Invalid master port"),
        ("shutdown NOSAVE SAVE", "-ERR syntax error"),
        ("shutdown ABORT NOW", "-ERR syntax error"),
        ("shutdown NOSAVE NOW", ""),
    ]);
    assert_eq!(client.outcome, Outcome::Wait(Park::Elsewhere));
    let calls = client.host.calls.lock().unwrap().clone();
    let shutdown =
        "shutdown ShutdownMode { save: Some(false), now: true, force: false, abort: false }";
    assert_eq!(calls, ["replicate Some((\"127.0.0.1\", 7001))", "replicate None", shutdown]);
}

#[test]
fn debugging_must_be_allowed() {
    let mut client = Client::new();
    for line in
        ["debug sleep 0", "debug jmap", "debug help", "debug object k", "debug set-active-expire 0"]
    {
        assert!(client.run(line).starts_with("-ERR DEBUG command not allowed."), "{line}");
    }
    client.engine.set_config({
        let mut config = (*client.engine.config()).clone();
        config.general.enable_debug_command =
            tessera_config::table::general::ProtectedAction::Local;
        config
    });
    assert_eq!(client.run("debug set-active-expire 0"), "+OK");
    client.run("set k v PX 1");
    let cycle = |client: &Client| {
        client.engine.expire_cycle(1, START.plus(1), &mut Default::default(), || true).removed
    };
    assert_eq!(cycle(&client), 0);
    assert_eq!(client.run("debug set-active-expire 1"), "+OK");
    assert_eq!(cycle(&client), 1);
}

#[test]
fn time_and_art() {
    let mut client = Client::new();
    client.now = START.plus(123);
    client.expect(&[
        ("time", "*2|$10|1700000000|$6|123000"),
        ("lolwut x", "-ERR value is not an integer or out of range"),
    ]);
    let art = client.run("lolwut VERSION 5 10 4");
    let rows: Vec<&str> = art.split('|').nth(1).expect("a text").lines().collect();
    assert_eq!(rows.len(), 6, "{art}");
    assert!(rows[..4].iter().all(|row| row.chars().count() == 10), "{art}");
    assert!(rows[5].starts_with("Tessera ver."), "{art}");
}

#[test]
fn debug_protocol_speaks_both_protocols() {
    let mut config = tessera_config::Config::default();
    config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
    let mut client = Client::with(config);
    let number = "1234567999999999999999999999999999999";
    client.expect(&[
        ("debug protocol string", "$11|Hello World"),
        ("debug protocol double", "$5|3.141"),
        ("debug protocol bignum", &format!("$37|{number}")),
        ("debug protocol null", "$-1"),
        ("debug protocol array", "*3|:0|:1|:2"),
        ("debug protocol map", "*6|:0|:0|:1|:1|:2|:0"),
        ("debug protocol attrib", "$39|Some real reply following the attribute"),
        ("debug protocol push", "-ERR RESP2 is not supported by this command"),
    ]);
    client.run("hello 3");
    client.expect(&[
        ("debug protocol double", ",3.141"),
        ("debug protocol bignum", &format!("({number}")),
        ("debug protocol null", "_"),
        ("debug protocol set", "~3|:0|:1|:2"),
        ("debug protocol map", "%3|:0|#f|:1|#t|:2|#f"),
        (
            "debug protocol attrib",
            "|1|$14|key-popularity|*2|$7|key:123|:90|$39|Some real reply following the attribute",
        ),
        ("debug protocol push", ">2|$16|server-cpu-usage|:42|+OK"),
        ("debug protocol verbatim", "=29|txt:This is a verbatim\nstring"),
        ("debug protocol true", "#t"),
    ]);
    assert!(client.run("debug protocol x").starts_with("-ERR Wrong protocol type name"));
}

#[test]
fn digests_tell_whether_two_servers_have_the_same_data() {
    let server = |story: &[&str]| {
        let mut config = tessera_config::Config::default();
        config.general.enable_debug_command = tessera_config::table::general::ProtectedAction::Yes;
        let mut client = Client::with(config);
        story.iter().for_each(|command| drop(client.run(command)));
        client.run("debug digest")
    };
    assert_eq!(server(&[]), format!("+{}", "0".repeat(40)));
    let digest = server(&["set a 1", "set b x"]);
    assert_eq!(digest, server(&["set b x", "set a 0", "incr a"]));
    for other in [
        &["set a 1"][..],
        &["set a 2", "set b x"],
        &["set a 1", "set b x", "expire a 10"],
        &["select 1", "set a 1", "set b x"],
        &["set a1 1", "set b x"],
        &["set a x", "set b 1"],
    ] {
        assert_ne!(digest, server(other), "{other:?}");
    }
    let made = server(&["debug populate 2 k 9", "set own x"]);
    let zeros = |value: &str| format!("{value}\0\0");
    let by_hand =
        [format!("set k:0 {}", zeros("value:0")), format!("set k:1 {}", zeros("value:1"))];
    assert_eq!(made, server(&[&by_hand[0], &by_hand[1], "set own x"]));
}

#[test]
fn command_info_says_where_keys_are_that_move() {
    let mut client = Client::new();
    let mut info = |name: &str| client.run(&format!("command info {name}"));
    let at_one = "|:1|:1|:1|";
    for (name, has_fixed_key, parts) in [
        ("sort", true, &["|$7|unknown|"][..]),
        ("georadius", true, &["|$7|keyword|$5|STORE|$9|startfrom|:6|", "|$9|STOREDIST|"]),
        ("zunionstore", true, &["|$6|keynum|"]),
        ("zmpop", false, &["|$5|index|:1|", "|$6|keynum|", "|$9|keynumidx|:0|"]),
        ("bzmpop", false, &["|$5|index|:2|"]),
        (
            "xreadgroup",
            false,
            &["|$7|STREAMS|$9|startfrom|:4|", "|$7|lastkey|:-1|", "|$5|limit|:2"],
        ),
    ] {
        let text = info(name);
        assert_eq!(text.contains(at_one), has_fixed_key, "{name}: {text}");
        assert_eq!(text.matches("movablekeys").count(), 1, "{name}: {text}");
        for part in parts {
            assert!(text.contains(part), "{name}: {part} in {text}");
        }
    }
}
