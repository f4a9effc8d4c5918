//! A node of the cluster as a state machine without I/O.
//!
//! The contract is four calls. The driver owns the sockets, the clock, the random seed and the
//! file:
//! - [`Cluster::handle`] takes an [`Event`], [`Cluster::command`] a CLUSTER subcommand;
//! - [`Cluster::poll_batch`] gives what is to be done: drain it after each of the two;
//! - [`Cluster::next_timeout`] says when to call `handle` with [`Event::Tick`] at the latest.
//!
//! Here are membership and gossip, failure detection, elections, slot ownership by config epochs,
//! manual failover, the CLUSTER commands, the bus codec ([`bus`]) and nodes.conf.
//!
//! Each of these concerns is a module that keeps its own state, and whose handlers borrow what they
//! change. They neither send packets nor call each other. Only `core/` has the whole node: it takes
//! events and commands, asks the handlers, and acts on the outcomes that they give.
//!
//! Deliberately not here: sockets, files, threads, any clock or random source, keys.

mod attention;
pub mod bus;
mod config;
mod core;
mod describe;
mod effect;
mod election;
mod epochs;
mod event;
mod failure;
mod forgotten;
mod gossip;
mod guests;
mod links;
mod lost_data;
mod manual_failover;
mod membership;
mod node;
mod nodes;
mod nodes_conf;
mod open_slots;
mod outbox;
mod ownership;
mod progress;
mod replica_migration;
mod rng;
mod routing;
mod slot_sets;
mod state;
mod surroundings;
#[cfg(test)]
mod testing;
mod view;
mod vote;

pub use crate::core::{Claims, Cluster, CommandContext, Keyspace, Member, Snapshot};
pub use config::{ClusterConfig, PreferredEndpoint};
pub use effect::{Batch, Effect, LogLevel, LogTopic, NodesConf};
pub use event::{Event, LinkDownReason, LinkId, Now, PrimaryLink};
pub use nodes_conf::NodesConfError;
pub use view::{ClusterState, FailReason, NodeView, RoutingView, ViewRole};
