//! Waiting for keys, with small operations on strings: taking a string away, and moving it on.

mod harness;

use harness::{Client, START};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use tessera_engine::{
    AckWait, Args, Blocked, Command, Cx, Db, Done, Fail, Flags, Key, Outcome, Park, Served,
    deadline_in_seconds,
};
use tessera_store::{Lookup, NewValue, Value};

/// Takes the string of a key; with a destination, moves it there.
struct Take {
    to: Option<Vec<u8>>,
    wants_deletion: bool,
}

fn bytes(value: Value) -> Vec<u8> {
    match value {
        Value::Integer(number) => number.to_string().into_bytes(),
        Value::Bytes(bytes, _) => bytes.into_vec(),
        other => panic!("a short string: {other:?}"),
    }
}

impl Blocked for Take {
    fn serve(
        &mut self,
        db: &mut Db<'_, '_>,
        cx: &mut Cx<'_>,
        key: Key<'_>,
    ) -> Result<Served, Fail> {
        let Some(found) = db.find(key) else {
            return if self.wants_deletion && !cx.may_block {
                Err(Fail::text("UNBLOCKED the key is gone"))
            } else {
                Ok(Served::No)
            };
        };
        let value = bytes(found.remove().0);
        if let Some(to) = &self.to {
            let access = db.access();
            match db.lookup(db.place(to)) {
                Lookup::Found(mut found) => found.replace(NewValue::String(&value), None, access),
                Lookup::Vacant(vacant) => vacant.insert(NewValue::String(&value), None, access),
            }
        }
        cx.changed(1);
        cx.reply.array(2);
        cx.reply.bulk(key.bytes);
        cx.reply.bulk(&value);
        let to = self.to.clone();
        cx.propagate_instead(|| {
            [Some(b"TAKE".to_vec()), Some(key.bytes.to_vec()), to].into_iter().flatten().collect()
        });
        Ok(Served::Yes)
    }

    fn wants_deletion(&self) -> bool {
        self.wants_deletion
    }

    fn also_locks(&self) -> Option<&[u8]> {
        self.to.as_deref()
    }
}

/// `btake key [key ...] timeout`
fn btake(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let deadline = deadline_in_seconds(args.at(args.len() - 1), cx.now)?;
    let keys: Vec<Key<'_>> =
        args.from(1).take(args.len() - 2).enumerate().map(|(at, key)| db.key(key, at)).collect();
    cx.serve_or_block(db, &keys, deadline, Take { to: None, wants_deletion: false })
}

/// `bpass from to timeout`
fn bpass(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let to = Some(args.at(2).to_vec());
    let key = db.key(args.at(1), 0);
    cx.serve_or_block(db, &[key], None, Take { to, wants_deletion: false })
}

/// `bgone key`: waits for a deletion.
fn bgone(db: &mut Db<'_, '_>, cx: &mut Cx<'_>, args: Args<'_>) -> Done {
    let key = db.key(args.at(1), 0);
    cx.block(&[key], None, Take { to: None, wants_deletion: true });
    Ok(())
}

const WRITE: Flags = Flags::WRITE.or(Flags::BLOCKING);
static BTAKE: Command = Command::new("btake", -3, btake).flags(WRITE).keys(1, -2, 1);
static BPASS: Command = Command::new("bpass", 4, bpass).flags(WRITE).keys(1, 2, 1);
static BGONE: Command = Command::new("bgone", 2, bgone).flags(WRITE).keys(1, 1, 1);

/// The answers that came for clients which waited: id and reply.
fn answers(client: &Client) -> Vec<(u64, String)> {
    let answers = std::mem::take(&mut *client.host.answers.lock().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).replace("\r\n", "|");
    answers.into_iter().map(|(id, bytes)| (id, text(bytes))).collect()
}

fn waits(client: &mut Client, command: &'static Command, line: &str) -> u64 {
    assert_eq!(client.run_as(Some(command), line), "", "{line}");
    assert!(matches!(client.outcome, Outcome::Wait(Park::Blocked { .. })), "{line}");
    client.session.info.id
}

#[test]
fn a_key_that_is_there_serves_at_once() {
    let mut client = Client::new();
    client.run("mset b 1 c 2");
    assert_eq!(client.run_as(Some(&BTAKE), "btake a b c 0"), "*2|$1|b|$1|1");
    assert_eq!(client.outcome, Outcome::Next);
    client.expect(&[("exists b", ":0"), ("exists c", ":1")]);
}

#[test]
fn first_come_first_served() {
    let mut feeder = Client::new();
    let (mut a, mut b) = (feeder.another(), feeder.another());
    let (first, second) =
        (waits(&mut a, &BTAKE, "btake k 0"), waits(&mut b, &BTAKE, "btake k j k 0"));
    assert!(feeder.run("info clients").contains("blocked_clients:2|"));
    assert!(feeder.run("info clients").contains("total_blocking_keys:2|"));
    feeder.expect(&[("set k 1", "+OK"), ("exists k", ":0")]);
    assert_eq!(answers(&feeder), [(first, "*2|$1|k|$1|1|".to_owned())]);
    feeder.run("set j 2");
    assert_eq!(answers(&feeder), [(second, "*2|$1|j|$1|2|".to_owned())]);
    feeder.expect(&[("set k 3", "+OK"), ("get k", "$1|3")]);
    assert_eq!((feeder.engine.blocked_clients(), feeder.engine.blocking_keys()), (0, 0));
}

#[test]
fn whatever_makes_a_key_serves() {
    for (feed, setting) in [
        ("rename other k", "set other v"),
        ("copy other k", "set other v"),
        ("mset x 1 k v", ""),
        ("swapdb 0 1", "in 1"),
        ("move k 0", "in 1"),
    ] {
        let mut feeder = Client::new();
        if setting == "in 1" {
            feeder.expect(&[("select 1", "+OK"), ("set k v", "+OK")]);
        } else if !setting.is_empty() {
            feeder.run(setting);
        }
        let mut client = feeder.another();
        let id = waits(&mut client, &BTAKE, "btake k 0");
        feeder.run(feed);
        assert_eq!(answers(&feeder), [(id, "*2|$1|k|$1|v|".to_owned())], "{feed}");
        assert_eq!(feeder.engine.blocking_keys(), 0, "{feed}");
    }
}

#[test]
fn what_is_moved_on_serves_others() {
    let mut feeder = Client::new();
    let ids: Vec<u64> = ["bpass a b 0", "bpass b c 0", "bpass c d 0"]
        .map(|line| waits(&mut feeder.another(), &BPASS, line))
        .to_vec();
    let mut reader = feeder.follow();
    feeder.run("set a v");
    let answered: Vec<u64> = answers(&feeder).into_iter().map(|(id, _)| id).collect();
    assert_eq!(answered, ids);
    feeder.expect(&[("exists a b c", ":0"), ("get d", "$1|v")]);
    let told = String::from_utf8_lossy(reader.peek().expect("it goes on")).replace("\r\n", " ");
    let at = |what: &str| told.find(what).unwrap_or_else(|| panic!("{what} in {told}"));
    assert!(
        at("set $1 a") < at("TAKE $1 a $1 b") && at("TAKE $1 a") < at("TAKE $1 b $1 c"),
        "{told}"
    );
    reader.advance(1);
}

#[test]
fn a_deletion_is_news_for_those_who_want_it() {
    let mut feeder = Client::new();
    feeder.run("set k v PX 10");
    let id = waits(&mut feeder.another(), &BGONE, "bgone k");
    let kept = waits(&mut feeder.another(), &BTAKE, "btake k2 k3 0");
    feeder.run("del k");
    assert_eq!(answers(&feeder), [(id, "-UNBLOCKED the key is gone|".to_owned())]);
    feeder.run("set k3 v");
    assert_eq!(answers(&feeder)[0].0, kept);
}

#[test]
fn time_is_up() {
    let feeder = Client::new();
    let mut client = feeder.another();
    waits(&mut client, &BTAKE, "btake a b 1.5");
    assert_eq!(client.outcome, Outcome::Wait(Park::Blocked { deadline: Some(START.plus(1500)) }));
    let answer = client.engine.time_out(1, &client.session.info).expect("nobody served it");
    assert_eq!(answer.bytes, b"*-1\r\n");
    assert!(client.engine.time_out(1, &client.session.info).is_none());
    assert_eq!((feeder.engine.blocked_clients(), feeder.engine.blocking_keys()), (0, 0));
}

#[test]
fn client_unblock_ends_waiting() {
    let mut other = Client::new();
    let id = waits(&mut other.another(), &BTAKE, "btake a 0");
    other.expect(&[
        ("client unblock 99", ":0"),
        ("client unblock x", "-ERR value is not an integer or out of range"),
        ("client unblock 1 never", "-ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR"),
    ]);
    assert_eq!(other.run(&format!("client unblock {id}")), ":1");
    assert_eq!(answers(&other), [(id, "*-1|".to_owned())]);
    assert_eq!(other.run(&format!("client unblock {id}")), ":0");
    let id = waits(&mut other.another(), &BTAKE, "btake a 0");
    assert_eq!(other.run(&format!("client unblock {id} ERROR")), ":1");
    let text = "-UNBLOCKED client unblocked via CLIENT UNBLOCK|".to_owned();
    assert_eq!(answers(&other), [(id, text)]);
    // The error counts for the command that waited.
    let mut client = other.another();
    client.run("blpop a 0");
    assert_eq!(other.run(&format!("client unblock {} ERROR", client.session.info.id)), ":1");
    let stats = other.run("info errorstats commandstats");
    assert!(stats.contains("errorstat_UNBLOCKED:count=2|"), "{stats}");
    let waited = stats.split('|').find(|line| line.starts_with("cmdstat_blpop:"));
    assert!(waited.is_some_and(|line| line.ends_with("failed_calls=1")), "{stats}");
    assert_eq!((other.engine.blocked_clients(), other.engine.blocking_keys()), (0, 0));
}

#[test]
fn client_unblock_ends_waiting_for_replicas() {
    let (mut client, waiting) = (Client::new(), Client::new().session);
    let info = waiting.info;
    assert!(!info.cut_ack_wait(AckWait::Fail), "it does not wait");
    let id = client.session.info.id;
    let own = std::sync::Arc::clone(&client.session.info);
    own.begin_ack_wait();
    // The first one who asks has it.
    assert_eq!(client.run(&format!("client unblock {id} ERROR")), ":1");
    assert_eq!(client.run(&format!("client unblock {id}")), ":0");
    let end = format!("end wait {id}");
    assert_eq!(*client.host.calls.lock().unwrap(), [end], "its thread answers it, once");
    assert_eq!(own.end_ack_wait(), AckWait::Fail);
    assert_eq!(client.run(&format!("client unblock {id}")), ":0");
}

#[test]
fn who_is_gone_gets_nothing() {
    let mut feeder = Client::new();
    let mut client = feeder.another();
    waits(&mut client, &BTAKE, "btake a b 0");
    client.engine.forget(1, &mut client.session);
    feeder.expect(&[("set a v", "+OK"), ("get a", "$1|v")]);
    assert_eq!(answers(&feeder), []);
    assert_eq!((feeder.engine.blocked_clients(), feeder.engine.blocking_keys()), (0, 0));
}

#[test]
fn a_change_of_role_sends_all_away() {
    let feeder = Client::new();
    let id = waits(&mut feeder.another(), &BTAKE, "btake a 0");
    feeder.engine.unblock_all(1);
    let text = "-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)|";
    assert_eq!(answers(&feeder), [(id, text.to_owned())]);
}

/// Waits for values until it is told to stop; gives what it was answered.
fn waits_again_and_again(
    mut client: Client,
    stop: &AtomicBool,
    mut random: u64,
    number: u64,
) -> Vec<String> {
    let mut got = Vec::new();
    while !stop.load(Relaxed) {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(number | 1);
        let line = ["btake x y 0", "btake y x 0", "btake z x 0"][(random >> 40) as usize % 3];
        let reply = client.run_as(Some(&BTAKE), line);
        if !reply.is_empty() {
            got.push(reply);
            continue;
        }
        if matches!(client.outcome, Outcome::Wait(Park::Locked(_))) {
            continue;
        }
        let id = client.session.info.id;
        // Waits for the answer, or gives up, as a connection's thread would.
        for turn in 0.. {
            let mut answers = client.host.answers.lock().unwrap();
            let mine = answers.iter().position(|(other, _)| *other == id);
            if let Some(at) = mine {
                let bytes = answers.remove(at).1;
                got.push(String::from_utf8_lossy(&bytes).replace("\r\n", "|"));
                break;
            }
            drop(answers);
            let is_late = turn > random % 50 || stop.load(Relaxed);
            if is_late && client.engine.time_out(client.thread, &client.session.info).is_some() {
                break;
            }
            if client.engine.has_chores() {
                client.engine.do_chores(client.thread, client.now);
            }
            std::thread::yield_now();
        }
    }
    got
}

/// Feeders and waiters on threads of their own: every value that was fed is taken once, and none is
/// lost.
fn many_threads(seed: u64) {
    const ROUNDS: u64 = 200;
    let mut main = Client::new();
    let stop = AtomicBool::new(false);
    let mut taken: Vec<String> = Vec::new();
    std::thread::scope(|scope| {
        let waiters: Vec<_> = (0..3u64)
            .map(|number| {
                let (mut client, stop) = (main.another(), &stop);
                client.thread = 1 + number as usize % 2;
                client.is_patient = number == 0;
                scope.spawn(move || {
                    waits_again_and_again(client, stop, seed * 7 + number + 1, number)
                })
            })
            .collect();
        let feeders: Vec<_> = (0..2u64)
            .map(|number| {
                let mut client = main.another();
                client.thread = number as usize;
                scope.spawn(move || {
                    for round in 0..ROUNDS {
                        let key = ["x", "y", "z"][(seed + round * 5 + number) as usize % 3];
                        // A value that nobody has taken yet must not be overwritten.
                        while client.run(&format!("setnx {key} {number}-{round}")) == ":0" {
                            std::thread::yield_now();
                        }
                    }
                })
            })
            .collect();
        feeders.into_iter().for_each(|feeder| feeder.join().expect("a feeder ends"));
        stop.store(true, Relaxed);
        for waiter in waiters {
            taken.extend(waiter.join().expect("a waiter ends"));
        }
    });
    main.engine.do_chores(0, main.now);
    let mut values: Vec<String> =
        taken.iter().map(|reply| reply.split('|').nth(4).expect("a value").to_owned()).collect();
    for key in ["x", "y", "z"] {
        let left = main.run(&format!("get {key}"));
        values.extend(left.split('|').nth(1).map(str::to_owned));
    }
    values.sort();
    let mut fed: Vec<String> = (0..2)
        .flat_map(|number| (0..ROUNDS).map(move |round| format!("{number}-{round}")))
        .collect();
    fed.sort();
    assert_eq!(values, fed, "seed {seed}");
    assert_eq!((main.engine.blocked_clients(), main.engine.blocking_keys()), (0, 0), "seed {seed}");
}

#[test]
fn every_value_is_taken_once() {
    (0..30).for_each(many_threads);
}

#[test]
fn who_waits_for_several_keys_takes_them_in_its_own_order() {
    let mut feeder = Client::new();
    let mut client = feeder.another();
    assert_eq!(client.run("blpop {t}second {t}first 0"), "");
    feeder.expect(&[
        ("multi", "+OK"),
        ("rpush {t}first x", "+QUEUED"),
        ("rpush {t}second y", "+QUEUED"),
        ("exec", "*2|:1|:1"),
    ]);
    let id = client.session.info.id;
    assert_eq!(answers(&feeder), [(id, "*2|$9|{t}second|$1|y|".to_owned())]);
    feeder.expect(&[("lrange {t}first 0 -1", "*1|$1|x"), ("exists {t}second", ":0")]);
}

#[test]
fn who_waits_for_several_streams_gets_all_that_a_transaction_has_fed() {
    let mut feeder = Client::new();
    let (mut plain, mut consumer) = (feeder.another(), feeder.another());
    feeder.expect(&[
        ("xgroup create a g $ mkstream", "+OK"),
        ("xgroup create b g $ mkstream", "+OK"),
        ("xgroup create c g $ mkstream", "+OK"),
    ]);
    // One that is named twice is answered twice.
    assert_eq!(plain.run("xread count 1 block 0 streams b a c b $ $ 0 $"), "");
    assert_eq!(consumer.run("xreadgroup group g x block 0 streams c b a > > >"), "");
    let mut reader = feeder.follow();
    feeder.expect(&[
        ("multi", "+OK"),
        ("xadd a 1-1 f 1", "+QUEUED"),
        ("xadd b 2-1 f 2", "+QUEUED"),
        ("xadd b 2-2 f 3", "+QUEUED"),
        ("exec", "*3|$3|1-1|$3|2-1|$3|2-2"),
    ]);
    let entry = |id: &str, value: u8| format!("*2|$3|{id}|*2|$1|f|$1|{value}|");
    let (a, b, last) = (entry("1-1", 1), entry("2-1", 2), entry("2-2", 3));
    let read = format!("*3|*2|$1|b|*1|{b}*2|$1|a|*1|{a}*2|$1|b|*1|{b}");
    let given = format!("*2|*2|$1|b|*2|{b}{last}*2|$1|a|*1|{a}");
    let [plain, consumer] = [plain, consumer].map(|client| client.session.info.id);
    assert_eq!(answers(&feeder), [(plain, read), (consumer, given)]);
    feeder.expect(&[("xreadgroup group g x streams c b a > > >", "*-1")]);
    let told = String::from_utf8_lossy(reader.peek().expect("it goes on")).into_owned();
    assert_eq!(told.matches("XCLAIM").count(), 3, "{told}");
    reader.advance(1);
    assert_eq!((feeder.engine.blocked_clients(), feeder.engine.blocking_keys()), (0, 0));
}

#[test]
fn those_who_need_different_slots_do_not_wait_for_each_other() {
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut feeder = Client::new();
        let (mut first, mut second) = (feeder.another(), feeder.another());
        for (client, line) in
            [(&mut first, "blmove k a left left 0"), (&mut second, "blmove k b left left 0")]
        {
            assert_eq!(client.run(line), "", "{line}");
        }
        // Nothing for either.
        feeder.expect(&[("set k x", "+OK"), ("del k", ":1"), ("rpush k 1 2", ":2")]);
        feeder.expect(&[("lrange a 0 -1", "*1|$1|1"), ("lrange b 0 -1", "*1|$1|2")]);
        done.send(answers(&feeder)).expect("somebody waits for it");
    });
    let answers = is_done.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(answers.expect("it ends").len(), 2);
}

#[test]
fn a_client_may_wait_for_very_many_keys() {
    const KEYS: usize = 200_000;
    let (done, is_done) = std::sync::mpsc::channel();
    std::thread::spawn(move || {
        let mut feeder = Client::new();
        let (mut taking, mut reading) = (feeder.another(), feeder.another());
        let keys = (0..KEYS).map(|number| format!("{{k}}{number}")).collect::<Vec<_>>();
        let command = |words: &[&str], last: &str| {
            let words = words.iter().map(|&word| word.to_owned());
            words.chain(keys.iter().cloned()).chain([last.to_owned()]).collect::<Vec<_>>()
        };
        // Each key comes twice and is waited for once.
        let twice = [command(&["blpop"], "{k}0"), command(&[], "0")].concat();
        assert_eq!(taking.command(&twice), b"");
        assert_eq!(feeder.engine.blocking_keys(), KEYS);
        let mut streams = command(&["xread", "block", "0", "streams"], "$");
        streams.resize(4 + 2 * KEYS, "$".to_owned());
        assert_eq!(reading.command(&streams), b"");
        // The last one of all.
        let last = &keys[KEYS - 1];
        feeder.expect(&[(&format!("xadd {last} 1-1 f 1"), "$3|1-1")]);
        feeder.expect(&[(&format!("rpush {} x", keys[0]), ":1")]);
        assert_eq!(feeder.engine.blocking_keys(), 0);
        done.send(answers(&feeder)).expect("somebody waits for it");
    });
    let answers = is_done.recv_timeout(std::time::Duration::from_secs(60));
    assert_eq!(answers.expect("it ends").len(), 2);
}
