//! The bytes that have come from the primary and are not applied yet.
//!
//! The stream is applied by a thread of its own. A client that has written to the primary and reads
//! here is served by another one, which may be faster, though the write has arrived before the
//! read. So an I/O thread of a replica lets what has arrived be applied before it runs what its
//! clients have sent. It waits only for what was there before it looked, and not for long: a
//! replica that is far behind answers all the same.

use parking_lot::Mutex;
use std::net::TcpStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::time::{Duration, Instant};

/// How long reads wait for what has arrived before them.
const PATIENCE: Duration = Duration::from_millis(1);

/// How far a connection's stream is applied.
pub(crate) struct Gauge {
    /// Bytes that wait in here have not been read.
    socket: TcpStream,
    /// Bytes that were read are being applied.
    is_busy: AtomicBool,
    /// How often something was read and applied.
    rounds: AtomicU64,
}

impl Gauge {
    /// Something is about to be read, and will be applied.
    pub(super) fn begin(&self) {
        self.is_busy.store(true, SeqCst);
    }

    /// All that was read is applied.
    pub(super) fn end(&self) {
        self.rounds.fetch_add(1, SeqCst);
        self.is_busy.store(false, SeqCst);
    }

    /// Whether everything that has arrived is applied.
    fn is_level(&self) -> bool {
        // In this order: what is no longer in the socket was read by somebody who had said so
        // before.
        let unread = rustix::io::ioctl_fionread(&self.socket).unwrap_or(0);
        unread == 0 && !self.is_busy.load(SeqCst)
    }

    /// Waits until what has arrived by now is applied, for a millisecond at most.
    fn level(&self) {
        let (start, rounds) = (Instant::now(), self.rounds.load(SeqCst));
        while !self.is_level() {
            // One round may have begun before this look. The next one has read all that was there
            // then.
            let is_through = self.rounds.load(SeqCst) >= rounds + 2;
            if is_through || start.elapsed() >= PATIENCE {
                return;
            }
            std::thread::yield_now();
        }
    }
}

/// The gauge of the present connection, while that brings a stream.
#[derive(Default)]
pub(crate) struct Gauges {
    is_there: AtomicBool,
    /// A leaf, held to exchange the pointer.
    present: Mutex<Option<Arc<Gauge>>>,
}

impl Gauges {
    /// There is a connection.
    pub(super) fn begin(&self, socket: &TcpStream) -> Option<Arc<Gauge>> {
        let socket = socket.try_clone().ok()?;
        let (is_busy, rounds) = (AtomicBool::new(false), AtomicU64::new(0));
        let gauge = Arc::new(Gauge { socket, is_busy, rounds });
        *self.present.lock() = Some(Arc::clone(&gauge));
        Some(gauge)
    }

    /// Whether what comes over the connection is a stream, which clients' reads wait for.
    pub(super) fn set_streaming(&self, is_streaming: bool) {
        self.is_there.store(is_streaming, SeqCst);
    }

    /// The connection has ended.
    pub(super) fn end(&self) {
        self.set_streaming(false);
        *self.present.lock() = None;
    }

    /// Waits until what has arrived by now is applied, for a millisecond at most.
    #[inline]
    pub(crate) fn level(&self) {
        if self.is_there.load(SeqCst) {
            let gauge = self.present.lock().clone();
            if let Some(gauge) = gauge {
                gauge.level();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::net::TcpListener;

    #[test]
    fn what_has_arrived_is_waited_for_and_not_for_ever() {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = listener.local_addr().expect("an address");
        let mut near = TcpStream::connect(address).expect("it listens");
        let (mut far, _) = listener.accept().expect("it connects");
        let gauges = Gauges::default();
        let gauge = gauges.begin(&near).expect("there are descriptors");
        gauges.set_streaming(true);
        gauges.level();
        assert!(gauge.is_level());

        // When something has come that nobody applies, then patience ends.
        far.write_all(b"x").expect("there is room");
        let start = Instant::now();
        while gauge.is_level() {
            assert!(start.elapsed() < Duration::from_secs(10), "it does not arrive");
        }
        let start = Instant::now();
        gauges.level();
        assert!(start.elapsed() >= PATIENCE);

        // Bytes that were read and not applied are not forgotten.
        gauge.begin();
        near.read_exact(&mut [0]).expect("it is there");
        assert!(!gauge.is_level());
        std::thread::scope(|scope| {
            scope.spawn(|| gauge.end());
            let start = Instant::now();
            while !gauge.is_level() {
                gauges.level();
                assert!(start.elapsed() < Duration::from_secs(10), "it is not applied");
            }
        });

        // Nor is anything waited for that is no stream.
        far.write_all(b"x").expect("there is room");
        gauges.set_streaming(false);
        let start = Instant::now();
        (0..100).for_each(|_| gauges.level());
        assert!(start.elapsed() < 100 * PATIENCE);
    }
}
