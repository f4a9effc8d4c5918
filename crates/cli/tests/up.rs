//! `up` with real processes: Debian's redis-server, which takes the same arguments as ours.
//!
//! Skipped where it is not installed; under CI that is a failure.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tessera_cli::client::Client;
use tessera_cli::up::command::run;
use tessera_cli::up::watch::{self, Event, NodeState, Watcher};
use tessera_cli::up::{self, Options, RunningCluster, UpError};

const PATIENCE: Duration = Duration::from_secs(30);

fn is_installed() -> bool {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    let found = version.is_ok_and(|status| status.success());
    if !found {
        assert!(std::env::var_os("CI").is_none(), "redis-server must be installed under CI");
        let _ = writeln!(std::io::stderr(), "skipped: redis-server is not installed");
    }
    found
}

/// A test's turn: one at a time. A process that one test starts has, until it is the new program,
/// the sockets of all others, so that a port which was just given up may still be in use.
fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::new(());
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The first of six ports that are free, with their bus ports. Tests of one run get different ones.
fn free_ports() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let is_free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let seed = (std::process::id() % 1000) as u16 * 20;
    loop {
        let step = NEXT.fetch_add(6, Ordering::Relaxed);
        assert!(step < 6000, "no six free ports");
        // Bus ports stay below those that the system gives to outgoing connections.
        let first = 11_000 + (seed + step) % 9_990;
        if (first..first + 6).all(|port| is_free(port) && is_free(port + 10_000)) {
            return first;
        }
    }
}

fn options(dir: &Path) -> Options {
    Options {
        program: "redis-server".into(),
        program_args: Vec::new(),
        masters: None,
        replicas: None,
        port: Some(free_ports()),
        dir: dir.join("cluster"),
        reset: false,
        config: vec!["cluster-node-timeout 2000".to_owned(), "save \"\"".to_owned()],
    }
}

fn id_of(port: u16) -> Option<String> {
    let mut client = Client::connect(("127.0.0.1", port), PATIENCE).expect("the node is there");
    client.command(&["CLUSTER", "MYID"]).expect("an answer").text()
}

/// Watches until an event satisfies, and gives it.
fn await_event(
    cluster: &mut RunningCluster,
    watcher: &mut Watcher,
    wanted: impl Fn(&Event) -> bool,
) -> Event {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let seen = watch::look(cluster);
        if let Some(event) = watcher.see(Instant::now(), &seen).into_iter().find(&wanted) {
            return event;
        }
        assert!(Instant::now() < deadline, "it does not happen; seen: {seen:?}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_cluster_is_formed_survives_a_kill_and_is_resumed() {
    let _turn = turn();
    if !is_installed() {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let mut options = options(temp.path());
    let port = options.port.expect("set above");

    // Formed: three shards over all slots, a replica each.
    let mut cluster = up::start(&options).expect("it comes up");
    assert!(!cluster.resumed);
    let shards = cluster.shards().expect("a node answers");
    let slots: usize = shards
        .iter()
        .flat_map(|shard| &shard.ranges)
        .map(|&(first, last)| usize::from(last - first) + 1)
        .sum();
    assert_eq!(slots, 16_384);
    let mut pairs: Vec<_> = shards.iter().map(|s| (s.primary, s.replicas.clone())).collect();
    pairs.sort();
    assert_eq!(pairs, (0..3).map(|at| (port + at, vec![port + at + 3])).collect::<Vec<_>>());
    let ids: Vec<_> = cluster.ports().into_iter().map(id_of).collect();

    // A second `up` in the same directory is refused.
    let second = up::start(&Options { port: None, ..options.clone() });
    assert!(matches!(second, Err(UpError::Busy { .. })), "{second:?}");

    // A killed primary: its replica takes over; started again it is a replica.
    let mut watcher = Watcher::default();
    watcher.see(Instant::now(), &watch::look(&mut cluster));
    cluster.kill(port).expect("it is ours");
    assert_eq!(cluster.pid(port).expect("it is ours"), None);
    let event =
        await_event(&mut cluster, &mut watcher, |event| matches!(event, Event::Failover { .. }));
    let Event::Failover { port: new, from, after, .. } = event else { unreachable!() };
    assert_eq!((new, from), (port + 3, Some(port)));
    assert!(after.is_some_and(|after| after < PATIENCE), "{after:?}");
    cluster.restart(port).expect("it starts again");
    let replica = NodeState::Replica(Some(port + 3));
    await_event(&mut cluster, &mut watcher, |event| match event {
        Event::Back { port: back, state } => *back == port && *state == replica,
        Event::Follows { port: follower, primary } => {
            *follower == port && *primary == Some(port + 3)
        }
        _ => false,
    });
    cluster.await_ok().expect("all is well again");
    assert_eq!(cluster.stop(), Vec::<u16>::new());

    // Resumed: the same nodes in the roles that they had at the end.
    options.port = None;
    let mut cluster = up::start(&options).expect("it comes up again");
    assert!(cluster.resumed);
    assert_eq!(cluster.ports().into_iter().map(id_of).collect::<Vec<_>>(), ids);
    let shards = cluster.shards().expect("a node answers");
    assert!(shards.iter().any(|shard| shard.primary == port + 3 && shard.replicas == [port]));
    assert_eq!(cluster.stop(), Vec::<u16>::new());
}

#[test]
fn the_command_tells_what_it_does_and_ends_on_ctrl_c() {
    let _turn = turn();
    if !is_installed() {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let options = Options { replicas: Some(0), ..options(temp.path()) };
    let port = options.port.expect("set above");
    let marker = options.dir.join("tessera-up.conf");
    let interrupter = std::thread::spawn(move || {
        let deadline = Instant::now() + PATIENCE;
        while !std::fs::read_to_string(&marker).is_ok_and(|text| text.contains("formed yes")) {
            assert!(Instant::now() < deadline, "it does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::INT).expect("it is us");
    });
    let mut out = Vec::new();
    run(&options, &mut out).expect("it comes up and ends");
    interrupter.join().expect("it came up in time");
    let text = String::from_utf8(out).expect("text");
    for line in [
        format!("Starting 3 nodes on ports {port} to {}…", port + 2),
        format!("  1      0-5460       {port}"),
        format!("Connect with: redis-cli -c -p {port}"),
        "Stopped.".to_owned(),
    ] {
        assert!(text.contains(&line), "no {line:?} in:\n{text}");
    }
    for port in port..port + 3 {
        assert!(Client::connect(("127.0.0.1", port), PATIENCE).is_err(), "{port} still runs");
    }
}

#[test]
fn nothing_is_started_when_something_is_wrong() {
    let _turn = turn();
    let temp = tempfile::tempdir().expect("a directory");
    let options = options(temp.path());
    let port = options.port.expect("set above");

    let few = up::start(&Options { masters: Some(2), ..options.clone() });
    assert!(matches!(few, Err(UpError::TooFewMasters(2))));

    let taken = TcpListener::bind(("127.0.0.1", port + 4)).expect("it was free");
    let error = up::start(&options).expect_err("a port is taken").to_string();
    assert_eq!(
        error,
        format!(
            "port {} is in use; stop what listens there or choose others with --port",
            port + 4
        )
    );
    drop(taken);
    let taken = TcpListener::bind(("127.0.0.1", port + 10_000)).expect("it was free");
    let error = up::start(&options).expect_err("a bus port is taken").to_string();
    assert!(error.contains("bus port"), "{error}");
    drop(taken);
    assert!(!options.dir.exists(), "nothing is made before all is checked");

    let file = temp.path().join("file");
    std::fs::write(&file, "x").expect("writable");
    let unwritable = up::start(&Options { dir: file.join("data"), ..options.clone() });
    assert!(unwritable.is_err());

    let absent = up::start(&Options { program: "/no/such/program".into(), ..options.clone() });
    assert!(matches!(absent, Err(UpError::Program { .. })));
    let ends = up::start(&Options { program: "false".into(), ..options });
    assert!(matches!(ends, Err(UpError::NodeEnded { .. })), "{ends:?}");
}

#[test]
fn nodes_that_a_killed_up_has_left_are_adopted() {
    let _turn = turn();
    if !is_installed() {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let mut options = Options { replicas: Some(0), ..options(temp.path()) };
    let port = options.port.expect("set above");
    let cluster = up::start(&options).expect("it comes up");
    let ids: Vec<_> = cluster.ports().into_iter().map(id_of).collect();
    let key = "key";
    let holder = (port..port + 3).find(|&port| {
        let mut client = Client::connect(("127.0.0.1", port), PATIENCE).expect("it is there");
        client.command(&["SET", key, "kept"]).is_ok()
    });
    let holder = holder.expect("one of the three serves the key");

    // As after kill -9 of `up`: the lock is gone, the nodes are not.
    let pids = cluster.abandon();

    // --reset says what is the matter instead of "port in use".
    let reset = Options { reset: true, port: None, replicas: None, ..options.clone() };
    let error = up::start(&reset).expect_err("they still run").to_string();
    let hint = format!("kill {} {} {}", pids[0], pids[1], pids[2]);
    assert!(error.contains("without --reset") && error.contains(&hint), "{error}");

    // One of them is gone; the next `up` starts it again and goes on with the others.
    let killed = (port..port + 3).position(|port| port != holder).expect("there are three");
    let gone = rustix::process::Pid::from_raw(pids[killed] as i32).expect("positive");
    rustix::process::kill_process(gone, rustix::process::Signal::KILL).expect("it is ours");
    let deadline = Instant::now() + PATIENCE;
    while Client::connect(("127.0.0.1", port + killed as u16), PATIENCE).is_ok() {
        assert!(Instant::now() < deadline, "it does not go");
    }
    options.port = None;
    options.replicas = None;
    let checked = up::check(&options).expect("it is ours");
    assert_eq!(checked.left_running().len(), 2);
    let mut cluster = checked.start(&options, &|| false, &mut |_| {}).expect("it is resumed");
    assert_eq!(cluster.ports().into_iter().map(id_of).collect::<Vec<_>>(), ids);
    assert_eq!(cluster.pid(holder).expect("ours"), Some(pids[usize::from(holder - port)]));
    let mut client = Client::connect(("127.0.0.1", holder), PATIENCE).expect("it is there");
    let kept = client.command(&["GET", key]).expect("an answer").text();
    assert_eq!(kept.as_deref(), Some("kept"), "its data is there");

    // It is watched and ended like the others.
    let mut watcher = Watcher::default();
    watcher.see(Instant::now(), &watch::look(&mut cluster));
    cluster.kill(holder).expect("ours");
    await_event(&mut cluster, &mut watcher, |event| matches!(event, Event::Ended { .. }));
    assert_eq!(cluster.stop(), Vec::<u16>::new());
    for port in port..port + 3 {
        assert!(Client::connect(("127.0.0.1", port), PATIENCE).is_err(), "{port} still runs");
    }
}

#[test]
fn a_long_wait_says_what_it_is_for() {
    let _turn = turn();
    if !is_installed() {
        return;
    }
    let temp = tempfile::tempdir().expect("a directory");
    let mut options = Options { replicas: Some(0), ..options(temp.path()) };
    let cluster = up::start(&options).expect("it comes up");
    assert_eq!(cluster.stop(), Vec::<u16>::new());
    // A cluster that cannot become well: a third of the slots has no owner.
    let first = options.port.take().expect("set above");
    options.replicas = None;
    for port in first..first + 3 {
        let nodes = options.dir.join(port.to_string()).join("nodes.conf");
        let text = std::fs::read_to_string(&nodes).expect("written by the node");
        std::fs::write(&nodes, text.replace(" 5461-10921", "")).expect("writable");
    }
    let mut said = Vec::new();
    let started = Instant::now();
    let ended = || started.elapsed() > Duration::from_secs(5);
    let checked = up::check(&options).expect("it is ours");
    let result = checked.start(&options, &ended, &mut |line| said.push(line.to_owned()));
    assert!(matches!(result, Err(UpError::Interrupted)), "{result:?}");
    assert!(
        said.first()
            .is_some_and(|line| line
                .starts_with("Waiting until the cluster is up (cluster_state:ok): node ")),
        "{said:?}"
    );
}
