//! Replicas' streams: the part of the log that a replica has not been sent yet.
//!
//! A thread that has appended to the log sends it to the replicas before it answers its clients: a
//! client that has read its answer and asks a replica next is to find its write there. So any
//! thread may send a stream, not only the one that owns the replica's connection. A stream has a
//! descriptor of its own for the same socket, so that the connection may be closed meanwhile.
//!
//! The owner keeps the stream locked while it sends the data before the stream (answers, the end of
//! a synchronisation), and lets others send only if all of that is out. Bytes that the socket does
//! not take are left to the owner, which epoll wakes when it takes more.
//!
//! Not here: how a replica comes to be fed (`feed.rs`), and the offset that it has acknowledged.

use crate::socket::ClientSocket;
use arc_swap::ArcSwap;
use parking_lot::{Mutex, MutexGuard};
use rustix::io::Errno;
use std::sync::Arc;
use tessera_log::Reader;

/// Bytes that a thread sends of a stream that belongs to another one, so that its own clients need
/// not wait.
const HELP: usize = 256 << 10;

/// A replica's stream.
pub(crate) struct Stream {
    /// The client's id.
    client: u64,
    /// The I/O thread that owns the connection.
    thread: usize,
    socket: ClientSocket,
    /// A leaf but for the log, which readers lock to find their next chunk. Held while a socket is
    /// written to that does not block.
    state: Mutex<StreamState>,
}

/// A stream that its holder may send.
pub(crate) struct StreamState {
    reader: Reader,
    /// Others may send: nothing else is to go first.
    pub(crate) is_open: bool,
    /// The socket took no more when it was last tried: its owner waits until it does.
    is_full: bool,
    /// What was sent since the owner last asked, whose counters it goes to.
    sent: Sent,
}

/// Bytes sent to a replica, and in how many writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct Sent {
    pub(crate) bytes: u64,
    pub(crate) writes: u64,
}

impl Sent {
    /// One more write has sent so many bytes.
    pub(crate) fn add(&mut self, bytes: usize) {
        self.bytes += bytes as u64;
        self.writes += 1;
    }

    /// Both together.
    pub(crate) fn and(self, other: Sent) -> Sent {
        Sent { bytes: self.bytes + other.bytes, writes: self.writes + other.writes }
    }
}

/// How far sending came.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Progress {
    /// All there is.
    All,
    /// The socket takes no more for now.
    Full,
    /// As much as was to be sent at most.
    Enough,
}

impl StreamState {
    /// Bytes that are not sent.
    pub(crate) fn lag(&self) -> u64 {
        self.reader.lag()
    }

    /// Sends what there is, up to `budget` bytes.
    ///
    /// # Errors
    /// Why the connection is to be closed.
    pub(crate) fn send(
        &mut self,
        socket: &ClientSocket,
        mut budget: usize,
    ) -> Result<Progress, String> {
        let progress = loop {
            let bytes = self.reader.peek().map_err(|error| error.to_string())?;
            if bytes.is_empty() {
                break Progress::All;
            }
            if budget == 0 {
                break Progress::Enough;
            }
            let bytes = &bytes[..bytes.len().min(budget)];
            let sent = socket.send(bytes).map_err(|error| error.to_string())?;
            let Some(count) = sent else { break Progress::Full };
            budget -= count;
            self.sent.add(count);
            self.reader.advance(count);
        };
        self.is_full = progress == Progress::Full;
        Ok(progress)
    }
}

impl Stream {
    /// The owner's hold of the stream: nobody else sends until it is let go, nor after that unless
    /// it is open.
    pub(crate) fn hold(&self) -> MutexGuard<'_, StreamState> {
        let mut state = self.state.lock();
        state.is_open = false;
        state
    }

    /// Bytes that are not sent.
    pub(crate) fn lag(&self) -> u64 {
        self.state.lock().lag()
    }

    /// What was sent since this was last asked.
    pub(crate) fn take_sent(&self) -> Sent {
        std::mem::take(&mut self.state.lock().sent)
    }

    /// Sends the stream for its owner. False: the owner has to see to it.
    fn help(&self) -> bool {
        // The thread that has it locked may have looked at the log's end before it was moved.
        let Some(mut state) = self.state.try_lock() else { return false };
        if state.is_full {
            // Its owner is told by the socket.
            return true;
        }
        // An error is met by the owner too, who closes the connection.
        state.is_open && matches!(state.send(&self.socket, HELP), Ok(Progress::All))
    }
}

/// The streams of all replicas.
#[derive(Default)]
pub(crate) struct Streams(ArcSwap<Vec<Arc<Stream>>>);

impl Streams {
    /// Adds the stream of a client of this thread, and of its socket.
    ///
    /// # Errors
    /// If there is no descriptor for it.
    pub(crate) fn add(
        &self,
        client: u64,
        thread: usize,
        socket: &ClientSocket,
        reader: Reader,
    ) -> Result<Arc<Stream>, Errno> {
        let socket = socket.share()?;
        let state = Mutex::new(StreamState {
            reader,
            is_open: false,
            is_full: false,
            sent: Sent::default(),
        });
        let stream = Arc::new(Stream { client, thread, socket, state });
        self.0.rcu(|streams| {
            let mut streams = Vec::clone(streams);
            streams.push(Arc::clone(&stream));
            streams
        });
        Ok(stream)
    }

    /// Removes a client's stream, if it has one. No thread sends it from then on.
    pub(crate) fn remove(&self, client: u64) {
        let all = self.0.load();
        if let Some(stream) = all.iter().find(|stream| stream.client == client) {
            drop(stream.hold());
            self.0.rcu(|streams| {
                let others = streams.iter().filter(|stream| stream.client != client);
                others.cloned().collect::<Vec<_>>()
            });
        }
    }

    /// The log has grown: sends the streams of other threads than `own`, and calls `wake` with each
    /// thread that has to see to one itself.
    pub(crate) fn send(&self, own: usize, mut wake: impl FnMut(usize)) {
        for stream in self.0.load().iter() {
            if stream.thread != own && !stream.help() {
                wake(stream.thread);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{ErrorKind, Read};
    use std::os::fd::OwnedFd;
    use std::os::unix::net::UnixStream;
    use tessera_log::{Log, ReplId};

    /// A log, a stream of it that belongs to thread 0, and the replica's end of the socket.
    fn a_stream() -> (Log, Streams, Arc<Stream>, UnixStream) {
        let name = ReplId::from_random([1; 20]);
        let log = Log::new(name, 1 << 20);
        log.activate(name);
        let (_, reader) = log.start_full_sync();
        let (near, far) = UnixStream::pair().expect("two sockets");
        near.set_nonblocking(true).expect("a socket can");
        far.set_nonblocking(true).expect("a socket can");
        let streams = Streams::default();
        let near = OwnedFd::from(near).into();
        let stream = streams.add(7, 0, &near, reader).expect("there are descriptors");
        (log, streams, stream, far)
    }

    fn received(far: &mut UnixStream) -> usize {
        let (mut bytes, mut all) = (vec![0; 1 << 20], 0);
        loop {
            match far.read(&mut bytes) {
                Ok(0) => return all,
                Ok(count) => all += count,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return all,
                Err(error) => panic!("{error}"),
            }
        }
    }

    /// Has another thread send; whether the owner was woken.
    fn send(streams: &Streams) -> bool {
        let mut is_woken = false;
        streams.send(1, |thread| is_woken = thread == 0);
        is_woken
    }

    #[test]
    fn others_send_only_what_nothing_has_to_precede() {
        let (log, streams, stream, mut far) = a_stream();
        log.append_control(&["PING"]);
        // When the owner has not said that all is out that comes before, then the owner has to
        // send.
        assert!(send(&streams));
        assert_eq!(received(&mut far), 0);

        stream.hold().is_open = true;
        assert!(!send(&streams));
        assert_eq!((received(&mut far), stream.lag()), (14, 0));

        // While it is held, nobody else sends.
        log.append_control(&["PING"]);
        let held = stream.hold();
        assert!(send(&streams));
        drop(held);
        assert_eq!(received(&mut far), 0);

        streams.remove(7);
        assert!(!send(&streams));
        assert_eq!(stream.lag(), 14);
    }

    #[test]
    fn a_full_socket_is_left_to_its_owner() {
        let (log, streams, stream, mut far) = a_stream();
        stream.hold().is_open = true;
        let big = "x".repeat(1 << 20);
        log.append_control(&["PING", &big]);
        assert!(send(&streams), "the owner sends the rest");
        let before = received(&mut far);
        assert!(before > 0 && stream.lag() > 0);

        // When the owner has met the full socket too, then it is not woken each time.
        let (fill, _other) = UnixStream::pair().expect("two sockets");
        let mut held = stream.hold();
        let fill = OwnedFd::from(fill).into();
        while held.send(&fill, usize::MAX) == Ok(Progress::All) {
            log.append_control(&["PING", &big]);
        }
        held.is_open = true;
        drop(held);
        assert!(!send(&streams));
    }

    #[test]
    fn many_threads_send_each_byte_once_and_in_order() {
        const THREADS: usize = 4;
        const EACH: usize = 2000;
        let (log, streams, stream, mut far) = a_stream();
        stream.hold().is_open = true;
        far.set_nonblocking(false).expect("a socket can");
        let command = |thread: usize, number: usize| format!("{thread}-{number:05}");
        let length = "*2\r\n$4\r\nPING\r\n$7\r\n0-00000\r\n".len();
        let all = std::thread::scope(|scope| {
            for thread in 0..THREADS {
                let (log, streams, stream) = (&log, &streams, &stream);
                scope.spawn(move || {
                    for number in 0..EACH {
                        log.append_control(&["PING", &command(thread, number)]);
                        // The owner does what others could not.
                        streams.send(1, |_| {
                            let mut held = stream.hold();
                            while held.send(&stream.socket, usize::MAX) == Ok(Progress::Full) {
                                std::thread::yield_now();
                            }
                            held.is_open = true;
                        });
                    }
                });
            }
            let mut all = vec![0; THREADS * EACH * length];
            far.read_exact(&mut all).expect("all of it comes");
            all
        });
        let mut next = [0; THREADS];
        for bytes in all.chunks(length) {
            let text = std::str::from_utf8(bytes).expect("text");
            let name = text.trim_end().rsplit("\r\n").next().expect("the last argument");
            let thread: usize = name[..1].parse().expect("a digit");
            assert_eq!(name, command(thread, next[thread]));
            next[thread] += 1;
        }
        assert_eq!(next, [EACH; THREADS]);
    }
}
