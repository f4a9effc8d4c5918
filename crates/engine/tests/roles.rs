//! Changes of role, paused writes and the history, for commands that are under way.

mod harness;

use harness::{Client, START};
use std::sync::OnceLock;
use tessera_engine::{Mode, Outcome, Park, PauseKind};
use tessera_slot::Offset;

/// Waits until a thread, named by its directory in /proc, sleeps.
fn await_sleep(thread: &OnceLock<std::path::PathBuf>) {
    let sleeps = || {
        let stat = std::fs::read_to_string(thread.get()?.join("stat")).ok()?;
        // The state stands behind the name, which stands in brackets.
        stat.rsplit_once(") ").map(|(_, rest)| rest.starts_with('S'))
    };
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while sleeps() != Some(true) {
        assert!(std::time::Instant::now() < deadline, "the thread does not wait");
        std::thread::yield_now();
    }
}

/// The answer to a command that runs alone, when the mode changes while it waits to be alone.
fn while_it_waits(command: &str, mode: Mode) -> (String, Outcome, usize) {
    let mut client = Client::new();
    client.run("mset a 1 b 2 c 3");
    let (engine, thread) = (client.engine.clone(), OnceLock::new());
    let alone = engine.keyspace.enter_exclusive();
    let (reply, outcome) = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let me = std::path::Path::new("/proc")
                .join(std::fs::read_link("/proc/thread-self").expect("this is Linux"));
            thread.set(me).expect("it is set once");
            let reply = client.run(command);
            (reply, client.outcome)
        });
        await_sleep(&thread);
        engine.set_mode(mode, true);
        drop(alone);
        waiting.join().expect("no panic")
    });
    let mut other = client.another();
    engine.set_mode(mode, false);
    let keys = other.run("dbsize").trim_start_matches(':').parse().expect("a number");
    (reply, outcome, keys)
}

#[test]
fn a_command_that_waits_to_be_alone_is_refused_if_the_node_has_become_a_replica() {
    for command in ["flushall", "flushdb", "swapdb 0 1"] {
        let (reply, _, keys) = while_it_waits(command, Mode::READ_ONLY);
        let text = "-READONLY You can't write against a read only replica.";
        assert_eq!((reply.as_str(), keys), (text, 3), "{command}");
    }
}

#[test]
fn a_command_that_waits_to_be_alone_goes_on_waiting_if_writes_are_paused() {
    let (reply, outcome, keys) = while_it_waits("flushall", Mode::WRITES_PAUSED);
    let waits = Outcome::Wait(Park::WritesPaused);
    assert_eq!((reply.as_str(), outcome, keys), ("", waits, 3));
}

#[test]
fn nothing_expires_while_writes_are_paused() {
    let mut client = Client::new();
    let _feed = client.follow();
    client.expect(&[("set read x PX 5", "+OK"), ("set unread x PX 5", "+OK")]);
    let end = client.engine.log.offset();
    client.engine.set_mode(Mode::WRITES_PAUSED, true);
    client.now = START.plus(10);

    // Neither by being asked for, nor by the walk.
    let cycle = |client: &Client| {
        client.engine.expire_cycle(1, client.now, &mut Default::default(), || true).removed
    };
    client.expect(&[("get read", "$-1"), ("exists read", ":0"), ("dbsize", ":2")]);
    assert_eq!(cycle(&client), 0);
    client.expect(&[("dbsize", ":2")]);
    assert_eq!(client.engine.log.offset(), end, "the history must not go on");

    client.engine.set_mode(Mode::WRITES_PAUSED, false);
    client.expect(&[("get read", "$-1"), ("dbsize", ":1")]);
    assert_eq!(cycle(&client), 1);
}

/// The offset that the last WAIT has asked for.
fn awaited(client: &Client) -> Option<Offset> {
    client.host.awaited.lock().unwrap().last().copied()
}

#[test]
fn wait_covers_what_the_client_was_told() {
    let mut writer = Client::new();
    let mut reader = writer.another();
    let _feed = writer.follow();
    writer.run("set k v");
    let written = writer.engine.log.offset();

    // Given: one that has read what another has written, before the other wrote on.
    reader.expect(&[("get k", "$1|v")]);
    writer.run("set other x");
    reader.run("wait 1 0");
    let outcome =
        Outcome::Wait(Park::Acknowledged { replicas: 1, offset: written, deadline: None });
    assert_eq!((awaited(&reader), reader.outcome), (Some(written), outcome));

    // A client without writes waits for nothing.
    let mut stranger = writer.another();
    stranger.run("wait 1 0");
    assert_eq!(awaited(&stranger), Some(Offset(0)));
}

#[test]
fn an_offset_of_a_history_that_was_left_is_not_waited_for() {
    let mut client = Client::new();
    let _feed = client.follow();
    client.run("set k v");
    {
        let _alone = client.engine.keyspace.enter_exclusive();
        let id = tessera_log::ReplId::from_random([9; 20]);
        client.engine.log.adopt(id, Offset(0), 0);
    }
    client.run("wait 1 0");
    assert_eq!(awaited(&client), Some(Offset(0)));
}

#[test]
fn a_write_that_had_begun_when_clients_were_paused_tells_what_has_expired() {
    for (line, told) in [
        ("append k x", &["UNLINK k", "append k x"][..]),
        ("hincrby h f 1", &["HDEL h f", "hincrby h f 1"]),
    ] {
        let mut client = Client::new();
        client.run("set k old PX 1");
        client.run("hsetex h PX 1 FIELDS 1 f 5");
        let mut reader = client.follow();
        client.now = START.plus(5);
        let (engine, thread) = (client.engine.clone(), OnceLock::new());
        let key = line.split(' ').nth(1).expect("a key");
        let mut world = engine.keyspace.enter(1);
        // Given: a write that waits for its slot when the pause begins.
        let slot = world.lock(engine.keyspace.locate(key.as_bytes()).slot());
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let me = std::path::Path::new("/proc")
                    .join(std::fs::read_link("/proc/thread-self").expect("this is Linux"));
                thread.set(me).expect("it is set once");
                client.run(line);
            });
            await_sleep(&thread);
            engine.pause_clients(PauseKind::Writes, START.plus(60_000), START.plus(5));
            drop(slot);
        });
        let told_all = harness::told(&mut reader);
        assert_eq!(told_all.iter().filter(|line| *line != "SELECT 0").collect::<Vec<_>>(), told);
    }
}
