//! A server under test: started alone on its core, asked for its memory and its CPU time.

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use rustix::thread::CpuSet;
use tempfile::TempDir;
use tessera_cli::client::Client;

use crate::topology::{self, Node};

/// How long a server may take to start or to answer.
const PATIENCE: Duration = Duration::from_secs(20);

/// A program to compare, and how to start it.
#[derive(Clone, Debug)]
pub struct Program {
    /// Its name in tables.
    pub name: String,
    /// The executable.
    pub path: PathBuf,
    /// Arguments beyond those that every server gets.
    pub extra: Vec<String>,
}

/// A running server; it is killed when dropped.
pub struct Server {
    process: Child,
    node: Node,
    /// Its working directory, removed with it.
    _dir: TempDir,
}

impl Server {
    /// Starts it in a fresh directory on a free port, pinned to `core`, and waits until it answers.
    /// With `cluster` it becomes a cluster of one node with all slots.
    pub fn start(program: &Program, core: Option<usize>, cluster: bool) -> Result<Server> {
        let dir = TempDir::new()?;
        let port = free_port(cluster)?;
        let mut command = Command::new(&program.path);
        if is_multi_call(&program.path) {
            command.arg("server");
        }
        command
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
            .args(["--save", "", "--appendonly", "no"])
            .args(["--cluster-enabled", if cluster { "yes" } else { "no" }])
            .args(&program.extra)
            .current_dir(dir.path())
            .stdin(Stdio::null())
            .stdout(Stdio::null());
        let process = on_core(core, || command.spawn())?
            .with_context(|| format!("cannot start {}", program.path.display()))?;
        let node = topology::single(&format!("127.0.0.1:{port}"))?;
        let mut server = Server { process, node, _dir: dir };
        server.await_ready().with_context(|| program.name.clone())?;
        if cluster {
            server.take_all_slots().with_context(|| program.name.clone())?;
        }
        Ok(server)
    }

    /// The node to send load to.
    pub fn node(&self) -> &Node {
        &self.node
    }

    fn client(&self) -> Result<Client> {
        Ok(Client::connect(self.node.address, PATIENCE)?)
    }

    fn await_ready(&mut self) -> Result<()> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.process.try_wait()? {
                bail!("the server ended at once: {status}");
            }
            let answer = self.client().and_then(|mut client| Ok(client.command(&["PING"])?));
            match answer {
                Ok(_) => return Ok(()),
                // It is there but does not let us in: waiting does not help.
                Err(error) if format!("{error}").starts_with("NOAUTH") => return Err(error),
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }

    fn take_all_slots(&self) -> Result<()> {
        let mut client = self.client()?;
        client.command(&["CLUSTER", "ADDSLOTSRANGE", "0", "16383"])?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let info = client.command(&["CLUSTER", "INFO"])?.text().unwrap_or_default();
            if info.contains("cluster_state:ok") {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("the cluster does not come up");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// The memory that it says it uses, in bytes (`used_memory` of INFO).
    pub fn used_memory(&self) -> Result<u64> {
        let value = self.client()?.info_field("memory", "used_memory")?;
        value.context("INFO says no used_memory")?.parse().context("used_memory is no number")
    }

    /// How many keys it holds.
    pub fn keys(&self) -> Result<u64> {
        let count = self.client()?.command(&["DBSIZE"])?.integer();
        count.and_then(|count| u64::try_from(count).ok()).context("DBSIZE answers no number")
    }

    /// The CPU time that it has used, of all its threads, in user and kernel.
    pub(crate) fn cpu_time(&self) -> Result<Duration> {
        let path = format!("/proc/{}/stat", self.process.id());
        let stat = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        cpu_ticks(&stat).map(ticks_to_time).with_context(|| format!("{path} is not understood"))
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It holds nothing of value, and it may be gone already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// `tessera` itself is started as `tessera server`; by any other name it is the server.
fn is_multi_call(path: &Path) -> bool {
    path.file_name().is_some_and(|name| name == "tessera")
}

/// utime + stime of a line of /proc/<pid>/stat (proc(5)): fields 14 and 15. The second field, the
/// name in parentheses, may itself hold anything.
fn cpu_ticks(stat: &str) -> Option<u64> {
    let after_name = &stat[stat.rfind(')')? + 1..];
    let mut fields = after_name.split_ascii_whitespace().skip(11);
    let user: u64 = fields.next()?.parse().ok()?;
    let kernel: u64 = fields.next()?.parse().ok()?;
    Some(user + kernel)
}

fn ticks_to_time(ticks: u64) -> Duration {
    Duration::from_secs_f64(ticks as f64 / rustix::param::clock_ticks_per_second() as f64)
}

/// A free port; for a cluster one whose bus port (10,000 above) is free too.
fn free_port(cluster: bool) -> Result<u16> {
    for _ in 0..100 {
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let bus = port.checked_add(10_000);
        if !cluster || bus.is_some_and(|bus| TcpListener::bind(("127.0.0.1", bus)).is_ok()) {
            return Ok(port);
        }
    }
    bail!("no free port with a free bus port")
}

/// Pins this thread to a core.
pub fn pin_to(core: usize) -> Result<()> {
    let mut set = CpuSet::new();
    set.set(core);
    rustix::thread::sched_setaffinity(None, &set).with_context(|| format!("no core {core} here"))
}

/// Does something while pinned to a core; a process started meanwhile stays there.
fn on_core<T>(core: Option<usize>, action: impl FnOnce() -> T) -> Result<T> {
    let Some(core) = core else { return Ok(action()) };
    let before = rustix::thread::sched_getaffinity(None)?;
    pin_to(core)?;
    let result = action();
    rustix::thread::sched_setaffinity(None, &before)?;
    Ok(result)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cpu_time_of_a_stat_line() {
        let line = "12 (a ) b) S 1 12 12 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 4 0 99 1000 10";
        assert_eq!(cpu_ticks(line), Some(300));
        assert_eq!(cpu_ticks("12 (x"), None);
    }

    #[test]
    fn only_the_multi_call_binary_takes_a_subcommand() {
        assert!(is_multi_call(Path::new("/x/tessera")));
        assert!(!is_multi_call(Path::new("redis-server")));
    }
}
