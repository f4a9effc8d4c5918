//! The nodes of a cluster, and the slots that each serves.

use std::net::{SocketAddr, ToSocketAddrs};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use tessera_cli::client::{Client, Reply};
use tessera_slot::{Slot, SlotSet};

/// How long a question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// A server to send load to.
#[derive(Clone, Debug)]
pub struct Node {
    /// The address that it listens on.
    pub address: SocketAddr,
    /// The slots that it serves; `None`: all of them.
    pub slots: Option<SlotSet>,
}

/// The node at this address, outside of any cluster.
pub fn single(address: &str) -> Result<Node> {
    Ok(Node { address: resolve(address)?, slots: None })
}

/// The primaries of the cluster that the node at this address belongs to (CLUSTER SLOTS).
pub fn cluster(address: &str) -> Result<Vec<Node>> {
    let asked = resolve(address)?;
    let reply = Client::connect(asked, TIMEOUT)?.command(&["CLUSTER", "SLOTS"])?;
    let mut nodes: Vec<Node> = Vec::new();
    for range in reply.array().context("CLUSTER SLOTS answers no list")? {
        let (first, last, address) = range_of(range, asked)?;
        let at = match nodes.iter().position(|node| node.address == address) {
            Some(at) => at,
            None => {
                nodes.push(Node { address, slots: Some(SlotSet::default()) });
                nodes.len() - 1
            }
        };
        if let Some(slots) = &mut nodes[at].slots {
            (first..=last).filter_map(Slot::new).for_each(|slot| {
                slots.insert(slot);
            });
        }
    }
    if nodes.is_empty() {
        bail!("the cluster at {address} serves no slots");
    }
    if let [only] = nodes.as_mut_slice()
        && only.slots.as_ref().is_some_and(|slots| slots.len() == tessera_slot::SLOT_COUNT)
    {
        // One node with everything: no need to look at keys.
        only.slots = None;
    }
    Ok(nodes)
}

/// First slot, last slot and the primary's address of an element of CLUSTER SLOTS.
fn range_of(range: &Reply, asked: SocketAddr) -> Result<(u16, u16, SocketAddr)> {
    let malformed = || anyhow::anyhow!("CLUSTER SLOTS answers {range:?}");
    let [first, last, primary, ..] = range.array().ok_or_else(malformed)? else {
        bail!(malformed())
    };
    let [host, port, ..] = primary.array().ok_or_else(malformed)? else { bail!(malformed()) };
    let slot = |reply: &Reply| reply.integer().and_then(|number| u16::try_from(number).ok());
    let port = slot(port).ok_or_else(malformed)?;
    // A node that does not know its own address says nothing: it is the one asked.
    let host =
        host.text().filter(|host| !host.is_empty()).unwrap_or_else(|| asked.ip().to_string());
    let address = (host.as_str(), port).to_socket_addrs()?.next().ok_or_else(malformed)?;
    Ok((slot(first).ok_or_else(malformed)?, slot(last).ok_or_else(malformed)?, address))
}

fn resolve(address: &str) -> Result<SocketAddr> {
    address
        .to_socket_addrs()
        .with_context(|| format!("'{address}' is no address; say host:port"))?
        .next()
        .with_context(|| format!("'{address}' has no address"))
}
