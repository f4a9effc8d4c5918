//! The deterministic simulator over the cluster core.
//!
//! A [`World`] holds hosts, each with at most one process (a `Cluster`) and a disk (its
//! nodes.conf), a network with TCP's semantics (what is sent over a connection arrives in order, or
//! the connection goes down) and a queue of what happens next on virtual time. Everything follows
//! from one seed: delays, faults, ticks. Packets go through the real codec.
//!
//! After every step the invariants in [`invariants`] are checked. [`faults`] makes a run unkind.
//!
//! Deliberately not here: real time, threads, the data itself (a replication offset stands for it).

mod connections;
mod data;
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
