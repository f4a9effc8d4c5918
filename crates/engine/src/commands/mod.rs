//! All commands, by family: each module has its handlers and a `COMMANDS` table beside them.
//!
//! Adding a command is one entry in such a table. Subcommands stand in their parent's entry.

mod absent;
mod bitmap;
mod cluster;
mod connection;
mod element_scan;
mod generic;
mod geo;
mod hash;
mod hyperloglog;
mod index;
mod list;
mod renamed;
mod repeated;
mod server;
mod set;
mod sorted_set;
mod stream;
mod string;
mod transaction;

pub(crate) use index::{all, find_named, joined_name, name_of};
pub use index::{count, find};
pub use renamed::check_renamed;
pub(crate) use renamed::{Missing, Renamed, full_name, not_available};
pub use server::COMPATIBLE_VERSION;
pub(crate) use server::config as server_config;
