//! How often a replica answers without what its primary has just acknowledged.
//!
//! One client writes to the primary and, as soon as it has the answer, reads the same key from the
//! replica. Replication is asynchronous, so the answer may be old; how often it is depends on who
//! is served first, replicas or clients.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tessera_cli::client::Client;

use crate::server::{Program, Server};
use crate::table::Table;

/// How long a replica may take to follow its primary.
const PATIENCE: Duration = Duration::from_secs(30);
/// Keys that are written in turn, so that they lie on connections and slots of all kinds.
const KEYS: usize = 64;

/// The options of a measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, each as a primary with a replica of its own kind.
    pub programs: Vec<Program>,
    /// How many writes in a round.
    pub writes: usize,
    /// How often.
    pub rounds: usize,
}

/// Measures each server in turn and prints how many answers were old.
pub fn run(plan: &Plan) -> Result<()> {
    println!("SET on a primary, then GET on its replica, {} times", plan.writes);
    let mut table = Table::new(&["server", "round", "stale", "of", "median us of both"]);
    for round in 1..=plan.rounds {
        for program in &plan.programs {
            let (stale, median) =
                measure(program, plan.writes).with_context(|| program.name.clone())?;
            table.row([
                program.name.clone(),
                round.to_string(),
                stale.to_string(),
                plan.writes.to_string(),
                median.to_string(),
            ]);
        }
    }
    print!("{table}");
    Ok(())
}

/// How many answers were old, and how many microseconds a write and a read take together.
fn measure(program: &Program, writes: usize) -> Result<(usize, u128)> {
    let primary = Server::start(program, None, false)?;
    let replica = Server::start(program, None, false)?;
    let address = primary.node().address;
    let mut reader = Client::connect(replica.node().address, PATIENCE)?;
    reader.command(&["REPLICAOF", &address.ip().to_string(), &address.port().to_string()])?;
    await_link(&mut reader)?;

    // Connections are dealt out to threads one after another: pairs of all threads are measured.
    let mut pairs = Vec::new();
    for _ in 0..4 {
        let writer = Client::connect(address, PATIENCE)?;
        pairs.push((writer, Client::connect(replica.node().address, PATIENCE)?));
    }
    let (mut stale, mut times) = (0, Vec::with_capacity(writes));
    for number in 0..writes {
        let (writer, reader) = &mut pairs[number % 4];
        let (key, value) = (format!("key:{}", number % KEYS), number.to_string());
        let start = Instant::now();
        writer.command(&["SET", &key, &value])?;
        let found = reader.command(&["GET", &key])?.text();
        times.push(start.elapsed().as_micros());
        stale += usize::from(found.as_deref() != Some(&value));
    }
    times.sort_unstable();
    Ok((stale, times.get(writes / 2).copied().unwrap_or_default()))
}

fn await_link(replica: &mut Client) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while replica.info_field("replication", "master_link_status")?.as_deref() != Some("up") {
        if Instant::now() > deadline {
            bail!("the replica does not reach its primary");
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    Ok(())
}
