//! `tessera up` as a user runs it: what it prints, which signals end it, what it leaves behind.

mod common;

use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::wire::Wire;
use common::{TESSERA, eventually, free_ports};
use rustix::process::{Pid, Signal, kill_process, test_kill_process};

/// An `up` that is ended, with its nodes, when the test ends.
struct Up {
    child: Child,
    out: std::path::PathBuf,
}

impl Up {
    /// Starts it in `dir`; `before` are the words before the command, such as `nohup`.
    fn start(before: &[&str], dir: &Path, port: Option<u16>, name: &str) -> Up {
        let out = dir.join(name);
        let file = || std::fs::File::create(&out).expect("writable");
        let port = port.map(|port| port.to_string());
        let mut words: Vec<&str> = before.to_vec();
        words.extend([TESSERA, "up", "--replicas", "0", "--dir", "data"]);
        words.extend(port.iter().flat_map(|port| ["--port", port]));
        let mut command = Command::new(words[0]);
        command.args(&words[1..]).current_dir(dir).stdin(Stdio::null());
        // A group of its own: what is sent to it reaches nobody else.
        command.process_group(0).stdout(file()).stderr(Stdio::null());
        Up { child: command.spawn().expect("it can be started"), out }
    }

    fn text(&self) -> String {
        std::fs::read_to_string(&self.out).unwrap_or_default()
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_raw(self.child.id() as i32).expect("positive");
        kill_process(pid, signal).expect("it is ours");
    }

    #[track_caller]
    fn await_line(&self, line: &str) {
        eventually(line, || if self.text().contains(line) { Ok(()) } else { Err(self.text()) });
    }

    /// Waits for its end, which must be a good one.
    #[track_caller]
    fn await_end(&mut self) -> String {
        let status = eventually("`up` ends", || {
            self.child.try_wait().expect("it is our child").ok_or_else(|| self.text())
        });
        assert!(status.success(), "{status} {:?}: {}", status.signal(), self.text());
        self.text()
    }
}

impl Drop for Up {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_none()) {
            self.signal(Signal::TERM);
            let _ = self.child.wait();
        }
    }
}

fn key_is_set(first: u16) -> bool {
    (first..first + 3).any(|port| {
        let set = Wire::connect(port).and_then(|mut wire| wire.try_ask(&["SET", "k", "v"]));
        set.is_ok_and(|answer| !answer.is_error(""))
    })
}

#[test]
fn a_hangup_ends_it_in_order_and_what_is_lost_is_said() {
    let temp = tempfile::tempdir().expect("a directory");
    let first = free_ports(3);
    // The program that runs this test may ignore hang-ups itself, which its children inherit.
    let hears_hangups = ["env", "--default-signal=HUP"];
    let mut up = Up::start(&hears_hangups, temp.path(), Some(first), "first");
    up.await_line("Connect with:");
    assert!(!up.text().contains("The cluster is empty"), "a new one is");
    assert!(key_is_set(first));
    up.signal(Signal::HUP);
    let text = up.await_end();
    assert!(text.contains("Stopped.\nLost keys: 1; data is in memory only"), "{text}");
    for port in first..first + 3 {
        assert!(Wire::connect(port).is_err(), "{port} still runs");
    }

    // The next one says that it starts with nothing.
    let mut up = Up::start(&[], temp.path(), None, "second");
    up.await_line("Connect with:");
    assert!(up.text().contains("The cluster is empty: data is in memory only"), "{}", up.text());
    up.signal(Signal::TERM);
    up.await_end();
}

#[test]
fn under_nohup_a_hangup_does_not_end_it() {
    let temp = tempfile::tempdir().expect("a directory");
    let first = free_ports(3);
    let mut up = Up::start(&["nohup"], temp.path(), Some(first), "out");
    up.await_line("Connect with:");
    up.signal(Signal::HUP);
    // A second `up` is told who is there. That it is told at all shows that the first one runs.
    let output = Command::new(TESSERA)
        .args(["up", "--dir", "data"])
        .current_dir(temp.path())
        .output()
        .expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    let who = format!("error: another `up` (process {}) runs in ", up.child.id());
    assert!(!output.status.success() && error.starts_with(&who), "{error}");
    assert!(up.child.try_wait().expect("it is our child").is_none(), "{}", up.text());
    assert!(key_is_set(first), "its nodes serve");
    up.signal(Signal::INT);
    up.await_end();
}

#[test]
fn what_a_killed_one_has_left_is_adopted_with_its_data() {
    let temp = tempfile::tempdir().expect("a directory");
    let first = free_ports(3);
    let mut up = Up::start(&[], temp.path(), Some(first), "first");
    up.await_line("Connect with:");
    assert!(key_is_set(first));
    up.signal(Signal::KILL);
    assert_eq!(up.child.wait().expect("it is our child").signal(), Some(9));
    let mut up = Up::start(&[], temp.path(), None, "second");
    up.await_line("Connect with:");
    let ports = format!("{}, {}, {}", first, first + 1, first + 2);
    let said = format!("Already running, left by an `up` that was killed: {ports}\n");
    assert!(up.text().contains(&said), "{}", up.text());
    assert!(!up.text().contains("The cluster is empty"), "{}", up.text());
    up.signal(Signal::TERM);
    let text = up.await_end();
    assert!(text.contains("Lost keys: 1;"), "{text}");
    for port in first..first + 3 {
        assert!(Wire::connect(port).is_err(), "{port} still runs");
    }
}

#[test]
fn a_cluster_that_has_lost_a_shard_says_that_it_is_down() {
    let temp = tempfile::tempdir().expect("a directory");
    let first = free_ports(3);
    let mut up = Up::start(&[], temp.path(), Some(first), "out");
    up.await_line("Connect with:");
    let pid = Wire::connect(first).and_then(|mut wire| wire.try_ask(&["INFO", "server"]));
    let pid = common::wire::field_of(&pid.expect("it runs").text(), "process_id");
    let pid = Pid::from_raw(pid.parse().expect("a number")).expect("positive");
    kill_process(pid, Signal::KILL).expect("it is ours");
    up.await_line(&format!("the cluster is down: nobody is left for slots 0-5460 (nodes {first})"));
    eventually("the process is gone", || match test_kill_process(pid) {
        Ok(()) => Err("it runs".to_owned()),
        Err(_) => Ok(()),
    });
    up.signal(Signal::TERM);
    up.await_end();
}

#[test]
fn many_processes_are_not_started_unasked() {
    let temp = tempfile::tempdir().expect("a directory");
    let output = Command::new(TESSERA)
        .args(["up", "--masters", "400", "--dir", "data"])
        .current_dir(temp.path())
        .stdin(Stdio::null())
        .output()
        .expect("it can be started");
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(error, "error: this starts 800 processes; say --yes if that is what you want\n");
    assert_eq!(output.status.code(), Some(1));
    assert!(!temp.path().join("data").exists(), "nothing is made");
}
