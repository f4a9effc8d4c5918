//! Helpers of the end-to-end tests: real processes that die with their test, ports, and waiting for
//! a condition instead of sleeping.
//!
//! Every test binary uses a part of this.
#![allow(dead_code, reason = "each test binary uses a part")]

pub(crate) mod cluster;
pub(crate) mod load;
pub(crate) mod server;
pub(crate) mod wire;

use std::io::{ErrorKind, Write as _};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The program under test.
pub(crate) const TESSERA: &str = env!("CARGO_BIN_EXE_tessera");

/// How long anything may take that has no limit of its own: the machine may be slow and busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// How often a condition is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

/// Waits until `look` gives something. Fails with what it said last once [`PATIENCE`] is over.
#[track_caller]
pub(crate) fn eventually<T>(what: &str, mut look: impl FnMut() -> Result<T, String>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match look() {
            Ok(found) => return found,
            Err(why) => assert!(Instant::now() < deadline, "never: {what}; last seen: {why}"),
        }
        std::thread::sleep(LOOK_EVERY);
    }
}

/// Waits until a process that was sent SIGSTOP has stopped.
#[track_caller]
pub(crate) fn await_halted(pid: u32) {
    eventually("the process is halted", || {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
        let stat = stat.map_err(|error| error.to_string())?;
        if stat.contains(") T ") { Ok(()) } else { Err(stat) }
    });
}

/// The first of `count` consecutive ports that are free, with their bus ports 10,000 above. All are
/// below those that the system gives to outgoing connections.
pub(crate) fn free_ports(count: u16) -> u16 {
    const FIRST: u16 = 11_000;
    const SPAN: u16 = 9_900;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // It does not listen: a process that another test starts just then would keep that socket until
    // it is the new program.
    let is_free = |port: u16| {
        TcpStream::connect(("127.0.0.1", port))
            .is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
    };
    // Test processes that run at the same time begin at different places.
    let nanos = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.subsec_nanos());
    let start = (nanos ^ std::process::id().wrapping_mul(7919)) % u32::from(SPAN);
    let _ = NEXT.compare_exchange(0, start as u16 + 1, Ordering::Relaxed, Ordering::Relaxed);
    for _ in 0..SPAN {
        let first = FIRST + NEXT.fetch_add(count, Ordering::Relaxed) % (SPAN - count);
        if (first..first + count).all(|port| is_free(port) && is_free(port + 10_000)) {
            return first;
        }
    }
    panic!("no {count} free ports in a row");
}

/// Prints the end of a log, for the reader of a failed test.
pub(crate) fn print_tail(log: &Path) {
    const LINES: usize = 40;
    let text = std::fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let lines: Vec<&str> = text.lines().collect();
    println!("--- the end of {}", log.display());
    for line in &lines[lines.len().saturating_sub(LINES)..] {
        println!("{line}");
    }
}

/// The path of a program that a test needs and this machine may lack: says that the test is
/// skipped, or fails where CI promises the program.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found = std::env::split_paths(&path).map(|dir| dir.join(program)).find(|p| p.is_file());
    found.or_else(|| skipped(program))
}

/// The Valkey server that the environment variable `VALKEY_SERVER` names.
pub(crate) fn valkey_server() -> Option<PathBuf> {
    let named = std::env::var_os("VALKEY_SERVER").map(PathBuf::from).filter(|path| path.is_file());
    named.or_else(|| skipped("valkey-server (the environment variable VALKEY_SERVER)"))
}

fn skipped(what: &str) -> Option<PathBuf> {
    assert!(std::env::var_os("CI").is_none(), "{what} must be installed under CI");
    // It does not use println: the output of a test that passes is not shown.
    let _ = writeln!(std::io::stderr(), "skipped: {what} is not installed");
    None
}
