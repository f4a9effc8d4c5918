//! The load generator: connections in closed loops over one epoll, on one thread.
//!
//! Each connection sends a batch of P commands, waits for its P answers, and sends the next batch.
//! The latency of a batch, from its first byte sent to its last answer, counts for each of its
//! commands.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use hdrhistogram::Histogram;
use rustix::event::epoll;

use crate::replies::ReplyCounter;
use crate::requests::{Batch, Keys, Order, Template};
use crate::topology::Node;

/// How long the generator waits for any answer before it gives up.
const SILENCE_MAX: Duration = Duration::from_secs(30);

/// Bytes read at a time.
const READ_BUFFER: usize = 256 * 1024;

/// Longest latency that the histogram tells apart, in nanoseconds.
const LATENCY_MAX: u64 = 60_000_000_000;

/// The load to make.
#[derive(Clone, Debug)]
pub struct Load {
    /// The commands, in turn.
    pub templates: Vec<Template>,
    /// Connections, over all nodes.
    pub connections: usize,
    /// Commands that a connection sends at once.
    pub pipeline: usize,
    /// The keys, and their order.
    pub order: Order,
    /// For how long; `None`: until the keys come to an end.
    pub duration: Option<Duration>,
    /// Seed of random keys.
    pub seed: u64,
    /// Whether to keep the latency of each batch.
    pub keep: bool,
}

/// The outcome of a load.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// Commands answered.
    pub commands: u64,
    /// From the first command sent to the last answer.
    pub elapsed: Duration,
    /// Latencies in nanoseconds, one sample for each command.
    pub latencies: Histogram<u64>,
    /// If they are kept: the latency of each batch in microseconds, by its place. The n-th batch of
    /// a connection has the same place in every run of a load.
    pub batches: Vec<u32>,
    /// Errors among the answers.
    pub errors: u64,
    /// The text of one of them.
    pub first_error: Option<String>,
    /// Nulls among the answers: keys that were not there.
    pub nulls: u64,
    /// CPU time that the generator itself took. Close to `elapsed`, the figures are those of the
    /// generator and not of the server.
    pub own_cpu: Duration,
}

impl Outcome {
    /// The part of its core that the generator used, 0 to 1.
    pub fn own_share(&self) -> f64 {
        self.own_cpu.as_secs_f64() / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// Commands per second.
    pub fn throughput(&self) -> f64 {
        self.commands as f64 / self.elapsed.as_secs_f64()
    }

    /// A quantile of the latency, in microseconds; 1.0 is the largest.
    pub fn latency_us(&self, quantile: f64) -> f64 {
        self.latencies.value_at_quantile(quantile) as f64 / 1000.0
    }
}

struct Connection {
    stream: TcpStream,
    batch: Batch,
    keys: Keys,
    counter: ReplyCounter,
    /// Bytes of the batch already sent, and how many there are.
    sent: usize,
    to_send: usize,
    /// Commands of the batch at hand; 0 when there is none.
    in_flight: usize,
    /// Batches that have been answered.
    batches: usize,
    /// The count of replies at which the batch is answered.
    answered_at: u64,
    started: Instant,
    /// Whether the connection waits to be writable.
    wants_write: bool,
}

impl Connection {
    fn open(node: &Node, load: &Load, keys: Keys, seed: u64) -> Result<Connection> {
        let address: SocketAddr = node.address;
        let stream =
            TcpStream::connect(address).with_context(|| format!("cannot connect to {address}"))?;
        stream.set_nodelay(true)?;
        stream.set_nonblocking(true)?;
        Ok(Connection {
            stream,
            batch: Batch::new(&load.templates, load.pipeline, seed),
            keys,
            counter: ReplyCounter::default(),
            sent: 0,
            to_send: 0,
            in_flight: 0,
            batches: 0,
            answered_at: 0,
            started: Instant::now(),
            wants_write: false,
        })
    }

    /// Begins the next batch; false when there are no keys left.
    fn next_batch(&mut self) -> bool {
        self.in_flight = self.batch.fill(&mut self.keys);
        self.answered_at = self.counter.replies + self.in_flight as u64;
        self.sent = 0;
        self.to_send = self.batch.first(self.in_flight).len();
        self.started = Instant::now();
        self.in_flight > 0
    }

    /// Sends what the socket takes.
    fn send(&mut self) -> Result<()> {
        while self.sent < self.to_send {
            match self.stream.write(&self.batch.first(self.in_flight)[self.sent..]) {
                Ok(sent) => self.sent += sent,
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error).context("the server hung up"),
            }
        }
        Ok(())
    }

    /// Reads all that has arrived; whether the batch is now answered.
    fn receive(&mut self, buffer: &mut [u8]) -> Result<bool> {
        match self.stream.read(buffer) {
            Ok(0) => bail!("the server closed a connection"),
            Ok(count) => {
                if self.counter.feed(&buffer[..count]).is_err() {
                    bail!("the server answers something that is not RESP");
                }
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => return Err(error).context("reading from the server"),
        }
        Ok(self.in_flight > 0 && self.counter.replies >= self.answered_at)
    }
}

/// Makes the load and measures it.
pub fn run(nodes: &[Node], load: &Load) -> Result<Outcome> {
    let mut generator = Generator::new(nodes, load)?;
    let cpu_before = thread_cpu_time();
    generator.run(load)?;
    generator.outcome(thread_cpu_time().saturating_sub(cpu_before))
}

/// CPU time of this thread so far.
fn thread_cpu_time() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.unsigned_abs(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

struct Generator {
    poll: OwnedFd,
    connections: Vec<Connection>,
    latencies: Histogram<u64>,
    /// As [`Outcome::batches`], where they are kept.
    batches: Option<Vec<u32>>,
    commands: u64,
    started: Instant,
    last_answer: Instant,
    /// Connections with a batch in flight.
    busy: usize,
}

impl Generator {
    fn new(nodes: &[Node], load: &Load) -> Result<Generator> {
        let per_node = load.connections.div_ceil(nodes.len().max(1)).max(1);
        let mut connections = Vec::new();
        for node in nodes {
            for at in 0..per_node {
                let keys = keys_for(node, load, at, per_node);
                let seed = load.seed.wrapping_add(connections.len() as u64) << 20;
                connections.push(Connection::open(node, load, keys, seed)?);
            }
        }
        let poll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        for (at, connection) in connections.iter().enumerate() {
            let data = epoll::EventData::new_u64(at as u64);
            epoll::add(&poll, &connection.stream, data, epoll::EventFlags::IN)?;
        }
        Ok(Generator {
            poll,
            connections,
            latencies: Histogram::new_with_bounds(1, LATENCY_MAX, 3)?,
            batches: load.keep.then(Vec::new),
            commands: 0,
            started: Instant::now(),
            last_answer: Instant::now(),
            busy: 0,
        })
    }

    fn run(&mut self, load: &Load) -> Result<()> {
        let deadline = load.duration.map(|duration| Instant::now() + duration);
        self.started = Instant::now();
        self.last_answer = self.started;
        for at in 0..self.connections.len() {
            self.start_batch(at)?;
        }
        let mut buffer = vec![0; READ_BUFFER];
        let mut events = Vec::with_capacity(self.connections.len());
        while self.busy > 0 {
            events.clear();
            let timeout = rustix::time::Timespec { tv_sec: 1, tv_nsec: 0 };
            epoll::wait(&self.poll, rustix::buffer::spare_capacity(&mut events), Some(&timeout))?;
            if self.last_answer.elapsed() > SILENCE_MAX {
                bail!("no answer for {} s", SILENCE_MAX.as_secs());
            }
            for event in &events {
                let at = event.data.u64() as usize;
                let flags = event.flags;
                self.ready(at, flags, deadline, &mut buffer)?;
            }
        }
        Ok(())
    }

    fn ready(
        &mut self,
        at: usize,
        flags: epoll::EventFlags,
        deadline: Option<Instant>,
        buffer: &mut [u8],
    ) -> Result<()> {
        if flags.contains(epoll::EventFlags::OUT) {
            self.connections[at].send()?;
            self.watch_writes(at)?;
        }
        if !self.connections[at].receive(buffer)? {
            return Ok(());
        }
        let now = Instant::now();
        self.answered(at, now);
        if deadline.is_none_or(|deadline| now < deadline) {
            self.start_batch(at)?;
        }
        Ok(())
    }

    fn answered(&mut self, at: usize, now: Instant) {
        let connections = self.connections.len();
        let connection = &mut self.connections[at];
        let latency = now.duration_since(connection.started).as_nanos();
        let latency = u64::try_from(latency).unwrap_or(LATENCY_MAX).clamp(1, LATENCY_MAX);
        self.latencies.saturating_record_n(latency, connection.in_flight as u64);
        self.commands += connection.in_flight as u64;
        if let Some(batches) = &mut self.batches {
            let place = connection.batches * connections + at;
            if place >= batches.len() {
                batches.resize(place + connections, 0);
            }
            batches[place] = u32::try_from(latency / 1000).unwrap_or(u32::MAX);
        }
        connection.batches += 1;
        connection.in_flight = 0;
        self.last_answer = now;
        self.busy -= 1;
    }

    fn start_batch(&mut self, at: usize) -> Result<()> {
        let connection = &mut self.connections[at];
        if connection.next_batch() {
            self.busy += 1;
            connection.send()?;
            self.watch_writes(at)?;
        }
        Ok(())
    }

    /// Asks for writability exactly while a batch is not wholly sent.
    fn watch_writes(&mut self, at: usize) -> Result<()> {
        let connection = &mut self.connections[at];
        let wanted = connection.sent < connection.to_send;
        if wanted != connection.wants_write {
            connection.wants_write = wanted;
            let mut flags = epoll::EventFlags::IN;
            flags.set(epoll::EventFlags::OUT, wanted);
            let data = epoll::EventData::new_u64(at as u64);
            epoll::modify(&self.poll, &connection.stream, data, flags)?;
        }
        Ok(())
    }

    fn outcome(self, own_cpu: Duration) -> Result<Outcome> {
        let counters = || self.connections.iter().map(|connection| &connection.counter);
        Ok(Outcome {
            commands: self.commands,
            elapsed: self.last_answer.duration_since(self.started),
            errors: counters().map(|counter| counter.errors).sum(),
            nulls: counters().map(|counter| counter.nulls).sum(),
            first_error: counters().find_map(|counter| counter.first_error.clone()),
            latencies: self.latencies,
            batches: self.batches.unwrap_or_default(),
            own_cpu,
        })
    }
}

/// The keys of one connection: all connections of all nodes together have each key once, or random
/// keys of their own.
fn keys_for(node: &Node, load: &Load, at: usize, of: usize) -> Keys {
    let seed = load.seed ^ (u64::from(node.address.port()) << 32) ^ (at as u64 + 1);
    Keys::new(load.order, seed, node.slots.clone()).share(at as u64, of as u64)
}
