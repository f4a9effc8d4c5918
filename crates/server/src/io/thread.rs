//! The epoll loop of an I/O thread.

use super::batch::Batch;
use super::conn::{Conn, Flushed, State};
use super::conns::{ConnId, Conns};
use super::linger::Lingering;
use super::long::LongCommands;
use super::mailbox::{Mailbox, Message};
use super::spare::{Spare, TurnSent};
use super::waiting::Waiting;
use crate::accept::{Accepted, Listener, accept};
use crate::logging::{Limit, limited};
use crate::server::Server;
use crate::socket::Received;
use crate::time;
use rustix::event::epoll;
use rustix::event::epoll::{CreateFlags, EventData, EventFlags};
use rustix::fd::OwnedFd;
use rustix::time::Timespec;
use std::sync::Arc;
use tessera_config::Config;
use tessera_engine::{ClientInfo, Session, client_memory_limit};
use tessera_slot::Millis;

/// Events taken from epoll at a time.
pub(super) const EVENTS: usize = 256;
/// Connections accepted in one turn from one listener.
const ACCEPTS: usize = 64;
/// How long nothing is accepted after that has failed, milliseconds.
const ACCEPT_REST: u64 = 100;
/// A failure is logged again after this long, in milliseconds.
const ACCEPT_RELOG: u64 = 10_000;
/// This many times 256 KiB of output is made in a turn, 16 MiB, for the clients that ask for so
/// much. Without the limit replies that are not read would cost the thread's other clients any
/// time, the more such clients there are.
const SHARES: u32 = 64;
/// Bytes of requests longer than a buffer that are read in a turn.
const READ_BUDGET: usize = 2 << 20;
/// Tokens of listeners begin here; those of connections are below.
const LISTENER: u64 = 1 << 32;
/// The token of the mailbox.
const MAILBOX: u64 = 1 << 33;
/// Tokens of connections that are closed in one direction begin here.
const LINGERING: u64 = 1 << 34;

/// An I/O thread.
pub(crate) struct IoThread {
    pub(super) index: usize,
    pub(super) server: Arc<Server>,
    mailbox: Arc<Mailbox>,
    epoll: OwnedFd,
    pub(super) accepting: Accepting,
    pub(super) settings: Settings,
    pub(super) conns: Conns,
    /// The turn's time, Unix ms: what commands go by.
    pub(super) now: Millis,
    /// The turn's time by the monotonic clock: what patience is measured by, so that nobody who
    /// sets the other clock ends it, or makes it last.
    pub(super) steady: Millis,
    pub(super) lists: Lists,
    pub(super) waiting: Waiting,
    pub(super) budget: Budget,
    pub(super) batch: Batch,
    pub(super) long: LongCommands,
    /// Connections that are closed in one direction.
    pub(super) lingering: Lingering,
    /// Empty buffers.
    pub(super) spare: Spare,
    pub(super) pace: Pace,
    quit: bool,
}

/// Where connections come from.
pub(super) struct Accepting {
    listeners: Vec<Listener>,
    /// The thread that gets the next one.
    next_thread: usize,
    /// When connections are accepted again, which lately could not be.
    pub(super) resume_at: Option<Millis>,
}

/// The configuration, as this thread last loaded it.
pub(super) struct Settings {
    pub(super) config: Arc<Config>,
    version: u64,
    /// `maxmemory-clients`.
    pub(super) client_memory_limit: usize,
}

impl Settings {
    fn of(server: &Server) -> Settings {
        let config = server.engine.config();
        let client_memory_limit = client_memory_limit(&config);
        Settings { config, version: server.engine.config_version(), client_memory_limit }
    }
}

/// Connections with which something is to be done in this turn.
#[derive(Default)]
pub(super) struct Lists {
    /// They have input to parse.
    pub(super) ready: Vec<ConnId>,
    /// Room for `run_ready`.
    pub(super) more: Vec<ConnId>,
    /// Their input has changed.
    pub(super) touched: Vec<ConnId>,
    /// They are to be flushed at the end of the turn.
    pub(super) dirty: Vec<ConnId>,
    /// The present batch has left their commands to the rim.
    pub(super) rim: Vec<(ConnId, Vec<Vec<u8>>)>,
    /// They are replicas'.
    pub(super) feeds: Vec<ConnId>,
    /// A client that waited has got its answer in this turn.
    pub(super) answers_waiters: bool,
}

/// What a turn may take, for all clients of the thread together.
#[derive(Default)]
pub(super) struct Budget {
    /// How often much output (`MUCH_OUTPUT`) may still be made in this turn.
    pub(super) shares: u32,
    /// Connections that rest until the next turn.
    pub(super) resting: Vec<ConnId>,
    /// Connections that rest until the next turn and got nothing of this one: they come first then.
    pub(super) passed_over: Vec<ConnId>,
    /// Bytes of large requests that may still be read in this turn.
    read: usize,
    /// Turns in which not all could be read.
    turns: usize,
    /// A connection has got so much input in this turn that the memory of clients is looked at
    /// before it is run.
    much_input: bool,
}

/// What is done from time to time.
#[derive(Default)]
pub(super) struct Pace {
    pub(super) next_scan: Millis,
    /// Clients are not chosen to be evicted again before this time.
    pub(super) next_eviction: Millis,
    /// The last round of giving memory back that this thread took part in.
    pub(super) purged: u64,
}

impl IoThread {
    /// A thread which serves `listeners` (the first thread does) and what its mailbox brings.
    pub(crate) fn new(
        index: usize,
        server: Arc<Server>,
        listeners: Vec<Listener>,
    ) -> std::io::Result<IoThread> {
        let epoll = epoll::create(CreateFlags::CLOEXEC)?;
        let mailbox = Arc::clone(&server.mailboxes[index]);
        epoll::add(&epoll, mailbox.descriptor(), EventData::new_u64(MAILBOX), EventFlags::IN)?;
        let lingering = Lingering::of_one_of(server.mailboxes.len());
        let budget = Budget { shares: SHARES, read: READ_BUDGET, ..Budget::default() };
        let accepting = Accepting { listeners: Vec::new(), next_thread: index, resume_at: None };
        let mut thread = IoThread {
            index,
            settings: Settings::of(&server),
            server,
            mailbox,
            epoll,
            accepting,
            conns: Conns::default(),
            now: time::unix(),
            steady: time::monotonic(),
            lists: Lists::default(),
            waiting: Waiting::default(),
            budget,
            batch: Batch::default(),
            long: LongCommands::default(),
            lingering,
            spare: Spare::default(),
            pace: Pace::default(),
            quit: false,
        };
        thread.listen(listeners)?;
        Ok(thread)
    }

    /// Listens on these sockets. TCP sockets of before are closed; a unix socket stays.
    fn listen(&mut self, mut listeners: Vec<Listener>) -> std::io::Result<()> {
        for kept in self.accepting.listeners.drain(..).filter(Listener::is_unix) {
            epoll::delete(&self.epoll, kept.descriptor())?;
            listeners.push(kept);
        }
        for (at, listener) in listeners.iter().enumerate() {
            let token = EventData::new_u64(LISTENER + at as u64);
            epoll::add(&self.epoll, listener.descriptor(), token, EventFlags::IN)?;
        }
        self.accepting.listeners = listeners;
        self.accepting.resume_at = None;
        Ok(())
    }

    /// Has epoll tell of connections that arrive, or not.
    fn watch_listeners(&self, flags: EventFlags) {
        for (at, listener) in self.accepting.listeners.iter().enumerate() {
            let token = EventData::new_u64(LISTENER + at as u64);
            if let Err(error) = epoll::modify(&self.epoll, listener.descriptor(), token, flags) {
                tracing::warn!("epoll_ctl: {error}");
            }
        }
    }

    /// There is no descriptor, or no memory, for one more connection. It stays in the system's
    /// queue; asking for it all the time would take all of this thread's.
    fn rest_from_accepting(&mut self, why: rustix::io::Errno) {
        self.watch_listeners(EventFlags::empty());
        self.accepting.resume_at = Some(self.steady.plus(ACCEPT_REST));
        // It fails again and again until there are descriptors.
        static COMPLAINTS: Limit = Limit::new(1, ACCEPT_RELOG);
        if let Some(left_out) = COMPLAINTS.admit(self.steady) {
            tracing::warn!("Accepting client connection: accept: {why}{left_out}");
        }
    }

    /// Serves until told to quit.
    pub(crate) fn run(mut self) {
        let mut events = Vec::with_capacity(EVENTS);
        while !self.quit {
            if let Err(error) = self.step(&mut events) {
                tracing::error!("epoll_wait: {error}");
                return;
            }
        }
    }

    /// Waits until something is to be done, and does it. `events` is room for what epoll tells.
    pub(super) fn step(&mut self, events: &mut Vec<epoll::Event>) -> rustix::io::Result<()> {
        let wait = if self.long.is_running { 0 } else { self.wait_ms() };
        let timeout =
            Timespec { tv_sec: (wait / 1000) as i64, tv_nsec: (wait % 1000) as i64 * 1_000_000 };
        events.clear();
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, room, Some(&timeout)) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        self.now = time::unix();
        self.steady = time::monotonic();
        self.waiting.patience.renew();
        self.load_config();
        if let Some(cluster) = &self.server.cluster {
            let node_timeout = self.settings.config.cluster.node_timeout;
            cluster.check_pulse(&self.server.engine, self.steady, node_timeout);
        }
        // A client that was not read from in this turn is the first in the next one.
        if self.budget.read == 0 {
            self.budget.turns = self.budget.turns.wrapping_add(1);
            let first = self.budget.turns % events.len().max(1);
            events.rotate_left(first);
        }
        self.budget.read = READ_BUDGET;
        for event in events.iter() {
            self.on_event(event.data.u64(), event.flags);
        }
        self.turn();
        Ok(())
    }

    /// The part of a turn after the events: run, flush, look at who waits.
    pub(super) fn turn(&mut self) {
        if !self.lists.ready.is_empty() {
            self.server.follow.gauges.level();
        }
        if std::mem::take(&mut self.budget.much_input) {
            self.look_at_client_memory();
        }
        let before = self.server.engine.log.offset();
        self.wake_resting();
        if self.server.engine.has_chores() {
            self.server.engine.do_chores(self.index, self.now);
        }
        if self.accepting.resume_at.is_some_and(|at| self.steady >= at) {
            self.accepting.resume_at = None;
            self.watch_listeners(EventFlags::IN);
        }
        self.run_ready();
        // Before the look: whoever changes after it what is waited for knows that somebody waits.
        self.server.note_parked(self.index, self.waiting.count());
        self.look_at_waiting();
        for index in std::mem::take(&mut self.lists.touched) {
            if let Some(conn) = self.conns.get_mut(index) {
                conn.finish_input(&mut self.spare);
            }
            self.mark_dirty(index);
        }
        // A waiter's answer was written by another thread, which may not have fed the replicas yet.
        let has_news = std::mem::take(&mut self.lists.answers_waiters);
        if has_news || self.server.engine.log.offset() != before {
            self.server.feed_replicas(self.index);
        }
        self.server.note_parked(self.index, self.waiting.count());
        // Replicas first: whoever has read an answer here and asks a replica next is to find it
        // there.
        self.pump_feeds();
        for index in std::mem::take(&mut self.lists.dirty) {
            self.flush(index);
        }
        self.look_at_client_memory();
        if self.steady >= self.pace.next_scan {
            self.scan();
        }
        self.free_elsewhere(Vec::new());
        self.count_sent();
        self.conns.end_turn();
    }

    /// Has a connection flushed at the end of the turn.
    pub(super) fn mark_dirty(&mut self, index: ConnId) {
        if let Some(conn) = self.conns.get_mut(index) {
            conn.mark_dirty(index, &mut self.lists.dirty);
        }
    }

    /// Adds what was sent in this turn to the thread's counters.
    fn count_sent(&mut self) {
        let TurnSent { to_clients, to_replicas } = std::mem::take(&mut self.spare.sent);
        let stats = self.server.engine.stats.thread(self.index);
        stats.bump(|stats| &stats.net_out, to_clients.bytes);
        stats.bump(|stats| &stats.net_repl_out, to_replicas.bytes);
        stats.bump(|stats| &stats.writes, to_clients.writes + to_replicas.writes);
    }

    /// Lets the clients go on that had their share of the last turn.
    fn wake_resting(&mut self) {
        self.budget.shares = SHARES;
        let first = std::mem::take(&mut self.budget.passed_over);
        for index in first.into_iter().chain(std::mem::take(&mut self.budget.resting)) {
            let Some(conn) = self.conns.get_mut(index) else { continue };
            conn.go_on();
            self.lists.ready.push(index);
            self.lists.touched.push(index);
        }
    }

    pub(super) fn load_config(&mut self) {
        let version = self.server.engine.config_version();
        if version != self.settings.version {
            self.settings = Settings::of(&self.server);
        }
    }

    fn on_event(&mut self, token: u64, flags: EventFlags) {
        if token >= LINGERING {
            return self.lingering.read(token - LINGERING);
        }
        if token == MAILBOX {
            return self.on_mail();
        }
        if token >= LISTENER {
            return self.on_accept((token - LISTENER) as usize);
        }
        let index = ConnId::from_token(token);
        if flags.contains(EventFlags::OUT) {
            self.mark_dirty(index);
        }
        let Some(conn) = self.conns.get_mut(index) else { return };
        if !flags.intersects(EventFlags::IN | EventFlags::HUP | EventFlags::ERR) {
            return;
        }
        // Without this limit the queue would grow without bound. epoll reports unread bytes again.
        let is_large = conn.has_much_input();
        if conn.state == State::Resting || is_large && self.budget.read == 0 {
            return;
        }
        let before = conn.input_bytes();
        let outcome = conn.read(&mut self.spare);
        if is_large {
            let read = conn.input_bytes().saturating_sub(before);
            self.budget.read = self.budget.read.saturating_sub(read);
        }
        if let Received::Bytes(bytes) = outcome {
            let stats = self.server.engine.stats.thread(self.index);
            stats.bump(|stats| &stats.net_in, bytes as u64);
            stats.bump(|stats| &stats.reads, 1);
        }
        match outcome {
            Received::Nothing => {}
            Received::Gone => self.close(index),
            Received::Bytes(_)
                if (conn.input_bytes() + conn.session.queued_bytes()) as u64
                    > query_limit(conn, &self.settings.config) =>
            {
                let client = conn.info().line(self.now.0);
                let stats = self.server.engine.stats.thread(self.index);
                stats.bump(|stats| &stats.query_limit_disconnections, 1);
                limited!(warn, "Closing client that reached max query buffer length: {client}");
                self.close_in_order(index);
            }
            Received::Bytes(_) => {
                conn.note_active(self.now, self.steady);
                if conn.has_much_input() {
                    conn.note_input();
                    self.server.engine.clients.account(conn.info());
                    self.budget.much_input = true;
                }
                self.lists.ready.push(index);
                self.lists.touched.push(index);
            }
        }
    }

    fn on_accept(&mut self, at: usize) {
        let mut accepted = Vec::new();
        // A message of this very turn may have left fewer of them.
        let Some(listener) = self.accepting.listeners.get(at) else { return };
        let failed = accept(listener, &self.server, &self.settings.config, ACCEPTS, |new| {
            accepted.push(new)
        })
        .err();
        for new in accepted {
            let thread = self.accepting.next_thread % self.server.mailboxes.len();
            self.accepting.next_thread += 1;
            if thread == self.index {
                self.serve(new);
            } else {
                self.server.mailboxes[thread].send(Message::Accept(new));
            }
        }
        if let Some(why) = failed {
            self.rest_from_accepting(why);
        }
    }

    fn on_mail(&mut self) {
        let mut somebody_is_killed = false;
        for message in self.mailbox.clone().take() {
            match message {
                Message::Accept(accepted) => self.serve(accepted),
                Message::Disconnect => somebody_is_killed = true,
                Message::Complete { client, answer } => {
                    if let Some(index) = self.conns.of_client(client) {
                        self.complete(index, |conn| conn.output.reply.value(&answer));
                    }
                }
                Message::Answer { client, answer } => {
                    if let Some(index) = self.conns.of_client(client) {
                        self.lists.answers_waiters = true;
                        self.answer(index, answer);
                        let conn = self.conns.get_mut(index);
                        somebody_is_killed |= conn.is_some_and(|conn| conn.info().is_killed());
                    }
                }
                Message::EndWait { client } => {
                    if let Some(index) = self.conns.of_client(client) {
                        self.end_cut_wait(index);
                    }
                }
                Message::Listen(listeners) => {
                    if let Err(error) = self.listen(listeners) {
                        tracing::warn!("epoll_ctl: {error}");
                    }
                }
                Message::Quit => self.quit = true,
            }
        }
        // Once for all of them: each look goes through all connections.
        if somebody_is_killed {
            self.disconnect_killed();
        }
    }

    /// Takes a new connection in.
    pub(super) fn serve(&mut self, accepted: Accepted) {
        let clients = &self.server.engine.clients;
        let id = clients.next_id();
        let (fd, thread) = (accepted.socket.number(), self.index);
        let mut info = ClientInfo::new(id, accepted.peer, accepted.local, fd, thread, self.now.0);
        info.local = accepted.is_local;
        info.unix = accepted.is_unix;
        let info = Arc::new(info);
        let authenticated = self.settings.config.general.requirepass.reveal().is_none();
        let session = Session::new(Arc::clone(&info), authenticated);
        let conn = Conn::new(accepted.socket, accepted.place, session, self.steady);
        let index = self.conns.add(conn);
        let conn = self.conns.get_mut(index).expect("just added");
        let token = EventData::new_u64(index.token());
        if let Err(error) = epoll::add(&self.epoll, conn.fd(), token, EventFlags::IN) {
            limited!(warn, "Error registering fd event for the new client: {error}");
            self.conns.remove(index);
            return;
        }
        self.server.engine.clients.add(info);
        self.server.engine.stats.thread(self.index).bump(|stats| &stats.connections, 1);
    }

    /// Sends what a connection has to send, and closes it where that is due.
    pub(super) fn flush(&mut self, index: ConnId) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        conn.dirty = false;
        // A turn's answers count as they are, even if the socket would take them all.
        if conn.feed.is_none() && conn.is_over_limit(&self.settings.config, self.steady) {
            return self.close_over_limit(index);
        }
        let mut flushed = conn.flush(&mut self.spare, self.steady);
        conn.note_feed(&mut self.spare);
        conn.note_taken(self.now, self.steady);
        match conn.share_stream(&self.server, self.index) {
            Ok(true) => self.mailbox.wake(),
            Ok(false) => {}
            Err(_) => flushed = Flushed::End,
        }
        if conn.is_over_limit(&self.settings.config, self.steady) {
            return self.close_over_limit(index);
        }
        if flushed == Flushed::End {
            return match conn.state == State::Closing {
                true => self.close_in_order(index),
                false => self.close(index),
            };
        }
        self.server.engine.clients.account(conn.info());
        let wants_write = flushed == Flushed::Part;
        if wants_write != conn.wants_write {
            conn.wants_write = wants_write;
            let mut flags = EventFlags::IN;
            flags.set(EventFlags::OUT, wants_write);
            let token = EventData::new_u64(index.token());
            if let Err(error) = epoll::modify(&self.epoll, conn.fd(), token, flags) {
                tracing::warn!("epoll_ctl: {error}");
                self.close(index);
            }
        }
    }

    /// Closes a connection whose output is beyond its limit.
    #[cold]
    fn close_over_limit(&mut self, index: ConnId) {
        let Some(conn) = self.conns.get_mut(index) else { return };
        let client = conn.info().line(self.now.0);
        limited!(
            warn,
            "Client {client} scheduled to be closed ASAP for overcoming of output buffer limits."
        );
        let stats = self.server.engine.stats.thread(self.index);
        stats.bump(|stats| &stats.output_limit_disconnections, 1);
        self.close(index);
    }

    /// Closes a connection. Its descriptor leaves epoll by being closed. Another thread may still
    /// be sending a replica's stream: until it lets go of its copy of the descriptor, an event of
    /// this socket may find the next connection with this index, which then reads and finds
    /// nothing.
    pub(super) fn close(&mut self, index: ConnId) {
        drop(self.forget(index));
    }

    /// Closes a connection whose peer may be in the middle of a command, so that the peer sees the
    /// end of the stream and not a reset.
    pub(super) fn close_in_order(&mut self, index: ConnId) {
        if let Some(conn) = self.forget(index) {
            self.lingering.add(&self.epoll, LINGERING, conn.into_socket(), self.steady);
        }
    }

    /// Forgets all about a connection, which is to be closed.
    fn forget(&mut self, index: ConnId) -> Option<Box<Conn>> {
        let mut conn = self.conns.remove(index)?;
        if conn.state == State::Resting {
            // The next turn's client with this index is another one.
            self.budget.resting.retain(|&resting| resting != index);
            self.budget.passed_over.retain(|&resting| resting != index);
        }
        self.server.engine.clients.remove(conn.info());
        match conn.state {
            State::Waiting(park) => self.unpark(park, index),
            State::Held => self.long.forget(index),
            State::Open | State::Resting | State::Closing => {}
        }
        self.server.engine.forget(self.index, &mut conn.session);
        if conn.feed.is_some() {
            self.lists.feeds.retain(|&feed| feed != index);
            self.server.replicas.remove(conn.info().id);
            self.server.streams.remove(conn.info().id);
            self.server.note_feeder(self.index, !self.lists.feeds.is_empty());
            conn.note_feed(&mut self.spare);
        }
        let large = conn.take_large_buffers();
        self.free_elsewhere(large);
        Some(conn)
    }

    /// Has large buffers freed by another thread: these, and those that this one has spare.
    fn free_elsewhere(&mut self, mut buffers: Vec<Vec<u8>>) {
        buffers.append(&mut self.spare.take_large());
        if !buffers.is_empty() {
            self.server.engine.keyspace.discards().buffers(buffers);
        }
    }
}

/// How many bytes of commands a client may have waiting: `client-query-buffer-limit`, or less
/// before it has said who it is.
fn query_limit(conn: &Conn, config: &Config) -> u64 {
    const UNAUTHENTICATED: u64 = 1 << 20;
    let limit = config.network.client_query_buffer_limit.0;
    if conn.session.authenticated { limit } else { limit.min(UNAUTHENTICATED) }
}
