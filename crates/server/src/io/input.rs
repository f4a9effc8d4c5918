//! A connection's requests, from when they are read until they have been executed.
//!
//! Requests are parsed where they were read. What was parsed but not executed can be parsed again:
//! a client that has to wait leaves the rest of its input for later.
//!
//! Not here: how many bytes of input a client may have (`thread.rs`), what the requests do.

use super::spare::{KEEP_BUFFER, Spare};
use crate::socket::{ClientSocket, Received};
use std::sync::atomic::Ordering::Relaxed;
use tessera_engine::ClientInfo;
use tessera_resp::{ArgRange, Limits, ProtocolError, RequestParser, Span, Step};

/// Bytes read from a connection in one turn, so that one client cannot keep the others waiting.
const READ_CHUNK: usize = 16 * 1024;

/// A connection's requests.
pub(crate) struct Input {
    parser: RequestParser,
    buf: Vec<u8>,
    /// The inline commands parsed in this turn as they came, each with where it begins in `buf`:
    /// parsing has overwritten them there.
    lines: Vec<(usize, Box<[u8]>)>,
    /// The first byte of `buf` that no executed command has used.
    done: usize,
    /// The first byte that is not parsed; `done` or further.
    parsed: usize,
    /// Why a request could not be parsed. It is answered after the commands before it.
    wrong: Option<ProtocolError>,
    /// A lower bound of the bytes that the unfinished command still needs.
    missing: usize,
}

impl Default for Input {
    fn default() -> Input {
        Input {
            parser: RequestParser::new(),
            buf: Vec::new(),
            lines: Vec::new(),
            done: 0,
            parsed: 0,
            wrong: None,
            missing: 0,
        }
    }
}

/// The outcome of [`Input::parse`].
pub(crate) enum Parsed {
    /// A command: where it begins in the input, its length, and its arguments.
    Command { start: usize, len: usize, args: ArgRange },
    /// No whole command.
    Nothing,
}

impl Input {
    /// Reads what is there, up to a chunk. `spare` has a buffer to use if there is none.
    pub(super) fn read(&mut self, socket: &mut ClientSocket, spare: &mut Spare) -> Received {
        if self.buf.capacity() == 0 {
            self.buf = spare.pop().unwrap_or_default();
        }
        self.make_room();
        socket.receive(&mut self.buf)
    }

    /// Makes room for what is read next. A large argument gets room for as much again as has
    /// arrived, or for all that it announced once that is little more. Sizes have eight steps to
    /// the next power of two, so that many large arguments cost linear time, and little more than
    /// they need is taken.
    fn make_room(&mut self) {
        let (len, spare) = (self.buf.len(), self.buf.capacity() - self.buf.len());
        if self.missing == 0 || len < KEEP_BUFFER {
            self.buf.reserve(READ_CHUNK);
        } else if spare == 0 || spare < self.missing.min(READ_CHUNK) {
            let is_near = self.missing <= len + len / 8;
            let wanted = len + if is_near { self.missing } else { len };
            let step = 1 << (wanted.ilog2() - 3);
            self.buf.reserve_exact(wanted.next_multiple_of(step) - len);
        }
    }

    /// Whether there may be more to parse.
    pub(super) fn has_more(&self) -> bool {
        self.wrong.is_none() && self.parsed < self.buf.len()
    }

    /// An empty line or array was parsed: nothing to execute.
    pub(super) fn pass_over(&mut self, start: usize, len: usize) {
        if self.done == start {
            self.done = start + len;
        }
    }

    /// What follows is no request: nothing more is parsed, until it is answered.
    pub(super) fn fail(&mut self, error: ProtocolError) {
        self.wrong = Some(error);
    }

    /// Finds the next command and appends its arguments to `spans`.
    #[inline]
    pub(super) fn parse(
        &mut self,
        limits: Limits,
        spans: &mut Vec<Span>,
    ) -> Result<Parsed, ProtocolError> {
        let start = self.parsed;
        let step = self.parser.next(&mut self.buf[start..], limits, spans);
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

    /// A command's own bytes and no others.
    #[inline]
    pub(super) fn command(&self, start: usize, len: usize) -> &[u8] {
        &self.buf[start..][..len]
    }

    /// The command up to `end` has been executed.
    #[inline]
    pub(super) fn executed(&mut self, end: usize) {
        self.done = end;
    }

    /// The next command, of so many bytes, has been executed. Nothing behind it is parsed.
    pub(super) fn skip(&mut self, len: usize) {
        self.done += len;
        self.parsed = self.done;
    }

    /// Forgets what was parsed but not executed: it is parsed again when the client goes on.
    pub(super) fn rewind(&mut self) {
        for (start, line) in std::mem::take(&mut self.lines) {
            self.buf[start..start + line.len()].copy_from_slice(&line);
        }
        self.parsed = self.done;
        self.wrong = None;
        self.parser = RequestParser::new();
    }

    /// Everything that was parsed has been executed. Gives the error of what could not be parsed:
    /// all that came after it is dropped.
    pub(super) fn settle(&mut self) -> Option<ProtocolError> {
        self.done = self.parsed;
        let error = self.wrong.take()?;
        self.done = self.buf.len();
        self.parsed = self.done;
        Some(error)
    }

    /// At the end of a turn: drops executed commands, and gives an empty buffer back to `spare`.
    pub(super) fn end_turn(&mut self, spare: &mut Spare) {
        // An executed request is never rewound to.
        self.lines = Vec::new();
        if self.done == self.buf.len() {
            spare.give_back(std::mem::take(&mut self.buf));
        } else if self.done >= self.buf.len() - self.done {
            // Only now: who goes on a few commands a turn would have all that waits behind them
            // moved each time.
            self.buf.drain(..self.done);
        } else {
            return;
        }
        self.parsed -= self.done;
        self.done = 0;
    }

    /// Lets others see how much input waits.
    pub(super) fn note(&self, info: &ClientInfo) {
        let parsed = self.parser.parsed();
        info.parsed_bytes.store(parsed, Relaxed);
        let rest = self.buf.len().saturating_sub(self.parsed + parsed);
        info.query_bytes.store(rest, Relaxed);
        info.query_room.store(self.buf.capacity() + self.parser.memory(), Relaxed);
    }

    /// Whether so much input waits that it is looked at before it is run.
    pub(super) fn is_much(&self) -> bool {
        self.buf.len() > KEEP_BUFFER
    }

    /// Bytes which wait.
    pub(super) fn pending(&self) -> usize {
        self.buf.len() - self.done + self.parser.memory()
    }

    /// Takes the buffer: the connection is closed.
    pub(super) fn take_buffer(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    const LIMITS: Limits = Limits { max_bulk: u64::MAX, authenticated: true };

    /// Reads a request as it comes, in pieces; how often the buffer was made larger on the way.
    fn read_in_pieces(input: &mut Input, request: &[u8]) -> usize {
        let (near, mut far) = UnixStream::pair().expect("two sockets");
        near.set_nonblocking(true).expect("a socket can");
        let mut socket = OwnedFd::from(near).into();
        let (mut spare, mut spans, mut growths) = (Spare::default(), Vec::new(), 0);
        for piece in request.chunks(10_000) {
            far.write_all(piece).expect("there is room");
            while {
                let before = input.buf.capacity();
                let outcome = input.read(&mut socket, &mut spare);
                growths += usize::from(input.buf.capacity() != before);
                assert_ne!(outcome, Received::Gone);
                matches!(outcome, Received::Bytes(_))
            } {
                spans.clear();
                let parsed = input.parse(LIMITS, &mut spans).expect("a request");
                assert!(matches!(parsed, Parsed::Nothing), "its last byte is missing");
            }
        }
        growths
    }

    #[test]
    fn a_large_command_takes_little_more_room_than_it_needs_and_linear_time() {
        const LARGE: usize = 2 << 20;
        let mut input = Input::default();
        let mut one = format!("*2\r\n$4\r\nECHO\r\n${LARGE}\r\n").into_bytes();
        one.resize(one.len() + LARGE, b'x');
        let growths = read_in_pieces(&mut input, &one);
        assert!(input.buf.capacity() <= LARGE * 9 / 8, "{}", input.buf.capacity());
        assert!(growths <= 10, "{growths}");

        const MANY: usize = 100;
        let mut input = Input::default();
        let mut many = format!("*{}\r\n$4\r\nMGET\r\n", MANY + 2).into_bytes();
        for _ in 0..MANY {
            many.extend(format!("${}\r\n", LARGE / MANY).into_bytes());
            many.resize(many.len() + LARGE / MANY, b'x');
            many.extend(b"\r\n");
        }
        let growths = read_in_pieces(&mut input, &many);
        assert!(input.buf.capacity() < many.len() * 5 / 4, "{}", input.buf.capacity());
        assert!(growths <= 40, "{growths}");
    }

    #[test]
    fn what_waits_is_not_moved_for_each_command_before_it() {
        const COMMANDS: usize = 10_000;
        const COMMAND: &[u8] = b"*1\r\n$4\r\nPING\r\n";
        let info = ClientInfo::new(1, String::new(), String::new(), 0, 0, 0);
        let mut input = Input { buf: COMMAND.repeat(COMMANDS), ..Input::default() };
        let (mut spare, mut spans, mut moves) = (Spare::default(), Vec::new(), 0);
        for left in (0..COMMANDS).rev() {
            // One is run, and one more was parsed in vain.
            let parsed = [(); 2].map(|()| input.parse(LIMITS, &mut spans).expect("a request"));
            let Parsed::Command { start, len, .. } = parsed[0] else { panic!("there is one") };
            assert_eq!(input.command(start, len), COMMAND);
            input.executed(start + len);
            input.rewind();
            input.end_turn(&mut spare);
            input.note(&info);
            assert_eq!(input.pending() - input.parser.memory(), left * COMMAND.len());
            assert_eq!(info.query_bytes.load(Relaxed), left * COMMAND.len());
            moves += usize::from(input.done == 0);
        }
        assert!(moves <= 14, "{moves}");
    }
}
