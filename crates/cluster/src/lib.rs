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
//! Deliberately not here: sockets, files, threads, any clock or random source, keys.

mod attention;
pub mod bus;
mod command;
mod config;
mod consequences;
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
mod hearsay;
mod inspect;
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
mod receive;
mod replica_migration;
mod rng;
mod routing;
mod send;
mod slot_sets;
mod state;
mod surroundings;
#[cfg(test)]
mod testing;
mod tick;
mod view;
mod vote;

pub use crate::core::Cluster;
pub use command::{CommandContext, Keyspace};
pub use config::{ClusterConfig, PreferredEndpoint};
pub use effect::{Batch, Effect, LogLevel, LogTopic, NodesConf};
pub use event::{Event, LinkDownReason, LinkId, Now, PrimaryLink};
pub use inspect::{Claims, Member, Snapshot};
pub use nodes_conf::NodesConfError;
pub use view::{ClusterState, FailReason, NodeView, RoutingView, ViewRole};
