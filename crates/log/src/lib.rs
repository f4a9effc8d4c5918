//! The ordered history of writes: one sequence of bytes with one offset.
//!
//! Every write is appended under its slot's lock, in the form in which replicas receive it (RESP
//! arrays of bulk strings, with SELECT where the database changes). Readers ([`Reader`]) stand
//! anywhere in the history and follow it at their own speed: a replica's connection, later the
//! append-only file.
//!
//! How it works: the bytes lie in chunks of 64 KiB. An appender holds one short mutex while it
//! copies into the last chunk; the end that it reaches becomes visible as one atomic number when
//! the whole append is there. A large write is encoded before the mutex is taken and becomes a
//! chunk of its own. A reader takes the mutex only to find its next chunk, once per chunk. Chunks
//! that are older than the backlog's size, and that no reader needs, are dropped.
//!
//! The history has an identity ([`ReplId`], [`Identity`]), by which a replica may continue
//! where it was cut off (PSYNC, version 2).
//!
//! Deliberately not here: files, sockets, clocks, randomness, waking of readers. Until the first
//! reader needs the history it is inactive, and an append costs one relaxed load.
//!
//! Invariant: a reader sees whole appends only, in the order of their offsets, and never blocks an
//! appender for longer than it takes to look up a chunk.

mod append;
mod chunk;
mod history;
mod identity;
mod inner;
mod reader;

pub use append::{Appender, encode_command};
pub use history::Log;
pub use identity::{CannotServe, Identity, ParseReplIdError, ReplId, SecondId};
pub use reader::{HistoryReplaced, Reader};
