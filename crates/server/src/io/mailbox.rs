//! How other threads reach an I/O thread.

use super::wake::WakeFlag;
use crate::accept::{Accepted, Listener};
use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use tessera_engine::Answer;
use tessera_resp::Value;

/// The messages to an I/O thread.
pub(crate) enum Message {
    /// Serve this connection.
    Accept(Accepted),
    /// Disconnect the clients whose `killed` flag is set.
    Disconnect,
    /// Answer a client that waits for another thread.
    Complete {
        /// The client's id.
        client: u64,
        /// Its answer.
        answer: Value,
    },
    /// Answer a client that waits in a blocking command.
    Answer {
        /// The client's id.
        client: u64,
        /// Its answer.
        answer: Answer,
    },
    /// Answer a client that waits for replicas: its wait was cut.
    EndWait {
        /// The client's id.
        client: u64,
    },
    /// Listen on these sockets instead.
    Listen(Vec<Listener>),
    /// Stop serving.
    Quit,
}

/// An I/O thread's mailbox. Besides the messages it carries plain wake-ups: look at the log, at the
/// waiting clients.
pub(crate) struct Mailbox {
    /// Bounded by the number of connections and of administrators' commands.
    messages: Mutex<Vec<Message>>,
    /// A busy writer pays for one system call only.
    woken: WakeFlag,
    event: OwnedFd,
}

impl Mailbox {
    pub(crate) fn new() -> std::io::Result<Mailbox> {
        let event = eventfd(0, EventfdFlags::NONBLOCK | EventfdFlags::CLOEXEC)?;
        Ok(Mailbox { messages: Mutex::default(), woken: WakeFlag::default(), event })
    }

    /// Leaves a message and wakes the thread.
    pub(crate) fn send(&self, message: Message) {
        self.messages.lock().push(message);
        self.wake();
    }

    /// Has the thread run a turn.
    pub(crate) fn wake(&self) {
        if self.woken.raise() {
            // The counter cannot overflow: it is written once between two reads.
            let _ = rustix::io::write(&self.event, &1u64.to_ne_bytes());
        }
    }

    /// The messages so far. Called by the owner when the event descriptor is readable.
    pub(crate) fn take(&self) -> Vec<Message> {
        let mut counter = [0; 8];
        let _ = rustix::io::read(&self.event, &mut counter);
        self.woken.lower();
        std::mem::take(&mut *self.messages.lock())
    }

    pub(crate) fn descriptor(&self) -> BorrowedFd<'_> {
        self.event.as_fd()
    }
}
