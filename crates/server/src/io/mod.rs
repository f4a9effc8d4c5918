//! I/O threads: each has its own epoll loop and the connections that were given to it.
//!
//! A turn: wait; read every ready socket; parse, look up and prefetch in batches; execute; flush
//! all replies. Reading everything first and answering at the end saves wake-ups of the peers,
//! which cost most.
//!
//! A thread never waits for anything but epoll: a client that has to wait (WAIT, a paused write) is
//! parked, and what others must tell a thread comes through its [`Mailbox`].

mod batch;
mod conn;
mod conns;
mod gates;
mod input;
mod linger;
mod long;
mod mailbox;
mod output;
mod spare;
mod thread;
mod ticks;
mod timers;
mod waiting;
mod wake;

pub(crate) use conn::{Conn, State};
pub(crate) use mailbox::{Mailbox, Message};
pub(crate) use thread::IoThread;

#[cfg(test)]
mod tests;
