//! Loading many keys into an empty server: is any single command slow while tables grow?
//!
//! A shared machine halts a process for many milliseconds now and then, whatever the process does.
//! Growth is another thing: it comes at the same keys each time. So the load is repeated, each time
//! into an empty server, and the shortest of each command's times counts.

use anyhow::Result;

use crate::compare::without_errors;
use crate::generator::{self, Load, Outcome};
use crate::requests::{Order, Workload};
use crate::server::{Program, Server};
use crate::table::{Table, thousands};

/// The options of a load.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, each measured alone.
    pub programs: Vec<Program>,
    /// How many keys.
    pub keys: u64,
    /// How often.
    pub rounds: usize,
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
        "round",
        "k ops/s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "p99.99 us",
        "max us",
        "B/key",
    ]);
    for program in &plan.programs {
        let mut shortest = Vec::new();
        for round in 1..=plan.rounds {
            eprintln!("{}, round {round} of {}", program.name, plan.rounds);
            let (outcome, bytes) = load(plan, program)?;
            let latency = |quantile| format!("{:.0}", outcome.latency_us(quantile));
            table.row([
                program.name.clone(),
                round.to_string(),
                thousands(outcome.throughput()),
                latency(0.5),
                latency(0.99),
                latency(0.999),
                latency(0.9999),
                latency(1.0),
                format!("{:.1}", bytes as f64 / plan.keys.max(1) as f64),
            ]);
            keep_shortest(&mut shortest, outcome.batches);
        }
        table.row(summary(&program.name, shortest));
    }
    print!("{table}");
    println!("all: of each command the shortest of its times");
    Ok(())
}

/// Loads the keys into a new server; what came of it, and the memory that they take.
fn load(plan: &Plan, program: &Program) -> Result<(Outcome, u64)> {
    let server = Server::start(program, plan.server_core, plan.cluster)?;
    let before = server.used_memory()?;
    let load = Load {
        templates: Workload::Set.templates(plan.value_size),
        connections: plan.connections,
        pipeline: plan.pipeline,
        order: Order::Once { space: plan.keys },
        duration: None,
        seed: 0,
        keep: true,
    };
    let outcome = without_errors(generator::run(std::slice::from_ref(server.node()), &load)?)?;
    Ok((outcome, server.used_memory()?.saturating_sub(before)))
}

fn keep_shortest(shortest: &mut Vec<u32>, batches: Vec<u32>) {
    if shortest.is_empty() {
        *shortest = batches;
        return;
    }
    for (shortest, batch) in shortest.iter_mut().zip(batches) {
        *shortest = batch.min(*shortest);
    }
}

/// The row of all rounds together.
fn summary(name: &str, mut shortest: Vec<u32>) -> [String; 9] {
    shortest.sort_unstable();
    let latency = |quantile: f64| {
        let last = shortest.len().saturating_sub(1);
        shortest.get((last as f64 * quantile) as usize).map_or_else(String::new, u32::to_string)
    };
    [
        name.to_owned(),
        "all".to_owned(),
        String::new(),
        latency(0.5),
        latency(0.99),
        latency(0.999),
        latency(0.9999),
        latency(1.0),
        String::new(),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_each_command_the_shortest_time_counts() {
        let mut shortest = Vec::new();
        for round in [vec![900, 10, 20, 700], vec![30, 800, 20, 600], vec![40, 50, 60, 500]] {
            keep_shortest(&mut shortest, round);
        }
        assert_eq!(shortest, [30, 10, 20, 500]);
        assert_eq!(summary("server", shortest)[7], "500");
    }
}
