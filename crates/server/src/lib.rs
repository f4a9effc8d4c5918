//! The server: everything that touches the world outside.
//!
//! How it works: [`run`] reads the configuration, starts the I/O threads (`io/`), the control
//! thread with the cluster bus (`bus/`), the thread that follows a primary (`follow/`), the one
//! that makes snapshots for replicas (`sync.rs`), the one that removes keys whose time has come
//! (`expire.rs`) and the one for commands that may block (`deferred.rs`), and waits until it is
//! told to stop.
//!
//! Deliberately not here: what commands do (`engine`), what the cluster decides (`cluster`), how
//! PSYNC goes (`replication`). This crate carries out what these ask for.

mod accept;
mod bus;
mod deferred;
mod descriptors;
mod expire;
mod facts;
mod feed;
mod follow;
mod host;
mod information;
mod io;
mod logging;
mod purge;
mod rates;
mod server;
mod settings;
mod socket;
mod start;
mod stream;
mod sync;
mod time;

pub use information::{CalledAs, NO_SENTINEL};
pub use start::{StartError, VERSION, run};
