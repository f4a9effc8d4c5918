//! A node under test, and packets of peers that do not exist.
#![allow(dead_code, unreachable_pub, reason = "each test file uses a part of it")]

use std::net::SocketAddr;
use tessera_cluster::bus::{self, Body, Header, MessageFlags, NodeFlags, Packet};
use tessera_cluster::{
    Batch, Cluster, ClusterConfig, CommandContext, Effect, Event, Keyspace, LinkId, Now,
};
use tessera_resp::Value;
use tessera_slot::{Epoch, Millis, NodeId, Offset, Slot, SlotSet};

pub const UNIX: u64 = 1_700_000_000_000;
pub const START: u64 = 50_000;

pub fn at(mono: u64) -> Now {
    Now { mono: Millis(mono), unix: Millis(UNIX + mono) }
}

pub fn id(byte: u8) -> NodeId {
    NodeId([byte; 20])
}

pub fn config() -> ClusterConfig {
    ClusterConfig { port: 7000, node_timeout: 2000, ..ClusterConfig::default() }
}

/// Three primaries `01…`, `02…`, `03…` with config epochs 1 to 3, and a replica `04…` of `01…`.
pub fn three_shards(me: u8) -> String {
    let mut text = String::new();
    for (byte, slots) in [(1, " 0-5460"), (2, " 5461-10922"), (3, " 10923-16383"), (4, "")] {
        let myself = if byte == me { "myself," } else { "" };
        let (role, primary) = match byte {
            4 => ("slave", id(1).to_string()),
            _ => ("master", "-".to_owned()),
        };
        let port = 7000 + u16::from(byte);
        let shard = id(if byte == 4 { 0xA1 } else { 0xA0 + byte });
        text += &format!(
            "{} 127.0.0.1:{port}@{},,tls-port=0,shard-id={shard} {myself}{role} {primary} 0 0 {byte} connected{slots}\n",
            id(byte),
            port + 10_000,
        );
    }
    text + "vars currentEpoch 4 lastVoteEpoch 0\n"
}

pub struct Keys(pub usize);

impl Keyspace for Keys {
    fn keys_in_slot(&self, _: Slot) -> usize {
        self.0
    }
    fn is_empty(&self) -> bool {
        self.0 == 0
    }
}

pub struct Node {
    pub cluster: Cluster,
    pub now: u64,
    pub keys: usize,
    accepted: u64,
}

impl Node {
    pub fn from_conf(text: &str) -> Node {
        let cluster = Cluster::new(config(), Some(text), at(START), 1).expect("a sound file");
        let mut node = Node { cluster, now: START, keys: 0, accepted: 0 };
        node.batches();
        node
    }

    pub fn fresh() -> Node {
        let cluster = Cluster::new(config(), None, at(START), 1).expect("no file, no error");
        let mut node = Node { cluster, now: START, keys: 0, accepted: 0 };
        node.batches();
        node
    }

    pub fn batches(&mut self) -> Vec<Batch> {
        std::iter::from_fn(|| self.cluster.poll_batch()).collect()
    }

    pub fn effects(&mut self) -> Vec<Effect> {
        self.batches().into_iter().flat_map(|batch| batch.then).collect()
    }

    pub fn handle(&mut self, event: Event) {
        self.cluster.handle(at(self.now), event);
    }

    pub fn pass(&mut self, millis: u64) {
        for _ in 0..millis / 100 {
            self.now += 100;
            self.handle(Event::Tick);
        }
    }

    pub fn command(&mut self, line: &str) -> Value {
        let argv: Vec<&[u8]> = line.split(' ').map(str::as_bytes).collect();
        let keys = Keys(self.keys);
        let context = CommandContext { keyspace: &keys, client_tls: false, client: "test" };
        self.cluster.command(at(self.now), &context, &argv)
    }

    pub fn error(&mut self, line: &str) -> String {
        match self.command(line) {
            Value::Error(text) => text,
            other => panic!("{line}: {other:?} where an error was expected"),
        }
    }

    pub fn accept(&mut self) -> LinkId {
        let link = LinkId::Accepted(self.accepted);
        self.accepted += 1;
        let peer: SocketAddr = "127.0.0.1:50000".parse().expect("an address");
        let local: SocketAddr = "127.0.0.1:17000".parse().expect("an address");
        self.handle(Event::LinkAccepted { link, peer, local });
        link
    }

    pub fn receive(&mut self, link: LinkId, header: Header, body: Body) {
        let bytes = bus::encode(&Packet::Full(Box::new(header), body));
        self.handle(Event::Packet { link, bytes });
    }

    /// Lets every link that the node asks for come up; gives the links.
    pub fn connect_all(&mut self) -> Vec<(LinkId, SocketAddr)> {
        self.pass(100);
        let opened = self.effects().into_iter().filter_map(|effect| match effect {
            Effect::OpenLink { link, addr } => Some((link, addr)),
            _ => None,
        });
        let opened: Vec<_> = opened.collect();
        for (link, _) in &opened {
            let local = "127.0.0.1:40000".parse().expect("an address");
            self.handle(Event::LinkConnected { link: *link, local });
        }
        opened
    }
}

/// A header as node `byte` of [`three_shards`] sends it.
pub fn header(byte: u8) -> Header {
    let (start, end) = match byte {
        1 | 4 => (0, 5460),
        2 => (5461, 10922),
        _ => (10923, 16383),
    };
    let replica = byte == 4;
    let port = 7000 + u16::from(byte);
    Header {
        sender: id(byte),
        current_epoch: Epoch(4),
        config_epoch: Epoch(if replica { 1 } else { u64::from(byte) }),
        offset: Offset(100),
        slots: (start..=end).map(Slot::from_low_bits).collect::<SlotSet>(),
        primary: replica.then(|| id(1)),
        ip: None,
        port,
        secondary_port: 0,
        bus_port: port + 10_000,
        flags: if replica { NodeFlags::REPLICA } else { NodeFlags::PRIMARY },
        cluster_ok: true,
        message_flags: MessageFlags::default(),
    }
}

/// The packets that a list of effects sends.
pub fn sent(effects: &[Effect]) -> Vec<(LinkId, Packet)> {
    let packets = effects.iter().filter_map(|effect| match effect {
        Effect::Send { link, bytes } => {
            Some((*link, bus::decode(bytes).expect("the core sends sound packets")))
        }
        _ => None,
    });
    packets.collect()
}
