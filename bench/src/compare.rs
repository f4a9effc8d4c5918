//! Two servers in turn, in one run, under the same load.
//!
//! Rounds alternate between the two, so that what changes on the machine meanwhile meets both. Each
//! figure is the median of its rounds.

use std::time::Duration;

use anyhow::{Result, bail};

use crate::generator::{self, Load, Outcome};
use crate::requests::{Order, Workload};
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
    /// The workloads that are measured at each depth.
    pub workloads: Vec<Workload>,
    /// Connections.
    pub connections: usize,
    /// Bytes of a value.
    pub value_size: usize,
    /// Keys loaded before.
    pub keys: u64,
    /// Each server as a cluster of one node.
    pub cluster: bool,
    /// The core that the servers run on; `None`: any.
    pub server_core: Option<usize>,
}

/// One measurement.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sample {
    pub(crate) throughput: f64,
    p50: f64,
    pub(crate) p99: f64,
    p999: f64,
    max: f64,
    /// Commands per second of the server's CPU.
    pub(crate) per_cpu_second: f64,
    /// The part of its core that the generator used, in per cent.
    generator_busy: f64,
}

/// All measurements of one program: for each scenario its samples, and memory per key.
#[derive(Clone, Debug, Default)]
struct Measured {
    scenarios: Vec<Vec<Sample>>,
    bytes_per_key: Vec<f64>,
}

/// Runs the comparison and prints the table.
pub fn run(plan: &Plan) -> Result<()> {
    let scenarios: Vec<(usize, Workload)> = plan
        .pipelines
        .iter()
        .flat_map(|&pipeline| plan.workloads.iter().map(move |&workload| (pipeline, workload)))
        .collect();
    let empty = Measured { scenarios: vec![Vec::new(); scenarios.len()], ..Measured::default() };
    let mut measured = [empty.clone(), empty];
    for round in 0..plan.rounds {
        for (program, measured) in plan.programs.iter().zip(&mut measured) {
            eprintln!("round {} of {}: {}", round + 1, plan.rounds, program.name);
            measure_round(plan, program, &scenarios, round as u64, measured)?;
        }
    }
    print_report(plan, &scenarios, &measured);
    Ok(())
}

fn measure_round(
    plan: &Plan,
    program: &Program,
    scenarios: &[(usize, Workload)],
    round: u64,
    measured: &mut Measured,
) -> Result<()> {
    let server = Server::start(program, plan.server_core, plan.cluster)?;
    measured.bytes_per_key.push(load_keys(plan, &server)?);
    for (at, &(pipeline, workload)) in scenarios.iter().enumerate() {
        let load = Load {
            templates: workload.templates(plan.value_size),
            connections: plan.connections,
            pipeline,
            order: Order::Random { space: plan.keys },
            duration: Some(plan.duration),
            seed: round << 16 | at as u64,
            keep: false,
        };
        measured.scenarios[at].push(measure(&server, &load)?);
    }
    Ok(())
}

/// Loads every key once; what each has taken, in bytes of `used_memory`.
fn load_keys(plan: &Plan, server: &Server) -> Result<f64> {
    let before = server.used_memory()?;
    let load = Load {
        templates: Workload::Set.templates(plan.value_size),
        connections: plan.connections,
        pipeline: 16,
        order: Order::Once { space: plan.keys },
        duration: None,
        seed: 0,
        keep: false,
    };
    without_errors(generator::run(std::slice::from_ref(server.node()), &load)?)?;
    let held = server.keys()?;
    if held != plan.keys {
        bail!("the server holds {held} of {} keys", plan.keys);
    }
    Ok(server.used_memory()?.saturating_sub(before) as f64 / plan.keys.max(1) as f64)
}

pub(crate) fn measure(server: &Server, load: &Load) -> Result<Sample> {
    let cpu_before = server.cpu_time()?;
    let outcome = without_errors(generator::run(std::slice::from_ref(server.node()), load)?)?;
    let cpu = server.cpu_time()?.saturating_sub(cpu_before);
    Ok(Sample {
        throughput: outcome.throughput(),
        p50: outcome.latency_us(0.5),
        p99: outcome.latency_us(0.99),
        p999: outcome.latency_us(0.999),
        max: outcome.latency_us(1.0),
        per_cpu_second: outcome.commands as f64 / cpu.as_secs_f64().max(0.001),
        generator_busy: outcome.own_share() * 100.0,
    })
}

/// A measurement of errors is none.
pub fn without_errors(outcome: Outcome) -> Result<Outcome> {
    match &outcome.first_error {
        Some(text) => bail!("{} answers were errors, such as: {text}", outcome.errors),
        None => Ok(outcome),
    }
}

fn print_report(plan: &Plan, scenarios: &[(usize, Workload)], measured: &[Measured; 2]) {
    let [ours, peer] = &plan.programs;
    println!(
        "{} keys of {} B, {} connections, {} rounds of {:.1} s{}; medians, ratios {} / {}",
        plan.keys,
        plan.value_size,
        plan.connections,
        plan.rounds,
        plan.duration.as_secs_f64(),
        if plan.cluster { ", cluster mode" } else { "" },
        ours.name,
        peer.name,
    );
    let mut table = Table::new(&[
        "test",
        "server",
        "k ops/s",
        "k ops/CPU s",
        "p50 us",
        "p99 us",
        "p99.9 us",
        "max us",
        "load %",
    ]);
    for (at, (pipeline, workload)) in scenarios.iter().enumerate() {
        let title = format!("P={pipeline} {}", workload.name());
        let [our_row, peer_row] =
            [&measured[0], &measured[1]].map(|measured| median_of(&measured.scenarios[at]));
        for (program, row) in [(ours, our_row), (peer, peer_row)] {
            table.row([
                title.clone(),
                program.name.clone(),
                thousands(row.throughput),
                thousands(row.per_cpu_second),
                format!("{:.0}", row.p50),
                format!("{:.0}", row.p99),
                format!("{:.0}", row.p999),
                format!("{:.0}", row.max),
                format!("{:.0}", row.generator_busy),
            ]);
        }
        table.row([
            title,
            "ratio".to_owned(),
            ratio(our_row.throughput, peer_row.throughput),
            ratio(our_row.per_cpu_second, peer_row.per_cpu_second),
            ratio(our_row.p50, peer_row.p50),
            ratio(our_row.p99, peer_row.p99),
            ratio(our_row.p999, peer_row.p999),
            ratio(our_row.max, peer_row.max),
            String::new(),
        ]);
    }
    print!("{table}");
    let [our_bytes, peer_bytes] =
        [&measured[0], &measured[1]].map(|measured| median(&measured.bytes_per_key));
    println!(
        "bytes per key: {} {our_bytes:.1}, {} {peer_bytes:.1}, ratio {}",
        ours.name,
        peer.name,
        ratio(our_bytes, peer_bytes),
    );
}

pub(crate) fn median_of(samples: &[Sample]) -> Sample {
    let of = |field: fn(&Sample) -> f64| median(&samples.iter().map(field).collect::<Vec<_>>());
    Sample {
        throughput: of(|sample| sample.throughput),
        p50: of(|sample| sample.p50),
        p99: of(|sample| sample.p99),
        p999: of(|sample| sample.p999),
        max: of(|sample| sample.max),
        per_cpu_second: of(|sample| sample.per_cpu_second),
        generator_busy: of(|sample| sample.generator_busy),
    }
}

/// The middle one, or the mean of the two in the middle; 0 of nothing.
fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    match sorted.len() {
        0 => 0.0,
        count if count % 2 == 1 => sorted[count / 2],
        count => (sorted[count / 2 - 1] + sorted[count / 2]) / 2.0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), 0.0);
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0]), 2.5);
    }
}
