//! MULTI, EXEC, DISCARD, WATCH, UNWATCH.

mod harness;

use harness::{Client, START, told};
use std::sync::atomic::Ordering::Relaxed;
use tessera_engine::{Mode, Outcome, Park};

#[test]
fn commands_are_kept_and_run_as_one() {
    let mut client = Client::new();
    client.expect(&[
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("incr a", "+QUEUED"),
        ("incr a x", "-ERR wrong number of arguments for 'incr' command"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("exists a", ":0"),
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("append b x", "+QUEUED"),
        ("incr b", "+QUEUED"),
        ("mget a b", "+QUEUED"),
        ("exec", "*4|+OK|:1|-ERR value is not an integer or out of range|*2|$1|1|$1|x"),
        ("multi", "+OK"),
        ("exec", "*0"),
        ("exec", "-ERR EXEC without MULTI"),
        ("discard", "-ERR DISCARD without MULTI"),
    ]);
}

#[test]
fn what_spoils_a_transaction() {
    for wrong in ["multi", "watch a", "nosuch", "get", "psync ? -1", "replconf ack 1"] {
        let mut client = Client::new();
        client.expect(&[("multi", "+OK"), ("set a 1", "+QUEUED")]);
        assert!(client.run(wrong).starts_with("-ERR"), "{wrong}");
        client.expect(&[
            ("exec", "-EXECABORT Transaction discarded because of previous errors."),
            ("exists a", ":0"),
        ]);
    }
    let mut client = Client::new();
    client.expect(&[
        ("multi", "+OK"),
        ("multi", "-ERR Command not allowed inside a transaction"),
        ("discard", "+OK"),
        ("get a", "$-1"),
    ]);
}

/// A client of a node in cluster mode.
fn cluster_client() -> Client {
    let mut config = tessera_config::Config::default();
    config.cluster.enabled = true;
    Client::with(config)
}

#[test]
fn what_is_asked_of_the_cluster_in_a_transaction_is_answered_in_its_place() {
    let mut client = cluster_client();
    client.expect(&[
        ("multi", "+OK"),
        ("cluster replicas x", "+QUEUED"),
        ("exec", "*1|+CORE"),
        ("cluster replicas x", "+CORE"),
    ]);
    assert_eq!(*client.host.calls.lock().unwrap(), ["at once", "replicas", "replicas"]);
}

#[test]
fn a_transaction_that_changes_the_cluster_is_answered_when_the_change_is_made() {
    let mut client = cluster_client();
    client.host.busy.store(true, Relaxed);
    client.expect(&[
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("cluster delslots 7", "+QUEUED"),
        ("cluster addslots 7", "+QUEUED"),
        ("cluster bumpepoch", "+QUEUED"),
        ("cluster reset", "+QUEUED"),
        ("get a", "+QUEUED"),
        ("exec", ""),
    ]);
    assert_eq!(client.outcome, Outcome::Wait(Park::Elsewhere));
    let calls = ["delslots", "addslots", "bumpepoch", "reset"].map(|name| ["at once", name]);
    assert_eq!(*client.host.calls.lock().unwrap(), calls.concat());
    let answers = client.host.answers.lock().unwrap().clone();
    let whole = b"*6\r\n+OK\r\n+CORE\r\n+CORE\r\n+CORE\r\n+CORE\r\n$1\r\n1\r\n".to_vec();
    assert_eq!(answers, [(client.session.info.id, whole)]);
}

#[test]
fn a_transaction_without_commands_of_the_cluster_waits_for_nothing() {
    let mut client = cluster_client();
    client.host.busy.store(true, Relaxed);
    client.expect(&[("multi", "+OK"), ("set a 1", "+QUEUED"), ("exec", "*1|+OK")]);
}

#[test]
fn a_transaction_may_contain_anything_else() {
    let mut client = Client::new();
    client.expect(&[
        ("set a 1", "+OK"),
        ("multi", "+OK"),
        ("dbsize", "+QUEUED"),
        ("select 1", "+QUEUED"),
        ("set b 2", "+QUEUED"),
        ("swapdb 0 1", "+QUEUED"),
        ("keys *", "+QUEUED"),
        ("flushall", "+QUEUED"),
        ("wait 5 0", "+QUEUED"),
        ("ping", "+QUEUED"),
        ("randomkey", "+QUEUED"),
        ("unwatch", "+QUEUED"),
        ("client unblock 99", "+QUEUED"),
        ("exec", "*11|:1|+OK|+OK|+OK|*1|$1|a|+OK|:0|+PONG|$-1|+OK|:0"),
        ("dbsize", ":0"),
    ]);
    assert_eq!(client.session.db, 1);
}

#[test]
fn the_history_gets_one_unit() {
    let mut client = Client::new();
    client.run("set old x PX 5");
    client.now = START.plus(5);
    let mut reader = client.follow();
    client.expect(&[
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("get old", "+QUEUED"),
        ("select 2", "+QUEUED"),
        ("set b 2 EX 1", "+QUEUED"),
        ("exec", "*4|+OK|$-1|+OK|+OK"),
    ]);
    assert_eq!(
        told(&mut reader),
        [
            "MULTI",
            "SELECT 0",
            "set a 1",
            "UNLINK old",
            "SELECT 2",
            "SET b 2 PXAT 1700000001005",
            "EXEC"
        ]
    );
    client.expect(&[("multi", "+OK"), ("incr c", "+QUEUED"), ("get c", "+QUEUED")]);
    client.run("exec");
    assert_eq!(told(&mut reader), ["incr c"], "one write needs no wrapping");
    client.expect(&[("multi", "+OK"), ("get c", "+QUEUED"), ("exec", "*1|$1|1")]);
    assert_eq!(told(&mut reader), [""; 0]);
    let big = "x".repeat(70_000);
    client.run("multi");
    client.run(&format!("set big {big}"));
    client.run("set small 1");
    client.run("exec");
    let unit = told(&mut reader);
    assert_eq!((unit.len(), unit[1].len(), unit[2].as_str()), (4, 70_008, "set small 1"));
}

#[test]
fn watched_keys_that_changed_abort() {
    // (what another client does, whether EXEC runs)
    for (change, runs) in [
        ("set x 2", false),
        ("set x 1", false),
        ("append x y", false),
        ("del x", false),
        ("expire x 100", false),
        ("rename x z", false),
        ("rename y x", false),
        ("flushdb", false),
        ("flushall", false),
        ("swapdb 0 5", false),
        ("mset y 1 x 1", false),
        ("get x", true),
        ("set z 1", true),
        ("del none", true),
        ("persist x", true),
        ("set x 2 NX", true),
        ("setrange x 0 ''", true),
        ("swapdb 5 6", true),
    ] {
        let mut client = Client::new();
        client.run("mset x 1 y 1");
        assert_eq!(client.run("watch x"), "+OK");
        client.another().run(change);
        client.expect(&[("multi", "+OK"), ("ping", "+QUEUED")]);
        assert_eq!(client.run("exec"), if runs { "*1|+PONG" } else { "*-1" }, "{change}");
        client.expect(&[("multi", "+OK"), ("ping", "+QUEUED"), ("exec", "*1|+PONG")]);
    }
}

#[test]
fn watching_keys_that_are_not_there() {
    for (change, runs) in
        [("set k 1", false), ("flushall", true), ("swapdb 0 5", true), ("del k", true)]
    {
        let mut client = Client::new();
        client.expect(&[("watch k", "+OK"), ("multi", "+OK"), ("ping", "+QUEUED")]);
        client.another().run(change);
        assert_eq!(client.run("exec"), if runs { "*1|+PONG" } else { "*-1" }, "{change}");
    }
}

#[test]
fn own_changes_before_exec_count_and_those_in_it_do_not() {
    let mut client = Client::new();
    client.expect(&[
        ("watch a b", "+OK"),
        ("set a 1", "+OK"),
        ("multi", "+OK"),
        ("exec", "*-1"),
        ("watch a", "+OK"),
        ("multi", "+OK"),
        ("set a 2", "+QUEUED"),
        ("exec", "*1|+OK"),
        ("watch a", "+OK"),
        ("set a 3", "+OK"),
        ("unwatch", "+OK"),
        ("multi", "+OK"),
        ("exec", "*0"),
    ]);
}

#[test]
fn watching_and_expiry() {
    // The time comes after WATCH: the key has changed, removed or not.
    for come_across in ["ping", "get k"] {
        let mut client = Client::new();
        client.expect(&[("set k v PX 5", "+OK"), ("watch k", "+OK")]);
        client.now = START.plus(5);
        let mut other = client.another();
        other.now = client.now;
        other.run(come_across);
        client.expect(&[("multi", "+OK"), ("ping", "+QUEUED"), ("exec", "*-1")]);
    }
    // The time had come before: its removal is no change, a new value is one.
    for (change, runs) in [
        ("get k", true),
        ("del k", true),
        ("flushall", true),
        ("swapdb 0 1", true),
        ("set k 1", false),
    ] {
        let mut client = Client::new();
        client.run("set k v PX 5");
        client.now = START.plus(5);
        let mut other = client.another();
        other.now = client.now;
        client.run("watch k");
        other.run(change);
        client.expect(&[("multi", "+OK"), ("ping", "+QUEUED")]);
        assert_eq!(client.run("exec"), if runs { "*1|+PONG" } else { "*-1" }, "{change}");
    }
}

#[test]
fn what_was_over_before_it_came_is_no_change() {
    let mut client = Client::new();
    client.run("set k v PX 5");
    client.now = START.plus(5);
    client.expect(&[
        ("select 1", "+OK"),
        ("watch k", "+OK"),
        ("swapdb 0 1", "+OK"),
        ("multi", "+OK"),
        ("ping", "+QUEUED"),
        ("exec", "*1|+PONG"),
    ]);
}

#[test]
fn what_ends_a_transaction_and_watching() {
    let mut client = Client::new();
    for (end, reply) in [("discard", "+OK"), ("reset", "+RESET"), ("exec", "*1|$1|1")] {
        client.run("set a 1");
        client.expect(&[("watch a", "+OK"), ("multi", "+OK"), ("get a", "+QUEUED"), (end, reply)]);
        client.another().run("incr a");
        client.expect(&[("multi", "+OK"), ("ping", "+QUEUED"), ("exec", "*1|+PONG")]);
    }
    client.expect(&[("watch a b", "+OK"), ("multi", "+OK"), ("get a", "+QUEUED")]);
    let line = client.session.info.line(START.0);
    assert!(line.contains(" flags=x ") && line.contains(" multi=1 watch=2 "), "{line}");
    assert!(client.another().run("info clients").contains("|watching_clients:1|"));
    client.engine.forget(1, &mut client.session);
    assert_eq!(client.session.queued_bytes(), 0);
    assert!(client.another().run("info clients").contains("|watching_clients:0|"));
    client.expect(&[("multi", "+OK"), ("quit", "+OK")]);
    assert_eq!(client.outcome, Outcome::Close);
}

#[test]
fn the_mode_of_the_node_counts_when_queueing_and_at_exec() {
    let mut client = Client::new();
    client.expect(&[("multi", "+OK"), ("set a 1", "+QUEUED")]);
    client.engine.set_mode(Mode::FEW_REPLICAS, true);
    let few = "NOREPLICAS Not enough good replicas to write.";
    assert_eq!(client.run("exec"), format!("-EXECABORT Transaction discarded because of: {few}"));
    client.expect(&[("exec", "-ERR EXEC without MULTI"), ("multi", "+OK")]);
    assert_eq!(client.run("set a 1"), format!("-{few}"));
    client.expect(&[("exec", "-EXECABORT Transaction discarded because of previous errors.")]);
    client.expect(&[("multi", "+OK"), ("get a", "+QUEUED"), ("exec", "*1|$-1")]);
    client.engine.set_mode(Mode::FEW_REPLICAS, false);
    client.expect(&[("multi", "+OK"), ("set a 1", "+QUEUED"), ("swapdb 0 0", "+QUEUED")]);
    client.engine.set_mode(Mode::WRITES_PAUSED, true);
    assert_eq!(client.run("exec"), "");
    assert_eq!(client.outcome, Outcome::Wait(Park::WritesPaused));
    client.engine.set_mode(Mode::WRITES_PAUSED, false);
    client.expect(&[("exec", "*2|+OK|+OK")]);
}

#[test]
fn in_a_cluster_all_keys_are_in_one_slot() {
    let mut client = Client::in_cluster();
    client.expect(&[
        ("multi", "+OK"),
        ("mset a{t} 1 b{t} 2", "+QUEUED"),
        ("exec", "*1|+OK"),
        ("multi", "+OK"),
        ("mset a 1 b 2", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("exec", "-EXECABORT Transaction discarded because of previous errors."),
        ("multi", "+OK"),
        ("set a 1", "+QUEUED"),
        ("set b 1", "+QUEUED"),
        ("exec", "-CROSSSLOT Keys in request don't hash to the same slot"),
        ("exec", "-ERR EXEC without MULTI"),
        ("exists a", ":0"),
    ]);
}

/// Counters that are raised by WATCH, GET and EXEC on several threads lose nothing.
#[test]
fn no_update_is_lost() {
    const ROUNDS: usize = 300;
    let mut main = Client::new();
    main.run("mset x 0 y 0");
    std::thread::scope(|scope| {
        for thread in 0..3 {
            let mut client = main.another();
            client.thread = thread;
            scope.spawn(move || {
                for _ in 0..ROUNDS {
                    loop {
                        client.run("watch x y");
                        let next = |reply: String| {
                            let number = reply.split('|').nth(1).expect("a number").to_owned();
                            number.parse::<usize>().expect("a number") + 1
                        };
                        let (x, y) = (next(client.run("get x")), next(client.run("get y")));
                        client.run("multi");
                        client.run(&format!("set x {x}"));
                        client.run(&format!("set y {y}"));
                        if client.run("exec") != "*-1" {
                            break;
                        }
                    }
                }
            });
        }
    });
    let total = (3 * ROUNDS).to_string();
    let expected = format!("*2|${0}|{total}|${0}|{total}", total.len());
    assert_eq!(main.run("mget x y"), expected);
}
