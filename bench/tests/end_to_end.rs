//! The harness against a real server. Skipped where Debian's redis-server is not installed; under
//! CI that is a failure.

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use tessera_bench::compare::{self, Plan};
use tessera_bench::generator::{self, Load};
use tessera_bench::requests::{Order, Workload};
use tessera_bench::server::{Program, Server};
use tessera_bench::topology;

fn redis() -> Option<Program> {
    let version = Command::new("redis-server").arg("--version").stdout(Stdio::null()).status();
    if version.is_ok_and(|status| status.success()) {
        let path = PathBuf::from("redis-server");
        return Some(Program { name: "redis".to_owned(), path, extra: Vec::new() });
    }
    assert!(std::env::var_os("CI").is_none(), "redis-server must be installed under CI");
    let _ = writeln!(std::io::stderr(), "skipped: redis-server is not installed");
    None
}

fn load(workload: Workload, order: Order, duration: Option<Duration>) -> Load {
    let templates = workload.templates(20);
    Load { templates, connections: 5, pipeline: 7, order, duration, seed: 1, keep: true }
}

#[test]
fn keys_once_are_all_there_and_are_found() {
    let Some(program) = redis() else { return };
    for cluster in [false, true] {
        let server = Server::start(&program, None, cluster).expect("it starts");
        let nodes = if cluster {
            topology::cluster(&server.node().address.to_string()).expect("one node")
        } else {
            vec![server.node().clone()]
        };
        let before = server.used_memory().expect("INFO");
        let once = load(Workload::Set, Order::Once { space: 10_000 }, None);
        let outcome = generator::run(&nodes, &once).expect("a load");
        assert_eq!((outcome.commands, outcome.errors), (10_000, 0));
        assert_eq!(outcome.latencies.len(), 10_000);
        // Each connection has its own part of the keys, in batches of seven.
        let batches = outcome.batches.iter().filter(|&&latency| latency > 0).count();
        assert!((1400..=1440).contains(&batches), "{batches} batches");
        assert_eq!(server.keys().expect("DBSIZE"), 10_000);
        assert!(server.used_memory().expect("INFO") > before + 10_000 * 36);

        let some_time = Some(Duration::from_millis(200));
        let read = load(Workload::Get, Order::Random { space: 10_000 }, some_time);
        let outcome = generator::run(&nodes, &read).expect("a load");
        assert!(outcome.commands > 0 && outcome.nulls == 0 && outcome.errors == 0);
        assert!(outcome.elapsed >= Duration::from_millis(200));
        let absent = load(Workload::Mixed, Order::Random { space: u64::MAX }, some_time);
        assert!(generator::run(&nodes, &absent).expect("a load").nulls > 0);
    }
}

#[test]
fn errors_are_counted_and_end_a_comparison() {
    let Some(mut program) = redis() else { return };
    program.extra = vec!["--requirepass".to_owned(), "x".to_owned()];
    // It answers PING with an error, which is no answer: it never becomes ready.
    let error = Server::start(&program, None, false).err().expect("no way in without the password");
    assert!(format!("{error:#}").contains("NOAUTH"), "{error:#}");
}

#[test]
fn a_comparison_runs_through() {
    let Some(program) = redis() else { return };
    compare::run(&Plan {
        programs: [program.clone(), program],
        rounds: 1,
        duration: Duration::from_millis(100),
        pipelines: vec![1, 8],
        workloads: vec![Workload::Set, Workload::Get],
        connections: 4,
        value_size: 8,
        keys: 1000,
        cluster: true,
        server_core: None,
    })
    .expect("no errors");
}
