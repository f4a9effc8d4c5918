//! The socket of a client or a replica. All that comes or goes passes here.
//!
//! It is a TCP or a unix socket that does not block. TLS will be a second kind of it: whoever calls
//! [`ClientSocket::receive`] and [`ClientSocket::send`] sees the plain bytes. Its records need one
//! writer, so it will have nothing to give to [`ClientSocket::share`]; a replica's stream is then
//! sent by the connection's own thread alone (`stream.rs`).
//!
//! Not here: what is read and written (`io/input.rs`, `io/output.rs`, `feed.rs`), listening
//! (`accept.rs`), links of the cluster bus (`bus/link.rs`) and to a primary (`follow/link.rs`).

use rustix::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{SendFlags, Shutdown};
use socket2::Socket;

/// The socket of a client or a replica.
#[derive(Debug)]
pub(crate) struct ClientSocket {
    fd: OwnedFd,
}

/// The outcome of [`ClientSocket::receive`].
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Received {
    /// So many new bytes.
    Bytes(usize),
    /// Nothing now.
    Nothing,
    /// The peer has closed the connection, or it is broken.
    Gone,
}

impl From<OwnedFd> for ClientSocket {
    /// The descriptor does not block.
    fn from(fd: OwnedFd) -> ClientSocket {
        ClientSocket { fd }
    }
}

impl From<Socket> for ClientSocket {
    /// The socket does not block.
    fn from(socket: Socket) -> ClientSocket {
        ClientSocket { fd: socket.into() }
    }
}

impl ClientSocket {
    /// Reads what is there into the spare room of `buffer`, of which there must be some.
    pub(crate) fn receive(&mut self, buffer: &mut Vec<u8>) -> Received {
        match rustix::io::read(&self.fd, rustix::buffer::spare_capacity(buffer)) {
            Ok(0) => Received::Gone,
            Ok(bytes) => Received::Bytes(bytes),
            Err(Errno::AGAIN | Errno::INTR) => Received::Nothing,
            Err(_) => Received::Gone,
        }
    }

    /// Sends the beginning of `bytes`; gives how many. `None`: it takes nothing for now.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn send(&self, bytes: &[u8]) -> Result<Option<usize>, Errno> {
        loop {
            match rustix::net::send(&self.fd, bytes, SendFlags::NOSIGNAL | SendFlags::DONTWAIT) {
                Ok(count) => return Ok(Some(count)),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// A second one for the same connection, by which another thread sends.
    ///
    /// # Errors
    /// If the process has no descriptor for it.
    pub(crate) fn share(&self) -> Result<ClientSocket, Errno> {
        Ok(ClientSocket { fd: rustix::io::fcntl_dupfd_cloexec(&self.fd, 0)? })
    }

    /// The peer sees the end of what it is sent. It can still send.
    ///
    /// # Errors
    /// If the connection is broken.
    pub(crate) fn end_sending(&self) -> Result<(), Errno> {
        rustix::net::shutdown(&self.fd, Shutdown::Write)
    }

    /// The descriptor's number, as CLIENT LIST shows it.
    pub(crate) fn number(&self) -> i32 {
        self.fd.as_raw_fd()
    }
}

impl AsFd for ClientSocket {
    /// For epoll. Nobody reads or writes by it.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}
