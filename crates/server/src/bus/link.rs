//! The sockets of the bus: one task for reading and one for writing each link.

use crate::logging::limited;
use socket2::{SockRef, Socket};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tessera_cluster::bus::{FrameError, Framer};
use tessera_cluster::{Event, LinkDownReason, LinkId};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::JoinHandle;

/// Bytes that may wait in a link which its peer does not read. Bus packets are small: beyond this
/// the peer is stuck, and the link is opened anew.
const QUEUE_BYTES: usize = 64 << 20;
/// How long a long packet waits for its node to become known.
const INTRODUCTION: Duration = Duration::from_secs(1);
/// Events on their way to the control thread.
pub(super) const EVENTS: usize = 1024;
/// Packets of one known node on their way to the control thread...
const PACKETS_OF_ONE: usize = 16;
/// ...and those of all links together on which no known node has spoken yet: they may be many, and
/// send without end.
const PACKETS_OF_STRANGERS: usize = 8;

/// An event on its way to the control thread.
pub(super) struct Arrived {
    pub(super) event: Event,
    /// A packet's place among those that may be on their way.
    _place: Option<OwnedSemaphorePermit>,
}

/// The queue in which links leave their events.
#[derive(Clone)]
pub(super) struct Inbox {
    events: mpsc::Sender<Arrived>,
    strangers: Arc<Semaphore>,
}

impl Inbox {
    pub(super) fn new(events: mpsc::Sender<Arrived>) -> Inbox {
        Inbox { events, strangers: Arc::new(Semaphore::new(PACKETS_OF_STRANGERS)) }
    }

    async fn tell(&self, event: Event) {
        // The receiver is gone: the server ends.
        let _ = self.events.send(Arrived { event, _place: None }).await;
    }

    /// Leaves a packet when there is a place for it. False if nobody listens any more.
    async fn leave(&self, link: LinkId, bytes: Vec<u8>, places: &Arc<Semaphore>) -> bool {
        let Ok(place) = Arc::clone(places).acquire_owned().await else { return false };
        let event = Event::Packet { link, bytes };
        self.events.send(Arrived { event, _place: Some(place) }).await.is_ok()
    }
}

/// A link's task, and the queue to its peer.
pub(super) struct Link {
    queue: mpsc::UnboundedSender<Arc<[u8]>>,
    waiting: Arc<AtomicUsize>,
    /// Whether the node at the other end is known.
    known: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Link {
    /// Queues bytes; false if the peer does not read and the queue is full.
    pub(super) fn send(&self, bytes: Arc<[u8]>) -> bool {
        let waiting = self.waiting.fetch_add(bytes.len(), Ordering::Relaxed);
        waiting < QUEUE_BYTES && self.queue.send(bytes).is_ok()
    }

    /// Packets may be of any length from now on.
    pub(super) fn node_is_known(&self) {
        self.known.send_replace(true);
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Connects to a peer, and then serves the link.
pub(super) fn open(link: LinkId, addr: SocketAddr, inbox: Inbox) -> Link {
    let (queue, to_send) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&waiting);
    let (known, is_known) = watch::channel(false);
    let task = tokio::spawn(async move {
        let connected = TcpStream::connect(addr).await.and_then(|socket| {
            let local = socket.local_addr()?;
            Ok((socket, local))
        });
        match connected {
            Err(error) => {
                inbox.tell(Event::LinkDown { link, reason: reason(&error) }).await;
            }
            Ok((socket, local)) => {
                inbox.tell(Event::LinkConnected { link, local }).await;
                serve(link, socket, to_send, sent, is_known, inbox).await;
            }
        }
    });
    Link { queue, waiting, known, task }
}

/// Serves a link that a peer has opened.
pub(super) fn accepted(link: LinkId, socket: TcpStream, inbox: Inbox) -> Link {
    let (queue, to_send) = mpsc::unbounded_channel();
    let waiting = Arc::new(AtomicUsize::new(0));
    let sent = Arc::clone(&waiting);
    let (known, is_known) = watch::channel(false);
    let task = tokio::spawn(serve(link, socket, to_send, sent, is_known, inbox));
    Link { queue, waiting, known, task }
}

async fn serve(
    link: LinkId,
    socket: TcpStream,
    mut to_send: mpsc::UnboundedReceiver<Arc<[u8]>>,
    waiting: Arc<AtomicUsize>,
    mut is_known: watch::Receiver<bool>,
    inbox: Inbox,
) {
    let own_places = Arc::new(Semaphore::new(PACKETS_OF_ONE));
    let _ = socket.set_nodelay(true);
    let (mut reading, mut writing) = socket.into_split();
    let write = async {
        while let Some(bytes) = to_send.recv().await {
            writing.write_all(&bytes).await?;
            waiting.fetch_sub(bytes.len(), Ordering::Relaxed);
        }
        // The queue's other end is gone: so is the link.
        std::future::pending::<std::io::Result<()>>().await
    };
    let read = async {
        let (mut framer, mut buffer) = (Framer::new(), vec![0; 16 << 10]);
        loop {
            let count = reading.read(&mut buffer).await?;
            if count == 0 {
                return Ok(LinkDownReason::Eof);
            }
            framer.push(&buffer[..count]);
            loop {
                match framer.next_packet() {
                    Ok(None) => break,
                    Ok(Some(bytes)) => {
                        let places =
                            if *is_known.borrow() { &own_places } else { &inbox.strangers };
                        if !inbox.leave(link, bytes, places).await {
                            return Ok(LinkDownReason::Other);
                        }
                    }
                    // Its earlier packets may still be on their way to the core, which then knows
                    // it.
                    Err(FrameError::Stranger(_)) if is_soon(&mut is_known).await => {
                        framer.node_is_known();
                    }
                    Err(error) => {
                        limited!(warn, "Cluster bus: {error}");
                        return Ok(LinkDownReason::Other);
                    }
                }
            }
        }
    };
    let ended: std::io::Result<LinkDownReason> = tokio::select! {
        // An end-of-file says more than the failed write after it.
        biased;
        ended = read => ended,
        ended = write => ended.map(|()| LinkDownReason::Other),
    };
    let reason = ended.unwrap_or_else(|error| reason(&error));
    inbox.tell(Event::LinkDown { link, reason }).await;
}

/// Whether something becomes true within [`INTRODUCTION`].
async fn is_soon(condition: &mut watch::Receiver<bool>) -> bool {
    let met = tokio::time::timeout(INTRODUCTION, condition.wait_for(|known| *known)).await;
    matches!(met, Ok(Ok(_)))
}

fn reason(error: &std::io::Error) -> LinkDownReason {
    use std::io::ErrorKind;
    match error.kind() {
        ErrorKind::ConnectionRefused => LinkDownReason::Refused,
        ErrorKind::ConnectionReset | ErrorKind::BrokenPipe | ErrorKind::ConnectionAborted => {
            LinkDownReason::Reset
        }
        ErrorKind::UnexpectedEof => LinkDownReason::Eof,
        ErrorKind::TimedOut => LinkDownReason::TimedOut,
        _ => LinkDownReason::Other,
    }
}

/// A listening socket for tokio.
pub(super) fn listener(
    listener: &crate::accept::Listener,
) -> std::io::Result<tokio::net::TcpListener> {
    let socket: Socket = SockRef::from(&listener.descriptor()).try_clone()?;
    tokio::net::TcpListener::from_std(socket.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A link that was accepted, what it tells, and its other end.
    async fn pair() -> (Link, mpsc::Receiver<Arrived>, TcpStream) {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("it is bound");
        let peer = TcpStream::connect(address).await.expect("it listens");
        let (socket, _) = listener.accept().await.expect("it has connected");
        let (events, told) = mpsc::channel(EVENTS);
        (accepted(LinkId::Accepted(1), socket, Inbox::new(events)), told, peer)
    }

    /// The beginning of a packet of a megabyte.
    fn long_packet() -> Vec<u8> {
        let mut bytes = vec![0; 1 << 20];
        bytes[..4].copy_from_slice(b"RCmb");
        bytes[4..8].copy_from_slice(&(1u32 << 20).to_be_bytes());
        bytes
    }

    #[tokio::test]
    async fn a_stranger_that_sends_too_much_is_cut_off() {
        let (_link, mut told, mut peer) = pair().await;
        peer.write_all(&long_packet()[..8]).await.expect("it is read");
        let event = told.recv().await.expect("the link tells").event;
        assert!(matches!(event, Event::LinkDown { .. }), "{event:?}");
    }

    #[tokio::test]
    async fn strangers_do_not_fill_the_way_to_the_control_thread() {
        let (_link, mut told, mut peer) = pair().await;
        let mut packet = [0; 64];
        packet[..4].copy_from_slice(b"RCmb");
        packet[7] = 64;
        peer.write_all(&packet.repeat(100)).await.expect("it is read");
        // When nobody takes them, only so many come.
        let mut taken = Vec::new();
        while let Ok(Some(next)) =
            tokio::time::timeout(Duration::from_millis(100), told.recv()).await
        {
            taken.push(next);
        }
        assert_eq!(taken.len(), PACKETS_OF_STRANGERS);
        // Each one that is done with makes room for the next.
        taken.clear();
        for _ in PACKETS_OF_STRANGERS..100 {
            let next = told.recv().await.expect("the link tells");
            assert!(matches!(next.event, Event::Packet { .. }), "{:?}", next.event);
        }
    }

    #[tokio::test]
    async fn a_node_that_becomes_known_in_time_may_send_it() {
        let (link, mut told, mut peer) = pair().await;
        let packet = long_packet();
        peer.write_all(&packet[..8]).await.expect("it is read");
        link.node_is_known();
        peer.write_all(&packet[8..]).await.expect("it is read");
        let event = told.recv().await.expect("the link tells").event;
        assert!(matches!(event, Event::Packet { bytes, .. } if bytes == packet));
    }
}
