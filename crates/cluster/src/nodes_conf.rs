//! nodes.conf: one line for each node as in CLUSTER NODES, then one of variables. The format is
//! that of Redis 7 and Valkey 8, so that a node can be replaced by another kind in place.

use crate::ClusterConfig;
use crate::Now;
use crate::describe::{Reader, Register};
use crate::epochs::Epochs;
use crate::node::{FLAG_NAMES, Health, Node, Role, ShardId};
use crate::nodes::Nodes;
use crate::open_slots::OpenSlots;
use crate::rng::Rng;
use crate::slot_sets::{common, union};
use std::collections::{BTreeMap, BTreeSet};
use tessera_slot::{Epoch, Millis, NodeId, Slot, SlotRange, SlotSet};

/// nodes.conf cannot be read.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
#[error("nodes.conf, line {line}: {problem}")]
pub struct NodesConfError {
    /// The line, counted from 1.
    pub line: usize,
    /// The problem.
    pub problem: String,
}

/// The state that a node begins with.
pub(crate) struct Loaded {
    pub(crate) nodes: Nodes,
    pub(crate) epochs: Epochs,
    pub(crate) open: OpenSlots,
    pub(crate) fresh: bool,
}

impl Loaded {
    /// The state of a new node, with a random name.
    pub(crate) fn fresh(rng: &mut Rng, now: Millis) -> Loaded {
        let mut me = Node::new(rng.node_id(), ShardId(rng.node_id()), now);
        me.role = Role::Primary;
        me.extensions = true;
        let (epochs, open) = (Epochs::new(now, Epoch(0), Epoch(0)), OpenSlots::default());
        Loaded { nodes: Nodes::new(me), epochs, open, fresh: true }
    }
}

/// The content of nodes.conf for the present state. Handshakes are left out.
pub(crate) fn write(register: Register<'_>, epochs: &Epochs) -> String {
    let mut text = String::new();
    for node in register.nodes.iter().filter(|node| !node.in_handshake()) {
        text.push_str(&register.line(node, Reader::File));
        text.push('\n');
    }
    let (current, last_vote) = (epochs.current(), epochs.last_vote());
    text.push_str(&format!("vars currentEpoch {current} lastVoteEpoch {last_vote}\n"));
    text
}

type Problem = String;

/// Reads line by line; what depends on other lines is resolved at the end.
struct Parser<'a> {
    config: &'a ClusterConfig,
    now: Now,
    rng: &'a mut Rng,
    nodes: BTreeMap<NodeId, Node>,
    with_shard: BTreeSet<NodeId>,
    me: Option<NodeId>,
    current_epoch: Epoch,
    last_vote: Epoch,
    has_vars: bool,
    open: OpenSlots,
}

/// Reads the content of nodes.conf.
pub(crate) fn parse(
    text: &str,
    config: &ClusterConfig,
    now: Now,
    rng: &mut Rng,
) -> Result<Loaded, NodesConfError> {
    let mut parser = Parser {
        config,
        now,
        rng,
        nodes: BTreeMap::new(),
        with_shard: BTreeSet::new(),
        me: None,
        current_epoch: Epoch(0),
        last_vote: Epoch(0),
        has_vars: false,
        open: OpenSlots::default(),
    };
    let mut last = 0;
    for (index, line) in text.lines().enumerate() {
        last = index + 1;
        // The writers of other servers cut the file after they have written it, and may leave zero
        // bytes behind: for them a line ends there.
        let line = line.split('\0').next().unwrap_or_default();
        parser.line(line).map_err(|problem| NodesConfError { line: last, problem })?;
    }
    parser.finish().map_err(|problem| NodesConfError { line: last, problem })
}

impl Parser<'_> {
    fn line(&mut self, line: &str) -> Result<(), Problem> {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        match fields.as_slice() {
            [] => Ok(()),
            [vars, pairs @ ..] if vars.eq_ignore_ascii_case("vars") => self.vars(pairs),
            [id, address, flags, primary, ping, pong, epoch, _link, slots @ ..] => {
                let id = self.node(id)?;
                self.address(id, address)?;
                self.flags(id, flags)?;
                self.primary(id, primary)?;
                self.times(id, ping, pong)?;
                let epoch = self::epoch(epoch, "config epoch")?;
                self.edit(id, |node| node.config_epoch = epoch);
                slots.iter().try_for_each(|slot| self.slots(id, slot))
            }
            _ => Err(format!("{} fields where at least 8 are expected", fields.len())),
        }
    }

    fn vars(&mut self, pairs: &[&str]) -> Result<(), Problem> {
        self.has_vars = true;
        for pair in pairs.chunks(2) {
            let [name, value] = pair else { return Err("a variable without a value".to_owned()) };
            match name.to_ascii_lowercase().as_str() {
                "currentepoch" => self.current_epoch = epoch(value, "current epoch")?,
                "lastvoteepoch" => self.last_vote = epoch(value, "vote's epoch")?,
                _ => {}
            }
        }
        Ok(())
    }

    /// The node with this name, made if this is its first mention.
    fn node(&mut self, name: &str) -> Result<NodeId, Problem> {
        let id: NodeId = name.parse().map_err(|_| format!("'{name}' is not a node name"))?;
        let (now, rng) = (self.now.mono, &mut *self.rng);
        self.nodes.entry(id).or_insert_with(|| Node::new(id, ShardId(rng.node_id()), now));
        Ok(id)
    }

    fn edit(&mut self, id: NodeId, change: impl FnOnce(&mut Node)) {
        if let Some(node) = self.nodes.get_mut(&id) {
            change(node);
        }
    }

    /// `ip:port@bus-port[,hostname[,name=value…]]`
    fn address(&mut self, id: NodeId, field: &str) -> Result<(), Problem> {
        let mut parts = field.split(',');
        let endpoint = parts.next().unwrap_or_default();
        let (ip, ports) =
            endpoint.rsplit_once(':').ok_or_else(|| format!("no port in '{endpoint}'"))?;
        let (port, bus_port) = match ports.split_once('@') {
            Some((port, bus_port)) => (number(port, "port")?, Some(number(bus_port, "bus port")?)),
            None => (number::<u16>(ports, "port")?, None),
        };
        let default_bus = port.checked_add(ClusterConfig::BUS_PORT_OFFSET).unwrap_or(0);
        let base_is_tls = self.config.base_port_is_tls();
        let hostname = parts.next().unwrap_or_default().to_owned();
        let ip = ip.parse().ok();
        self.edit(id, |node| {
            node.address.ip = ip;
            node.address.bus_port = bus_port.unwrap_or(default_bus);
            node.hostname = hostname;
        });
        let (mut tcp_given, mut tls_given) = (false, false);
        for part in parts {
            let (name, value) =
                part.split_once('=').ok_or_else(|| format!("'{part}' is not name=value"))?;
            tcp_given |= name == "tcp-port";
            tls_given |= name == "tls-port";
            self.auxiliary(id, name, value)?;
        }
        // The port in front is the base port, unless an auxiliary field gives that one.
        self.edit(id, |node| match (tcp_given, tls_given) {
            (false, false) if base_is_tls => node.address.tls_port = port,
            (false, _) => node.address.port = port,
            (true, false) => node.address.tls_port = port,
            (true, true) => {}
        });
        Ok(())
    }

    fn auxiliary(&mut self, id: NodeId, name: &str, value: &str) -> Result<(), Problem> {
        match name {
            "shard-id" => {
                let shard = value.parse().map_err(|_| format!("'{value}' is not a shard id"))?;
                self.with_shard.insert(id);
                self.edit(id, |node| node.shard = ShardId(shard));
            }
            "nodename" => self.edit(id, |node| node.human_name = value.to_owned()),
            "tcp-port" => {
                let port = number(value, "tcp-port")?;
                self.edit(id, |node| node.address.port = port);
            }
            "tls-port" => {
                let port = number(value, "tls-port")?;
                self.edit(id, |node| node.address.tls_port = port);
            }
            // Written by other versions; nothing here depends on them.
            _ => {}
        }
        Ok(())
    }

    fn flags(&mut self, id: NodeId, field: &str) -> Result<(), Problem> {
        let now = self.now.mono;
        for flag in field.to_ascii_lowercase().split(',') {
            match flag {
                "myself" if self.me.is_some_and(|me| me != id) => {
                    return Err("a second node is flagged as myself".to_owned());
                }
                "myself" => self.me = Some(id),
                "master" | "primary" => self.edit(id, |node| node.role = Role::Primary),
                "slave" | "replica" => {
                    self.edit(id, |node| node.role = Role::Replica { of: None });
                }
                "fail" => self.edit(id, |node| {
                    node.health = Health::Failed { since: now, gone: false };
                }),
                "nofailover" => self.edit(id, |node| node.no_failover = true),
                "noflags" => {}
                known if FLAG_NAMES.iter().any(|(_, name)| *name == known) => {}
                unknown => return Err(format!("unknown flag '{unknown}'")),
            }
        }
        Ok(())
    }

    fn primary(&mut self, id: NodeId, field: &str) -> Result<(), Problem> {
        if field == "-" {
            return Ok(());
        }
        let primary = self.node(field)?;
        if primary == id {
            return Err("a node replicates itself".to_owned());
        }
        self.edit(id, |node| node.role = Role::Replica { of: Some(primary) });
        self.edit(primary, |node| node.had_replicas = true);
        Ok(())
    }

    fn times(&mut self, id: NodeId, ping: &str, pong: &str) -> Result<(), Problem> {
        let waiting = number::<i64>(ping, "ping time")? != 0;
        let _: i64 = number(pong, "pong time")?;
        let now = self.now.mono;
        self.edit(id, |node| node.ping_sent = waiting.then_some(now));
        Ok(())
    }

    /// `7`, `0-5460`, `[93->-id]` or `[93-<-id]`.
    fn slots(&mut self, id: NodeId, field: &str) -> Result<(), Problem> {
        if let Some(open) = field.strip_prefix('[') {
            return self.open_slot(open.strip_suffix(']').unwrap_or(open));
        }
        let (start, end) = field.split_once('-').unwrap_or((field, field));
        let range = SlotRange { start: slot(start)?, end: slot(end)? };
        if range.start > range.end {
            return Err(format!("'{field}' ends before it begins"));
        }
        let listed: SlotSet = range.slots().collect();
        let other = self
            .nodes
            .values()
            .find(|node| node.id != id && !common(node.slots.set(), &listed).is_empty());
        if other.is_some() {
            return Err(format!("'{field}' belongs to two nodes"));
        }
        self.edit(id, |node| node.slots.replace(union(node.slots.set(), &listed)));
        Ok(())
    }

    fn open_slot(&mut self, field: &str) -> Result<(), Problem> {
        let parts = field.split_once("->-").map(|parts| (parts, true));
        let parts = parts.or_else(|| field.split_once("-<-").map(|parts| (parts, false)));
        let Some(((number, node), migrating)) = parts else {
            return Err(format!("'[{field}]' is not an open slot"));
        };
        let (slot, node) = (slot(number)?, self.node(node)?);
        if migrating {
            self.open.migrate(slot, node);
        } else {
            self.open.import(slot, node);
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Loaded, Problem> {
        let id = self.me.ok_or_else(|| "no node is flagged as myself".to_owned())?;
        if !self.has_vars {
            return Err("the line of variables is missing: the file was cut short, and with it the epoch of this node's \
                        last vote would be forgotten. Add 'vars currentEpoch N lastVoteEpoch N', where N is no lower than \
                        the cluster's current epoch, or remove the file to begin as a new node"
                .to_owned());
        }
        self.inherit_shards();
        for node in self.nodes.values_mut().filter(|node| node.is_replica()) {
            // A file saved in the middle of a failover may still list them.
            node.slots.replace(SlotSet::EMPTY);
            node.config_epoch = Epoch(0);
        }
        let mut me = self.nodes.remove(&id).ok_or_else(|| "no line for myself".to_owned())?;
        if me.role == Role::Unknown {
            me.role = Role::Primary;
        }
        me.health = Health::Ok;
        me.extensions = true;
        me.ping_sent = None;
        let mut nodes = Nodes::new(me);
        for node in self.nodes.into_values() {
            nodes.insert(node);
        }
        let current = self.current_epoch.max(nodes.max_epoch()).max(self.last_vote);
        let epochs = Epochs::new(self.now.mono, current, self.last_vote);
        Ok(Loaded { nodes, epochs, open: self.open, fresh: false })
    }

    /// A replica whose line names no shard is in its primary's.
    fn inherit_shards(&mut self) {
        let shards: BTreeMap<NodeId, ShardId> =
            self.nodes.iter().map(|(id, node)| (*id, node.shard)).collect();
        for node in self.nodes.values_mut() {
            let primary = node.primary().filter(|_| !self.with_shard.contains(&node.id));
            if let Some(shard) = primary.and_then(|primary| shards.get(&primary)) {
                node.shard = *shard;
            }
        }
    }
}

fn number<T: std::str::FromStr>(text: &str, what: &str) -> Result<T, Problem> {
    text.parse().map_err(|_| format!("'{text}' is not a {what}"))
}

fn epoch(text: &str, what: &str) -> Result<Epoch, Problem> {
    let epoch = Epoch(number(text, what)?);
    if epoch > Epoch::HIGHEST {
        return Err(format!("'{text}' is too high for a {what}"));
    }
    Ok(epoch)
}

fn slot(text: &str) -> Result<Slot, Problem> {
    let number = text.parse().ok().and_then(Slot::new);
    number.ok_or_else(|| format!("'{text}' is not a slot"))
}
