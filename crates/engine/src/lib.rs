//! Commands: the table that describes them, their handlers, and what they run on.
//!
//! How it works: [`Engine::prepare`] finds a request's entry in the command table and where its
//! first key belongs; [`Engine::execute`] checks what must hold (arity, authentication, role, slot
//! ownership), locks the slots of its keys, runs the handler and appends the write to the log under
//! the same locks. The rim (`server`) parses, batches, prefetches between the two steps, and sends
//! what stands in the reply.
//!
//! Every command is one entry of a `COMMANDS` table beside its handler, in `commands/`.
//!
//! Deliberately not here: sockets, threads, files, clocks. The time is an argument; what a command
//! needs of the outside goes through the trait [`Host`].

mod args;
mod arguments;
mod blocking;
mod chores;
mod client_memory;
mod clients;
mod command;
mod command_words;
pub mod commands;
mod container;
mod cx;
mod db;
mod deferred;
mod engine;
mod evict;
mod execute;
mod expire;
mod fail;
mod fields;
mod foreign;
pub mod hll;
mod host;
mod metrics;
mod missing;
mod notify;
mod pause;
mod replica_keys;
mod session;
mod stats;
mod syntax;
mod transaction;
mod typed;
mod unit;
mod wide;

pub use args::Args;
pub(crate) use blocking::deadline_in_ms;
pub use blocking::{Answer, Blocked, Served, Waiter, deadline_in_seconds};
pub use client_memory::{EvictedClients, client_memory_limit};
pub use clients::{AckWait, ClientFilter, ClientInfo, ClientKind, ClientNames, Clients, UNBLOCKED};
pub use command::{Command, Flags, Group, Handler, KeyPlace, Keys, Role};
pub use command_words::{Categories, KeyUse};
pub use commands::COMPATIBLE_VERSION;
pub use cx::{Cx, Outcome, Park};
pub use db::{Db, Key, deletion};
pub use deferred::Deferred;
pub use engine::{Engine, EngineOptions, Mode};
pub use evict::Room;
pub use execute::{Prepared, Stopwatch, Turn};
pub use expire::{ExpireCursor, Expired};
pub use fail::{Done, Fail};
pub use host::{
    ConfigChange, CpuTime, DebugRequest, Facts, Host, Rates, Replication, ShutdownMode,
};
pub use metrics::{Metric, MetricKind, MetricValue, Metrics, Unit};
pub use notify::{Event, EventClass, EventSink};
pub use pause::PauseKind;
pub use session::{ReplyMode, Session};
pub use stats::{CommandStats, Stats, ThreadStats};
pub use typed::FoundAs;
