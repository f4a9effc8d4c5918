//! A node of the cluster as a state machine without I/O.
//!
//! The contract is four calls. The driver owns the sockets, the clock, the random seed and the
//! file:
//! - [`Cluster::handle`] takes an [`Event`], [`Cluster::command`] a CLUSTER subcommand;
//! - [`Cluster::poll_batch`] gives what is to be done: drain it after each of the two;
//! - [`Cluster::next_timeout`] says when to call `handle` with [`Event::Tick`] at the latest.
//!
//! What is here: membership and gossip, failure detection, elections, slot ownership by config
//! epochs, manual failover, the CLUSTER commands, the bus codec ([`bus`]) and nodes.conf.
//!
//! What is deliberately not here: sockets, files, threads, any clock or random source, keys.

pub mod bus;
mod config;
mod core;
mod effect;
mod event;
mod rng;
mod view;

pub use crate::core::{Cluster, CommandContext, Keyspace, NodesConfError};
pub use config::{ClusterConfig, PreferredEndpoint};
pub use effect::{Batch, Effect, LogLevel, NodesConf};
pub use event::{Event, LinkDownReason, LinkId, Now, PrimaryLink};
pub use view::{ClusterState, FailReason, NodeView, RoutingView, ViewRole};
