//! The answers of the server's program instead of running a server: `--version`, `--help` and the
//! like.

use crate::VERSION;
use std::fs;
use tessera_config::Config;
use tessera_engine::COMPATIBLE_VERSION;

/// The name under which the program was started: it answers as the one that goes by that name.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum CalledAs {
    /// By its own name.
    Tessera,
    /// `redis-server`.
    Redis,
    /// `valkey-server`.
    Valkey,
}

/// An answer, and whether the process ends with success.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum Information {
    /// For standard output.
    Good(String),
    /// For standard error; the exit code is 1.
    Bad(String),
}

/// The answer that these arguments ask for; `None`: they are those of a server.
pub(crate) fn information(name: CalledAs, args: &[Vec<u8>]) -> Option<Information> {
    if args.iter().any(|arg| arg == b"--sentinel") {
        return Some(Information::Bad(NO_SENTINEL.to_owned()));
    }
    Some(match args.first()?.as_slice() {
        b"-v" | b"--version" => Information::Good(version(name)),
        b"-h" | b"--help" => help(name),
        b"--check-system" => check_system(),
        b"--test-memory" => Information::Bad(NO_MEMORY_TEST.to_owned()),
        _ => return None,
    })
}

/// The answer to a start as a Sentinel.
pub const NO_SENTINEL: &str = "Sentinel mode is not available: this program is a server. A cluster \
    replaces failed primaries by itself;\nfor a primary and replicas without a cluster use the \
    redis-sentinel or valkey-sentinel that you have.";

const NO_MEMORY_TEST: &str = "--test-memory is not available in this version. Use memtest86 (at \
    boot) or memtester (under the running system).";

/// One line in the form that test harnesses of clients take apart. As a stand-in for another server
/// the program gives the version that INFO gives as `redis_version`, and its own at the end.
fn version(name: CalledAs) -> String {
    let line = |server: &str, version: &str| {
        format!("{server} server v={version} sha=00000000:0 malloc=mimalloc bits=64 build=0")
    };
    match name {
        CalledAs::Tessera => line("Tessera", VERSION),
        CalledAs::Redis => format!("{} tessera={VERSION}", line("Redis", COMPATIBLE_VERSION)),
        CalledAs::Valkey => format!("{} tessera={VERSION}", line("Valkey", COMPATIBLE_VERSION)),
    }
}

fn help(name: CalledAs) -> Information {
    let program = match name {
        CalledAs::Tessera => "tessera server",
        CalledAs::Redis => "redis-server",
        CalledAs::Valkey => "valkey-server",
    };
    let text = format!(
        "Usage: {program} [FILE] [--DIRECTIVE VALUE ...] [-]\n       \
         {program} -v or --version\n       {program} -h or --help\n       \
         {program} --check-system\n\n\
         FILE is a configuration file in the syntax of redis.conf; '-' reads more of it from \
         standard input.\n\
         Each '--DIRECTIVE VALUE' is a line of such a file and goes before it.\n\n\
         Examples:\n  {program}\n  {program} --port 7000 --cluster-enabled yes\n  \
         {program} /etc/redis-7000.conf --loglevel verbose"
    );
    match name {
        CalledAs::Tessera => Information::Good(text),
        // The others' usage is an error, whoever asks for it.
        CalledAs::Redis | CalledAs::Valkey => Information::Bad(text),
    }
}

/// The settings of the system that would slow a server down, as lines `[what]...OK` or
/// `[what]...WARNING:` with the reason below. Any warning makes the exit code 1.
fn check_system() -> Information {
    let checks = [("slow-clocksource", clock_source()), ("tcp-backlog", backlog())];
    let is_good = checks.iter().all(|(_, warning)| warning.is_none());
    let lines = checks.into_iter().map(|(what, warning)| match warning {
        None => format!("[{what}]...OK"),
        Some(warning) => format!("[{what}]...WARNING:\n{warning}"),
    });
    let text = lines.collect::<Vec<_>>().join("\n");
    if is_good { Information::Good(text) } else { Information::Bad(text) }
}

fn read_word(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned())
}

/// Clocks that are read without a system call.
const FAST_CLOCKS: [&str; 4] =
    ["tsc", "kvm-clock", "hyperv_clocksource_tsc_page", "arch_sys_counter"];

fn clock_source() -> Option<String> {
    let clock = read_word("/sys/devices/system/clocksource/clocksource0/current_clocksource")?;
    (!FAST_CLOCKS.contains(&clock.as_str())).then(|| {
        format!("The system's clock source '{clock}' is slow to read, which costs each turn of a thread.")
    })
}

fn backlog() -> Option<String> {
    let limit: u32 = read_word("/proc/sys/net/core/somaxconn")?.parse().ok()?;
    let wanted = Config::default().network.tcp_backlog;
    (limit < wanted).then(|| {
        format!(
            "net.core.somaxconn is {limit}, below the default tcp-backlog of {wanted}: bursts of new \
             connections may be refused."
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(name: CalledAs, args: &[&str]) -> Option<Information> {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        information(name, &args)
    }

    #[test]
    fn the_version_has_the_form_of_the_server_that_is_asked_for() {
        for (name, start) in [
            (CalledAs::Redis, "Redis server v=7.2.4 sha=00000000:0 malloc="),
            (CalledAs::Valkey, "Valkey server v=7.2.4 sha=00000000:0 malloc="),
            (CalledAs::Tessera, "Tessera server v="),
        ] {
            for option in ["-v", "--version"] {
                let Some(Information::Good(line)) = asked(name, &[option]) else {
                    panic!("{option} is an answer")
                };
                assert!(line.starts_with(start) && line.contains(" bits=64 build="), "{line}");
            }
        }
    }

    #[test]
    fn what_runs_no_server_is_answered_and_what_does_is_not() {
        use CalledAs::{Redis, Tessera};
        assert!(matches!(asked(Redis, &["--help"]), Some(Information::Bad(_))));
        assert!(matches!(asked(Tessera, &["-h"]), Some(Information::Good(_))));
        assert!(matches!(asked(Redis, &["--test-memory", "4096"]), Some(Information::Bad(_))));
        assert!(asked(Redis, &["--check-system"]).is_some());
        let sentinel = asked(Redis, &["sentinel.conf", "--sentinel"]);
        assert_eq!(sentinel, Some(Information::Bad(NO_SENTINEL.to_owned())));
        assert_eq!(asked(Redis, &["--port", "7000"]), None);
        assert_eq!(asked(Redis, &[]), None);
    }
}
