//! The deterministic simulator over the cluster core, and over data that is replicated.
//!
//! A [`World`] holds hosts, each with at most one process (a `Cluster`) and a disk (its
//! nodes.conf), a network with TCP's semantics (what is sent over a connection arrives in order, or
//! the connection goes down) and a queue of what happens next on virtual time. Everything follows
//! from one seed: delays, faults, ticks. Packets go through the real codec.
//!
//! A run may have data ([`Setup::resumed_with_data`]): then each process has the real engine, log
//! and replication, clients write, and an oracle compares what they were promised with what they
//! see (`data/mod.rs`). Otherwise an offset stands for the data (`replication.rs`), which is
//! several times as fast.
//!
//! After every step the invariants in [`invariants`] are checked. [`faults`] makes a run unkind.
//!
//! Deliberately not here: real time, threads, the server's drivers of sockets and files.

mod connections;
mod data;
mod effects;
pub mod faults;
pub mod invariants;
mod net;
mod process;
mod replication;
mod rng;
mod setup;
mod world;

pub use data::oracle::{Counts, Rule, Violation};
pub use data::{Bug, DataOptions};
pub use net::HostId;
pub use rng::Rng;
pub use setup::Setup;
pub use world::World;
