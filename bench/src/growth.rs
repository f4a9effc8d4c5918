//! Loading many keys into an empty server: is any single command slow while tables grow?
//!
//! What is slow because of the machine is slow without growth too. So the same commands are sent once more, to keys which
//! are all there: the second row of a server is what the first is to be compared with.

use anyhow::Result;

use crate::compare::without_errors;
use crate::generator::{self, Load};
use crate::requests::{Order, Workload};
use crate::server::{Program, Server};
use crate::table::{Table, thousands};

/// What to load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, each measured alone.
    pub programs: Vec<Program>,
    /// How many keys.
    pub keys: u64,
    /// Connections.
    pub connections: usize,
    /// Commands that a connection sends at once. With 1, a latency is that of one command.
    pub pipeline: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Each server as a cluster of one node.
    pub cluster: bool,
    /// The core that the servers run on; `None`: any.
    pub server_core: Option<usize>,
}

/// Loads each server and prints the largest latencies.
pub fn run(plan: &Plan) -> Result<()> {
    println!(
        "{} keys of {} B into an empty server, {} connections, P={}",
        plan.keys, plan.value_size, plan.connections, plan.pipeline
    );
    let mut table = Table::new(&[
        "server",
        "keys",
        "k ops/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "p99.99 us",
        "max us",
        "B/key",
    ]);
    for program in &plan.programs {
        let server = Server::start(program, plan.server_core, plan.cluster)?;
        let before = server.used_memory()?;
        for keys in ["new", "there"] {
            let load = Load {
                templates: Workload::Set.templates(plan.value_size),
                connections: plan.connections,
                pipeline: plan.pipeline,
                order: Order::Once { space: plan.keys },
                duration: None,
                seed: 0,
            };
            let outcome =
                without_errors(generator::run(std::slice::from_ref(server.node()), &load)?)?;
            let bytes = server.used_memory()?.saturating_sub(before) as f64;
            let latency = |quantile| format!("{:.0}", outcome.latency_us(quantile));
            table.row([
                program.name.clone(),
                keys.to_owned(),
                thousands(outcome.throughput()),
                latency(0.5),
                latency(0.99),
                latency(0.999),
                latency(0.9999),
                latency(1.0),
                format!("{:.1}", bytes / plan.keys.max(1) as f64),
            ]);
        }
    }
    print!("{table}");
    Ok(())
}
