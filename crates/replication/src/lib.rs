//! PSYNC, version 2, from both sides, without I/O.
//!
//! - [`ReplicaLink`] is a replica's side: connect, handshake, full or partial resync, acknowledge,
//!   reconnect.
//! - [`ReplicaSession`] is what a primary keeps for one replica: what it announced, how far its
//!   resync is, what it has acknowledged.
//! - [`good_replicas`], [`acknowledged`] and [`fsynced`] do the arithmetic over all sessions that
//!   WAIT, WAITAOF and `min-replicas-to-write` need; [`PingSchedule`] says when the stream wants a
//!   PING.
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
mod quorum;
mod session;

pub use link::{
    LinkConfig, LinkEffect, LinkEvent, LinkFault, LinkPhase, LinkStatus, Position, ReplicaLink,
    Transfer,
};
pub use ping::PingSchedule;
pub use quorum::{acknowledged, fsynced, good_replicas};
pub use session::{
    Contents, Framing, ReplicaSession, SessionEffect, SessionEvent, SessionFault, SessionState,
    SessionStatus, SyncPermission,
};
