//! Connections that the server has closed while their peers were still sending.
//!
//! A socket that is closed with unread bytes in it resets the connection, and the peer may never
//! learn what was sent before. So such a connection is only closed in one direction: the peer sees
//! the end of the stream, and what it still sends is read and thrown away, for a while and up to an
//! amount.

use crate::socket::{ClientSocket, Received};
use rustix::event::epoll::{self, EventData, EventFlags};
use rustix::fd::OwnedFd;
use std::collections::HashMap;
use tessera_slot::Millis;

/// How long a peer may take to see that it is not listened to, milliseconds.
const PATIENCE: u64 = 5_000;
/// Bytes that are read of one peer at most.
const MOST_BYTES: usize = 16 << 20;
/// Bytes that are read of one peer in a turn.
const TURN_BYTES: usize = 256 << 10;
/// Connections that all threads together keep so at a time; further ones are reset. They count as
/// no clients, and take of the descriptors that are kept from clients for files and for links to
/// other nodes.
const MOST: usize = 64;
const CHUNK: usize = 16 << 10;

struct Peer {
    socket: ClientSocket,
    left: usize,
    until: Millis,
}

/// The connections of a thread that are closed in one direction.
pub(super) struct Lingering {
    peers: HashMap<u64, Peer>,
    next: u64,
    /// The thread's part of `MOST`.
    most: usize,
}

impl Lingering {
    /// One thread's share of the connections, among this many threads.
    pub(super) fn of_one_of(threads: usize) -> Lingering {
        Lingering { peers: HashMap::new(), next: 0, most: (MOST / threads.max(1)).max(1) }
    }

    /// Takes a connection whose descriptor stands in `epoll`; its events will come with
    /// `first_token` and further.
    pub(super) fn add(
        &mut self,
        epoll: &OwnedFd,
        first_token: u64,
        socket: ClientSocket,
        now: Millis,
    ) {
        if self.peers.len() >= self.most || socket.end_sending().is_err() {
            return;
        }
        let token = EventData::new_u64(first_token + self.next);
        if epoll::modify(epoll, &socket, token, EventFlags::IN).is_ok() {
            let peer = Peer { socket, left: MOST_BYTES, until: now.plus(PATIENCE) };
            self.peers.insert(self.next, peer);
            self.next += 1;
        }
    }

    /// Throws away what a peer has sent. `number` tells it apart: its token behind the first.
    pub(super) fn read(&mut self, number: u64) {
        let Some(peer) = self.peers.get_mut(&number) else { return };
        if !peer.discard() {
            self.peers.remove(&number);
        }
    }

    /// Closes those who have had time enough.
    pub(super) fn end_late(&mut self, now: Millis) {
        self.peers.retain(|_, peer| peer.until > now);
    }
}

impl Peer {
    /// False: there is nothing to wait for any more.
    fn discard(&mut self) -> bool {
        let mut scratch = Vec::with_capacity(CHUNK);
        for _ in 0..TURN_BYTES / CHUNK {
            scratch.clear();
            match self.socket.receive(&mut scratch) {
                Received::Bytes(bytes) => self.left = self.left.saturating_sub(bytes),
                Received::Nothing => return true,
                Received::Gone => return false,
            }
            if self.left == 0 {
                return false;
            }
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::event::epoll::CreateFlags;
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};

    /// A peer, and what keeps the other end of its connection.
    fn a_lingering_peer() -> (TcpStream, Lingering) {
        let mut lingering = Lingering::of_one_of(1);
        (a_peer_of(&mut lingering), lingering)
    }

    fn a_peer_of(lingering: &mut Lingering) -> TcpStream {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let far = TcpStream::connect(listener.local_addr().expect("it has one")).expect("heard");
        let (near, _) = listener.accept().expect("it has come");
        near.set_nonblocking(true).expect("a socket can");
        let near = OwnedFd::from(near);
        let epoll = epoll::create(CreateFlags::CLOEXEC).expect("a descriptor");
        epoll::add(&epoll, &near, EventData::new_u64(1), EventFlags::IN).expect("it is new");
        lingering.add(&epoll, 7, near.into(), Millis(1000));
        far
    }

    #[test]
    fn all_threads_together_keep_no_more_than_there_are_descriptors_for() {
        for (threads, each) in [(1, 64), (4, 16), (128, 1)] {
            let mut lingering = Lingering::of_one_of(threads);
            let peers = (0..=each).map(|_| a_peer_of(&mut lingering)).collect::<Vec<_>>();
            assert_eq!((lingering.peers.len(), peers.len()), (each, each + 1), "{threads}");
        }
    }

    #[test]
    fn a_peer_that_goes_on_sending_sees_an_end_and_no_reset() {
        let (mut far, mut lingering) = a_lingering_peer();
        let piece = vec![b'x'; 64 << 10];
        for _ in 0..64 {
            far.write_all(&piece).expect("it is read");
            lingering.read(0);
        }
        assert_eq!(far.read(&mut [0; 8]).expect("no reset"), 0);
        // It is forgotten when the peer has closed its end, too.
        far.shutdown(std::net::Shutdown::Write).expect("it is open");
        while !lingering.peers.is_empty() {
            lingering.read(0);
        }
    }

    #[test]
    fn patience_ends() {
        let (mut far, mut lingering) = a_lingering_peer();
        lingering.end_late(Millis(1000 + PATIENCE - 1));
        assert_eq!(lingering.peers.len(), 1);
        lingering.end_late(Millis(1000 + PATIENCE));
        assert!(lingering.peers.is_empty());

        let piece = vec![b'x'; 64 << 10];
        let (mut endless, mut lingering) = a_lingering_peer();
        let sent = (0..2 * MOST_BYTES / piece.len()).take_while(|_| {
            lingering.read(0);
            endless.write_all(&piece).is_ok()
        });
        assert!(sent.count() < 2 * MOST_BYTES / piece.len(), "it takes whatever comes");
        assert_eq!(far.read(&mut [0; 8]).expect("no reset"), 0);
    }
}
