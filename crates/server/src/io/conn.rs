//! A connection: bytes in, bytes out, and what stands between.

use super::conns::ConnId;
use crate::accept::Place;
use crate::feed::Feed;
use crate::logging::limited;
use crate::server::Server;
use crate::stream::Sent;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::SendFlags;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{ClientInfo, ClientKind, Park, Session};
use tessera_resp::{ArgRange, Limits, ProtocolError, Reply, RequestParser, Span, Step};
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
    _place: Place,
    pub(crate) session: Session,
    pub(crate) reply: Reply,
    pub(crate) phase: Phase,
    /// Why the client waits; its further commands stay in `input`.
    pub(crate) waiting: Option<Park>,
    /// The rim is about to carry out a command of this connection; what follows must wait for it.
    pub(crate) held: bool,
    /// The client has had its share of this turn: what follows waits for the next one.
    resting: bool,
    /// How often in this turn much output was there to be sent.
    shares: u32,
    /// Epoll is to tell when the socket can be written to.
    pub(crate) wants_write: bool,
    /// Among the connections that the turn flushes.
    pub(crate) dirty: bool,
    /// When the client last sent or took something, by the monotonic clock.
    pub(crate) active_at: Millis,
    /// It has taken something since that was noted.
    has_taken: bool,
    /// The data that a replica is sent after its replies.
    pub(crate) feed: Option<Box<Feed>>,
    /// The connection has just become a replica's: its thread is to keep it among its feeds.
    pub(crate) new_feed: bool,
    parser: RequestParser,
    input: Vec<u8>,
    /// The inline commands parsed in this turn as they came, each with where it begins in `input`:
    /// parsing has overwritten them there.
    lines: Vec<(usize, Box<[u8]>)>,
    /// The first byte of `input` that no executed command has used.
    done: usize,
    /// The first byte that is not parsed; `done` or further.
    parsed: usize,
    /// Replies that come before those of `reply`, in pieces.
    queue: VecDeque<Vec<u8>>,
    /// Their bytes.
    queued: usize,
    /// Bytes that their buffers take.
    queue_room: usize,
    /// Bytes of the first piece, or of `reply` if there is none, that were sent.
    sent: usize,
    /// The error of a request that could not be parsed, to be answered after the commands before
    /// it.
    wrong_input: Option<ProtocolError>,
    /// A lower bound of the bytes that the unfinished command still needs.
    missing: usize,
    /// Since when the pending output is beyond the soft limit, by the monotonic clock.
    over_soft_limit: Option<Millis>,
    /// How much output is sent before the turn ends.
    much_output: usize,
}

/// How much output is sent before the turn ends, if the peer takes it: a part of the second-level
/// cache.
const MUCH_OUTPUT: usize = 256 << 10;
/// A buffer of so many bytes that a peer does not take is put by as it is.
const PIECE: usize = 1 << 20;
/// One client may have this many times that much answered in a turn, 2 MiB, so that clients which
/// ask for more take turns.
const SHARES: u32 = 8;

/// So much output does not count against a client: elsewhere every client has a buffer of this
/// size, which its limit is not about.
const SMALL_OUTPUT: usize = 16 << 10;

/// The outcome of [`Conn::read`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum ReadOutcome {
    /// So many new bytes.
    Some(usize),
    /// Nothing now.
    Nothing,
    /// The peer has closed the connection, or it is broken.
    Gone,
}

/// The outcome of [`Conn::parse`].
pub(crate) enum Parsed {
    /// A command: where it begins in the input, its length, and its arguments.
    Command { start: usize, len: usize, args: ArgRange },
    /// No whole command.
    Nothing,
}

impl Conn {
    pub(crate) fn new(fd: OwnedFd, place: Place, session: Session, now: Millis) -> Conn {
        Conn {
            fd,
            _place: place,
            session,
            reply: Reply::default(),
            phase: Phase::Open,
            waiting: None,
            held: false,
            resting: false,
            shares: 0,
            wants_write: false,
            dirty: false,
            active_at: now,
            has_taken: false,
            feed: None,
            new_feed: false,
            parser: RequestParser::new(),
            input: Vec::new(),
            lines: Vec::new(),
            done: 0,
            parsed: 0,
            queue: VecDeque::new(),
            queued: 0,
            queue_room: 0,
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

    pub(super) fn into_fd(self) -> OwnedFd {
        self.fd
    }

    pub(crate) fn info(&self) -> &Arc<ClientInfo> {
        &self.session.info
    }

    /// Reads what is there, up to a chunk. `spare` is a buffer to use if the connection has none.
    pub(crate) fn read(&mut self, spare: &mut Spare) -> ReadOutcome {
        if self.input.capacity() == 0 {
            self.input = spare.pop().unwrap_or_default();
        }
        self.make_room();
        let fd = self.fd.as_fd();
        let got = rustix::io::read(fd, rustix::buffer::spare_capacity(&mut self.input));
        match got {
            Ok(0) => ReadOutcome::Gone,
            Ok(bytes) => {
                self.info().total_in.fetch_add(bytes as u64, Relaxed);
                ReadOutcome::Some(bytes)
            }
            Err(Errno::AGAIN | Errno::INTR) => ReadOutcome::Nothing,
            Err(_) => ReadOutcome::Gone,
        }
    }

    /// Makes room for what is read next. A large argument gets room for as much again as has
    /// arrived, or for all that it announced once that is little more. Sizes have eight steps to
    /// the next power of two, so that many large arguments cost linear time, and little more than
    /// they need is taken.
    fn make_room(&mut self) {
        let (len, spare) = (self.input.len(), self.input.capacity() - self.input.len());
        if self.missing == 0 || len < KEEP_BUFFER {
            self.input.reserve(READ_CHUNK);
        } else if spare == 0 || spare < self.missing.min(READ_CHUNK) {
            let is_near = self.missing <= len + len / 8;
            let wanted = len + if is_near { self.missing } else { len };
            let step = 1 << (wanted.ilog2() - 3);
            self.input.reserve_exact(wanted.next_multiple_of(step) - len);
        }
    }

    /// Adds the connection, whose number is `id`, to those that are flushed at the end of the turn.
    #[inline]
    pub(super) fn mark_dirty(&mut self, id: ConnId, dirty: &mut Vec<ConnId>) {
        if !self.dirty {
            self.dirty = true;
            dirty.push(id);
        }
    }

    /// Takes a spare buffer for replies, if the connection has none. Without this each turn would
    /// leave one more buffer than the one before.
    #[inline]
    pub(super) fn take_reply_buffer(&mut self, spare: &mut Spare) {
        if self.reply.buf.capacity() == 0
            && let Some(buffer) = spare.pop()
        {
            self.reply.buf = buffer;
        }
    }

    /// Whether the connection's commands may run now.
    pub(crate) fn may_run(&self) -> bool {
        self.phase == Phase::Open && self.waiting.is_none() && !self.held && !self.resting
    }

    /// Whether more of the input may be parsed now.
    pub(crate) fn may_parse(&self) -> bool {
        self.may_run() && self.wrong_input.is_none() && self.parsed < self.input.len()
    }

    /// An empty line or array was parsed: nothing to execute. To a primary it is a replica's sign
    /// of life.
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
            Step::Command { len, args } => {
                self.parsed += len;
                self.missing = 0;
                Ok(Parsed::Command { start, len, args })
            }
            Step::Incomplete { missing } => {
                self.missing = missing;
                Ok(Parsed::Nothing)
            }
        }
    }

    /// The surroundings of a command: its own bytes and no others, the session, the replies.
    #[inline]
    pub(crate) fn parts(&mut self, start: usize, len: usize) -> (&[u8], &mut Session, &mut Reply) {
        (&self.input[start..][..len], &mut self.session, &mut self.reply)
    }

    /// The command up to `end` has been executed.
    #[inline]
    pub(crate) fn executed(&mut self, end: usize) {
        self.done = end;
    }

    /// The next command in the input, of so many bytes, has been executed. Nothing behind it is
    /// parsed.
    pub(super) fn skip(&mut self, len: usize) {
        self.done += len;
        self.parsed = self.done;
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

    /// At the end of a turn: drops executed commands from the input, gives an empty buffer back to
    /// `spare`, and answers what could not be parsed.
    pub(crate) fn finish_input(&mut self, spare: &mut Spare) {
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
        // An executed request is never rewound to.
        self.lines = Vec::new();
        self.shares = 0;
        if self.done == self.input.len() {
            spare.give_back(std::mem::take(&mut self.input));
        } else if self.done >= self.input.len() - self.done {
            // Only now: who goes on a few commands a turn would have all that waits behind them
            // moved each time.
            self.input.drain(..self.done);
        } else {
            return self.note_input();
        }
        self.parsed -= self.done;
        self.done = 0;
        self.note_input();
    }

    /// Lets others see how much input waits.
    pub(crate) fn note_input(&self) {
        let room = self.input.capacity() + self.parser.memory();
        let parsed = self.parser.parsed();
        self.info().parsed_bytes.store(parsed, Relaxed);
        let rest = self.input.len().saturating_sub(self.parsed + parsed);
        self.info().query_bytes.store(rest, Relaxed);
        self.info().query_room.store(room, Relaxed);
    }

    /// Whether so much input waits that it is looked at before it is run.
    pub(crate) fn has_much_input(&self) -> bool {
        self.input.len() > KEEP_BUFFER
    }

    /// Bytes of input which wait.
    pub(crate) fn input_bytes(&self) -> usize {
        self.input.len() - self.done + self.parser.memory()
    }

    /// Bytes of replies which wait.
    pub(crate) fn pending_output(&self) -> usize {
        self.queued + self.reply.buf.len() - self.sent
    }

    /// Whether so much is to be sent that it should not wait for the end of the turn: the same
    /// cached memory then serves for what follows.
    #[inline]
    pub(crate) fn has_much_output(&self) -> bool {
        self.reply.buf.len() >= self.much_output
    }

    /// Whether the client has had as much answered in this turn as is fair; to be asked each time
    /// that there is much output.
    pub(crate) fn has_had_its_share(&mut self) -> bool {
        self.shares += 1;
        self.shares >= SHARES
    }

    /// Whether the client has not taken what it was sent before.
    pub(crate) fn is_behind(&self) -> bool {
        self.wants_write
    }

    /// The connection's large buffers, which somebody else is to free: the connection is closed.
    pub(super) fn take_large_buffers(&mut self) -> Vec<Vec<u8>> {
        let own = [std::mem::take(&mut self.input), std::mem::take(&mut self.reply.buf)];
        let all = own.into_iter().chain(self.queue.drain(..));
        all.filter(|buffer| buffer.capacity() >= PIECE).collect()
    }

    /// Leaves the rest of the input to the next turn.
    pub(crate) fn rest(&mut self) {
        self.resting = true;
        self.rewind();
    }

    /// The next turn begins for a connection that rested.
    pub(crate) fn wake_up(&mut self) {
        self.resting = false;
    }

    /// Whether requests that have come wait for the next turn.
    pub(crate) fn is_resting(&self) -> bool {
        self.resting
    }

    /// Sends replies. True if all are sent, false if the peer takes no more for now.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn send_replies(&mut self, spare: &mut Spare) -> Result<bool, Errno> {
        let stream = self.feed.as_ref().and_then(|feed| feed.stream());
        // No thread sends a replica its stream in the middle of an answer.
        let _held = stream.as_ref().map(|stream| stream.hold());
        self.send_replies_held(spare)
    }

    /// As [`Conn::send_replies`], while nobody else sends anything to a replica.
    fn send_replies_held(&mut self, spare: &mut Spare) -> Result<bool, Errno> {
        loop {
            let piece = self.queue.front().unwrap_or(&self.reply.buf);
            if self.sent == piece.len() {
                let Some(piece) = self.queue.pop_front() else { break };
                self.queued -= piece.len();
                self.queue_room -= piece.capacity();
                spare.give_back(piece);
                self.sent = 0;
                continue;
            }
            match rustix::net::send(&self.fd, &piece[self.sent..], SendFlags::NOSIGNAL) {
                Ok(bytes) => {
                    self.sent += bytes;
                    self.has_taken = true;
                    self.info().total_out.fetch_add(bytes as u64, Relaxed);
                    match self.info().kind() == ClientKind::Replica {
                        true => spare.sent.to_replicas.add(bytes),
                        false => spare.sent.to_clients.add(bytes),
                    }
                }
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => {
                    self.put_by();
                    self.much_output = self.reply.buf.len() + MUCH_OUTPUT;
                    self.note_output();
                    return Ok(false);
                }
                Err(error) => return Err(error),
            }
        }
        self.sent = 0;
        self.much_output = MUCH_OUTPUT;
        if self.reply.buf.capacity() > 0 {
            spare.give_back(std::mem::take(&mut self.reply.buf));
        }
        self.note_output();
        Ok(true)
    }

    /// The peer takes no more for now. A large buffer becomes a piece of the queue, so that no
    /// reply ever has to move what waits before it, and the room of a piece that is sent is free.
    fn put_by(&mut self) {
        if self.reply.buf.len() >= PIECE {
            let piece = std::mem::take(&mut self.reply.buf);
            self.queued += piece.len();
            self.queue_room += piece.capacity();
            self.queue.push_back(piece);
        } else if self.queue.is_empty() && self.sent >= self.reply.buf.len() / 2 {
            // Moving half of a small buffer at most once for each half costs constant time a byte.
            self.reply.buf.drain(..self.sent);
            self.sent = 0;
        }
    }

    /// Sends replies, and then, to a replica, the stream. True if nothing is left for now.
    pub(crate) fn flush(&mut self, spare: &mut Spare, now: Millis) -> bool {
        let stream = self.feed.as_ref().and_then(|feed| feed.stream());
        let mut held = stream.as_ref().map(|stream| stream.hold());
        match self.send_replies_held(spare) {
            Ok(true) => {}
            Ok(false) => return false,
            Err(_) => {
                self.phase = Phase::Dead;
                return true;
            }
        }
        if self.phase == Phase::Closing {
            self.phase = Phase::Dead;
            return true;
        }
        match &mut self.feed {
            None => true,
            Some(feed) => match feed.send(&self.fd, held.as_deref_mut(), now) {
                Ok(all) => all,
                Err(reason) => {
                    limited!(warn, "Connection with replica {} lost: {reason}", self.info().addr);
                    self.phase = Phase::Dead;
                    true
                }
            },
        }
    }

    /// Lets other threads send a replica its stream, once that has begun. Whether it begins to do
    /// so now: this thread then looks at the stream once more, for others might have had something
    /// for it before.
    pub(crate) fn share_stream(&mut self, server: &Server, thread: usize) -> bool {
        let client = self.info().id;
        let Some(feed) = &mut self.feed else { return false };
        feed.share_stream(server, client, thread, &self.fd).unwrap_or_else(|error| {
            let addr = &self.info().addr;
            limited!(warn, "Replica {addr} is disconnected: its stream has no descriptor: {error}");
            self.phase = Phase::Dead;
            false
        })
    }

    /// Notes what a replica was sent since this was last done, by whichever thread.
    pub(crate) fn note_feed(&mut self, spare: &mut Spare) {
        if let Some(feed) = &mut self.feed {
            spare.sent.to_replicas = spare.sent.to_replicas.and(feed.take_sent());
        }
    }

    /// The client has sent something just now, `now` by the Unix clock, `steady` by the other.
    pub(crate) fn note_active(&mut self, now: Millis, steady: Millis) {
        self.active_at = steady;
        self.info().last_active.store(now.0, Relaxed);
    }

    /// As [`Conn::note_active`], if it has taken something: who gets an answer after a long wait,
    /// or reads a long one, is not idle.
    pub(crate) fn note_taken(&mut self, now: Millis, steady: Millis) {
        if std::mem::take(&mut self.has_taken) {
            self.note_active(now, steady);
        }
    }

    fn note_output(&self) {
        self.info().reply_bytes.store(self.pending_output(), Relaxed);
        self.info().reply_room.store(self.queue_room + self.reply.buf.capacity(), Relaxed);
    }

    /// Whether the client has let too much output pile up, by `client-output-buffer-limit`.
    pub(crate) fn is_over_limit(&mut self, config: &Config, now: Millis) -> bool {
        let limits = &config.network.client_output_buffer_limit;
        let limit = match self.info().kind() {
            ClientKind::Replica => limits.replica,
            ClientKind::PubSub => limits.pubsub,
            ClientKind::Normal | ClientKind::Primary => limits.normal,
        };
        let replies = match self.pending_output() {
            0..=SMALL_OUTPUT => 0,
            bytes => bytes as u64,
        };
        let pending = replies + self.feed.as_ref().map_or(0, |f| f.pending());
        if limit.hard_bytes > 0 && pending >= limit.hard_bytes {
            return true;
        }
        if limit.soft_bytes == 0 || pending < limit.soft_bytes {
            self.over_soft_limit = None;
            return false;
        }
        let since = *self.over_soft_limit.get_or_insert(now);
        now.since(since) >= limit.soft_seconds * 1000
    }
}

/// What a thread has sent in this turn, and its counters do not have yet.
#[derive(Clone, Copy, Default)]
pub(crate) struct TurnSent {
    /// To clients.
    pub(crate) to_clients: Sent,
    /// To replicas.
    pub(crate) to_replicas: Sent,
}

/// What the connections of a thread share: its empty buffers, and how much was sent. Small buffers
/// serve the next connection, large ones wait to be freed elsewhere.
#[derive(Default)]
pub(crate) struct Spare {
    small: Vec<Vec<u8>>,
    large: Vec<Vec<u8>>,
    pub(crate) sent: TurnSent,
}

impl Spare {
    /// An empty buffer, if there is one.
    pub(crate) fn pop(&mut self) -> Option<Vec<u8>> {
        self.small.pop()
    }

    /// Takes a buffer back, and nothing of what it held.
    fn give_back(&mut self, mut buffer: Vec<u8>) {
        const SPARE: usize = 128;
        buffer.clear();
        if buffer.capacity() >= PIECE {
            self.large.push(buffer);
        } else if buffer.capacity() <= KEEP_BUFFER && self.small.len() < SPARE {
            self.small.push(buffer);
        }
    }

    /// The large ones, to be freed.
    pub(crate) fn take_large(&mut self) -> Vec<Vec<u8>> {
        std::mem::take(&mut self.large)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::accept::Places;
    use std::io::{Read, Write};
    use std::os::unix::net::UnixStream;

    /// A connection, and its peer.
    fn a_conn() -> (Conn, UnixStream) {
        let (near, far) = UnixStream::pair().expect("two sockets");
        near.set_nonblocking(true).expect("a socket can");
        let info = Arc::new(ClientInfo::new(1, String::new(), String::new(), 0, 0, 0));
        let place = Arc::new(Places::default()).take(1).expect("there is one");
        (Conn::new(near.into(), place, Session::new(info, true), Millis(0)), far)
    }

    /// Reads a request as it comes, in pieces; how often the buffer was made larger on the way.
    fn read_in_pieces(conn: &mut Conn, far: &mut UnixStream, request: &[u8]) -> usize {
        let (mut spare, mut spans, mut growths) = (Spare::default(), Vec::new(), 0);
        for piece in request.chunks(10_000) {
            far.write_all(piece).expect("there is room");
            while {
                let before = conn.input.capacity();
                let outcome = conn.read(&mut spare);
                growths += usize::from(conn.input.capacity() != before);
                assert_ne!(outcome, ReadOutcome::Gone);
                matches!(outcome, ReadOutcome::Some(_))
            } {
                spans.clear();
                let parsed = conn.parse(u64::MAX, &mut spans).expect("a request");
                assert!(matches!(parsed, Parsed::Nothing), "its last byte is missing");
            }
        }
        growths
    }

    #[test]
    fn a_large_command_takes_little_more_room_than_it_needs_and_linear_time() {
        const LARGE: usize = 2 << 20;
        let (mut conn, mut far) = a_conn();
        let mut one = format!("*2\r\n$4\r\nECHO\r\n${LARGE}\r\n").into_bytes();
        one.resize(one.len() + LARGE, b'x');
        let growths = read_in_pieces(&mut conn, &mut far, &one);
        assert!(conn.input.capacity() <= LARGE * 9 / 8, "{}", conn.input.capacity());
        assert!(growths <= 10, "{growths}");

        const MANY: usize = 100;
        let (mut conn, mut far) = a_conn();
        let mut many = format!("*{}\r\n$4\r\nMGET\r\n", MANY + 2).into_bytes();
        for _ in 0..MANY {
            many.extend(format!("${}\r\n", LARGE / MANY).into_bytes());
            many.resize(many.len() + LARGE / MANY, b'x');
            many.extend(b"\r\n");
        }
        let growths = read_in_pieces(&mut conn, &mut far, &many);
        assert!(conn.input.capacity() < many.len() * 5 / 4, "{}", conn.input.capacity());
        assert!(growths <= 40, "{growths}");
    }

    #[test]
    fn what_waits_is_not_moved_for_each_command_before_it() {
        const COMMANDS: usize = 10_000;
        const COMMAND: &[u8] = b"*1\r\n$4\r\nPING\r\n";
        let (mut conn, _far) = a_conn();
        let (mut spare, mut spans, mut moves) = (Spare::default(), Vec::new(), 0);
        conn.input = COMMAND.repeat(COMMANDS);
        for left in (0..COMMANDS).rev() {
            conn.wake_up();
            // One is run, and one more was parsed in vain.
            let parsed = [(); 2].map(|()| conn.parse(u64::MAX, &mut spans).expect("a request"));
            let Parsed::Command { start, len, .. } = parsed[0] else { panic!("there is one") };
            assert_eq!(conn.parts(start, len).0, COMMAND);
            conn.executed(start + len);
            conn.rest();
            conn.finish_input(&mut spare);
            assert_eq!(conn.input_bytes() - conn.parser.memory(), left * COMMAND.len());
            assert_eq!(conn.info().query_bytes.load(Relaxed), left * COMMAND.len());
            moves += usize::from(conn.done == 0);
        }
        assert!(moves <= 14, "{moves}");
    }

    #[test]
    fn a_peer_that_is_always_behind_does_not_make_the_buffer_grow() {
        const PIECE: usize = 64 << 10;
        const WINDOW: usize = 1 << 20;
        let (mut conn, mut far) = a_conn();
        let mut spare = Spare::default();
        conn.reply.buf.resize(WINDOW, 0);
        // When as much as is read is answered anew, many times the window.
        let (mut written, mut read, mut piece) = (WINDOW, 0usize, vec![0; PIECE]);
        for round in 0..40 * WINDOW / PIECE {
            assert_eq!(conn.send_replies(&mut spare), Ok(false), "{round}");
            far.read_exact(&mut piece).expect("it is there");
            assert!(piece.iter().enumerate().all(|(at, &byte)| byte == byte_at(read + at)));
            read += PIECE;
            conn.reply.buf.extend((written..written + PIECE).map(byte_at));
            written += PIECE;
            // Then the buffers hold what is not read, and little more.
            let buffers = conn.queue.iter().chain([&conn.reply.buf]);
            let capacity: usize = buffers.map(Vec::capacity).sum();
            assert!(capacity <= 4 * WINDOW, "{capacity}");
            assert!(conn.pending_output() <= written - read, "what is sent does not wait");
        }

        /// The first window is zeros; what follows tells places apart.
        fn byte_at(at: usize) -> u8 {
            if at < WINDOW { 0 } else { (at % 251) as u8 }
        }
    }
}
