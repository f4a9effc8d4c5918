//! PSYNC, version 2, from both sides, without I/O.
//!
//! - [`ReplicaLink`] is a replica's side: connect, handshake, full or partial resync, acknowledge,
//!   reconnect.
//! - [`ReplicaSession`] is a primary's state for one replica: its announcements, the
//!   progress of its resync, the offset that it has acknowledged.
//! - [`PingSchedule`] says when the stream wants a PING.
//!
//! Both machines take the time and an event and give effects; the driver carries the effects out
//! and reports back by further events. Effects are plain data. Bytes that were received are passed
//! on as ranges of the received buffer, so nothing is copied.
//!
//! Deliberately not here: sockets, files, clocks, randomness, the history itself (`tessera-log`)
//! and the format of the payload (`tessera-rdb`). Falling back to SYNC (before Redis 2.8) as a
//! replica is not supported.

mod link;
mod ping;
mod session;

pub use link::{
    LinkConfig, LinkEffect, LinkEvent, LinkFault, LinkPhase, LinkStatus, Position, ReplicaLink,
    Transfer,
};
pub use ping::PingSchedule;
pub use session::{
    Contents, Framing, ReplicaSession, SessionEffect, SessionEvent, SessionFault, SessionState,
    SessionStatus, SyncPermission,
};
