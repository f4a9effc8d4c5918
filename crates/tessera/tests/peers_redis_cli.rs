//! The cluster as the usual guides make it: six configuration files, six daemons, and a stock
//! `redis-cli`.
//!
//! Skipped where redis-cli is not installed; under CI that is a failure.

mod common;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use common::server::{Server, start};
use common::wire::{Answer, Wire};
use common::{PATIENCE, TESSERA, eventually, free_ports, installed, print_tail};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

const PASSWORD: &str = "a secret";

/// Six daemons in one directory. Killed when the test ends, however it ends.
struct Daemons {
    first: u16,
    dir: PathBuf,
    redis_cli: PathBuf,
}

impl Daemons {
    /// Writes the files and starts the servers, as a user would from that directory.
    fn start(dir: &Path, redis_cli: PathBuf) -> Daemons {
        let daemons = Daemons { first: free_ports(6), dir: dir.to_owned(), redis_cli };
        for port in daemons.ports() {
            let text = format!(
                "port {port}\nbind 127.0.0.1\ncluster-enabled yes\n\
                 cluster-config-file nodes-{port}.conf\ncluster-node-timeout 5000\n\
                 daemonize yes\nrequirepass \"{PASSWORD}\"\nmasterauth \"{PASSWORD}\"\n\
                 dir {}\nlogfile \"{port}.log\"\npidfile \"{port}.pid\"\n\
                 appendonly no\nsave \"\"\n",
                dir.display()
            );
            std::fs::write(dir.join(format!("redis-{port}.conf")), text).expect("writable");
            let file = format!("./redis-{port}.conf");
            let status = Command::new(TESSERA)
                .args(["server", &file])
                .current_dir(dir)
                .status()
                .expect("the program is there");
            assert!(status.success(), "{port}: the foreground process of a daemon ends well");
        }
        for port in daemons.ports() {
            eventually("the daemon answers", || {
                let answer = Wire::connect(port).and_then(|mut wire| wire.try_ask(&["PING"]));
                match answer {
                    Ok(Answer::Error(text)) if text.starts_with("NOAUTH") => Ok(()),
                    answer => Err(format!("{answer:?}")),
                }
            });
        }
        daemons
    }

    fn ports(&self) -> std::ops::Range<u16> {
        self.first..self.first + 6
    }

    fn pid(&self, port: u16) -> Option<Pid> {
        let text = std::fs::read_to_string(self.dir.join(format!("{port}.pid"))).ok()?;
        Pid::from_raw(text.trim().parse().ok()?)
    }

    /// Runs redis-cli with the password.
    fn cli(&self, args: &[&str]) -> Output {
        let mut command = Command::new(&self.redis_cli);
        command.args(["-a", PASSWORD, "--no-auth-warning"]).args(args);
        command.output().expect("redis-cli runs")
    }

    /// The same; it must end well. Gives what it printed.
    #[track_caller]
    fn cli_ok(&self, args: &[&str]) -> String {
        let output = self.cli(args);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "redis-cli {args:?}: {}\n{text}\n{errors}", output.status);
        text
    }
}

impl Drop for Daemons {
    fn drop(&mut self) {
        for port in self.ports() {
            if let Some(pid) = self.pid(port) {
                // It may have ended already.
                let _ = kill_process(pid, Signal::KILL);
            }
            if std::thread::panicking() {
                print_tail(&self.dir.join(format!("{port}.log")));
            }
        }
    }
}

#[test]
fn a_cluster_by_hand() {
    let Some(redis_cli) = installed("redis-cli") else { return };
    let temp = tempfile::tempdir().expect("a directory");

    // Given: six daemons.
    let daemons = Daemons::start(temp.path(), redis_cli);
    let address = format!("127.0.0.1:{}", daemons.first);

    redis_cli_makes_a_cluster(&daemons, &address);
    the_guides_questions_are_answered(&daemons);
    redirections_are_followed(&daemons, &address);
    daemons_end_with_their_pidfiles(&daemons, temp.path());
}

fn redis_cli_makes_a_cluster(daemons: &Daemons, address: &str) {
    // When redis-cli makes a cluster of them.
    let addresses: Vec<String> = daemons.ports().map(|port| format!("127.0.0.1:{port}")).collect();
    let mut create = vec!["--cluster", "create"];
    create.extend(addresses.iter().map(String::as_str));
    create.extend(["--cluster-replicas", "1", "--cluster-yes"]);
    let text = daemons.cli_ok(&create);
    assert!(text.contains("[OK] All nodes agree about slots configuration."), "{text}");
    assert!(text.contains("[OK] All 16384 slots covered."), "{text}");

    // Then it finds nothing to complain about once all replicas are known everywhere.
    eventually("--cluster check is content", || {
        let output = daemons.cli(&["--cluster", "check", address]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let replicas = text.matches("1 additional replica(s)").count();
        let is_well = output.status.success()
            && text.contains("[OK] All nodes agree about slots configuration.")
            && text.contains("[OK] All 16384 slots covered.")
            && replicas == 3;
        if is_well { Ok(()) } else { Err(text) }
    });
    let text = daemons.cli_ok(&["--cluster", "info", address]);
    assert!(text.contains("[OK] 0 keys in 3 masters."), "{text}");
}

fn the_guides_questions_are_answered(daemons: &Daemons) {
    let first = daemons.first.to_string();
    for port in daemons.ports() {
        eventually("cluster_state:ok", || {
            let info = daemons.cli_ok(&["-p", &port.to_string(), "cluster", "info"]);
            let is_well = [
                "cluster_state:ok",
                "cluster_slots_assigned:16384",
                "cluster_known_nodes:6",
                "cluster_size:3",
            ]
            .iter()
            .all(|line| info.contains(line));
            if is_well { Ok(()) } else { Err(info) }
        });
    }
    assert_eq!(daemons.cli_ok(&["-p", &first, "cluster", "keyslot", "mykey"]).trim(), "14687");
    let slots = daemons.cli_ok(&["-p", &first, "cluster", "slots"]);
    for range in ["0\n5460\n", "5461\n10922\n", "10923\n16383\n"] {
        assert!(slots.contains(range), "{range:?} in {slots}");
    }
}

/// By `redis-cli -c`, on a replica too.
fn redirections_are_followed(daemons: &Daemons, address: &str) {
    let first = daemons.first.to_string();
    for (number, port) in daemons.ports().enumerate() {
        let (port, key) = (port.to_string(), format!("key:{number}"));
        let set = daemons.cli_ok(&["-c", "-p", &port, "set", &key, "value"]);
        assert_eq!(set.trim(), "OK");
        let get = daemons.cli_ok(&["-c", "-p", &first, "get", &key]);
        assert_eq!(get.trim(), "value");
    }
    let text = daemons.cli_ok(&["--cluster", "info", address]);
    assert!(text.contains("[OK] 6 keys in 3 masters."), "{text}");
    let text = daemons.cli_ok(&["--cluster", "call", address, "ping"]);
    assert_eq!(text.matches("PONG").count(), 6, "{text}");
}

fn daemons_end_with_their_pidfiles(daemons: &Daemons, dir: &Path) {
    // When they are asked to end, then each takes its pidfile with it.
    let pids: Vec<Pid> = daemons.ports().filter_map(|port| daemons.pid(port)).collect();
    assert_eq!(pids.len(), 6);
    // Replicas first: a primary waits for those that follow it.
    for port in daemons.ports().rev() {
        let output = daemons.cli(&["-p", &port.to_string(), "shutdown"]);
        assert!(output.stdout.is_empty(), "{}", String::from_utf8_lossy(&output.stdout));
    }
    for (port, pid) in daemons.ports().zip(pids) {
        eventually("the daemon ends", || match test_kill_process(pid) {
            Err(_) => Ok(()),
            Ok(()) => Err(format!("{port} runs")),
        });
        assert!(!dir.join(format!("{port}.pid")).exists(), "{port} left its pidfile");
    }
}

/// How many keys a server has that was started with this file.
fn keys_in_file(peer: &Path, file: &Path) -> i64 {
    let temp = tempfile::tempdir().expect("a directory");
    let path = file.to_str().expect("text");
    let (dir, name) = path.rsplit_once('/').expect("an absolute path");
    let server = Server::peer(peer, temp.path(), &["--dir", dir, "--dbfilename", name]);
    server.say("DBSIZE").integer()
}

#[test]
fn a_dump_of_functions_has_no_keys() {
    const KEYS: i64 = 1000;
    let (Some(redis_cli), Some(peer)) = (installed("redis-cli"), installed("redis-server")) else {
        return;
    };
    let valkey_cli = std::env::var_os("VALKEY_SERVER")
        .map(|server| Path::new(&server).with_file_name("valkey-cli"))
        .filter(|program| program.exists());
    let (temp, server) = start(&[]);
    let mut wire = server.wire();
    for number in 0..KEYS {
        wire.say(&format!("SET key:{number} value"));
    }
    let port = server.port.to_string();
    for cli in [Some(redis_cli), valkey_cli].into_iter().flatten() {
        for (option, keys) in [("--functions-rdb", 0), ("--rdb", KEYS)] {
            let file = temp.path().join(format!("{keys}.rdb"));
            let _ = std::fs::remove_file(&file);
            let path = file.to_str().expect("text");
            let output = Command::new(&cli).args(["-p", &port, option, path]).output();
            let output = output.expect("it runs");
            let said = String::from_utf8_lossy(&output.stderr).into_owned();
            assert!(output.status.success(), "{} {option}: {said}", cli.display());
            assert_eq!(keys_in_file(&peer, &file), keys, "{} {option}: {said}", cli.display());
        }
    }
}

#[test]
fn a_synchronisation_without_data_has_no_keys() {
    let (_temp, server) = start(&[]);
    assert_eq!(server.say("SET secret value").text(), "OK");
    for (filter, has_key) in [("\"\"", false), ("functions", false), ("", true)] {
        let socket = TcpStream::connect(("127.0.0.1", server.port)).expect("it runs");
        socket.set_read_timeout(Some(PATIENCE)).expect("a positive time");
        let filter = match filter {
            "" => String::new(),
            words => format!("REPLCONF rdb-filter-only {words}\r\n"),
        };
        let request = format!("{filter}REPLCONF rdb-only 1\r\nPSYNC ? -1\r\n");
        (&socket).write_all(request.as_bytes()).expect("sent");
        let mut reader = BufReader::new(socket);
        // Before the length there are +OK, +FULLRESYNC and empty lines while the payload is made.
        let length = loop {
            let mut line = String::new();
            assert_ne!(reader.read_line(&mut line).expect("a line"), 0, "it hung up");
            assert!(!line.starts_with('-'), "{line}");
            if let Some(length) = line.strip_prefix('$') {
                break length.trim().parse::<usize>().expect("a length");
            }
        };
        let mut payload = vec![0; length];
        reader.read_exact(&mut payload).expect("a payload");
        assert!(payload.starts_with(b"REDIS00"));
        let found = payload.windows(6).any(|part| part == b"secret");
        assert_eq!(found, has_key, "{filter:?}");
    }
}
