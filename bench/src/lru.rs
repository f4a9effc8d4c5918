//! How good a server's choice is when memory is short: the share of reads that find their key, over
//! one trace for all servers.
//!
//! The trace is a cache's day: keys are drawn by Zipf's law, each is read, and set when it was not
//! there. Servers differ in what a key costs, so `maxmemory` is set for each to the memory that it
//! uses with a given number of keys. Only the choice is compared. Clocks of last use count seconds,
//! so the trace is sent at a given pace, the same for all.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use crate::server::{Program, Server};
use crate::table::Table;

/// Requests that are sent together.
const BATCH: u64 = 200;

/// The options of a measurement.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The servers, each measured alone.
    pub programs: Vec<Program>,
    /// Values of `maxmemory-policy`.
    pub policies: Vec<String>,
    /// How many different keys the trace has.
    pub keys: u64,
    /// How many of them fit.
    pub capacity: u64,
    /// Reads.
    pub requests: u64,
    /// Reads a second.
    pub rate: f64,
    /// The exponent of Zipf's law: the key of rank r is drawn r^skew times less often than the
    /// first.
    pub skew: f64,
    /// Bytes of a value.
    pub value_size: usize,
    /// The core that the servers run on; `None`: any.
    pub server_core: Option<usize>,
}

/// Sends the trace to each server under each policy and prints the shares.
pub fn run(plan: &Plan) -> Result<()> {
    ensure!(plan.keys > 0 && plan.rate > 0.0, "there must be keys, and a pace");
    println!(
        "{} reads of {} keys, {} of which fit, Zipf exponent {}, {} a second",
        plan.requests, plan.keys, plan.capacity, plan.skew, plan.rate
    );
    let mut table = Table::new(&["policy", "server", "hits %", "keys at the end"]);
    for policy in &plan.policies {
        for program in &plan.programs {
            let (hits, keys) = measure(plan, program, policy)?;
            let share = hits as f64 * 100.0 / plan.requests.max(1) as f64;
            let name = program.name.clone();
            table.row([policy.clone(), name, format!("{share:.2}"), keys.to_string()]);
        }
    }
    print!("{table}");
    Ok(())
}

fn measure(plan: &Plan, program: &Program, policy: &str) -> Result<(u64, u64)> {
    let server = Server::start(program, plan.server_core, false)?;
    let mut wire = Wire::connect(&server, plan.value_size)?;
    let all: Vec<u64> = (0..plan.capacity).collect();
    for keys in all.chunks(BATCH as usize) {
        wire.set(keys)?;
    }
    let memory = server.used_memory()?.to_string();
    wire.say(&["FLUSHALL", "SYNC"])?;
    wire.say(&["CONFIG", "SET", "maxmemory-policy", policy])?;
    wire.say(&["CONFIG", "SET", "maxmemory", &memory])?;
    let (mut trace, mut hits, mut sent) = (Zipf::new(plan.keys, plan.skew), 0, 0);
    let started = Instant::now();
    while sent < plan.requests {
        let keys: Vec<u64> =
            (0..BATCH.min(plan.requests - sent)).map(|_| trace.next_key()).collect();
        let missed = wire.get(&keys)?;
        wire.set(&missed)?;
        sent += keys.len() as u64;
        hits += (keys.len() - missed.len()) as u64;
        let due = started + Duration::from_secs_f64(sent as f64 / plan.rate);
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
    }
    Ok((hits, server.keys()?))
}

/// Keys by Zipf's law, always the same sequence.
struct Zipf {
    /// By rank: the share of draws up to it.
    shares: Vec<f64>,
    random: u64,
}

impl Zipf {
    fn new(keys: u64, skew: f64) -> Zipf {
        let mut sum = 0.0;
        let weights = (1..=keys).map(|rank| (rank as f64).powf(-skew));
        let mut shares: Vec<f64> = weights
            .map(|weight| {
                sum += weight;
                sum
            })
            .collect();
        shares.iter_mut().for_each(|share| *share /= sum);
        Zipf { shares, random: 1 }
    }

    fn next_key(&mut self) -> u64 {
        // SplitMix64.
        self.random = self.random.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.random;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let drawn = ((x ^ (x >> 31)) >> 11) as f64 / (1u64 << 53) as f64;
        self.shares.partition_point(|&share| share <= drawn).min(self.shares.len() - 1) as u64
    }
}

/// A connection that sends many commands at once.
struct Wire {
    stream: TcpStream,
    replies: BufReader<TcpStream>,
    value: String,
    out: Vec<u8>,
}

impl Wire {
    fn connect(server: &Server, value_size: usize) -> Result<Wire> {
        let stream = TcpStream::connect(server.node().address)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(Duration::from_secs(60)))?;
        let replies = BufReader::new(stream.try_clone()?);
        Ok(Wire { stream, replies, value: "x".repeat(value_size), out: Vec::new() })
    }

    fn put(&mut self, args: &[&str]) {
        self.out.extend_from_slice(format!("*{}\r\n", args.len()).as_bytes());
        for arg in args {
            self.out.extend_from_slice(format!("${}\r\n{arg}\r\n", arg.len()).as_bytes());
        }
    }

    fn send(&mut self) -> Result<()> {
        self.stream.write_all(&self.out)?;
        self.out.clear();
        Ok(())
    }

    /// The next reply: whether it is a string that is there, or OK.
    fn reply(&mut self) -> Result<bool> {
        let mut line = String::new();
        self.replies.read_line(&mut line)?;
        let line = line.trim_end();
        match line.split_at_checked(1) {
            Some(("+", _)) => Ok(true),
            Some(("$", "-1")) | Some(("_", _)) => Ok(false),
            Some(("$", length)) => {
                let mut bytes = vec![0; length.parse::<usize>().context("a length")? + 2];
                self.replies.read_exact(&mut bytes)?;
                Ok(true)
            }
            _ => bail!("the server answers {line:?}"),
        }
    }

    fn say(&mut self, args: &[&str]) -> Result<()> {
        self.put(args);
        self.send()?;
        self.reply().map(drop).with_context(|| args.join(" "))
    }

    fn set(&mut self, keys: &[u64]) -> Result<()> {
        let value = std::mem::take(&mut self.value);
        keys.iter().for_each(|key| self.put(&["SET", &name(*key), &value]));
        self.value = value;
        self.send()?;
        keys.iter().try_for_each(|_| self.reply().map(drop))
    }

    /// Reads keys; gives those that were not there, each once.
    fn get(&mut self, keys: &[u64]) -> Result<Vec<u64>> {
        keys.iter().for_each(|key| self.put(&["GET", &name(*key)]));
        self.send()?;
        let mut missed = Vec::new();
        for key in keys {
            if !self.reply()? {
                missed.push(*key);
            }
        }
        Ok(missed)
    }
}

fn name(key: u64) -> String {
    format!("key:{key:012}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn low_ranks_come_more_often_by_the_law() {
        let (mut trace, mut counts) = (Zipf::new(1000, 1.0), vec![0u32; 1000]);
        (0..200_000).for_each(|_| counts[trace.next_key() as usize] += 1);
        let ratio = f64::from(counts[0]) / f64::from(counts[9]);
        assert!((9.0..11.0).contains(&ratio), "the first comes ten times as often as the tenth");
        assert!(counts[999] > 0);
        let again: Vec<u64> = (0..5).map(|_| Zipf::new(1000, 1.0).next_key()).collect();
        assert!(again.windows(2).all(|pair| pair[0] == pair[1]), "always the same trace");
    }
}
