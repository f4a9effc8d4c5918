//! The program's answers instead of starting, under each of its names.

mod common;

use std::os::unix::fs::{MetadataExt as _, symlink};
use std::path::Path;
use std::process::{Command, Output};

use common::TESSERA;
use common::server::{Server, run_to_end};

/// Runs the program under another name.
fn run_as(name: &str, args: &[&str], dir: &Path) -> (Option<i32>, String, String) {
    let link = dir.join(name);
    if !link.exists() {
        symlink(TESSERA, &link).expect("a link");
    }
    let Output { status, stdout, stderr } =
        Command::new(&link).args(args).current_dir(dir).output().expect("it can be started");
    let text = |bytes| String::from_utf8(bytes).expect("text");
    (status.code(), text(stdout), text(stderr))
}

#[test]
fn protection_that_is_not_there_stops_the_start() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("redis.conf");
    for (line, reason) in [
        ("user default off", "ACLs are not available in this version"),
        ("user app on >p ~* +@all", "ACLs are not available in this version"),
        ("aclfile users.acl", "ACLs are not available in this version"),
        ("tls-port 24990", "TLS is not available in this version"),
        ("tls-replication yes", "TLS is not available in this version"),
        ("tls-cluster yes", "TLS is not available in this version"),
        ("loadmodule guard.so", "modules are not available in this version"),
        ("rename-command NOSUCH x", "No such command in rename-command"),
        ("rename-command GET SET", "Target command name already exists"),
    ] {
        std::fs::write(&file, format!("port 0\n# rules\n{line}\n")).expect("writable");
        let (status, text) = run_to_end(&["redis.conf"], temp.path());
        assert_eq!(status.code(), Some(1), "{line}: {text}");
        let place = "Reading the configuration file 'redis.conf', at line 3\n>>> '";
        assert!(text.contains(place) && text.contains(reason), "{line}: {text}");
        assert!(!text.contains(">p"), "a password is shown: {text}");
    }
    let (status, text) = run_to_end(&["--port", "0", "--tls-port", "24990"], temp.path());
    assert_eq!(status.code(), Some(1));
    assert!(text.contains("'command line', at line 2") && text.contains("TLS is not"), "{text}");
}

#[test]
fn a_removed_command_is_gone_for_everybody() {
    let temp = tempfile::tempdir().expect("a directory");
    let file = temp.path().join("redis.conf");
    let lines = "rename-command FLUSHALL \"\"\nrename-command CONFIG my-config\n";
    std::fs::write(&file, lines).expect("writable");
    let server = Server::tessera_with_file(temp.path(), file.to_str().expect("text"), &[]);
    assert_eq!(server.say("SET k v").text(), "OK");
    assert!(server.say("FLUSHALL").text().starts_with("ERR unknown command 'FLUSHALL'"));
    assert!(server.say("CONFIG GET port").text().starts_with("ERR unknown command 'CONFIG'"));
    assert_eq!(
        server.say("my-config SET tls-port 24990").text(),
        concat!(
            "ERR CONFIG SET failed (possibly related to argument 'tls-port') - ",
            "TLS is not available in this version: nothing would be encrypted"
        )
    );
    assert_eq!(server.say("GET k").text(), "v");
}

#[test]
fn a_unix_socket_belongs_to_the_group_that_is_named() {
    let temp = tempfile::tempdir().expect("a directory");
    let path = temp.path().join("socket");
    let path = path.to_str().expect("text");
    let own = std::fs::metadata(temp.path()).expect("it is there").gid();
    let name = nix_group_name(own);
    let options = ["--unixsocket", path, "--unixsocketperm", "770", "--unixsocketgroup", &name];
    let _server = Server::tessera(temp.path(), &options);
    let socket = std::fs::metadata(path).expect("the socket");
    assert_eq!((socket.gid(), socket.mode() & 0o777), (own, 0o770));

    let other = temp.path().join("other");
    let options = ["--port", "0", "--unixsocket", other.to_str().expect("text")];
    let nobody = ["--unixsocketgroup", "no-such-group"];
    let (status, text) = run_to_end(&[options.as_slice(), &nobody].concat(), temp.path());
    assert_eq!(status.code(), Some(1), "{text}");
    assert!(text.contains("there is no group 'no-such-group'"), "{text}");
}

/// The name of a group, from the file in which it stands.
fn nix_group_name(gid: u32) -> String {
    let groups = std::fs::read_to_string("/etc/group").expect("every system has it");
    let has_id = |line: &&str| line.split(':').nth(2) == Some(&gid.to_string());
    let line = groups.lines().find(has_id).expect("the group of this user has a name");
    line.split(':').next().expect("a name").to_owned()
}

#[test]
fn the_version_is_what_test_harnesses_take_apart() {
    let temp = tempfile::tempdir().expect("a directory");
    let server = Server::tessera(temp.path(), &[]);
    let info = server.say("INFO server").text();
    for (name, title) in [("redis-server", "Redis"), ("valkey-server", "Valkey")] {
        for option in ["-v", "--version"] {
            let (code, line, _) = run_as(name, &[option], temp.path());
            assert_eq!(code, Some(0), "{name} {option}");
            let version = line.strip_prefix(&format!("{title} server v=")).expect(&line);
            let version = version.split(' ').next().expect("a word");
            assert!(info.contains(&format!("redis_version:{version}\r\n")), "{line}: {info}");
            let ours = format!(" tessera={}\n", env!("CARGO_PKG_VERSION"));
            assert!(line.contains(" bits=64 build=") && line.ends_with(&ours), "{line}");
        }
    }
}

#[test]
fn options_that_run_no_server_are_answered_with_the_exit_codes_of_redis() {
    let temp = tempfile::tempdir().expect("a directory");
    for option in ["-h", "--help"] {
        let (code, stdout, stderr) = run_as("redis-server", &[option], temp.path());
        assert_eq!((code, stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("Usage: redis-server "), "{stderr}");
    }
    let (code, stdout, stderr) = run_as("redis-server", &["--check-system"], temp.path());
    let said = stdout + &stderr;
    assert!(said.starts_with("[slow-clocksource]..."), "{said}");
    assert_eq!(code, Some(i32::from(said.contains("WARNING"))), "{said}");
    let (code, _, stderr) = run_as("valkey-server", &["--test-memory", "10"], temp.path());
    assert!(code == Some(1) && stderr.contains("memtester"), "{stderr}");
    for (name, args) in [
        ("redis-sentinel", &["sentinel.conf"][..]),
        ("valkey-sentinel", &[]),
        ("redis-server", &["sentinel.conf", "--sentinel"]),
    ] {
        let (code, _, stderr) = run_as(name, args, temp.path());
        assert!(code == Some(1) && stderr.starts_with("Sentinel mode is not available"), "{name}");
    }
}
