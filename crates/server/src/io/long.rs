//! Commands that may run for long and let their thread's other clients run meanwhile.
//!
//! Such a command runs by itself, when no batch is under way. Its connection is taken out of the
//! thread's list as long as it runs. Whenever it lets others run, the thread makes a turn as it
//! would without it, but for two things: it does not wait for events, and further commands of this
//! kind wait until the running one is through.
//!
//! What the running command has locked stays locked: who needs it is parked, as behind any other
//! thread (`Park::Locked`).
//!
//! Not here: what such a command does, and how often it lets others run.

use super::conn::{Conn, State};
use super::conns::ConnId;
use super::thread::IoThread;
use std::cell::RefCell;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;
use tessera_engine::{Args, Outcome, Prepared, Stopwatch, Turn};
use tessera_resp::Span;
use tessera_store::Patience;

/// A command that waits for its turn to run by itself. It is still in its connection's input.
pub(super) struct Long {
    /// The connection.
    pub(super) conn: ConnId,
    /// The command as it came.
    pub(super) bytes: Vec<u8>,
    /// Its arguments in `bytes`.
    pub(super) spans: Vec<Span>,
    pub(super) prepared: Prepared,
}

/// The commands of a thread that have to run by themselves.
#[derive(Default)]
pub(super) struct LongCommands {
    /// Each runs when no batch is under way.
    pub(super) queue: VecDeque<Long>,
    /// One is running.
    pub(super) is_running: bool,
}

impl LongCommands {
    /// A connection is closed: its command does not run. Its number may be another one's by the
    /// time that the queue goes on.
    pub(super) fn forget(&mut self, conn: ConnId) {
        self.queue.retain(|long| long.conn != conn);
    }
}

impl IoThread {
    /// Runs the commands that have to run by themselves, one after another.
    pub(super) fn run_long(&mut self) {
        if self.long.is_running {
            return;
        }
        while let Some(long) = self.long.queue.pop_front() {
            let index = long.conn;
            let Some(mut conn) = self.conns.take(index) else { continue };
            // What was answered before it is flushed when it is back: a turn that others are given
            // meanwhile does not find it.
            conn.dirty = false;
            let outcome = self.run_one_long(&mut conn, &long);
            conn.go_on();
            let is_killed = conn.info().is_killed();
            self.conns.put_back(index, conn);
            self.settle(index, long.bytes.len(), outcome);
            if is_killed {
                self.disconnect_killed();
            }
        }
    }

    fn run_one_long(&mut self, conn: &mut Conn, long: &Long) -> Outcome {
        let server = Arc::clone(&self.server);
        let (thread, now, config) = (self.index, self.now, Arc::clone(&self.settings.config));
        self.long.is_running = true;
        let this = RefCell::new(&mut *self);
        let others = || {
            let _interrupted = server.engine.keyspace.interrupt(thread);
            this.borrow_mut().serve_others();
        };
        let mut turn = Turn {
            thread,
            now,
            config: &config,
            patience: &Patience::for_turn(),
            others: Some(&others),
            stopwatch: Stopwatch::STOPPED,
            hashes: &mut Vec::new(),
            slots: &mut Vec::new(),
        };
        let args = Args::new(&long.bytes, &long.spans);
        let started = Instant::now();
        let mut world = Some(server.engine.keyspace.enter(thread));
        let outcome = server.engine.execute(
            &mut world,
            &mut turn,
            &mut conn.session,
            long.prepared,
            args,
            &mut conn.output.reply,
        );
        drop(world);
        self.long.is_running = false;
        if let Some(command) = server.engine.stats.thread(thread).of(&long.prepared) {
            command.took(started.elapsed().as_nanos() as u64);
        }
        outcome
    }

    /// Makes a turn for the other clients, without waiting.
    fn serve_others(&mut self) {
        let mut events = Vec::with_capacity(super::thread::EVENTS);
        if let Err(error) = self.step(&mut events) {
            tracing::error!("epoll_wait: {error}");
        }
    }

    /// What follows from a command that ran by itself, of so many bytes.
    fn settle(&mut self, index: ConnId, len: usize, outcome: Outcome) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let stats = self.server.engine.stats.thread(self.index);
        if !matches!(outcome, Outcome::Wait(park) if park.runs_again()) {
            conn.skip(len);
            stats.bump(|stats| &stats.commands, 1);
        }
        match outcome {
            Outcome::Close | Outcome::Foreign => conn.state = State::Closing,
            Outcome::Wait(park) => self.park(park, index),
            Outcome::Next => self.lists.ready.push(index),
            Outcome::Rim => unreachable!("the rim's commands take no time in the engine"),
        }
        self.lists.touched.push(index);
        self.mark_dirty(index);
    }
}
