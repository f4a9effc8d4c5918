//! Every directive that the table marks as effective has an effect, and every other one that is set
//! is named in the log.
//!
//! [`EFFECTS`] has a row for each effective directive: a test here that sees its effect, or the
//! place of the one that does.

#[path = "../common/mod.rs"]
mod common;
mod effects;
mod seen;

use std::collections::HashSet;
use std::net::TcpStream;
use std::path::Path;

use Seen::{By, Running, Started, Unseen};
use common::server::{Server, start};
use common::wire::{Answer, Wire};
use common::{eventually, free_ports};
use effects::{EFFECTS, Seen};
use rustix::process::Signal;
use seen::ok;
use tessera_config::value::Kind;
use tessera_config::{Config, Directive, SetContext, directives, find};

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
