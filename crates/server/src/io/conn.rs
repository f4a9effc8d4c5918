//! A connection: bytes in, bytes out, and what stands between.

use crate::feed::Feed;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{ClientInfo, ClientKind, Park, Session};
use tessera_resp::{Limits, ProtocolError, Reply, RequestParser, Span, Step};
use tessera_slot::Millis;

/// Bytes read from a connection in one turn, so that one client cannot keep the others waiting.
const READ_CHUNK: usize = 16 * 1024;
/// Buffers that have grown beyond this are given back to the allocator when they are empty.
const KEEP_BUFFER: usize = 64 * 1024;

/// How far a connection is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Phase {
    /// Commands are read and run.
    Open,
    /// The rest of the replies is sent, then the connection is closed.
    Closing,
    /// To be closed at the end of the turn.
    Dead,
}

/// A client's connection.
pub(crate) struct Conn {
    fd: OwnedFd,
    pub(crate) session: Session,
    pub(crate) reply: Reply,
    pub(crate) phase: Phase,
    /// Why the client waits; its further commands stay in `input`.
    pub(crate) waiting: Option<Park>,
    /// The rim is about to carry out a command of this connection; what follows must wait for it.
    pub(crate) held: bool,
    /// Epoll is to tell when the socket can be written to.
    pub(crate) wants_write: bool,
    /// Among the connections that the turn flushes.
    pub(crate) dirty: bool,
    /// What a replica is sent after its replies.
    pub(crate) feed: Option<Box<Feed>>,
    /// The connection has just become a replica's: its thread is to keep it among its feeds.
    pub(crate) new_feed: bool,
    parser: RequestParser,
    input: Vec<u8>,
    /// The inline commands parsed in this turn as they came, each with where it begins in `input`: parsing has
    /// overwritten them there.
    lines: Vec<(usize, Box<[u8]>)>,
    /// The first byte of `input` that no executed command has used.
    done: usize,
    /// The first byte that is not parsed; `done` or further.
    parsed: usize,
    /// Bytes of `reply` that were sent.
    sent: usize,
    /// What could not be parsed, to be answered after the commands before it.
    wrong_input: Option<ProtocolError>,
    /// A lower bound of the bytes that the unfinished command still needs.
    missing: usize,
    /// Since when the pending output is beyond the soft limit, Unix ms.
    over_soft_limit: Option<u64>,
    /// How much output is sent before the turn ends.
    much_output: usize,
}

/// How much output is sent before the turn ends, if the peer takes it: a part of the second-level cache.
const MUCH_OUTPUT: usize = 256 << 10;

/// What [`Conn::read`] found.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadOutcome {
    /// New bytes.
    Some,
    /// Nothing now.
    Nothing,
    /// The peer has closed the connection, or it is broken.
    Gone,
}

/// What [`Conn::parse`] found.
pub(crate) enum Parsed {
    /// A command: where it begins in the input, and its length.
    Command { start: usize, len: usize },
    /// No whole command.
    Nothing,
}

impl Conn {
    pub(crate) fn new(fd: OwnedFd, session: Session) -> Conn {
        Conn {
            fd,
            session,
            reply: Reply::default(),
            phase: Phase::Open,
            waiting: None,
            held: false,
            wants_write: false,
            dirty: false,
            feed: None,
            new_feed: false,
            parser: RequestParser::new(),
            input: Vec::new(),
            lines: Vec::new(),
            done: 0,
            parsed: 0,
            sent: 0,
            wrong_input: None,
            missing: 0,
            over_soft_limit: None,
            much_output: MUCH_OUTPUT,
        }
    }

    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }

    pub(crate) fn info(&self) -> &Arc<ClientInfo> {
        &self.session.info
    }

    /// Reads what is there, up to a chunk. `spare` is a buffer to use if the connection has none.
    pub(crate) fn read(&mut self, spare: &mut Vec<Vec<u8>>) -> ReadOutcome {
        if self.input.capacity() == 0 {
            self.input = spare.pop().unwrap_or_default();
        }
        // A large argument gets room for as much again as has arrived, up to what it announced.
        let room = self.missing.min(self.input.len()).max(READ_CHUNK);
        self.input.reserve(room);
        let fd = self.fd.as_fd();
        let got = rustix::io::read(fd, rustix::buffer::spare_capacity(&mut self.input));
        match got {
            Ok(0) => ReadOutcome::Gone,
            Ok(bytes) => {
                self.info().total_in.fetch_add(bytes as u64, Relaxed);
                ReadOutcome::Some
            }
            Err(Errno::AGAIN | Errno::INTR) => ReadOutcome::Nothing,
            Err(_) => ReadOutcome::Gone,
        }
    }

    /// Whether the connection's commands may run now.
    pub(crate) fn may_run(&self) -> bool {
        self.phase == Phase::Open && self.waiting.is_none() && !self.held
    }

    /// Whether more of the input may be parsed now.
    pub(crate) fn may_parse(&self) -> bool {
        self.may_run() && self.wrong_input.is_none() && self.parsed < self.input.len()
    }

    /// An empty line or array was parsed: nothing to execute. To a primary it is a replica's sign of life.
    pub(crate) fn passed_over(&mut self, start: usize, len: usize) {
        if self.done == start {
            self.done = start + len;
        }
        if let Some(feed) = &mut self.feed {
            feed.sign_of_life();
        }
    }

    /// Answers what is no request, and closes the connection after that.
    pub(crate) fn protocol_error(&mut self, error: ProtocolError) {
        self.wrong_input = Some(error);
    }

    /// Finds the next command and appends its arguments to `spans`.
    #[inline]
    pub(crate) fn parse(
        &mut self,
        max_bulk: u64,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let limits = Limits { max_bulk, authenticated: self.session.authenticated };
        let start = self.parsed;
        let step = self.parser.next(&mut self.input[start..], limits, spans);
        if let Some(line) = self.parser.take_line() {
            self.lines.push((start, line));
        }
        match step? {
            Step::Command { len } => {
                self.parsed += len;
                self.missing = 0;
                Ok(Parsed::Command { start, len })
            }
            Step::Incomplete { missing } => {
                self.missing = missing;
                Ok(Parsed::Nothing)
            }
        }
    }

    /// What a command runs with: its bytes, the session, the replies.
    #[inline]
    pub(crate) fn parts(&mut self, start: usize) -> (&[u8], &mut Session, &mut Reply) {
        (&self.input[start..], &mut self.session, &mut self.reply)
    }

    /// The command up to `end` has been executed.
    #[inline]
    pub(crate) fn executed(&mut self, end: usize) {
        self.done = end;
    }

    /// Forgets what was parsed but not executed: it is parsed again when the client goes on.
    pub(crate) fn rewind(&mut self) {
        for (start, line) in std::mem::take(&mut self.lines) {
            self.input[start..start + line.len()].copy_from_slice(&line);
        }
        self.parsed = self.done;
        self.wrong_input = None;
        self.parser = RequestParser::new();
    }

    /// At the end of a turn: drops executed commands from the input, gives an empty buffer back to `spare`,
    /// and answers what could not be parsed.
    pub(crate) fn finish_input(&mut self, spare: &mut Vec<Vec<u8>>) {
        if self.may_run() {
            // Everything that was parsed has been executed.
            self.done = self.parsed;
            if let Some(error) = self.wrong_input.take() {
                self.reply.error(format!("ERR Protocol error: {error}"));
                self.phase = Phase::Closing;
                self.done = self.input.len();
                self.parsed = self.done;
            }
        }
        // Nobody rewinds to what was executed.
        self.lines = Vec::new();
        if self.done == self.input.len() {
            self.input.clear();
            give_back(std::mem::take(&mut self.input), spare);
        } else if self.done > 0 {
            self.input.drain(..self.done);
        }
        self.parsed -= self.done;
        self.done = 0;
        self.info().query_bytes.store(self.input.len(), Relaxed);
    }

    /// Bytes of input which wait.
    pub(crate) fn input_bytes(&self) -> usize {
        self.input.len() - self.done + self.parser.memory()
    }

    /// Bytes of replies which wait.
    pub(crate) fn pending_output(&self) -> usize {
        self.reply.buf.len() - self.sent
    }

    /// Whether so much is to be sent that it should not wait for the end of the turn: the same cached memory then serves
    /// for what follows.
    #[inline]
    pub(crate) fn has_much_output(&self) -> bool {
        self.reply.buf.len() >= self.much_output
    }

    /// Sends replies, and then, to a replica, the stream. True if nothing is left for now.
    pub(crate) fn flush(&mut self, spare: &mut Vec<Vec<u8>>, now: Millis) -> bool {
        while self.sent < self.reply.buf.len() {
            match rustix::net::send(
                &self.fd,
                &self.reply.buf[self.sent..],
                rustix::net::SendFlags::NOSIGNAL,
            ) {
                Ok(bytes) => {
                    self.sent += bytes;
                    self.info().total_out.fetch_add(bytes as u64, Relaxed);
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.note_output();
                    self.much_output = self.reply.buf.len() + MUCH_OUTPUT;
                    return false;
                }
                Err(_) => {
                    self.phase = Phase::Dead;
                    return true;
                }
            }
        }
        self.sent = 0;
        self.much_output = MUCH_OUTPUT;
        self.reply.buf.clear();
        if self.reply.buf.capacity() > 0 {
            give_back(std::mem::take(&mut self.reply.buf), spare);
        }
        self.note_output();
        if self.phase == Phase::Closing {
            self.phase = Phase::Dead;
            return true;
        }
        match &mut self.feed {
            None => true,
            Some(feed) => match feed.send(&self.fd, now) {
                Ok(all) => all,
                Err(reason) => {
                    tracing::warn!("Connection with replica {} lost: {reason}", self.info().addr);
                    self.phase = Phase::Dead;
                    true
                }
            },
        }
    }

    fn note_output(&self) {
        self.info().reply_bytes.store(self.pending_output(), Relaxed);
    }

    /// Whether the client has let too much output pile up, by `client-output-buffer-limit`.
    pub(crate) fn is_over_limit(&mut self, config: &Config, now: u64) -> bool {
        let limits = &config.network.client_output_buffer_limit;
        let limit = match self.info().kind() {
            ClientKind::Replica => limits.replica,
            ClientKind::PubSub => limits.pubsub,
            ClientKind::Normal | ClientKind::Primary => limits.normal,
        };
        let pending = self.pending_output() as u64 + self.feed.as_ref().map_or(0, |f| f.pending());
        if limit.hard_bytes > 0 && pending >= limit.hard_bytes {
            return true;
        }
        if limit.soft_bytes == 0 || pending < limit.soft_bytes {
            self.over_soft_limit = None;
            return false;
        }
        let since = *self.over_soft_limit.get_or_insert(now);
        now.saturating_sub(since) >= limit.soft_seconds * 1000
    }
}

/// Keeps an empty buffer for the next connection that needs one.
pub(crate) fn give_back(buffer: Vec<u8>, spare: &mut Vec<Vec<u8>>) {
    const SPARE: usize = 128;
    if buffer.capacity() <= KEEP_BUFFER && spare.len() < SPARE {
        spare.push(buffer);
    }
}
