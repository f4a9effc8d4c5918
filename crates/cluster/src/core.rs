//! The node's state and its four calls.

use crate::rng::Rng;
use crate::{Batch, ClusterConfig, Effect, Event, Now};
use std::collections::VecDeque;
use tessera_resp::Value;
use tessera_slot::{Millis, NodeId, Slot};

/// What CLUSTER subcommands must know of the data.
pub trait Keyspace {
    /// The number of keys in a slot.
    fn keys_in_slot(&self, slot: Slot) -> usize;
    /// Whether there is no key at all.
    fn is_empty(&self) -> bool;
}

/// Who sends a CLUSTER subcommand.
pub struct CommandContext<'a> {
    /// This node's data.
    pub keyspace: &'a dyn Keyspace,
    /// Whether the client is connected over TLS: it is then told TLS ports.
    pub client_tls: bool,
    /// The client as the log should name it.
    pub client: &'a str,
}

/// nodes.conf cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nodes.conf, line {line}: {problem}")]
pub struct NodesConfError {
    /// The line, counted from 1.
    pub line: usize,
    /// What is wrong with it.
    pub problem: String,
}

/// A cluster node.
pub struct Cluster {
    config: ClusterConfig,
    now: Now,
    rng: Rng,
    me: NodeId,
    batches: VecDeque<Batch>,
    effects: Vec<Effect>,
}

impl Cluster {
    /// A node that continues from the content of its nodes.conf, or a new one with a random name.
    /// The first batch is ready at once.
    pub fn new(
        config: ClusterConfig,
        nodes_conf: Option<&str>,
        now: Now,
        seed: u64,
    ) -> Result<Cluster, NodesConfError> {
        if let Some(text) = nodes_conf
            && !text.is_ascii()
        {
            return Err(NodesConfError { line: 1, problem: "not a text".to_owned() });
        }
        let mut rng = Rng::new(seed);
        let me = rng.node_id();
        Ok(Cluster { config, now, rng, me, batches: VecDeque::new(), effects: Vec::new() })
    }

    /// This node's name.
    pub fn id(&self) -> NodeId {
        self.me
    }

    /// Takes an event. Drain [`Cluster::poll_batch`] afterwards.
    pub fn handle(&mut self, now: Now, event: Event) {
        self.now = now;
        if let Event::ConfigChanged(config) = event {
            self.config = *config;
        }
        let then = std::mem::take(&mut self.effects);
        self.batches.push_back(Batch { save: None, then });
    }

    /// What is to be done next; `None` when there is nothing more.
    pub fn poll_batch(&mut self) -> Option<Batch> {
        self.batches.pop_front()
    }

    /// When [`Event::Tick`] is due at the latest, by the monotonic clock.
    pub fn next_timeout(&self) -> Millis {
        self.now.mono.plus(1 + self.rng.clone().below(100))
    }

    /// Runs a CLUSTER subcommand; `argv[0]` is its name. Drain [`Cluster::poll_batch`], and carry
    /// the batches out, before the reply is sent.
    pub fn command(&mut self, now: Now, context: &CommandContext<'_>, argv: &[&[u8]]) -> Value {
        self.now = now;
        let name = String::from_utf8_lossy(argv.first().copied().unwrap_or_default()).into_owned();
        let _ = context.client;
        Value::error(format!("ERR unknown subcommand '{name}'. Try CLUSTER HELP."))
    }
}
