//! The primary's side of a replica's connection: the driver of [`ReplicaSession`].
//!
//! It lives on the connection's own I/O thread. A full synchronisation's payload comes from the
//! snapshot thread through a [`Pipe`]; the stream comes from the log, whose reader stands at the
//! snapshot's moment from the start. Once it has begun, other threads send it too (`stream.rs`).

use crate::io::Conn;
use crate::logging::limited;
use crate::server::Server;
use crate::socket::ClientSocket;
use crate::stream::{Progress, Sent, Stream, StreamState};
use crate::sync::{Pipe, PipeContent};
use rustix::io::Errno;
use std::sync::Arc;
use tessera_config::Config;
use tessera_engine::ClientKind;
use tessera_log::Reader;
use tessera_replication::{
    Framing, ReplicaSession, SessionEffect, SessionEvent, SessionState, SyncPermission,
};
use tessera_slot::Millis;

/// Bytes sent to one replica in one turn, so that its stream does not keep clients waiting.
const TURN_BYTES: usize = 4 << 20;

/// The data that is sent to the replica next.
enum Stage {
    /// Nothing but answers.
    Talk,
    /// The snapshot has been asked for.
    Wanted(Arc<Pipe>),
    /// The payload is being sent.
    Payload { pipe: Arc<Pipe>, chunk: Arc<Vec<u8>>, sent: usize, reader: Reader },
    /// The payload is out, its acknowledgement is awaited.
    Loaded(Reader),
    /// The stream, before others may send it.
    Stream(Reader),
    /// The stream.
    Shared(Arc<Stream>),
}

/// A replica's feed.
pub(crate) struct Feed {
    session: ReplicaSession,
    stage: Stage,
    /// The session's messages, which go before anything of the stage.
    outbox: Vec<u8>,
    outbox_sent: usize,
    signs: bool,
    /// Bytes sent to the replica which the thread's counters do not have yet, and in how many
    /// writes.
    sent: Sent,
}

impl Feed {
    /// Lets others send the stream of this feed, if it has one by now. Whether they could not
    /// before, and can.
    ///
    /// # Errors
    /// If the process has no descriptor for it. The connection is to be closed then, since nobody
    /// would tell its thread of what is written by others; the replica comes again and resumes.
    pub(crate) fn share_stream(
        &mut self,
        server: &Server,
        client: u64,
        thread: usize,
        socket: &ClientSocket,
    ) -> Result<bool, Errno> {
        match std::mem::replace(&mut self.stage, Stage::Talk) {
            Stage::Stream(reader) => {
                self.stage = Stage::Shared(server.streams.add(client, thread, socket, reader)?);
                Ok(true)
            }
            stage => {
                self.stage = stage;
                Ok(false)
            }
        }
    }

    fn new(now: Millis, timeout_ms: u64) -> Feed {
        Feed {
            session: ReplicaSession::new(now, timeout_ms),
            stage: Stage::Talk,
            outbox: Vec::new(),
            outbox_sent: 0,
            signs: false,
            sent: Sent::default(),
        }
    }

    /// An empty line came: the replica is alive.
    pub(crate) fn sign_of_life(&mut self) {
        self.signs = true;
    }

    /// Bytes that wait to be sent, as far as `client-output-buffer-limit replica` counts them: the
    /// log that is kept for this replica.
    pub(crate) fn pending(&self) -> u64 {
        let kept = match &self.stage {
            Stage::Payload { reader, .. } | Stage::Loaded(reader) | Stage::Stream(reader) => {
                reader.lag()
            }
            Stage::Shared(stream) => stream.lag(),
            // The log is kept from the moment of the snapshot on, however long the payload takes.
            Stage::Wanted(pipe) => pipe.lag(),
            Stage::Talk => 0,
        };
        kept + (self.outbox.len() - self.outbox_sent) as u64
    }

    /// What was sent to the replica since it was last asked, by whichever thread.
    pub(crate) fn take_sent(&mut self) -> Sent {
        let of_stream = match &self.stage {
            Stage::Shared(stream) => stream.take_sent(),
            _ => Sent::default(),
        };
        std::mem::take(&mut self.sent).and(of_stream)
    }

    /// The stream that other threads may send too.
    pub(crate) fn stream(&self) -> Option<Arc<Stream>> {
        match &self.stage {
            Stage::Shared(stream) => Some(Arc::clone(stream)),
            _ => None,
        }
    }

    /// Sends what there is. False if the socket takes no more for now. `held`: the stream, if
    /// others may send it.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub(crate) fn send(
        &mut self,
        socket: &ClientSocket,
        held: Option<&mut StreamState>,
        now: Millis,
    ) -> Result<bool, String> {
        if !self.send_own(socket, now)? {
            return Ok(false);
        }
        let Some(held) = held else { return Ok(true) };
        held.is_open = true;
        Ok(held.send(socket, TURN_BYTES)? == Progress::All)
    }

    /// As [`Feed::send`], but for a stream that others may send.
    fn send_own(&mut self, socket: &ClientSocket, now: Millis) -> Result<bool, String> {
        let mut budget = TURN_BYTES;
        loop {
            let bytes = if self.outbox_sent < self.outbox.len() {
                &self.outbox[self.outbox_sent..]
            } else {
                match &mut self.stage {
                    Stage::Talk | Stage::Wanted(_) | Stage::Loaded(_) | Stage::Shared(_) => {
                        return Ok(true);
                    }
                    Stage::Payload { chunk, sent, .. } if *sent < chunk.len() => &chunk[*sent..],
                    Stage::Payload { .. } => {
                        if self.next_chunk(now)? {
                            continue;
                        }
                        return Ok(true);
                    }
                    Stage::Stream(reader) => {
                        let bytes = reader.peek().map_err(|error| error.to_string())?;
                        if bytes.is_empty() {
                            return Ok(true);
                        }
                        bytes
                    }
                }
            };
            if budget == 0 {
                return Ok(false);
            }
            let bytes = &bytes[..bytes.len().min(budget)];
            let sent = socket.send(bytes).map_err(|error| error.to_string())?;
            let Some(count) = sent else { return Ok(false) };
            budget -= count;
            self.sent.add(count);
            self.advance(count);
        }
    }

    fn advance(&mut self, count: usize) {
        if self.outbox_sent < self.outbox.len() {
            self.outbox_sent += count;
            if self.outbox_sent == self.outbox.len() {
                self.outbox.clear();
                self.outbox_sent = 0;
            }
            return;
        }
        match &mut self.stage {
            Stage::Payload { sent, .. } => *sent += count,
            Stage::Stream(reader) => reader.advance(count),
            _ => unreachable!("only these stages send"),
        }
    }

    /// Gets the payload's next chunk. False: it is not there yet.
    fn next_chunk(&mut self, now: Millis) -> Result<bool, String> {
        let Stage::Payload { pipe, chunk, sent, .. } = &mut self.stage else { return Ok(false) };
        match pipe.next() {
            PipeContent::Empty => Ok(false),
            PipeContent::Failed => Err("the snapshot failed".to_owned()),
            PipeContent::Chunk(next) => {
                (*chunk, *sent) = (next, 0);
                let mut effects = Vec::new();
                self.session.handle(now, SessionEvent::PayloadProgress, &mut effects);
                Ok(true)
            }
            PipeContent::End => {
                let Stage::Payload { reader, .. } = std::mem::replace(&mut self.stage, Stage::Talk)
                else {
                    unreachable!("just matched")
                };
                self.stage = Stage::Loaded(reader);
                let mut effects = Vec::new();
                self.session.handle(now, SessionEvent::PayloadSent, &mut effects);
                self.carry_out_simple(effects)?;
                Ok(true)
            }
        }
    }

    /// Carries out effects that need nothing but the feed.
    fn carry_out_simple(&mut self, effects: Vec<SessionEffect>) -> Result<(), String> {
        for effect in effects {
            match effect {
                SessionEffect::Send(bytes) => self.outbox.extend_from_slice(&bytes),
                SessionEffect::StartStream => self.start_stream(),
                SessionEffect::Close(fault) => return Err(fault.to_string()),
                other => unreachable!("no answer to the end of a payload: {other:?}"),
            }
        }
        Ok(())
    }

    fn start_stream(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Talk) {
            Stage::Loaded(reader) | Stage::Stream(reader) => Stage::Stream(reader),
            stage => stage,
        };
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        if let Stage::Wanted(pipe) | Stage::Payload { pipe, .. } = &self.stage {
            pipe.close();
        }
    }
}

/// Carries out REPLCONF, PSYNC or SYNC of a connection.
pub(crate) fn command(
    server: &Arc<Server>,
    conn: &mut Conn,
    thread: usize,
    now: Millis,
    command: &[Vec<u8>],
) {
    let timeout = timeout_ms(&server.engine.config());
    let feed = conn.feed.get_or_insert_with(|| Box::new(Feed::new(now, timeout)));
    let args: Vec<&[u8]> = command[1..].iter().map(Vec::as_slice).collect();
    let event = match command[0].to_ascii_lowercase().as_slice() {
        b"replconf" => SessionEvent::Replconf(&args),
        b"psync" => SessionEvent::Psync(&args, permission(server)),
        _ => SessionEvent::Sync(permission(server)),
    };
    let mut effects = Vec::new();
    feed.session.handle(now, event, &mut effects);
    if carry_out(server, conn, thread, now, effects) == Next::Close {
        conn.state = crate::io::State::Closing;
    }
}

fn permission(server: &Server) -> SyncPermission {
    let withholds = server.cluster.as_ref().is_some_and(|cluster| cluster.withholds_data());
    if server.follow.is_link_usable() && !withholds {
        SyncPermission::Granted
    } else {
        SyncPermission::OwnLinkDown
    }
}

/// `repl-timeout` in milliseconds.
fn timeout_ms(config: &Config) -> u64 {
    u64::from(config.replication.repl_timeout) * 1000
}

/// What becomes of a replica's connection.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Next {
    /// It stays.
    Stay,
    /// It is to be closed.
    Close,
}

/// Moves a synchronisation on: called every turn. The connection may be in any state, since a
/// replica sends commands too; whoever closes it has to know in which.
pub(crate) fn pump(
    server: &Arc<Server>,
    conn: &mut Conn,
    thread: usize,
    now: Millis,
    config: &Config,
) -> Next {
    let Some(feed) = &mut conn.feed else { return Next::Stay };
    feed.session.set_timeout(timeout_ms(config));
    let mut effects = Vec::new();
    if std::mem::take(&mut feed.signs) {
        feed.session.handle(now, SessionEvent::Newline, &mut effects);
    }
    if let Stage::Wanted(pipe) = &feed.stage {
        let pipe = Arc::clone(pipe);
        match pipe.take_start() {
            None => {}
            Some(Err(())) => {
                feed.session.handle(now, SessionEvent::SnapshotFailed, &mut effects);
            }
            Some(Ok(start)) => {
                let offset = start.reader.offset();
                let event = SessionEvent::SnapshotStarted { id: start.id, offset };
                feed.session.handle(now, event, &mut effects);
                let framing = match start.length {
                    Some(length) => Framing::Length(length),
                    None => Framing::Mark(crate::server::random_mark()),
                };
                feed.session.handle(now, SessionEvent::PayloadReady(framing), &mut effects);
                let chunk = Arc::new(Vec::new());
                feed.stage = Stage::Payload { pipe, chunk, sent: 0, reader: start.reader };
            }
        }
    }
    feed.session.handle(now, SessionEvent::Tick, &mut effects);
    let next = carry_out(server, conn, thread, now, effects);
    note_status(server, conn, now);
    next
}

fn carry_out(
    server: &Arc<Server>,
    conn: &mut Conn,
    thread: usize,
    now: Millis,
    effects: Vec<SessionEffect>,
) -> Next {
    let mut next = Next::Stay;
    let mut effects = std::collections::VecDeque::from(effects);
    while let Some(effect) = effects.pop_front() {
        let addr = conn.info().addr.clone();
        let Some(feed) = &mut conn.feed else { return next };
        let mut more = Vec::new();
        match effect {
            SessionEffect::Send(bytes) => feed.outbox.extend_from_slice(&bytes),
            SessionEffect::AckRequested => server.follow.request_ack(),
            SessionEffect::TryResume { id, offset } => {
                let event = match server.engine.log.open_reader(&id, offset) {
                    Ok(reader) => {
                        server.engine.stats.thread(thread).bump(|stats| &stats.partial_syncs, 1);
                        limited!(
                            info,
                            "Partial resynchronization request from {addr} accepted. Sending {} bytes of backlog \
                             starting from offset {}.",
                            reader.lag(),
                            offset.0 + 1
                        );
                        feed.stage = Stage::Loaded(reader);
                        SessionEvent::Resumed(server.engine.log.identity().id)
                    }
                    Err(reason) => {
                        server
                            .engine
                            .stats
                            .thread(thread)
                            .bump(|stats| &stats.refused_partial_syncs, 1);
                        limited!(info, "Partial resynchronization not accepted: {reason}");
                        SessionEvent::NotResumable
                    }
                };
                become_replica(server, conn, thread);
                let feed = conn.feed.as_mut().expect("the connection has a feed");
                feed.session.handle(now, event, &mut more);
            }
            SessionEffect::StartFullSync { eof_capable, contents } => {
                server.engine.stats.thread(thread).bump(|stats| &stats.full_syncs, 1);
                limited!(info, "Full resync requested by replica {addr}");
                let mailbox = Arc::clone(&server.mailboxes[thread]);
                let version = feed.session.version();
                let pipe = server.sync.request(eof_capable, contents, version, mailbox);
                feed.stage = Stage::Wanted(pipe);
                become_replica(server, conn, thread);
            }
            SessionEffect::StartStream => {
                feed.start_stream();
                limited!(info, "Synchronization with replica {addr} succeeded");
            }
            SessionEffect::Close(fault) => {
                limited!(warn, "Disconnecting replica {addr}: {fault}");
                next = Next::Close;
            }
        }
        effects.extend(more);
    }
    note_status(server, conn, now);
    next
}

/// From now on the connection is a replica's.
fn become_replica(server: &Server, conn: &mut Conn, thread: usize) {
    if conn.info().kind() != ClientKind::Replica {
        conn.info().set_kind(ClientKind::Replica);
        server.note_feeder(thread, true);
    }
}

/// Tells WAIT, INFO and min-replicas-to-write how far the replica is.
fn note_status(server: &Server, conn: &Conn, now: Millis) {
    let Some(feed) = &conn.feed else { return };
    if let Some(status) = feed.session.status(now) {
        let online = feed.session.state() == SessionState::Online;
        if server.replicas.update(conn.info(), status, online) {
            // Somebody may be waiting for this very acknowledgement.
            server.wake_waiting();
        }
    }
}
