//! What the subcommands share: the client and its data, arguments, answers.

use crate::core::Cluster;
use tessera_resp::Value;
use tessera_slot::{NodeId, Slot};

/// The questions that CLUSTER subcommands ask about the data.
pub trait Keyspace {
    /// The number of keys in a slot.
    fn keys_in_slot(&self, slot: Slot) -> usize;
    /// Whether there is no key at all.
    fn is_empty(&self) -> bool;
}

/// The client that sends a CLUSTER subcommand.
#[derive(Clone, Copy)]
pub struct CommandContext<'a> {
    /// This node's data.
    pub keyspace: &'a dyn Keyspace,
    /// Whether the client is connected over TLS: it is then told TLS ports.
    pub client_tls: bool,
    /// The client as the log should name it.
    pub client: &'a str,
}

/// An answer, or the text of an error with its code word.
pub(super) type Answer = Result<Value, String>;

/// The node that an argument names.
pub(super) fn node_named(cluster: &Cluster, name: &[u8]) -> Option<NodeId> {
    let id = NodeId::from_hex(name).ok()?;
    cluster.nodes.get(id).map(|node| node.id)
}

pub(super) fn arity(name: &str) -> String {
    format!("ERR wrong number of arguments for 'cluster|{name}' command")
}

/// An argument in an error text: at most 128 bytes, one line.
pub(super) fn printable(argument: &[u8]) -> String {
    let cut = &argument[..argument.len().min(128)];
    String::from_utf8_lossy(cut).replace(['\r', '\n'], " ")
}

pub(super) fn integer(argument: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(argument).ok()?;
    let number: i64 = text.parse().ok()?;
    // As strict as Redis: no sign, blank or zero in front.
    (number.to_string() == text).then_some(number)
}

pub(super) fn slot(argument: &[u8]) -> Result<Slot, String> {
    let number = integer(argument).and_then(|number| u16::try_from(number).ok());
    number.and_then(Slot::new).ok_or_else(|| "ERR Invalid or out of range slot".to_owned())
}

pub(super) fn ok() -> Answer {
    Ok(Value::ok())
}

pub(super) fn unknown_node(name: &[u8]) -> String {
    format!("ERR Unknown node {}", printable(name))
}
