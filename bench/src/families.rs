//! Commands of every family, and the memory of every type, compared with a peer.
//!
//! Each scenario fills an empty server with its own values, then runs its commands at each depth of
//! pipelining.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::compare::{self, Sample};
use crate::generator::{self, Load};
use crate::requests::{Order, Template};
use crate::server::{Program, Server};
use crate::table::{Table, ratio, thousands};

/// The options of a comparison.
#[derive(Clone, Debug)]
pub struct Plan {
    /// Ours first, then the peer.
    pub programs: [Program; 2],
    /// How often each is measured.
    pub rounds: usize,
    /// How long each measurement takes.
    pub duration: Duration,
    /// Depths of pipelining.
    pub pipelines: Vec<usize>,
    /// Connections.
    pub connections: usize,
    /// Only scenarios whose name has this in it.
    pub only: Option<String>,
    /// The core that the servers run on; `None`: any.
    pub server_core: Option<usize>,
}

/// Commands, and what must be there before.
struct Scenario {
    name: &'static str,
    /// How many commands fill the server, and which.
    fill: Option<(u64, &'static str)>,
    /// The commands that are measured, in turn; templates of [`Template::parse`].
    commands: &'static [&'static str],
}

const fn scenario(
    name: &'static str,
    fill: Option<(u64, &'static str)>,
    commands: &'static [&'static str],
) -> Scenario {
    Scenario { name, fill, commands }
}

/// Members of the large collections.
const LARGE: u64 = 100_000;

const SCENARIOS: &[Scenario] = &[
    scenario("LPUSH", None, &["LPUSH list:{1000} {x32}"]),
    scenario("LPUSH, LPOP", None, &["LPUSH list:{1000} {x32}", "LPOP list:{1000}"]),
    scenario(
        "LRANGE 100",
        Some((100_000, "RPUSH list:{n/100} value:{n}")),
        &["LRANGE list:{1000} 0 99"],
    ),
    scenario("HSET 10 fields", None, &["HSET hash:{10000} field:{10} {x32}"]),
    scenario("HSET 100 k fields", None, &["HSET hash field:{100000} {x32}"]),
    scenario(
        "HGET 10 fields",
        Some((100_000, "HSET hash:{n/10} field:{n%10} {x32}")),
        &["HGET hash:{10000} field:{10}"],
    ),
    scenario(
        "HGET 100 k fields",
        Some((LARGE, "HSET hash field:{n} {x32}")),
        &["HGET hash field:{100000}"],
    ),
    scenario(
        "HGETALL 10 fields",
        Some((100_000, "HSET hash:{n/10} field:{n%10} {x32}")),
        &["HGETALL hash:{10000}"],
    ),
    scenario("SADD 10 members", None, &["SADD set:{10000} member:{10}"]),
    scenario("SADD 100 k members", None, &["SADD set member:{100000}"]),
    scenario(
        "SISMEMBER 100 k",
        Some((LARGE, "SADD set member:{n}")),
        &["SISMEMBER set member:{100000}"],
    ),
    scenario(
        "SADD, SPOP 100 k",
        Some((LARGE, "SADD set member:{n}")),
        &["SADD set member:{100000}", "SPOP set"],
    ),
    scenario("ZADD 10 members", None, &["ZADD zset:{10000} {1000} member:{10}"]),
    scenario("ZADD 100 k members", None, &["ZADD zset {1000000} member:{100000}"]),
    scenario(
        "ZRANGEBYSCORE 10 of 100 k",
        Some((LARGE, "ZADD zset {n} member:{n}")),
        &["ZRANGEBYSCORE zset {90000} +inf LIMIT 0 10"],
    ),
    scenario(
        "ZRANK 100 k",
        Some((LARGE, "ZADD zset {n} member:{n}")),
        &["ZRANK zset member:{100000}"],
    ),
    scenario("XADD", None, &["XADD stream:{100} * field {x32}"]),
    scenario(
        "XRANGE 10",
        Some((LARGE, "XADD stream * field {x32}")),
        &["XRANGE stream - + COUNT 10"],
    ),
    scenario("INCR", None, &["INCR counter:{100000}"]),
    scenario(
        "MSET 10",
        None,
        &["MSET k:{100000} {x32} k:{100000} {x32} k:{100000} {x32} k:{100000} {x32} \
           k:{100000} {x32} k:{100000} {x32} k:{100000} {x32} k:{100000} {x32} \
           k:{100000} {x32} k:{100000} {x32}"],
    ),
    scenario("PFADD", None, &["PFADD hll:{1000} element:{100000}"]),
    scenario("SETBIT", None, &["SETBIT bits:{100000} 77 1"]),
    scenario(
        "GEOSEARCH",
        Some((10_000, "GEOADD geo 0.{1000000} 0.{1000000} place:{n}")),
        &["GEOSEARCH geo FROMLONLAT 0.000000500000 0.000000500000 BYRADIUS 10 m COUNT 10"],
    ),
];

/// Values of a type, for its memory.
struct Content {
    name: &'static str,
    /// Elements in all.
    elements: u64,
    command: &'static str,
}

const CONTENTS: &[Content] = &[
    // There are as many keys as of hashes, 100 k: the memory of the table of keys counts too.
    Content { name: "list of 100", elements: 10_000_000, command: "RPUSH list:{n/100} value:{n}" },
    Content {
        name: "hash of 10 fields",
        elements: 1_000_000,
        command: "HSET hash:{n/10} f:{n%10} value:{n}",
    },
    Content {
        name: "hash of 100 k fields",
        elements: 500_000,
        command: "HSET hash:{n/100000} field:{n%100000} value:{n}",
    },
    Content {
        name: "set of 1 k integers",
        elements: 500_000,
        // A leading digit keeps it a canonical integer.
        command: "SADD set:{n/1000} 1{n%1000}",
    },
    Content {
        name: "set of 100 k strings",
        elements: 500_000,
        command: "SADD set:{n/100000} member:{n%100000}",
    },
    Content {
        name: "sorted set of 100",
        elements: 10_000_000,
        command: "ZADD zset:{n/100} {n%100} member:{n%100}",
    },
    Content { name: "sorted set of 1 M", elements: 1_000_000, command: "ZADD zset {n} member:{n}" },
    Content {
        name: "stream of 1 M entries",
        elements: 1_000_000,
        command: "XADD stream 1{n} sensor {n%1000} temperature 2{n%100} humidity {n%10}",
    },
];

/// Runs the comparison of speed and prints its table.
pub fn run(plan: &Plan) -> Result<()> {
    let [ours, peer] = &plan.programs;
    let mut table =
        Table::new(&["command", "P", "k ops/s", "peer", "k ops/CPU s", "peer", "per CPU s", "p99"]);
    for scenario in SCENARIOS.iter().filter(|scenario| is_wanted(plan, scenario.name)) {
        eprintln!("{}", scenario.name);
        for &pipeline in &plan.pipelines {
            let mut samples: [Vec<Sample>; 2] = [Vec::new(), Vec::new()];
            for round in 0..plan.rounds {
                for (program, samples) in plan.programs.iter().zip(&mut samples) {
                    samples.push(measure(plan, program, scenario, pipeline, round as u64)?);
                }
            }
            let [first, second] = samples.map(|samples| compare::median_of(&samples));
            table.row([
                scenario.name.to_owned(),
                pipeline.to_string(),
                thousands(first.throughput),
                thousands(second.throughput),
                thousands(first.per_cpu_second),
                thousands(second.per_cpu_second),
                ratio(first.per_cpu_second, second.per_cpu_second),
                ratio(first.p99, second.p99),
            ]);
        }
    }
    println!(
        "{} connections, {} rounds of {:.1} s; medians, ratios {} / {}",
        plan.connections,
        plan.rounds,
        plan.duration.as_secs_f64(),
        ours.name,
        peer.name
    );
    print!("{table}");
    Ok(())
}

/// Compares the memory of each type and prints the table.
pub fn run_memory(plan: &Plan) -> Result<()> {
    let [ours, peer] = &plan.programs;
    println!("bytes of used_memory per element, ratio {} / {}", ours.name, peer.name);
    let mut table = Table::new(&["values", "elements", "ours", "peer", "ratio"]);
    for content in CONTENTS.iter().filter(|content| is_wanted(plan, content.name)) {
        eprintln!("{}", content.name);
        let bytes = |program: &Program| -> Result<f64> {
            let server = Server::start(program, plan.server_core, false)?;
            // The memory that a server takes once, with its first client and value, does not belong
            // to the values.
            fill(&server, 1_000, "SET warm:{n%10} {x10}")?;
            let before = server.used_memory()?;
            fill(&server, content.elements, content.command)?;
            Ok(server.used_memory()?.saturating_sub(before) as f64 / content.elements as f64)
        };
        let (first, second) = (bytes(ours)?, bytes(peer)?);
        table.row([
            content.name.to_owned(),
            content.elements.to_string(),
            format!("{first:.1}"),
            format!("{second:.1}"),
            ratio(first, second),
        ]);
    }
    print!("{table}");
    Ok(())
}

fn is_wanted(plan: &Plan, name: &str) -> bool {
    plan.only
        .as_ref()
        .is_none_or(|part| name.to_ascii_lowercase().contains(&part.to_ascii_lowercase()))
}

fn measure(
    plan: &Plan,
    program: &Program,
    scenario: &Scenario,
    pipeline: usize,
    round: u64,
) -> Result<Sample> {
    let server = Server::start(program, plan.server_core, false)?;
    if let Some((count, command)) = scenario.fill {
        fill(&server, count, command)?;
    }
    let templates = scenario.commands.iter().map(|command| Template::parse(command));
    let load = Load {
        templates: templates.collect::<Result<_>>()?,
        connections: plan.connections,
        // Commands that belong together are sent together.
        pipeline: pipeline.max(scenario.commands.len()),
        order: Order::Random { space: u64::MAX },
        duration: Some(plan.duration),
        seed: round,
        keep: false,
    };
    compare::measure(&server, &load)
}

/// Runs a command for each number below `count`; from one connection, so that elements come in
/// order.
fn fill(server: &Server, count: u64, command: &str) -> Result<()> {
    let load = Load {
        templates: vec![Template::parse(command)?],
        connections: 1,
        pipeline: 64,
        order: Order::Once { space: count },
        duration: None,
        seed: 0,
        keep: false,
    };
    let outcome = generator::run(std::slice::from_ref(server.node()), &load)?;
    let outcome = compare::without_errors(outcome)?;
    if outcome.commands != count {
        bail!("{} of {count} commands were answered", outcome.commands);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_scenario_is_a_template() {
        for scenario in SCENARIOS {
            for command in scenario.commands.iter().chain(scenario.fill.as_ref().map(|(_, c)| c)) {
                Template::parse(command).unwrap_or_else(|error| panic!("{command}: {error}"));
            }
        }
        for content in CONTENTS {
            Template::parse(content.command).unwrap_or_else(|e| panic!("{}: {e}", content.name));
        }
    }
}
