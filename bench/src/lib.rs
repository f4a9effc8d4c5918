//! Load for Redis-compatible servers, and comparisons of two of them.
//!
//! `load` sends load to a running server or cluster; `compare` starts two servers in turn and sets
//! their figures side by side; `families` does so for every family of commands and `memory` for
//! every type; `growth` loads millions of keys and looks for a slow command. `lru` compares hit
//! rates under `maxmemory`. How to read the figures stands in this folder's README.md.
//!
//! Deliberately not here: any shortcut for our own server. Both sides get the same bytes.

pub mod compare;
pub mod families;
pub mod generator;
pub mod growth;
pub mod lru;
pub mod replies;
pub mod requests;
pub mod server;
pub mod staleness;
pub mod table;
pub mod topology;
