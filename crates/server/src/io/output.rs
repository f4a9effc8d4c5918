//! A connection's answers, from when they are written until they have left.
//!
//! All answers leave by [`Output::send`]. A gate ([`super::gates`]) holds what is written after it;
//! what was written before leaves.
//!
//! Not here: the stream of a replica (`feed.rs`), which follows the answers.

use super::spare::{PIECE, Spare};
use crate::socket::ClientSocket;
use rustix::io::Errno;
use std::collections::VecDeque;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_engine::{ClientInfo, ClientKind};
use tessera_resp::Reply;
use tessera_slot::Millis;

/// How much output is sent before the turn ends, if the peer takes it: a part of the second-level
/// cache.
const MUCH_OUTPUT: usize = 256 << 10;
/// So much output does not count against a client: elsewhere every client has a buffer of this
/// size, which its limit is not about.
const SMALL_OUTPUT: usize = 16 << 10;

/// A connection's answers.
pub(crate) struct Output {
    /// Where commands write.
    pub(crate) reply: Reply,
    /// Answers that come before those of `reply`, in pieces.
    queue: VecDeque<Vec<u8>>,
    /// Their bytes.
    queued: usize,
    /// Bytes that their buffers take.
    queue_room: usize,
    /// Bytes of the first piece, or of `reply` if there is none, that were sent.
    sent: usize,
    /// Closed gates, in their order: how many bytes stand before each, of those that have not left.
    gates: VecDeque<usize>,
    /// Since when the pending output is beyond the soft limit, by the monotonic clock.
    over_soft_limit: Option<Millis>,
    /// How much output is sent before the turn ends.
    much_output: usize,
    /// The client has taken something since this was last asked.
    has_taken: bool,
}

impl Default for Output {
    fn default() -> Output {
        Output {
            reply: Reply::default(),
            queue: VecDeque::new(),
            queued: 0,
            queue_room: 0,
            sent: 0,
            gates: VecDeque::new(),
            over_soft_limit: None,
            much_output: MUCH_OUTPUT,
            has_taken: false,
        }
    }
}

/// How far sending came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Sending {
    /// All has left.
    Done,
    /// All has left that stands before a closed gate.
    Held,
    /// The socket takes no more for now.
    Full,
}

impl Output {
    /// Takes a spare buffer for answers, if there is none. Without this each turn would leave one
    /// more buffer than the one before.
    #[inline]
    pub(super) fn take_buffer(&mut self, spare: &mut Spare) {
        if self.reply.buf.capacity() == 0
            && let Some(buffer) = spare.pop()
        {
            self.reply.buf = buffer;
        }
    }

    /// Bytes that have not left.
    pub(crate) fn pending(&self) -> usize {
        self.queued + self.reply.buf.len() - self.sent
    }

    /// Whether so much is to be sent that it should not wait for the end of the turn: the same
    /// cached memory then serves for what follows.
    #[inline]
    pub(super) fn is_much(&self) -> bool {
        self.reply.buf.len() >= self.much_output
    }

    /// Closes a gate behind what was written so far: what follows stays until it is opened.
    pub(super) fn close_gate(&mut self) {
        self.gates.push_back(self.pending());
    }

    /// Opens the first of the closed gates. What stands before the next one may leave.
    pub(super) fn open_gate(&mut self) {
        self.gates.pop_front();
    }

    /// Sends what may leave.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(super) fn send(
        &mut self,
        socket: &ClientSocket,
        info: &ClientInfo,
        spare: &mut Spare,
    ) -> Result<Sending, Errno> {
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
            let bytes = &piece[self.sent..];
            let may_leave = self.gates.front().map_or(bytes.len(), |&gate| gate.min(bytes.len()));
            if may_leave == 0 {
                return Ok(self.stop(Sending::Held, info));
            }
            let Some(count) = socket.send(&bytes[..may_leave])? else {
                self.put_by();
                return Ok(self.stop(Sending::Full, info));
            };
            self.count(count, info, spare);
        }
        self.sent = 0;
        self.much_output = MUCH_OUTPUT;
        if self.reply.buf.capacity() > 0 {
            spare.give_back(std::mem::take(&mut self.reply.buf));
        }
        self.note(info);
        Ok(Sending::Done)
    }

    /// Something stays.
    fn stop(&mut self, sending: Sending, info: &ClientInfo) -> Sending {
        self.much_output = self.reply.buf.len() + MUCH_OUTPUT;
        self.note(info);
        sending
    }

    /// So many bytes have left.
    fn count(&mut self, bytes: usize, info: &ClientInfo, spare: &mut Spare) {
        self.sent += bytes;
        self.gates.iter_mut().for_each(|gate| *gate -= bytes);
        self.has_taken = true;
        info.total_out.fetch_add(bytes as u64, Relaxed);
        match info.kind() == ClientKind::Replica {
            true => spare.sent.to_replicas.add(bytes),
            false => spare.sent.to_clients.add(bytes),
        }
    }

    /// The peer takes no more for now. A large buffer becomes a piece of the queue, so that no
    /// answer ever has to move what waits before it, and the room of a piece that is sent is free.
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

    /// Lets others see how much output waits.
    fn note(&self, info: &ClientInfo) {
        info.reply_bytes.store(self.pending(), Relaxed);
        info.reply_room.store(self.queue_room + self.reply.buf.capacity(), Relaxed);
    }

    /// Whether the client has taken something since this was last asked.
    pub(super) fn take_has_taken(&mut self) -> bool {
        std::mem::take(&mut self.has_taken)
    }

    /// Whether too much output has piled up, by `client-output-buffer-limit`. `stream`: bytes that
    /// wait besides.
    pub(super) fn is_over_limit(
        &mut self,
        kind: ClientKind,
        stream: u64,
        config: &Config,
        now: Millis,
    ) -> bool {
        let limits = &config.network.client_output_buffer_limit;
        let limit = match kind {
            ClientKind::Replica => limits.replica,
            ClientKind::PubSub => limits.pubsub,
            ClientKind::Normal | ClientKind::Primary => limits.normal,
        };
        let answers = match self.pending() {
            0..=SMALL_OUTPUT => 0,
            bytes => bytes as u64,
        };
        let pending = answers + stream;
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

    /// Takes all buffers: the connection is closed.
    pub(super) fn take_buffers(&mut self) -> impl Iterator<Item = Vec<u8>> {
        [std::mem::take(&mut self.reply.buf)].into_iter().chain(std::mem::take(&mut self.queue))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;

    struct Peer {
        output: Output,
        socket: ClientSocket,
        info: ClientInfo,
        spare: Spare,
        far: UnixStream,
    }

    fn a_peer() -> Peer {
        let (near, far) = UnixStream::pair().expect("two sockets");
        far.set_nonblocking(true).expect("a socket can");
        Peer {
            output: Output::default(),
            socket: OwnedFd::from(near).into(),
            info: ClientInfo::new(1, String::new(), String::new(), 0, 0, 0),
            spare: Spare::default(),
            far,
        }
    }

    impl Peer {
        fn write(&mut self, text: &str) {
            self.output.reply.buf.extend_from_slice(text.as_bytes());
        }

        fn send(&mut self) -> Sending {
            self.output.send(&self.socket, &self.info, &mut self.spare).expect("it is connected")
        }

        fn received(&mut self) -> String {
            let mut bytes = vec![0; 8 << 20];
            match self.far.read(&mut bytes) {
                Ok(count) => String::from_utf8_lossy(&bytes[..count]).into_owned(),
                Err(error) if error.kind() == ErrorKind::WouldBlock => String::new(),
                Err(error) => panic!("{error}"),
            }
        }
    }

    #[test]
    fn a_gate_holds_what_is_written_after_it() {
        let mut peer = a_peer();
        peer.write("before");
        peer.output.close_gate();
        peer.write("after");
        assert_eq!(peer.send(), Sending::Held);
        assert_eq!(peer.received(), "before");
        peer.write("wards");
        assert_eq!((peer.send(), peer.received().as_str()), (Sending::Held, ""));
        assert_eq!(peer.output.pending(), "afterwards".len());
        assert_eq!(peer.info.reply_bytes.load(Relaxed), "afterwards".len());

        peer.output.open_gate();
        assert_eq!((peer.send(), peer.received().as_str()), (Sending::Done, "afterwards"));
        assert_eq!(peer.output.pending(), 0);
    }

    #[test]
    fn a_peer_that_is_always_behind_does_not_make_the_buffer_grow() {
        const PIECE: usize = 64 << 10;
        const WINDOW: usize = 1 << 20;
        let mut peer = a_peer();
        peer.far.set_nonblocking(false).expect("a socket can");
        peer.output.reply.buf.resize(WINDOW, 0);
        // When as much as is read is answered anew, many times the window.
        let (mut written, mut read, mut piece) = (WINDOW, 0usize, vec![0; PIECE]);
        for round in 0..40 * WINDOW / PIECE {
            assert_eq!(peer.send(), Sending::Full, "{round}");
            peer.far.read_exact(&mut piece).expect("it is there");
            assert!(piece.iter().enumerate().all(|(at, &byte)| byte == byte_at(read + at)));
            read += PIECE;
            peer.output.reply.buf.extend((written..written + PIECE).map(byte_at));
            written += PIECE;
            // Then the buffers hold what is not read, and little more.
            let buffers = peer.output.queue.iter().chain([&peer.output.reply.buf]);
            let capacity: usize = buffers.map(Vec::capacity).sum();
            assert!(capacity <= 4 * WINDOW, "{capacity}");
            assert!(peer.output.pending() <= written - read, "what is sent does not wait");
        }

        /// The first window is zeros; what follows tells places apart.
        fn byte_at(at: usize) -> u8 {
            if at < WINDOW { 0 } else { (at % 251) as u8 }
        }
    }

    #[test]
    fn gates_are_opened_in_their_order() {
        let mut peer = a_peer();
        for text in ["one", "two", "three"] {
            peer.write(text);
            peer.output.close_gate();
        }
        for (text, sending) in [("one", Sending::Held), ("two", Sending::Held)] {
            assert_eq!((peer.send(), peer.received().as_str()), (sending, text));
            peer.output.open_gate();
        }
        // Nothing stands behind the last one.
        assert_eq!((peer.send(), peer.received().as_str()), (Sending::Done, "three"));
    }

    #[test]
    fn a_gate_holds_behind_a_socket_that_was_full() {
        const LARGE: usize = 3 << 20;
        let mut peer = a_peer();
        peer.write(&"x".repeat(LARGE));
        assert_eq!(peer.send(), Sending::Full, "the socket takes less");
        peer.output.close_gate();
        peer.write("held");
        let mut all = String::new();
        while all.len() < LARGE {
            peer.send();
            all += &peer.received();
        }
        assert_eq!((peer.send(), peer.received().as_str()), (Sending::Held, ""));
        assert_eq!((all.len(), peer.output.pending()), (LARGE, 4));
        peer.output.open_gate();
        assert_eq!((peer.send(), peer.received().as_str()), (Sending::Done, "held"));
    }
}
