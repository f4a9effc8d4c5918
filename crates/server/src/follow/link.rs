//! The thread: connects, feeds what it receives to the state machine, and carries its effects out.

use super::gauge::Gauge;
use super::{Follow, FollowStatus, Primary};
use crate::server::Server;
use crate::time;
use rustix::event::{PollFd, PollFlags};
use rustix::io::Errno;
use rustix::time::Timespec;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tessera_engine::{ClientInfo, ClientKind, Session};
use tessera_log::ReplId;
use tessera_replication::{LinkConfig, LinkEffect, LinkEvent, LinkFault, Position, ReplicaLink};
use tessera_resp::RequestParser;

/// How long a read waits, so that timers and orders are seen.
const READ_WAIT: Duration = Duration::from_millis(250);
/// The same while what has come waits for the end of CLIENT PAUSE.
const HELD_WAIT: Duration = Duration::from_millis(50);
/// How long a connection may take to be made, or a write to be taken.
const PATIENCE: Duration = Duration::from_secs(5);
const READ_BUFFER: usize = 256 << 10;

/// The thread that follows a primary.
pub(crate) struct Follower {
    pub(super) server: Arc<Server>,
    /// Its shard of the world lock and its counters.
    pub(super) thread: usize,
    /// The primary as a client of this node.
    pub(super) session: Session,
    /// Stream bytes that are no whole command yet, and the parser's place in them.
    pub(super) unparsed: Vec<u8>,
    pub(super) parser: RequestParser,
    /// The commands of a transaction of which EXEC has not come yet: raw bytes each.
    pub(super) transaction: Option<Vec<Vec<u8>>>,
    pub(super) link: ReplicaLink,
    pub(super) version: u64,
    primary: Primary,
    socket: Option<TcpStream>,
    /// Shows clients' threads how far the stream of this socket is applied.
    gauge: Option<Arc<Gauge>>,
    buffer: Vec<u8>,
    /// The payload of a full synchronisation, as far as it has come and was not loaded.
    pub(super) payload: VecDeque<u8>,
    pub(super) payload_ended: bool,
    pub(super) full_sync: Option<Position>,
    pub(super) is_loading: bool,
    /// Received bytes wait for the end of CLIENT PAUSE.
    pub(super) held_back: bool,
    /// The last round of giving memory back that this thread took part in.
    purged: u64,
}

impl Follower {
    /// The thread's function: follows whoever is wanted until it is told to quit.
    pub(crate) fn run(server: Arc<Server>, thread: usize) {
        let follow = Arc::clone(&server.follow);
        loop {
            let (primary, version) = {
                let mut state = follow.state.lock();
                while state.taken == state.version && !state.quit {
                    follow.changed.wait(&mut state);
                }
                if state.quit {
                    return;
                }
                state.taken = state.version;
                follow.changed.notify_all();
                (state.wanted.clone(), state.version)
            };
            if let Some(primary) = primary {
                Follower::new(Arc::clone(&server), thread, primary, version).follow();
            }
        }
    }

    pub(super) fn new(
        server: Arc<Server>,
        thread: usize,
        primary: Primary,
        version: u64,
    ) -> Follower {
        let name = format!("{}:{}", primary.host, primary.port);
        let id = server.engine.clients.next_id();
        let info =
            Arc::new(ClientInfo::new(id, name, String::new(), -1, usize::MAX, time::unix().0));
        info.set_kind(ClientKind::Primary);
        server.engine.clients.add(Arc::clone(&info));
        let mut session = Session::new(info, true);
        session.is_primary = true;
        let log = &server.engine.log;
        // This node's writes as a primary are history too: the new primary may know it. So it is at
        // its very beginning: the data to which nothing was added yet goes by its name too.
        let position =
            log.is_active().then(|| Position { id: log.identity().id, offset: log.offset() });
        // A primary that grants to continue from there does not select again.
        session.db = log.stream_db() as usize;
        let link = ReplicaLink::new(link_config(&server), position, time::monotonic());
        Follower {
            server,
            thread,
            session,
            unparsed: Vec::new(),
            parser: RequestParser::new(),
            transaction: None,
            link,
            version,
            primary,
            socket: None,
            gauge: None,
            buffer: vec![0; READ_BUFFER],
            payload: VecDeque::new(),
            payload_ended: false,
            full_sync: None,
            is_loading: false,
            held_back: false,
            purged: 0,
        }
    }

    /// Whether this primary is still the one to follow.
    pub(super) fn is_wanted(&self) -> bool {
        self.handle().is_current(self.version)
    }

    pub(super) fn is_connected(&self) -> bool {
        self.socket.is_some()
    }

    /// Applies what came behind the payload while it was being loaded.
    pub(super) fn apply_received(&mut self) {
        if self.handle().begin_applying(self.version) {
            self.apply();
            self.server.follow.end_applying();
        }
    }

    fn handle(&self) -> &Follow {
        &self.server.follow
    }

    fn follow(mut self) {
        tracing::info!("Connecting to PRIMARY {}:{}", self.primary.host, self.primary.port);
        while self.is_wanted() {
            self.step();
            if let Some(grant) = self.full_sync.take() {
                self.load(grant);
            }
        }
        self.handle().state.lock().socket = None;
        self.handle().gauges.end();
        self.server.engine.clients.remove(&self.session.info);
    }

    /// Does what is due, and reads once.
    pub(super) fn step(&mut self) {
        *self.link.config_mut() = link_config(&self.server);
        self.server.purge.take_part(&mut self.purged);
        self.event(LinkEvent::Tick, &[]);
        // CLIENT KILL: the next step connects anew.
        if self.session.info.killed.swap(false, Relaxed) && self.is_connected() {
            self.lost("closed by CLIENT KILL");
        }
        if std::mem::take(&mut self.handle().state.lock().ack_requested) {
            self.event(LinkEvent::AckRequested, &[]);
        }
        if self.held_back {
            self.apply_received();
        }
        self.publish();
        let Some(socket) = &mut self.socket else {
            let wait = self.link.deadline().map_or(50, |at| at.since(time::monotonic())).min(50);
            let mut state = self.server.follow.state.lock();
            if state.version == self.version && !state.quit {
                let wait = Duration::from_millis(wait.max(1));
                self.server.follow.changed.wait_for(&mut state, wait);
            }
            return;
        };
        // Woken, or late: the read itself does not wait then.
        if !is_readable(socket, if self.held_back { HELD_WAIT } else { READ_WAIT }) {
            return;
        }
        self.gauge.as_ref().inspect(|gauge| gauge.begin());
        let mut buffer = std::mem::take(&mut self.buffer);
        match socket.read(&mut buffer) {
            Ok(0) => self.lost("closed by the primary"),
            Ok(count) => {
                let stats = self.server.engine.stats.thread(self.thread);
                stats.bump(|stats| &stats.net_repl_in, count as u64);
                self.received(&buffer[..count]);
            }
            Err(error)
                if matches!(
                    error.kind(),
                    ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted
                ) => {}
            Err(error) => self.lost(&error.to_string()),
        }
        self.buffer = buffer;
        self.gauge.as_ref().inspect(|gauge| gauge.end());
    }

    /// Bytes came: handled only while this primary is still the one to follow.
    fn received(&mut self, bytes: &[u8]) {
        if self.handle().begin_applying(self.version) {
            self.event(LinkEvent::Received(bytes), bytes);
            self.apply();
            self.server.follow.end_applying();
        }
    }

    pub(super) fn lost(&mut self, why: &str) {
        tracing::warn!("Connection with primary lost: {why}");
        self.drop_connection();
        self.event(LinkEvent::Closed, &[]);
        self.publish();
    }

    fn drop_connection(&mut self) {
        self.socket = None;
        self.gauge = None;
        self.handle().gauges.end();
        self.handle().state.lock().socket = None;
        // A command, or transaction, that was cut off is sent again.
        self.unparsed.clear();
        self.held_back = false;
        self.parser = RequestParser::new();
        self.transaction = None;
    }

    /// Hands an event to the state machine and carries out what it wants. `received` is what ranges
    /// are of.
    pub(super) fn event(&mut self, event: LinkEvent<'_>, received: &[u8]) {
        let mut effects = Vec::new();
        self.link.handle(time::monotonic(), event, &mut effects);
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.carry_out(effect, received) {
                let mut more = Vec::new();
                self.link.handle(time::monotonic(), event, &mut more);
                effects.extend(more);
            }
        }
    }

    fn carry_out(&mut self, effect: LinkEffect, received: &[u8]) -> Option<LinkEvent<'static>> {
        match effect {
            LinkEffect::Connect => return Some(self.connect()),
            LinkEffect::Send(bytes) => {
                // A failed write shows in the next read.
                let _ = self.socket.as_mut().map(|socket| socket.write_all(&bytes));
            }
            LinkEffect::BeginFullSync { id, offset, .. } => {
                tracing::info!("Full resync from primary: {id}:{offset}");
                self.payload.clear();
                self.payload_ended = false;
                self.full_sync = Some(Position { id, offset });
            }
            LinkEffect::Payload(range) => self.payload.extend(&received[range]),
            LinkEffect::PayloadHeld(bytes) => self.payload.extend(bytes),
            LinkEffect::EndPayload => self.payload_ended = true,
            LinkEffect::Resume { id, renamed } => self.resume(id, renamed),
            LinkEffect::Stream(range) => self.unparsed.extend_from_slice(&received[range]),
            LinkEffect::Close(fault) => {
                match &fault {
                    // Tools look for this line.
                    LinkFault::Auth(answer) => {
                        tracing::warn!("Unable to AUTH to PRIMARY: {answer}")
                    }
                    _ => {
                        tracing::warn!("Link with primary {} given up: {fault}", self.primary.host)
                    }
                }
                self.drop_connection();
            }
        }
        None
    }

    fn connect(&mut self) -> LinkEvent<'static> {
        let Primary { host, port } = &self.primary;
        let socket = (host.as_str(), *port)
            .to_socket_addrs()
            .and_then(|mut found| found.next().ok_or_else(|| ErrorKind::NotFound.into()))
            .and_then(|addr| TcpStream::connect_timeout(&addr, PATIENCE))
            .and_then(|socket| {
                socket.set_nodelay(true)?;
                socket.set_read_timeout(Some(READ_WAIT))?;
                socket.set_write_timeout(Some(PATIENCE))?;
                Ok(socket)
            });
        match socket {
            Ok(socket) => {
                let mut state = self.server.follow.state.lock();
                if state.version != self.version {
                    return LinkEvent::Closed;
                }
                state.socket = socket.try_clone().ok();
                drop(state);
                tracing::info!("PRIMARY <-> REPLICA sync started");
                self.gauge = self.server.follow.gauges.begin(&socket);
                self.socket = Some(socket);
                LinkEvent::Connected
            }
            Err(error) => {
                tracing::debug!("Error condition on socket for SYNC: {error}");
                LinkEvent::Closed
            }
        }
    }

    fn resume(&mut self, id: ReplId, renamed: bool) {
        tracing::info!("Successful partial resynchronization with primary.");
        if renamed {
            let world = self.server.engine.keyspace.enter_exclusive();
            self.server.engine.log.shift_replication_id(id);
            drop(world);
            self.server.disconnect_replicas();
        }
    }

    /// Shows how the link is.
    pub(super) fn publish(&self) {
        let now = time::monotonic();
        let link = self.link.status(now);
        let last_io = link.last_io_seconds.map(|_| self.link.last_io());
        let mut state = self.handle().state.lock();
        if state.version == self.version {
            state.last_io = last_io.or(state.last_io);
            let last_io = state.last_io;
            let is_new = state.status.as_ref().map(|status| status.link.phase) != Some(link.phase);
            state.status = Some(FollowStatus {
                link,
                loading: self.is_loading || self.full_sync.is_some(),
                last_io,
            });
            let is_streaming = state.status.as_ref().is_some_and(FollowStatus::is_up);
            drop(state);
            self.handle().gauges.set_streaming(is_streaming && !self.held_back);
            if is_new && let Some(cluster) = &self.server.cluster {
                cluster.look();
            }
        }
    }
}

impl Follow {
    /// From now on this primary's bytes are applied, unless another one is wanted already.
    pub(super) fn begin_applying(&self, version: u64) -> bool {
        let mut state = self.state.lock();
        state.applying = state.version == version && !state.quit;
        state.applying
    }

    pub(super) fn end_applying(&self) {
        self.state.lock().applying = false;
        self.changed.notify_all();
    }

    /// As [`Follow::begin_applying`], for a payload that replaces all data.
    pub(super) fn begin_loading(&self, version: u64) -> bool {
        let mut state = self.state.lock();
        state.loading = state.version == version && !state.quit;
        state.loading
    }

    pub(super) fn end_loading(&self) {
        self.state.lock().loading = false;
        self.changed.notify_all();
    }
}

/// Waits until there is something to read, or the time is up.
fn is_readable(socket: &TcpStream, wait: Duration) -> bool {
    let mut polled = [PollFd::new(socket, PollFlags::IN)];
    let wait = Timespec { tv_sec: 0, tv_nsec: wait.subsec_nanos().into() };
    // An error shows in the read.
    !matches!(rustix::event::poll(&mut polled, Some(&wait)), Ok(0) | Err(Errno::INTR))
}

fn link_config(server: &Server) -> LinkConfig {
    let config = server.engine.config();
    let replication = &config.replication;
    let cluster_port = config.cluster.announce_port;
    let listening_port = match (replication.replica_announce_port, cluster_port) {
        (0, 0) => config.network.port,
        (0, port) => port,
        (port, _) => port,
    };
    let some = |text: &String| (!text.is_empty()).then(|| text.clone());
    LinkConfig {
        listening_port,
        announce_ip: some(&replication.replica_announce_ip),
        user: some(&replication.masteruser),
        password: replication.masterauth.reveal().map(<[u8]>::to_vec),
        version: crate::server::REDIS_VERSION.to_owned(),
        timeout_ms: u64::from(replication.repl_timeout) * 1000,
    }
}
