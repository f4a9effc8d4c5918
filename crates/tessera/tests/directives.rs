//! Every directive that the table marks as effective has an effect, and every other one that is set
//! is named in the log.
//!
//! [`EFFECTS`] has a row for each effective directive: a test here that sees its effect, or the
//! place of the one that does.

mod common;

use std::collections::HashSet;
use std::io::Read;
use std::net::{TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::server::{Server, start};
use common::wire::{Answer, Wire};
use common::{eventually, free_ports};
use rustix::process::Signal;
use tessera_config::value::Kind;
use tessera_config::{Config, Directive, SetContext, directives, find};

/// Where the effect of a directive is seen.
enum Seen {
    /// On a server that runs, by CONFIG SET.
    Running(fn(&mut Wire)),
    /// On servers that the test starts.
    Started(fn()),
    /// By another test: its file, and its name.
    By(&'static str, &'static str),
    /// By no test, for this reason.
    Unseen(&'static str),
}
use Seen::{By, Running, Started, Unseen};

const IN_SERVER: &str = "crates/tessera/tests/server.rs";
const IN_START: &str = "crates/tessera/tests/start.rs";
const IN_REPLICATION: &str = "crates/tessera/tests/replication.rs";
const IN_EVICTION: &str = "crates/engine/tests/eviction.rs";
const IN_CORE: &str = "crates/cluster/tests/commands.rs";
const IN_SIM: &str = "crates/sim/tests/failover.rs";

/// The directives that have an effect, and where it is seen.
const EFFECTS: &[(&str, Seen)] = &[
    // general
    ("daemonize", By("crates/tessera/tests/peers_redis_cli.rs", "a_cluster_by_hand")),
    ("pidfile", By(IN_SERVER, "sigterm_ends_it_in_good_order")),
    ("databases", Started(databases)),
    ("dir", Started(dir)),
    ("hz", Started(hz)),
    ("loglevel", Started(loglevel)),
    ("logfile", Started(logfile)),
    ("disable-thp", Started(disable_thp)),
    ("shutdown-timeout", Started(shutdown_timeout)),
    ("requirepass", By(IN_SERVER, "a_password_is_asked_for")),
    ("enable-protected-configs", By("crates/config/src/set.rs", "protected_and_loading")),
    ("enable-debug-command", By("crates/engine/tests/server.rs", "debugging_must_be_allowed")),
    // network
    ("port", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("bind", Started(bind)),
    ("unixsocket", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("unixsocketperm", By(IN_SERVER, "a_unix_socket_serves_like_a_port")),
    ("unixsocketgroup", By(IN_START, "a_unix_socket_belongs_to_the_group_that_is_named")),
    ("protected-mode", Started(protected_mode)),
    ("tcp-backlog", Started(tcp_backlog)),
    ("timeout", By(IN_SERVER, "an_idle_client_is_disconnected")),
    ("tcp-keepalive", Started(tcp_keepalive)),
    ("maxclients", By(IN_SERVER, "more_clients_than_allowed_are_refused")),
    ("io-threads", Started(io_threads)),
    ("proto-max-bulk-len", Running(proto_max_bulk_len)),
    ("client-query-buffer-limit", By(IN_SERVER, "a_client_that_sends_no_end_is_disconnected")),
    ("client-output-buffer-limit", By(IN_SERVER, "a_client_that_does_not_read_is_disconnected")),
    // memory
    ("maxmemory", By(IN_EVICTION, "without_eviction_only_what_may_take_memory_is_refused")),
    ("maxmemory-policy", By(IN_EVICTION, "every_policy_keeps_the_limit_and_its_word")),
    ("maxmemory-samples", Unseen("how good the choice of keys is, which only statistics show")),
    ("maxmemory-eviction-tenacity", Unseen("how long an eviction may take, in microseconds")),
    (
        "maxmemory-clients",
        By("crates/tessera/tests/client_memory.rs", "a_lower_limit_counts_at_once"),
    ),
    ("active-expire-effort", By("crates/server/src/expire.rs", "hz_and_effort_set_the_pace")),
    ("lfu-log-factor", Running(lfu_log_factor)),
    ("lfu-decay-time", By(IN_EVICTION, "frequencies_are_shown_under_lfu_and_idle_times_otherwise")),
    ("lazyfree-lazy-eviction", By(IN_EVICTION, "replicas_and_listeners_are_told")),
    (
        "lazyfree-lazy-expire",
        By("crates/engine/tests/propagation.rs", "how_expired_keys_are_deleted_is_configured"),
    ),
    ("lazyfree-lazy-server-del", By("crates/engine/tests/sets.rs", "replicas_do_what_was_done")),
    // persistence
    ("rdbcompression", Running(rdbcompression)),
    ("rdbchecksum", Started(rdbchecksum)),
    // replication
    ("replicaof", Started(replicaof)),
    ("masterauth", Started(masterauth)),
    ("masteruser", Started(masterauth)),
    ("replica-read-only", Started(as_a_replica)),
    ("replica-serve-stale-data", Started(as_a_replica)),
    ("replica-priority", Started(as_a_replica)),
    ("replica-ignore-maxmemory", By(IN_EVICTION, "a_replica_leaves_eviction_to_its_primary")),
    ("replica-announce-ip", Started(replicaof)),
    ("replica-announce-port", Started(replicaof)),
    ("repl-backlog-size", Running(repl_backlog_size)),
    ("repl-backlog-ttl", By(IN_REPLICATION, "a_history_that_nobody_reads_is_freed")),
    ("repl-timeout", Started(repl_timeout)),
    ("repl-ping-replica-period", Started(repl_ping_replica_period)),
    ("min-replicas-to-write", Running(min_replicas_to_write)),
    ("min-replicas-max-lag", Started(min_replicas_max_lag)),
    // cluster
    ("cluster-enabled", Started(cluster)),
    ("cluster-config-file", Started(cluster)),
    ("cluster-port", Started(cluster)),
    ("cluster-announce-ip", Started(cluster)),
    ("cluster-announce-port", Started(cluster)),
    ("cluster-announce-tls-port", Started(cluster)),
    ("cluster-announce-bus-port", Started(cluster)),
    ("cluster-announce-hostname", Started(cluster)),
    ("cluster-announce-human-nodename", By(IN_CORE, "the_name_for_people_is_told_to_other_nodes")),
    ("cluster-preferred-endpoint-type", Started(cluster)),
    ("cluster-require-full-coverage", Started(cluster)),
    ("cluster-allow-reads-when-down", Started(cluster)),
    (
        "cluster-node-timeout",
        By(IN_SIM, "a_stopped_primary_is_replaced_within_3300_ms_at_a_timeout_of_2000"),
    ),
    (
        "cluster-fast-failover",
        By(IN_SIM, "without_fast_failover_a_killed_primary_is_judged_by_the_timeout"),
    ),
    (
        "cluster-replica-validity-factor",
        By("crates/cluster/tests/validity.rs", "the_silence_of_a_link_that_is_up_counts"),
    ),
    (
        "cluster-replica-no-failover",
        By(
            "crates/sim/tests/lost_data.rs",
            "a_replica_that_may_not_take_over_is_waited_for_in_vain",
        ),
    ),
    (
        "cluster-allow-replica-migration",
        By(
            "crates/sim/tests/migration.rs",
            "a_spare_replica_goes_to_a_primary_without_one_if_it_may",
        ),
    ),
    (
        "cluster-migration-barrier",
        By(
            "crates/sim/tests/migration.rs",
            "a_spare_replica_goes_to_a_primary_without_one_if_it_may",
        ),
    ),
    (
        "cluster-manual-failover-timeout",
        By(IN_CORE, "a_manual_failover_is_given_up_after_as_long_as_is_configured"),
    ),
    (
        "cluster-blacklist-ttl",
        By(IN_CORE, "a_forgotten_node_is_banned_for_as_long_as_is_configured"),
    ),
    // data
    ("hash-max-listpack-entries", Running(encodings)),
    ("hash-max-listpack-value", Running(encodings)),
    ("list-max-listpack-size", Running(encodings)),
    ("list-compress-depth", Running(list_compress_depth)),
    ("set-max-intset-entries", Running(encodings)),
    ("set-max-listpack-entries", Running(encodings)),
    ("set-max-listpack-value", Running(encodings)),
    ("zset-max-listpack-entries", Running(encodings)),
    ("zset-max-listpack-value", Running(encodings)),
    ("stream-node-max-bytes", Running(stream_nodes)),
    ("stream-node-max-entries", Running(stream_nodes)),
    ("hll-sparse-max-bytes", Running(hll_sparse_max_bytes)),
];

#[test]
fn the_table_and_this_list_agree() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut listed = HashSet::new();
    for (name, seen) in EFFECTS {
        let directive = find(name.as_bytes()).unwrap_or_else(|| panic!("there is no '{name}'"));
        assert!(directive.is_effective(), "'{name}' has an effect: mark it");
        assert!(listed.insert(*name), "'{name}' is listed twice");
        match seen {
            By(file, test) => {
                let text = std::fs::read_to_string(root.join(file));
                let text = text.unwrap_or_else(|error| panic!("{file}: {error}"));
                let is_there = text.contains(&format!("fn {test}("));
                assert!(is_there, "'{name}': {file} has no test {test}");
            }
            Unseen(reason) => assert!(!reason.is_empty()),
            Running(_) | Started(_) => {}
        }
    }
    for directive in directives().filter(|directive| directive.is_effective()) {
        let name = directive.name;
        assert!(listed.contains(name), "'{name}' is marked effective, and nothing sees its effect");
    }
}

#[test]
fn what_is_set_while_the_server_runs_has_an_effect() {
    let mut done: Vec<fn(&mut Wire)> = Vec::new();
    for (name, seen) in EFFECTS {
        let Running(see) = seen else { continue };
        if done.iter().any(|known| std::ptr::fn_addr_eq(*known, *see)) {
            continue;
        }
        done.push(*see);
        eprintln!("{name}");
        let (_temp, server) = start(&[]);
        see(&mut server.wire());
    }
    assert!(done.len() > 5);
}

#[test]
fn what_is_set_at_the_start_has_an_effect() {
    let mut done: Vec<fn()> = Vec::new();
    for (name, seen) in EFFECTS {
        let Started(see) = seen else { continue };
        if done.iter().any(|known| std::ptr::fn_addr_eq(*known, *see)) {
            continue;
        }
        done.push(*see);
        eprintln!("{name}");
        see();
    }
    assert!(done.len() > 10);
}

/// A value that a file may give a directive and that is not its default.
fn another_value(directive: &Directive) -> Option<String> {
    let default = Config::default();
    let mut candidates: Vec<String> = match directive.spec.kind {
        Kind::Flag => vec!["yes".into(), "no".into()],
        Kind::Choice(words) | Kind::Choices(words) => {
            words.iter().map(|word| (*word).to_owned()).collect()
        }
        _ => Vec::new(),
    };
    candidates.extend(
        [
            "7",
            "70",
            "700",
            "2097152",
            "1 2 3",
            "KEA",
            "10 1",
            "a",
            "{title}",
            "::1",
            "10.0.0.1",
            "3145728",
            "normal 1 2 3",
        ]
        .map(str::to_owned),
    );
    candidates.into_iter().find(|value| {
        let line = format!("{} {value}", directive.name);
        let source = tessera_config::Source::new("test", line);
        let mut none = |_: &str| Err(tessera_config::IncludeError(String::new()));
        tessera_config::load(default.clone(), [source], &mut none)
            .is_ok_and(|loaded| !directive.same(&loaded.config, &default))
    })
}

/// Directives which the log has named as without effect.
fn named(log: &str) -> HashSet<String> {
    let lines = log.lines().filter(|line| line.contains("has no effect in this version"));
    lines.filter_map(|line| Some(line.split('\'').nth(1)?.to_owned())).collect()
}

#[test]
fn what_has_no_effect_is_named_in_the_log_and_nothing_else() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("redis.conf");
    let (mut text, mut expected) = (String::new(), HashSet::new());
    for directive in directives().filter(|directive| !directive.is_effective()) {
        match another_value(directive) {
            Some(value) => {
                text += &format!("{} {value}\n", directive.name);
                expected.insert(directive.name.to_owned());
            }
            // It asks for protection that is not there, and stops the start.
            None => assert!(directive.spec.lacking.is_some(), "{}", directive.name),
        }
    }
    // These have an effect: none of them may be named.
    let effective = [
        "hz 20",
        "rdbcompression no",
        "cluster-migration-barrier 3",
        "repl-backlog-ttl 9",
        "hash-max-listpack-entries 7",
        "cluster-allow-replica-migration no",
    ];
    effective.iter().for_each(|line| text += &format!("{line}\n"));
    std::fs::write(&file, text).expect("writable");
    let file = file.display().to_string();
    // The harness sets `save ""`.
    let server = Server::tessera_with_file(temp.path(), &file, &[]);
    expected.remove("save");
    assert!(expected.len() > 60, "{}", expected.len());
    assert_eq!(named(&server.log_text()), expected);

    // CONFIG SET says so, too.
    let already = server.log_text().len();
    assert_eq!(server.say("CONFIG SET activedefrag no timeout 9").text(), "OK");
    assert_eq!(named(&server.log_text()[already..]), HashSet::from(["activedefrag".to_owned()]));
}

#[test]
fn config_set_is_all_or_nothing_whatever_fails() {
    let (temp, server) = start(&["--enable-protected-configs", "yes"]);
    let mut wire = server.wire();
    let taken = TcpListenerOn::free();
    let soft_limit = || {
        let limits = std::fs::read_to_string(format!("/proc/{}/limits", server.pid()));
        let limits = limits.expect("it runs");
        let line = limits.lines().find(|line| line.starts_with("Max open files"));
        line.expect("a line").split_whitespace().nth(3).expect("a number").to_owned()
    };
    let cwd = || std::fs::read_link(format!("/proc/{}/cwd", server.pid())).expect("it runs");
    let names = "repl-backlog-size maxclients port dir loglevel timeout";
    let before = (wire.say(&format!("CONFIG GET {names}")), soft_limit(), cwd());
    let other = temp.path().display();
    for (line, culprit) in [
        ("repl-backlog-size 50mb maxclients 2000000000".to_owned(), "maxclients"),
        (
            "maxclients 10100 port 1 timeout 9"
                .to_owned()
                .replace("port 1", &format!("port {}", taken.0)),
            "port",
        ),
        (format!("dir {other} maxclients 10100 port {}", taken.0), "port"),
        (format!("port {} maxclients 10100 dir /nowhere", free_ports(1)), "dir"),
        (format!("dir {other} timeout 9 bind 127.0.0.2"), "bind"),
    ] {
        let answer = wire.say(&format!("CONFIG SET {line}"));
        let expected =
            format!("ERR CONFIG SET failed (possibly related to argument '{culprit}') - ");
        assert!(answer.is_error(&expected), "{line}: {answer:?}");
        let after = (wire.say(&format!("CONFIG GET {names}")), soft_limit(), cwd());
        assert_eq!(after, before, "{line}");
    }
    assert_eq!(wire.info("replication", "repl_backlog_size"), "10485760");
    assert_eq!(Wire::connect(server.port).expect("it listens still").say("PING").text(), "PONG");
}

/// A port on which this test listens.
struct TcpListenerOn(u16, #[allow(dead_code)] std::net::TcpListener);

impl TcpListenerOn {
    fn free() -> TcpListenerOn {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("a port");
        TcpListenerOn(listener.local_addr().expect("an address").port(), listener)
    }
}

#[test]
fn a_transaction_may_change_and_rewrite_the_configuration() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("redis.conf");
    std::fs::write(&file, "timeout 1\n").expect("writable");
    let (_other, primary) = start(&[]);
    let server = Server::tessera_with_file(temp.path(), &file.display().to_string(), &[]);
    let mut wire = server.wire();
    let mut bystander = server.wire();
    assert_eq!(bystander.say("CLIENT SETNAME bystander").text(), "OK");
    // As Sentinel has a server follow another, and more in between.
    let port = primary.port;
    wire.send(
        format!(
            "MULTI\r\nSLAVEOF 127.0.0.1 {port}\r\nCONFIG SET timeout 7 maxclients 99\r\nCONFIG GET timeout\r\n\
             CONFIG SET port x\r\nCONFIG REWRITE\r\nCLIENT KILL TYPE normal\r\nCLIENT GETNAME\r\nEXEC\r\nCONFIG GET maxclients\r\n"
        )
        .as_bytes(),
    )
    .expect("sent");
    assert_eq!(wire.answer().expect("MULTI").text(), "OK");
    (0..7).for_each(|_| assert_eq!(wire.answer().expect("queued").text(), "QUEUED"));
    let answer = wire.answer().expect("EXEC");
    let [slaveof, set, get, refused, rewrite, kill, name] = answer.array() else {
        panic!("{answer:?}")
    };
    assert_eq!([slaveof, set, rewrite].map(Answer::text), ["OK", "OK", "OK"]);
    assert_eq!(get.array()[1].text(), "7");
    assert!(refused.is_error("ERR CONFIG SET failed"), "{refused:?}");
    assert_eq!((kill.integer(), name), (1, &Answer::Null));
    assert_eq!(wire.answer().expect("after it").array()[1].text(), "99");
    assert!(bystander.is_closed_by_peer());
    let text = std::fs::read_to_string(&file).expect("it is there");
    for line in ["timeout 7\n", "maxclients 99\n", &format!("replicaof 127.0.0.1 {port}\n")] {
        assert!(text.contains(line), "{line} in {text}");
    }
    assert_eq!(wire.say("CONFIG GET replicaof").array()[1].text(), format!("127.0.0.1 {port}"));
}

#[test]
fn a_node_that_changes_its_port_tells_so_and_keeps_its_bus() {
    let (_temp, server) = start(&["--cluster-enabled", "yes"]);
    let mut wire = server.wire();
    let (port, bus) = (free_ports(1), server.port + 10_000);
    ok(&mut wire, &format!("CONFIG SET port {port}"));
    let nodes = wire.say("CLUSTER NODES").text();
    assert!(nodes.contains(&format!(":{port}@{bus}")), "{nodes}");
    assert!(TcpStream::connect(("127.0.0.1", bus)).is_ok());
    eventually("it listens on the new port", || {
        TcpStream::connect(("127.0.0.1", port)).map(drop).map_err(|error| error.to_string())
    });
}

#[test]
fn files_stay_where_they_were_when_the_directory_changes() {
    let options = [
        "--enable-protected-configs",
        "yes",
        "--cluster-enabled",
        "yes",
        "--pidfile",
        "pid",
        "--unixsocket",
        "s",
        "--cluster-config-file",
        "n.conf",
    ];
    let (temp, mut server) = start(&options);
    let other = temp.path().join("other");
    std::fs::create_dir(&other).expect("writable");
    let mut wire = server.wire();
    assert_eq!(wire.say(&format!("CONFIG SET dir {}", other.display())).text(), "OK");
    assert_eq!(wire.say("CLUSTER ADDSLOTS 77").text(), "OK");
    let conf = std::fs::read_to_string(server.dir.join("n.conf")).expect("it is there");
    assert!(conf.contains(" 77\n"), "{conf}");
    server.signal(Signal::TERM);
    assert_eq!(server.await_end().code(), Some(0));
    for left in ["pid", "s"] {
        assert!(!server.dir.join(left).exists(), "{left} is left behind");
    }
    assert_eq!(std::fs::read_dir(&other).expect("it is there").count(), 0);
}

// What follows sees one effect, or a few that are seen together.

fn ok(wire: &mut Wire, line: &str) {
    assert_eq!(wire.say(line).text(), "OK", "{line}");
}

fn databases() {
    let (_temp, server) = start(&["--databases", "3"]);
    ok(&mut server.wire(), "SELECT 2");
    assert!(server.say("SELECT 3").is_error("ERR DB index is out of range"));
}

fn dir() {
    let (temp, server) = start(&["--enable-protected-configs", "yes"]);
    let mut wire = server.wire();
    let cwd = || std::fs::read_link(format!("/proc/{}/cwd", server.pid())).expect("it runs");
    std::fs::create_dir(server.dir.join("inner")).expect("writable");
    // Relative to the directory before it; shown as it is.
    ok(&mut wire, "CONFIG SET dir inner");
    let inner = server.dir.join("inner").canonicalize().expect("it is there");
    assert_eq!(cwd(), inner);
    let shown = wire.say("CONFIG GET dir").array()[1].text();
    assert_eq!(PathBuf::from(shown), inner);
    drop(temp);
}

/// Milliseconds until a key is gone that nobody asks for, beyond the time that it was given.
fn delay_of_expiry(wire: &mut Wire) -> u128 {
    let before: u64 = wire.info("stats", "expired_keys").parse().expect("a number");
    ok(wire, "SET k v PX 50");
    let start = Instant::now();
    eventually("the key expires", || {
        let now: u64 = wire.info("stats", "expired_keys").parse().expect("a number");
        if now > before { Ok(()) } else { Err(now.to_string()) }
    });
    start.elapsed().as_millis().saturating_sub(50)
}

fn hz() {
    let (_temp, server) = start(&["--hz", "1"]);
    let mut wire = server.wire();
    let worst = |wire: &mut Wire| (0..4).map(|_| delay_of_expiry(wire)).max().expect("some");
    let slow = worst(&mut wire);
    ok(&mut wire, "CONFIG SET hz 100");
    // The pause that has begun is still a long one.
    delay_of_expiry(&mut wire);
    let fast = worst(&mut wire);
    assert!(fast < 250 && fast < slow, "{fast} ms at 100, {slow} ms at 1");
}

fn loglevel() {
    let (_temp, server) = start(&["--enable-debug-command", "yes"]);
    let mut wire = server.wire();
    ok(&mut wire, "DEBUG LOG first");
    ok(&mut wire, "CONFIG SET loglevel warning");
    ok(&mut wire, "DEBUG LOG second");
    ok(&mut wire, "CONFIG SET loglevel notice");
    ok(&mut wire, "DEBUG LOG third");
    let text = server.log_text();
    let has = ["first", "second", "third"].map(|word| text.contains(&format!("DEBUG LOG: {word}")));
    assert_eq!(has, [true, false, true], "{text}");
}

fn logfile() {
    let (_temp, server) = start(&["--logfile", "other.log"]);
    let text = std::fs::read_to_string(server.dir.join("other.log")).expect("it is there");
    assert!(text.contains("Server initialized"), "{text}");
}

fn disable_thp() {
    let enabled = |value: &str| {
        let (_temp, server) = start(&["--disable-thp", value]);
        let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()));
        let status = status.expect("it runs");
        let line = status.lines().find(|line| line.starts_with("THP_enabled"))?;
        Some(line.ends_with('1'))
    };
    match enabled("yes") {
        Some(with) => assert_eq!((with, enabled("no")), (false, Some(true))),
        None => eprintln!("skipped: this kernel does not tell"),
    }
}

/// A primary with a replica that follows it.
fn pair(primary: &[&str], replica: &[&str]) -> ([tempfile::TempDir; 2], Server, Server) {
    let (first, primary) = start(primary);
    let port = primary.port.to_string();
    let of = [&["--replicaof", "127.0.0.1", &port], replica].concat();
    let (second, replica) = start(&of);
    let mut wire = primary.wire();
    eventually("the replica is online", || {
        let line = wire.info("replication", "slave0");
        if line.contains("state=online") { Ok(()) } else { Err(line) }
    });
    ([first, second], primary, replica)
}

fn shutdown_timeout() {
    let (_temp, mut primary, replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    ok(&mut wire, "CONFIG SET shutdown-timeout 1");
    replica.signal(Signal::STOP);
    common::await_halted(replica.pid());
    ok(&mut wire, "SET k v");
    let start = Instant::now();
    primary.signal(Signal::TERM);
    primary.await_end();
    let took = start.elapsed();
    // The default is ten seconds.
    assert!(took >= Duration::from_secs(1) && took < Duration::from_secs(9), "{took:?}");
}

fn bind() {
    let (_temp, server) = start(&["--bind", "127.0.0.1", "127.0.0.2"]);
    let reaches = |port: u16| {
        let address = ([127, 0, 0, 2], port).into();
        TcpStream::connect_timeout(&address, Duration::from_secs(5)).is_ok()
    };
    assert!(reaches(server.port));
    let (_other, without) = start(&[]);
    assert!(!reaches(without.port));
    // Only at the start.
    assert!(without.say("CONFIG SET bind 127.0.0.2").is_error("ERR CONFIG SET failed"));
}

/// An address of this machine that is no loopback, if it has one.
fn own_address() -> Option<std::net::IpAddr> {
    let socket = UdpSocket::bind("0.0.0.0:0").ok()?;
    // Nothing is sent.
    socket.connect("192.0.2.1:9").ok()?;
    Some(socket.local_addr().ok()?.ip()).filter(|ip| !ip.is_loopback())
}

fn protected_mode() {
    let Some(ip) = own_address() else {
        eprintln!("skipped: this machine has a loopback address only");
        return;
    };
    let (_temp, server) = start(&["--bind", "0.0.0.0"]);
    let from_outside = || {
        let address = (ip, server.port).into();
        let mut wire = Wire::connect_to(address, Duration::from_secs(5)).expect("it listens");
        wire.try_ask(&["PING"]).map_or_else(|error| error.to_string(), |answer| answer.text())
    };
    assert_ne!(from_outside(), "PONG");
    ok(&mut server.wire(), "CONFIG SET protected-mode no");
    assert_eq!(from_outside(), "PONG");
}

fn tcp_backlog() {
    let taken = |backlog: &str| {
        let (_temp, server) = start(&["--tcp-backlog", backlog]);
        server.signal(Signal::STOP);
        common::await_halted(server.pid());
        let address = ([127, 0, 0, 1], server.port).into();
        let connect = |_| TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok();
        let all: Vec<TcpStream> = (0..12).map_while(connect).collect();
        server.signal(Signal::CONT);
        all.len()
    };
    assert_eq!(taken("511"), 12);
    let few = taken("1");
    assert!(few < 12, "{few}");
}

fn tcp_keepalive() {
    let (_temp, server) = start(&[]);
    let has_timer = |seconds: u32| {
        ok(&mut server.wire(), &format!("CONFIG SET tcp-keepalive {seconds}"));
        // The port of a connection that is made after that.
        let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("it listens");
        let mut wire = [socket];
        std::io::Write::write_all(&mut wire[0], b"PING\r\n").expect("sent");
        wire[0].read_exact(&mut [0; 7]).expect("an answer");
        let ours = format!("{:04X}", wire[0].local_addr().expect("an address").port());
        let table = std::fs::read_to_string("/proc/net/tcp").expect("a table");
        let rows = table.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
        let mut rows = rows.filter(|row| row.len() > 5 && row[2].ends_with(&format!(":{ours}")));
        // Timer 2 is the one of keep-alive.
        rows.next().expect("the server's end").get(5).is_some_and(|timer| timer.starts_with("02:"))
    };
    assert!(has_timer(300));
    assert!(!has_timer(0));
}

fn io_threads() {
    let (_temp, server) = start(&["--io-threads", "3"]);
    assert_eq!(server.wire().info("server", "io_threads_active"), "3");
    let names = std::fs::read_dir(format!("/proc/{}/task", server.pid())).expect("it runs");
    let names =
        names.filter_map(|task| std::fs::read_to_string(task.ok()?.path().join("comm")).ok());
    assert_eq!(names.filter(|name| name.starts_with("io-")).count(), 3);
}

fn proto_max_bulk_len(wire: &mut Wire) {
    ok(wire, "CONFIG SET proto-max-bulk-len 1mb");
    wire.send(b"*2\r\n$4\r\nECHO\r\n$1048577\r\n").expect("sent");
    assert!(wire.answer().expect("an answer").is_error("ERR Protocol error: invalid bulk length"));
}

fn lfu_log_factor(wire: &mut Wire) {
    ok(wire, "CONFIG SET maxmemory-policy allkeys-lfu");
    let mut frequency = |factor: &str| {
        ok(wire, &format!("CONFIG SET lfu-log-factor {factor}"));
        ok(wire, &format!("SET k{factor} v"));
        (0..100).for_each(|_| drop(wire.say(&format!("GET k{factor}"))));
        wire.say(&format!("OBJECT FREQ k{factor}")).integer()
    };
    assert_eq!(frequency("0"), 105);
    assert!(frequency("1000000") < 20);
}

fn rdbcompression(wire: &mut Wire) {
    ok(wire, &format!("SET k {}", "x".repeat(1000)));
    let mut length = |value: &str| {
        ok(wire, &format!("CONFIG SET rdbcompression {value}"));
        let Answer::Bulk(dump) = wire.say("DUMP k") else { panic!("no payload") };
        dump.len()
    };
    assert!(length("no") > 1000);
    assert!(length("yes") < 100);
}

fn rdbchecksum() {
    let end = |value: &str| {
        let (_temp, server) = start(&["--rdbchecksum", value]);
        ok(&mut server.wire(), "SET k v");
        let mut wire = server.wire();
        wire.send(b"SYNC\r\n").expect("sent");
        // Empty lines come first, while the snapshot is made.
        let Answer::Bulk(payload) = wire.payload().expect("a snapshot") else {
            panic!("no payload")
        };
        payload[payload.len() - 8..].to_vec()
    };
    assert_eq!(end("no"), [0; 8]);
    assert_ne!(end("yes"), [0; 8]);
}

fn replicaof() {
    let announced = ["--replica-announce-ip", "10.9.8.7", "--replica-announce-port", "7654"];
    let (_temp, primary, _replica) = pair(&[], &announced);
    let line = primary.wire().info("replication", "slave0");
    assert!(line.starts_with("ip=10.9.8.7,port=7654,"), "{line}");
}

fn masterauth() {
    let (_temp, primary) = start(&["--requirepass", "secret"]);
    let (_other, replica) = start(&["--masterauth", "wrong"]);
    let mut wire = replica.wire();
    ok(&mut wire, &format!("REPLICAOF 127.0.0.1 {}", primary.port));
    let link = |wire: &mut Wire, wanted: &str| {
        eventually("the link is so", || {
            let status = wire.info("replication", "master_link_status");
            if status == wanted { Ok(()) } else { Err(status) }
        });
    };
    eventually("the password is refused", || {
        let text = replica.log_text();
        if text.contains("Unable to AUTH to PRIMARY") { Ok(()) } else { Err(text) }
    });
    ok(&mut wire, "CONFIG SET masterauth secret");
    link(&mut wire, "up");
    // A user who is not there is refused with the right password.
    ok(&mut wire, "CONFIG SET masteruser nobody");
    assert_eq!(primary_wire(&primary).say("CLIENT KILL TYPE replica").integer(), 1);
    link(&mut wire, "down");
    ok(&mut wire, "CONFIG SET masteruser default");
    link(&mut wire, "up");
}

fn primary_wire(primary: &Server) -> Wire {
    let mut wire = primary.wire();
    ok(&mut wire, "AUTH secret");
    wire
}

fn as_a_replica() {
    let (_temp, mut primary, replica) = pair(&[], &["--replica-priority", "77"]);
    let mut wire = replica.wire();
    assert_eq!(wire.info("replication", "slave_priority"), "77");
    assert!(wire.say("SET k v").is_error("READONLY"));
    ok(&mut wire, "CONFIG SET replica-read-only no");
    ok(&mut wire, "SET k v");
    ok(&mut wire, "CONFIG SET replica-serve-stale-data no");
    eventually("the replica knows that it is not stale", || match wire.say("GET k") {
        Answer::Bulk(_) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    primary.kill();
    eventually("the replica knows that it is stale", || match wire.say("GET k") {
        answer if answer.is_error("MASTERDOWN") => Ok(()),
        answer => Err(format!("{answer:?}")),
    });
    ok(&mut wire, "CONFIG SET replica-serve-stale-data yes");
    assert_eq!(wire.say("GET k").text(), "v");
}

fn repl_backlog_size(wire: &mut Wire) {
    ok(wire, "CONFIG SET repl-backlog-size 3mb");
    assert_eq!(wire.info("replication", "repl_backlog_size"), (3 << 20).to_string());
}

fn repl_timeout() {
    let (_temp, primary, replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    replica.signal(Signal::STOP);
    common::await_halted(replica.pid());
    // It reaches the session that is there, which has begun with 60 seconds.
    ok(&mut wire, "CONFIG SET repl-timeout 1");
    let start = Instant::now();
    eventually("the replica is given up", || {
        let replicas = wire.info("replication", "connected_slaves");
        if replicas == "0" { Ok(()) } else { Err(replicas) }
    });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    replica.signal(Signal::CONT);

    // And that of a replica, whose primary says nothing.
    let (_temp, primary, replica) = pair(&[], &[]);
    let mut wire = replica.wire();
    primary.signal(Signal::STOP);
    common::await_halted(primary.pid());
    ok(&mut wire, "CONFIG SET repl-timeout 1");
    let start = Instant::now();
    eventually("the primary is given up", || {
        let status = wire.info("replication", "master_link_status");
        if status == "down" { Ok(()) } else { Err(status) }
    });
    assert!(start.elapsed() < Duration::from_secs(30), "{:?}", start.elapsed());
    primary.signal(Signal::CONT);
}

fn repl_ping_replica_period() {
    let (_temp, primary, _replica) = pair(&[], &[]);
    let mut wire = primary.wire();
    let mut offset =
        || -> u64 { wire.info("replication", "master_repl_offset").parse().expect("a number") };
    ok(&mut primary.wire(), "CONFIG SET repl-ping-replica-period 1");
    let before = offset();
    let start = Instant::now();
    // Three pings of 14 bytes.
    eventually("pings are sent", || match offset() {
        now if now >= before + 42 => Ok(()),
        now => Err(now.to_string()),
    });
    assert!(start.elapsed() < Duration::from_secs(20), "{:?}", start.elapsed());
}

fn min_replicas_to_write(wire: &mut Wire) {
    ok(wire, "SET k v");
    ok(wire, "CONFIG SET min-replicas-to-write 1");
    assert!(wire.say("SET k v").is_error("NOREPLICAS"));
    ok(wire, "CONFIG SET min-replicas-to-write 0");
    ok(wire, "SET k v");
}

fn min_replicas_max_lag() {
    let (_temp, primary, replica) = pair(&["--min-replicas-to-write", "1"], &[]);
    let mut wire = primary.wire();
    let write = |wire: &mut Wire, is_taken: bool| {
        eventually("writes are taken, or not", || match wire.say("SET k v") {
            answer if answer.is_error("NOREPLICAS") != is_taken => Ok(()),
            answer => Err(format!("{answer:?}")),
        });
    };
    write(&mut wire, true);
    ok(&mut wire, "CONFIG SET min-replicas-max-lag 1");
    replica.signal(Signal::STOP);
    common::await_halted(replica.pid());
    let start = Instant::now();
    write(&mut wire, false);
    assert!(start.elapsed() < Duration::from_secs(9), "{:?}", start.elapsed());
    ok(&mut wire, "CONFIG SET min-replicas-max-lag 1000");
    write(&mut wire, true);
    replica.signal(Signal::CONT);
}

fn cluster() {
    let bus = free_ports(1);
    let (_temp, server) = start(&[
        "--cluster-enabled",
        "yes",
        "--cluster-config-file",
        "my.conf",
        "--cluster-port",
        &bus.to_string(),
    ]);
    let mut wire = server.wire();
    assert_eq!(wire.info("cluster", "cluster_enabled"), "1");
    assert!(server.dir.join("my.conf").exists());
    assert!(TcpStream::connect(("127.0.0.1", bus)).is_ok());

    // A part of the slots: the cluster is down, unless that is allowed.
    assert_eq!(wire.say("CLUSTER ADDSLOTSRANGE 0 16000").text(), "OK");
    assert!(wire.say("GET k{06S}").is_error("CLUSTERDOWN"));
    ok(&mut wire, "CONFIG SET cluster-allow-reads-when-down yes");
    assert_eq!(wire.say("GET k{06S}"), Answer::Null);
    assert!(wire.say("SET k{06S} v").is_error("CLUSTERDOWN"));
    ok(&mut wire, "CONFIG SET cluster-require-full-coverage no");
    eventually("a part of the slots is enough", || match wire.say("SET k{06S} v") {
        Answer::Status(_) => Ok(()),
        answer => Err(format!("{answer:?}")),
    });

    for line in ["ip 10.1.2.3", "port 7777", "tls-port 7778", "bus-port 7779", "hostname a.example"]
    {
        ok(&mut wire, &format!("CONFIG SET cluster-announce-{line}"));
    }
    let nodes = wire.say("CLUSTER NODES").text();
    assert!(nodes.contains(" 10.1.2.3:7777@7779,a.example "), "{nodes}");
    let shards = format!("{:?}", wire.say("CLUSTER SHARDS"));
    assert!(shards.contains("Integer(7778)"), "{shards}");
    let endpoint =
        |wire: &mut Wire| wire.say("CLUSTER SLOTS").array()[0].array()[2].array()[0].clone();
    assert_eq!(endpoint(&mut wire).text(), "10.1.2.3");
    ok(&mut wire, "CONFIG SET cluster-preferred-endpoint-type hostname");
    assert_eq!(endpoint(&mut wire).text(), "a.example");
}

/// A directive, a value, what makes a key, and its encoding by default and with that value.
const ENCODINGS: &[(&str, &str, &str, &str, &str)] = &[
    ("hash-max-listpack-entries", "1", "HSET k a 1 b 2", "listpack", "hashtable"),
    ("hash-max-listpack-value", "2", "HSET k a 123", "listpack", "hashtable"),
    ("list-max-listpack-size", "1", "RPUSH k a b", "listpack", "quicklist"),
    ("set-max-intset-entries", "1", "SADD k 1 2", "intset", "listpack"),
    ("set-max-listpack-entries", "1", "SADD k a b", "listpack", "hashtable"),
    ("set-max-listpack-value", "2", "SADD k abc", "listpack", "hashtable"),
    ("zset-max-listpack-entries", "1", "ZADD k 1 a 2 b", "listpack", "skiplist"),
    ("zset-max-listpack-value", "2", "ZADD k 1 abc", "listpack", "skiplist"),
];

fn encodings(wire: &mut Wire) {
    for (name, value, make, by_default, with_it) in ENCODINGS {
        let before = wire.say(&format!("CONFIG GET {name}")).array()[1].text();
        wire.say(make);
        assert_eq!(wire.say("OBJECT ENCODING k").text(), *by_default, "{name}");
        assert_eq!(wire.say("DEL k").integer(), 1);
        ok(wire, &format!("CONFIG SET {name} {value}"));
        wire.say(make);
        assert_eq!(wire.say("OBJECT ENCODING k").text(), *with_it, "{name}");
        assert_eq!(wire.say("DEL k").integer(), 1);
        ok(wire, &format!("CONFIG SET {name} {before}"));
    }
}

fn list_compress_depth(wire: &mut Wire) {
    let mut memory = |depth: u32| {
        ok(wire, &format!("CONFIG SET list-compress-depth {depth}"));
        let key = format!("k{depth}");
        (0..20).for_each(|_| drop(wire.say(&format!("RPUSH {key} {}", "x".repeat(4000)))));
        wire.say(&format!("MEMORY USAGE {key} SAMPLES 0")).integer()
    };
    let (plain, compressed) = (memory(0), memory(1));
    assert!(compressed * 2 < plain, "{compressed} and {plain}");
}

fn stream_nodes(wire: &mut Wire) {
    let mut nodes = |name: &str, value: &str| {
        ok(wire, &format!("CONFIG SET {name} {value}"));
        (1..=6).for_each(|id| drop(wire.say(&format!("XADD {name}{value} {id}-1 field value"))));
        let info = wire.say(&format!("XINFO STREAM {name}{value}"));
        let at = info
            .array()
            .iter()
            .position(|item| matches!(item, Answer::Bulk(name) if name == b"radix-tree-nodes"));
        info.array()[at.expect("the field") + 1].integer()
    };
    assert!(nodes("stream-node-max-entries", "100") < nodes("stream-node-max-entries", "1"));
    let many = nodes("stream-node-max-entries", "50");
    assert!(many < nodes("stream-node-max-bytes", "1"));
}

fn hll_sparse_max_bytes(wire: &mut Wire) {
    wire.say("PFADD k a b c");
    assert_eq!(wire.say("PFDEBUG ENCODING k").text(), "sparse");
    ok(wire, "CONFIG SET hll-sparse-max-bytes 1");
    wire.say("PFADD other a b c");
    assert_eq!(wire.say("PFDEBUG ENCODING other").text(), "dense");
}

#[test]
fn the_values_that_tests_choose_are_good() {
    // A directive without effect that had no other value would not be tested at all.
    let mut config = Config::default();
    assert!(config.set(&[("timeout", "7")], SetContext::default()).is_ok());
    let none: Vec<&str> = directives()
        .filter(|directive| another_value(directive).is_none() && directive.spec.lacking.is_none())
        .map(|directive| directive.name)
        .collect();
    assert!(none.is_empty() || none == ["replicaof"], "{none:?}");
}
