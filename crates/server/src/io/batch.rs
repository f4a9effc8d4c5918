//! Batches: requests of all ready connections are parsed and looked up, what they will touch is
//! prefetched, and only then they are run.

use super::conn::{Conn, State};
use super::conns::ConnId;
use super::input::Parsed;
use super::long::Long;
use super::spare::Spare;
use super::thread::IoThread;
use super::ticks::{Laps, Rate, Started};
use crate::logging::limited;
use crate::server::Server;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{Args, Engine, Outcome, Park, Prepared, Turn};
use tessera_resp::{ArgRange, Span};
use tessera_slot::{Millis, Slot};
use tessera_store::{KeyHash, MemberHash, World};

/// Requests that are prefetched together: enough to hide the latency of memory, few enough for the
/// first-level cache.
const BATCH: usize = 32;
/// Arguments kept from batch to batch; a larger list is given back.
const KEEP_SPANS: usize = 4096;

/// A request that has been parsed and looked up.
struct Request {
    /// Its connection.
    conn: ConnId,
    /// Its beginning in the connection's input.
    start: usize,
    /// Its length.
    len: usize,
    /// Its arguments, in `Batch::spans`.
    args: ArgRange,
    prepared: Prepared,
}

impl Request {
    /// Where it ends in the connection's input.
    fn end(&self) -> usize {
        self.start + self.len
    }

    /// Has the connection wait until this request runs by itself; it stays in the input.
    fn set_aside(&self, conn: &mut Conn, spans: &[Span]) -> Long {
        let (bytes, _, _) = conn.parts(self.start, self.len);
        let (bytes, spans) = (bytes.to_vec(), self.args.of(spans).to_vec());
        conn.hold_up(State::Held);
        Long { conn: self.conn, bytes, spans, prepared: self.prepared }
    }

    /// The rim carries the request out, when the batch is through.
    fn leave_to_rim(&self, conn: &mut Conn) {
        conn.executed(self.end());
        // The following bytes are not for the command table, or must wait.
        conn.hold_up(State::Held);
    }

    /// The client waits, with all that it has sent after this.
    fn wait(&self, conn: &mut Conn, park: Park) {
        if !park.runs_again() {
            conn.executed(self.end());
        }
        conn.hold_up(State::Waiting(park));
    }

    /// The connection ends after what has been answered.
    #[cold]
    fn end_connection(&self, conn: &mut Conn, outcome: Outcome) {
        if outcome == Outcome::Foreign {
            limited!(
                warn,
                "Possible SECURITY ATTACK detected. It looks like somebody is sending POST or Host: commands \
                 to this server, as a web page can have a browser do. Connection from {} is closed.",
                conn.info().addr
            );
        }
        conn.executed(self.end());
        conn.state = State::Closing;
    }
}

/// What sending much output in the middle of a batch needs of the thread.
struct Output<'a> {
    server: &'a Arc<Server>,
    config: &'a Arc<Config>,
    steady: Millis,
    spare: &'a mut Spare,
    shares: &'a mut u32,
    resting: &'a mut Vec<ConnId>,
}

impl Output<'_> {
    /// Sends what a client has been answered so far, with nothing locked. Who has had its share of
    /// the turn rests; who is over its limit is closed at the end of the turn.
    #[cold]
    fn send_much(&mut self, conn: &mut Conn, index: ConnId, world: &mut Option<World<'_>>) {
        let is_over = conn.is_over_limit(self.config, self.steady);
        if !is_over {
            *world = None;
            // As at the end of the turn: replicas first.
            self.server.feed_replicas(usize::MAX);
            // A broken connection is found again at the end of the turn: what it has asked for is
            // run.
            let _ = conn.send_replies(self.spare);
        }
        *self.shares = self.shares.saturating_sub(1);
        if is_over || conn.has_had_its_share() || *self.shares == 0 {
            conn.hold_up(State::Resting);
            self.resting.push(index);
        }
    }
}

/// A thread's batch, and what executing it needs room for.
#[derive(Default)]
pub(super) struct Batch {
    requests: Vec<Request>,
    spans: Vec<Span>,
    hashes: Vec<KeyHash>,
    slots: Vec<Slot>,
    /// The values of which parts are still to be prefetched.
    ahead: Vec<(KeyHash, MemberHash)>,
    laps: Laps,
    rate: Rate,
}

impl Batch {
    /// Forgets the requests, and with them their arguments.
    fn clear(&mut self) {
        self.requests.clear();
        if self.spans.capacity() > KEEP_SPANS {
            self.spans = Vec::new();
        }
        self.spans.clear();
    }

    /// Parses requests of one connection until the batch is full. False: the connection has no more
    /// whole request.
    fn fill(&mut self, index: ConnId, conn: &mut Conn, engine: &Engine, max_bulk: u64) -> bool {
        while self.requests.len() < BATCH {
            if !conn.may_parse() {
                return false;
            }
            match conn.parse(max_bulk, &mut self.spans) {
                Ok(Parsed::Nothing) => return false,
                Ok(Parsed::Command { start, len, args }) => {
                    if args.is_empty() {
                        conn.pass_over(start, len);
                        continue;
                    }
                    let (bytes, _, _) = conn.parts(start, len);
                    let prepared = engine.prepare(Args::new(bytes, args.of(&self.spans)));
                    self.requests.push(Request { conn: index, start, len, args, prepared });
                    if !conn.session.authenticated {
                        // Requests after AUTH are parsed under other limits.
                        return true;
                    }
                }
                Err(error) => {
                    conn.protocol_error(error);
                    return false;
                }
            }
        }
        true
    }

    /// Passes over the batch, each of which asks for what the next one needs: three for the
    /// entries, and more for those values that are not in their entries.
    #[inline]
    fn prefetch(&mut self, engine: &Engine) {
        if self.requests.len() < 2 {
            return;
        }
        let firsts = || self.requests.iter().filter_map(|request| request.prepared.first);
        firsts().for_each(|hash| engine.keyspace.prefetch_slot(hash));
        firsts().for_each(|hash| engine.keyspace.prefetch_bucket(hash));
        firsts().for_each(|hash| engine.keyspace.prefetch_entry(hash));
        let prepared = self.requests.iter().map(|request| &request.prepared);
        self.ahead.clear();
        self.ahead.extend(prepared.filter_map(|prepared| prepared.first.zip(prepared.member)));
        for step in 0.. {
            self.ahead.retain(|&(hash, member)| engine.keyspace.prefetch_value(hash, step, member));
            if self.ahead.is_empty() {
                break;
            }
        }
    }
}

impl IoThread {
    /// Runs all whole requests of the connections in `self.lists.ready`, and empties it.
    pub(super) fn run_ready(&mut self) {
        let max_bulk = self.settings.config.network.proto_max_bulk_len.0;
        while !self.lists.ready.is_empty() {
            self.batch.clear();
            let mut more = std::mem::take(&mut self.lists.more);
            let mut taken = 0;
            while taken < self.lists.ready.len() && self.batch.requests.len() < BATCH {
                let index = self.lists.ready[taken];
                taken += 1;
                let Some(conn) = self.conns.get_mut(index) else { continue };
                if self.budget.shares == 0 && conn.is_behind() && conn.may_parse() {
                    conn.hold_up(State::Resting);
                    self.budget.passed_over.push(index);
                } else if self.batch.fill(index, conn, &self.server.engine, max_bulk) {
                    more.push(index);
                }
            }
            // A client with more requests goes first in the next round: its input is in the cache.
            self.lists.ready.splice(..taken, more.drain(..));
            self.lists.more = more;
            self.batch.prefetch(&self.server.engine);
            self.execute_batch();
        }
        self.batch.clear();
    }

    fn execute_batch(&mut self) {
        if self.batch.requests.is_empty() {
            return;
        }
        let started = Started::now();
        let mut parks = Vec::new();
        let run = self.run_requests(&mut parks);
        let stats = self.server.engine.stats.thread(self.index);
        stats.bump(|stats| &stats.commands, run);
        let nanos = self.batch.rate.nanos_since(&started);
        self.batch.laps.share_out(nanos, stats);
        parks.into_iter().for_each(|(park, index)| self.park(park, index));
        self.run_rim();
        self.run_long();
    }

    /// Runs the requests of the batch; gives how many have run. `parks` gets the connections that
    /// wait.
    fn run_requests(&mut self, parks: &mut Vec<(Park, ConnId)>) -> u64 {
        let engine = &*self.server.engine;
        let mut world = engine.keyspace.enter(self.index);
        engine.make_room(&mut world, self.index, self.now, &self.settings.config);
        let mut world = Some(world);
        let Batch { requests, spans, hashes, slots, laps, rate, .. } = &mut self.batch;
        let stopwatch = rate.stopwatch();
        let mut run = 0;
        for request in requests.iter() {
            let Some(conn) = self.conns.get_mut(request.conn) else { continue };
            // CLIENT KILL earlier in this batch counts.
            if !conn.may_run() || conn.info().killed.load(Relaxed) {
                continue;
            }
            if request.prepared.yields() && !conn.session.is_in_transaction() {
                self.long.queue.push_back(request.set_aside(conn, spans));
                continue;
            }
            laps.run(&request.prepared);
            conn.output.take_buffer(&mut self.spare);
            let (bytes, session, reply) = conn.parts(request.start, request.len);
            let mut turn = Turn {
                thread: self.index,
                now: self.now,
                config: &self.settings.config,
                patience: &self.waiting.patience,
                others: None,
                stopwatch,
                hashes,
                slots,
            };
            let (prepared, args) = (request.prepared, Args::new(bytes, request.args.of(spans)));
            let outcome = engine.execute(&mut world, &mut turn, session, prepared, args, reply);
            run += 1;
            match outcome {
                Outcome::Next => {
                    conn.executed(request.end());
                    if conn.output.is_much() {
                        let mut output = Output {
                            server: &self.server,
                            config: &self.settings.config,
                            steady: self.steady,
                            spare: &mut self.spare,
                            shares: &mut self.budget.shares,
                            resting: &mut self.budget.resting,
                        };
                        laps.stop();
                        output.send_much(conn, request.conn, &mut world);
                    }
                }
                Outcome::Rim => {
                    let command = args.from(0).map(<[u8]>::to_vec).collect();
                    self.lists.rim.push((request.conn, command));
                    request.leave_to_rim(conn);
                }
                Outcome::Wait(park) => {
                    request.wait(conn, park);
                    parks.push((park, request.conn));
                }
                Outcome::Close | Outcome::Foreign => {
                    // Nothing is locked while it is logged.
                    world = None;
                    request.end_connection(conn, outcome);
                }
            }
            conn.mark_dirty(request.conn, &mut self.lists.dirty);
        }
        laps.stop();
        run
    }

    /// Carries out the commands that the engine left to the rim.
    fn run_rim(&mut self) {
        for (index, command) in std::mem::take(&mut self.lists.rim) {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            conn.go_on();
            let was_replica = conn.is_replica();
            crate::feed::command(&self.server, conn, self.index, self.steady, &command);
            if conn.is_replica() && !was_replica {
                self.lists.feeds.push(index);
            }
            if conn.may_parse() {
                self.lists.ready.push(index);
            }
        }
    }
}
