//! A connection: what its client has asked, what it is answered, and how far it is.

use super::conns::ConnId;
use super::input::{Input, Parsed};
use super::output::{Output, Sending};
use super::spare::{PIECE, Spare};
use crate::accept::Place;
use crate::feed::Feed;
use crate::logging::limited;
use crate::server::Server;
use crate::socket::{ClientSocket, Received};
use rustix::fd::{AsFd, BorrowedFd};
use rustix::io::Errno;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{ClientInfo, ClientKind, Park, Session};
use tessera_resp::{Limits, ProtocolError, Reply, Span};
use tessera_slot::Millis;

/// One client may have this many times `MUCH_OUTPUT` answered in a turn, 2 MiB, so that clients
/// which ask for more take turns.
const SHARES: u32 = 8;

/// How far a connection is. It is in one of these states at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum State {
    /// Commands are read and run.
    Open,
    /// The client has had its share of this turn: what follows waits for the next one.
    Resting,
    /// A command of this connection is about to be carried out outside the batch; what follows
    /// waits for it.
    Held,
    /// The client waits; its further commands stay in the input.
    Waiting(Park),
    /// The rest of the replies is sent, then the connection is closed.
    Closing,
}

/// The outcome of [`Conn::flush`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Flushed {
    /// Nothing is left that may be sent now.
    All,
    /// The peer takes no more for now, or the turn sends no more of a replica's stream.
    Part,
    /// The connection is to be closed.
    End,
}

/// A client's connection.
pub(crate) struct Conn {
    socket: ClientSocket,
    _place: Place,
    pub(crate) session: Session,
    pub(crate) state: State,
    input: Input,
    pub(super) output: Output,
    /// How often in this turn much output was there to be sent.
    shares: u32,
    /// Epoll is to tell when the socket can be written to.
    pub(crate) wants_write: bool,
    /// Among the connections that the turn flushes.
    pub(crate) dirty: bool,
    /// When the client last sent or took something, by the monotonic clock.
    pub(crate) active_at: Millis,
    /// The data that a replica is sent after its replies.
    pub(crate) feed: Option<Box<Feed>>,
}

impl Conn {
    pub(crate) fn new(socket: ClientSocket, place: Place, session: Session, now: Millis) -> Conn {
        Conn {
            socket,
            _place: place,
            session,
            state: State::Open,
            input: Input::default(),
            output: Output::default(),
            shares: 0,
            wants_write: false,
            dirty: false,
            active_at: now,
            feed: None,
        }
    }

    /// The descriptor, for epoll.
    pub(crate) fn fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    pub(super) fn into_socket(self) -> ClientSocket {
        self.socket
    }

    pub(crate) fn info(&self) -> &Arc<ClientInfo> {
        &self.session.info
    }

    /// Whether the peer is a replica.
    pub(super) fn is_replica(&self) -> bool {
        self.info().kind() == ClientKind::Replica
    }

    /// Reads what is there, up to a chunk. `spare` has a buffer to use if the connection has none.
    pub(crate) fn read(&mut self, spare: &mut Spare) -> Received {
        let received = self.input.read(&mut self.socket, spare);
        if let Received::Bytes(bytes) = received {
            self.info().total_in.fetch_add(bytes as u64, Relaxed);
        }
        received
    }

    /// Adds the connection, whose number is `id`, to those that are flushed at the end of the turn.
    #[inline]
    pub(super) fn mark_dirty(&mut self, id: ConnId, dirty: &mut Vec<ConnId>) {
        if !self.dirty {
            self.dirty = true;
            dirty.push(id);
        }
    }

    /// Whether the connection's commands may run now.
    pub(crate) fn may_run(&self) -> bool {
        self.state == State::Open
    }

    /// Whether more of the input may be parsed now.
    pub(crate) fn may_parse(&self) -> bool {
        self.may_run() && self.input.has_more()
    }

    /// An empty line or array was parsed: nothing to execute. To a primary it is a replica's sign
    /// of life.
    pub(crate) fn pass_over(&mut self, start: usize, len: usize) {
        self.input.pass_over(start, len);
        if let Some(feed) = &mut self.feed {
            feed.sign_of_life();
        }
    }

    /// Answers what is no request, and closes the connection after that.
    pub(crate) fn protocol_error(&mut self, error: ProtocolError) {
        self.input.fail(error);
    }

    /// Finds the next command and appends its arguments to `spans`.
    #[inline]
    pub(crate) fn parse(
        &mut self,
        max_bulk: u64,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let limits = Limits { max_bulk, authenticated: self.session.authenticated };
        self.input.parse(limits, spans)
    }

    /// The surroundings of a command: its own bytes and no others, the session, the replies.
    #[inline]
    pub(crate) fn parts(&mut self, start: usize, len: usize) -> (&[u8], &mut Session, &mut Reply) {
        (self.input.command(start, len), &mut self.session, &mut self.output.reply)
    }

    /// The command up to `end` has been executed.
    #[inline]
    pub(crate) fn executed(&mut self, end: usize) {
        self.input.executed(end);
    }

    /// The next command in the input, of so many bytes, has been executed. Nothing behind it is
    /// parsed.
    pub(super) fn skip(&mut self, len: usize) {
        self.input.skip(len);
    }

    /// What was parsed but not executed has to wait, for the reason that the state says.
    pub(super) fn hold_up(&mut self, state: State) {
        self.input.rewind();
        self.state = state;
    }

    /// What was held up may go on.
    pub(super) fn go_on(&mut self) {
        debug_assert_ne!(self.state, State::Closing, "it is held up by itself");
        self.state = State::Open;
    }

    /// At the end of a turn: drops executed commands from the input, and answers what could not be
    /// parsed.
    pub(crate) fn finish_input(&mut self, spare: &mut Spare) {
        // Otherwise something waits, and the input was rewound to it.
        if self.may_run()
            && let Some(error) = self.input.settle()
        {
            self.output.take_buffer(spare);
            self.output.reply.error(format!("ERR Protocol error: {error}"));
            self.state = State::Closing;
        }
        self.shares = 0;
        self.input.end_turn(spare);
        self.note_input();
    }

    /// Lets others see how much input waits.
    pub(crate) fn note_input(&self) {
        self.input.note(self.info());
    }

    /// Whether so much input waits that it is looked at before it is run.
    pub(crate) fn has_much_input(&self) -> bool {
        self.input.is_much()
    }

    /// Bytes of input which wait.
    pub(crate) fn input_bytes(&self) -> usize {
        self.input.pending()
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
        let all = self.output.take_buffers().chain([self.input.take_buffer()]);
        all.filter(|buffer| buffer.capacity() >= PIECE).collect()
    }

    /// Sends replies.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn send_replies(&mut self, spare: &mut Spare) -> Result<Sending, Errno> {
        let stream = self.feed.as_ref().and_then(|feed| feed.stream());
        // No thread sends a replica its stream in the middle of an answer.
        let _held = stream.as_ref().map(|stream| stream.hold());
        self.output.send(&self.socket, &self.session.info, spare)
    }

    /// Sends replies, and then, to a replica, the stream.
    pub(crate) fn flush(&mut self, spare: &mut Spare, now: Millis) -> Flushed {
        let stream = self.feed.as_ref().and_then(|feed| feed.stream());
        let mut held = stream.as_ref().map(|stream| stream.hold());
        match self.output.send(&self.socket, &self.session.info, spare) {
            Ok(Sending::Done) => {}
            Ok(Sending::Held) => return Flushed::All,
            Ok(Sending::Full) => return Flushed::Part,
            Err(_) => return Flushed::End,
        }
        if self.state == State::Closing {
            return Flushed::End;
        }
        match &mut self.feed {
            None => Flushed::All,
            Some(feed) => match feed.send(&self.socket, held.as_deref_mut(), now) {
                Ok(true) => Flushed::All,
                Ok(false) => Flushed::Part,
                Err(reason) => {
                    limited!(warn, "Connection with replica {} lost: {reason}", self.info().addr);
                    Flushed::End
                }
            },
        }
    }

    /// Lets other threads send a replica its stream, once that has begun. Whether it begins to do
    /// so now: this thread then looks at the stream once more, for others might have had something
    /// for it before.
    ///
    /// # Errors
    /// If the process has no descriptor for it: the connection is to be closed.
    pub(crate) fn share_stream(&mut self, server: &Server, thread: usize) -> Result<bool, Errno> {
        let client = self.info().id;
        let Some(feed) = &mut self.feed else { return Ok(false) };
        feed.share_stream(server, client, thread, &self.socket).inspect_err(|error| {
            let addr = &self.session.info.addr;
            limited!(warn, "Replica {addr} is disconnected: its stream has no descriptor: {error}");
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
        if self.output.take_has_taken() {
            self.note_active(now, steady);
        }
    }

    /// Whether the client has let too much output pile up, by `client-output-buffer-limit`.
    pub(crate) fn is_over_limit(&mut self, config: &Config, now: Millis) -> bool {
        let stream = self.feed.as_ref().map_or(0, |feed| feed.pending());
        self.output.is_over_limit(self.session.info.kind(), stream, config, now)
    }
}
