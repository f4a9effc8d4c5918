//! Strangers who reach the ports of a live cluster: floods of introductions, and requests and bus
//! packets that are nearly right. A client that behaves has each of its answers within a second,
//! every one of them right, and nobody is replaced.
//!
//! `TESSERA_HOSTILE_SECONDS` says how long each attack lasts; five seconds without it.

mod common;

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use common::cluster::{Cluster, seen_by, tag_in};
use common::wire::{Wire, command};
use tessera_cli::up::view::Shard;
use tessera_cluster::bus::{
    Body, Extension, Gossip, Header, MessageFlags, NodeFlags, Packet, PingKind, Publish, encode,
};
use tessera_fuzz::Vary;
use tessera_slot::{Epoch, NodeId, Offset, Slot, SlotSet};

/// The longest wait of a well-behaved client for an answer.
const LIMIT: Duration = Duration::from_secs(1);
/// Introductions a second in a flood.
const FLOOD: u32 = 5000;
/// Descriptors that strangers may take of a node: their links, and those that it opens to them.
const DESCRIPTORS: usize = 300;
/// Bytes of log that an attack may cause in a second, on one node.
const LOG_BYTES: u64 = 8 << 10;

fn duration() -> Duration {
    let seconds = std::env::var("TESSERA_HOSTILE_SECONDS").ok();
    Duration::from_secs(seconds.map_or(5, |text| text.parse().expect("a number of seconds")))
}

/// Numbers from a seed (SplitMix64).
struct Random(u64);

impl Random {
    fn number(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    fn below(&mut self, end: usize) -> usize {
        (self.number() % end as u64) as usize
    }

    fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.number() as u8).collect()
    }
}

/// A seed that a failure shows.
fn seed() -> u64 {
    let seed = std::env::var("TESSERA_HOSTILE_SEED").ok().and_then(|text| text.parse().ok());
    let clock = || SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |age| age.as_nanos());
    let seed = seed.unwrap_or_else(|| clock() as u64);
    println!("TESSERA_HOSTILE_SEED={seed}");
    seed
}

/// A node that is not there.
fn stranger(random: &mut Random, bus_port: u16) -> Header {
    let name: [u8; 20] = random.bytes(20).try_into().expect("twenty");
    let [_, a, b, c] = (random.number() as u32).to_be_bytes();
    Header {
        sender: NodeId(name),
        current_epoch: Epoch(random.number() % 10),
        config_epoch: Epoch(random.number() % 10),
        offset: Offset(1),
        slots: (0..100).map(Slot::from_low_bits).collect::<SlotSet>(),
        primary: None,
        // Its address leads to this machine too.
        ip: Some(IpAddr::V4(Ipv4Addr::new(127, a, b, c.max(2)))),
        port: bus_port.wrapping_sub(10_000),
        secondary_port: 0,
        bus_port,
        flags: NodeFlags::PRIMARY,
        cluster_ok: true,
        message_flags: MessageFlags::EXT_DATA,
    }
}

fn ping(kind: PingKind, gossip: Vec<Gossip>) -> Body {
    Body::Ping { kind, gossip, extensions: vec![Extension::Hostname("h".to_owned())] }
}

fn gossip(random: &mut Random, count: usize) -> Vec<Gossip> {
    let entry = |random: &mut Random| {
        let header = stranger(random, 1);
        Gossip {
            node: header.sender,
            ping_sent: 0,
            pong_received: 0,
            ip: header.ip,
            port: header.port,
            bus_port: header.bus_port,
            flags: header.flags,
            secondary_port: 0,
        }
    };
    (0..count).map(|_| entry(random)).collect()
}

fn packet(header: Header, body: Body) -> Vec<u8> {
    encode(&Packet::Full(Box::new(header), body))
}

/// Reads away what has come, so that the other side can go on. False once it has closed the
/// connection.
fn drain(socket: &mut TcpStream) -> bool {
    let mut buffer = [0; 64 << 10];
    loop {
        match socket.read(&mut buffer) {
            Ok(0) => return false,
            Ok(_) => {}
            Err(error) => return error.kind() == std::io::ErrorKind::WouldBlock,
        }
    }
}

/// Sends all of it unless the other side closes the connection, or takes nothing for a tenth of a
/// second.
fn send_all(socket: &mut TcpStream, mut bytes: &[u8]) -> bool {
    let deadline = Instant::now() + Duration::from_millis(100);
    while !bytes.is_empty() && Instant::now() < deadline {
        match socket.write(bytes) {
            Ok(count) => bytes = &bytes[count..],
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {
                if !drain(socket) {
                    return false;
                }
                std::thread::sleep(Duration::from_millis(1));
            }
            Err(_) => return false,
        }
    }
    bytes.is_empty() && drain(socket)
}

fn connect(port: u16) -> Option<TcpStream> {
    let socket = TcpStream::connect(("127.0.0.1", port)).ok()?;
    socket.set_nonblocking(true).ok()?;
    Some(socket)
}

/// Sends introductions of nodes that are not there to a bus port, over a few links and new ones.
fn flood(bus_port: u16, silent_port: u16, seed: u64, is_over: &AtomicBool, sent: &AtomicU64) {
    let mut random = Random(seed);
    let mut links: Vec<TcpStream> = Vec::new();
    let mut next = Instant::now();
    while !is_over.load(Relaxed) {
        if links.len() < 50 {
            links.extend(connect(bus_port));
        }
        let header = stranger(&mut random, silent_port);
        let count = if random.below(200) == 0 { 1600 } else { 0 };
        let body = ping(PingKind::Meet, gossip(&mut random, count));
        if !links.is_empty() {
            let at = random.below(links.len());
            if !send_all(&mut links[at], &packet(header, body)) {
                links.swap_remove(at);
            }
        }
        sent.fetch_add(1, Relaxed);
        next += Duration::from_secs(1) / FLOOD;
        std::thread::sleep(next.saturating_duration_since(Instant::now()));
    }
}

/// Valid requests, which harm nobody.
fn requests() -> Vec<Vec<u8>> {
    let lines = [
        "PING",
        "HELLO 3",
        "HELLO 2 SETNAME x",
        "SET h:1 value",
        "SET h:2 value EX 100 NX GET",
        "GET h:1",
        "APPEND h:1 more",
        "INCRBY h:3 5",
        "MSET {h}1 a {h}2 b",
        "MGET {h}1 {h}2",
        "LPUSH h:l a b c",
        "LRANGE h:l 0 -1",
        "BLPOP h:none 0.01",
        "HSET h:h f v g w",
        "HGETALL h:h",
        "SADD h:s a b c",
        "SMEMBERS h:s",
        "ZADD h:z 1 a 2 b",
        "ZRANGE h:z 0 -1 WITHSCORES",
        "XADD h:x MAXLEN 10 * f v",
        "XRANGE h:x - +",
        "GEOADD h:g 13.4 52.5 here",
        "PFADD h:p a b",
        "MULTI",
        "EXEC",
        "DISCARD",
        "WATCH h:1",
        "SCAN 0 COUNT 10",
        "OBJECT ENCODING h:1",
        "CLUSTER NODES",
        "CLUSTER SLOTS",
        "CLUSTER INFO",
        "CLUSTER KEYSLOT h:1",
        "COMMAND COUNT",
        "CLIENT LIST",
        "CLIENT REPLY SKIP",
        "INFO server",
        "READONLY",
        "ASKING",
        "WAIT 0 1",
    ];
    let arrays = lines.iter().map(|line| command(&line.split(' ').collect::<Vec<_>>()));
    let inline = lines.iter().map(|line| format!("{line}\r\n").into_bytes());
    arrays.chain(inline).collect()
}

/// Valid packets of a node that is not there.
fn packets(random: &mut Random) -> Vec<Vec<u8>> {
    let header = stranger(random, 1);
    let some = gossip(random, 3);
    let publish = Publish { sharded: false, channel: b"ch".to_vec(), message: b"msg".to_vec() };
    let node = some[0].node;
    let slots = Box::new(header.slots.clone());
    let bodies = [
        ping(PingKind::Meet, some.clone()),
        ping(PingKind::Ping, some.clone()),
        ping(PingKind::Pong, some),
        Body::Fail(node),
        Body::Publish(publish),
        Body::AuthRequest,
        Body::AuthAck,
        Body::Update { node, config_epoch: Epoch(9), slots },
        Body::MfStart,
        Body::Module,
        Body::Unknown(77),
    ];
    bodies.into_iter().map(|body| packet(header.clone(), body)).collect()
}

/// Sends what is nearly right to a port, over several connections, a few pieces at a time.
fn pester(port: u16, is_bus: bool, seed: u64, is_over: &AtomicBool, sent: &AtomicU64) {
    let mut random = Random(seed);
    let requests = requests();
    let mut links: Vec<TcpStream> = Vec::new();
    while !is_over.load(Relaxed) {
        if links.len() < 8 {
            links.extend(connect(port));
        }
        let valid = if is_bus { packets(&mut random) } else { requests.clone() };
        let mut bytes = Vec::new();
        for _ in 0..=random.below(8) {
            let length = 8 + random.below(64);
            let instructions = random.bytes(length);
            bytes.extend(Vary::new(&instructions).input(&valid));
        }
        if let Some(at) = (!links.is_empty()).then(|| random.below(links.len()))
            && (!send_all(&mut links[at], &bytes) || random.below(50) == 0)
        {
            links.swap_remove(at);
        }
        sent.fetch_add(1, Relaxed);
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// A client that behaves, on each primary: it checks every answer, and how long it has waited for
/// it.
fn behave(shards: &[Shard], is_over: &AtomicBool) -> (u64, Duration) {
    let connect = |shard: &Shard| Wire::connect(shard.primary).expect("the node serves");
    let mut wires: Vec<Wire> = shards.iter().map(connect).collect();
    let tags: Vec<String> = shards.iter().map(|shard| tag_in(&shard.ranges)).collect();
    let (mut count, mut longest) = (0u64, Duration::ZERO);
    while !is_over.load(Relaxed) {
        for (wire, tag) in wires.iter_mut().zip(&tags) {
            let key = format!("good:{{{tag}}}:{}", count % 100);
            let value = format!("value {count}");
            let slots = ["CLUSTER", "INFO"];
            for (args, expected) in [
                (vec!["SET", &key, &value], Some("OK")),
                (vec!["GET", &key], Some(value.as_str())),
                (slots.to_vec(), None),
            ] {
                let asked = Instant::now();
                let answer = wire.ask(&args).text();
                longest = longest.max(asked.elapsed());
                match expected {
                    Some(expected) => assert_eq!(answer, expected, "{args:?}"),
                    None => assert!(answer.starts_with("cluster_state:ok"), "{answer}"),
                }
            }
            count += 1;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    (count, longest)
}

/// The number of descriptors that a node has open, and the length of its log.
fn taken(cluster: &mut Cluster, port: u16) -> (usize, u64) {
    let pid = cluster.nodes.pid(port).expect("it is ours").expect("it lives");
    let files = std::fs::read_dir(format!("/proc/{pid}/fd")).expect("it lives").count();
    let log = std::fs::metadata(cluster.log(port)).expect("it logs").len();
    (files, log)
}

/// The epoch, and who serves what.
fn state(cluster: &mut Cluster) -> (String, Vec<Shard>) {
    let port = cluster.ports()[0];
    let info = Wire::connect(port).expect("it serves").say("CLUSTER INFO").text();
    (common::wire::field_of(&info, "cluster_current_epoch"), cluster.shards())
}

/// Attacks every node for a while; `attack` gets its port and a number.
fn under(attack: impl Fn(u16, u64, &AtomicBool, &AtomicU64) + Sync) {
    let mut cluster = Cluster::start(&["cluster-node-timeout 2000"]);
    cluster.await_ok();
    let (ports, before) = (cluster.ports(), state(&mut cluster));
    let open: Vec<_> = ports.iter().map(|port| taken(&mut cluster, *port)).collect();
    let (is_over, sent) = (AtomicBool::new(false), AtomicU64::new(0));
    let mut most = 0;
    let (answers, longest) = std::thread::scope(|scope| {
        let client = scope.spawn(|| behave(&before.1, &is_over));
        for (number, port) in ports.iter().enumerate() {
            let (is_over, sent, attack) = (&is_over, &sent, &attack);
            scope.spawn(move || attack(*port, number as u64, is_over, sent));
        }
        let end = Instant::now() + duration();
        while Instant::now() < end && !client.is_finished() {
            std::thread::sleep(Duration::from_millis(200));
            for (port, (files, _)) in ports.iter().zip(&open) {
                most = most.max(taken(&mut cluster, *port).0.saturating_sub(*files));
            }
        }
        is_over.store(true, Relaxed);
        client.join().expect("each answer is right")
    });
    println!(
        "{} sent, {answers} rounds of a client that behaves, longest wait {longest:?}, \
         {most} descriptors taken at most",
        sent.load(Relaxed)
    );
    assert!(longest < LIMIT, "a client has waited for {longest:?}");
    assert!(most < DESCRIPTORS, "{most} descriptors are taken");
    for (port, (_, log)) in ports.iter().zip(&open) {
        let lines = taken(&mut cluster, *port).1 - log;
        let allowed = LOG_BYTES * (duration().as_secs() + 5);
        assert!(lines < allowed, "{port} has logged {lines} bytes");
        let seen = seen_by(*port).expect("it answers");
        let known = seen.iter().filter(|node| !node.handshake).count();
        assert_eq!(known, 6, "{seen:?}");
    }
    assert_eq!(state(&mut cluster), before, "somebody was replaced");
}

#[test]
fn a_flood_of_introductions_replaces_nobody_and_delays_nobody() {
    // The invented node is at a port that accepts and never answers.
    let any = SocketAddr::from(([0, 0, 0, 0], 0));
    let silent = TcpListener::bind(any).expect("a port");
    let silent_port = silent.local_addr().expect("it is bound").port();
    let seed = seed();
    under(|port, number, is_over, sent| {
        flood(port + 10_000, silent_port, seed ^ number, is_over, sent);
    });
}

#[test]
fn packets_that_are_nearly_right_disturb_nobody() {
    let seed = seed();
    under(|port, number, is_over, sent| {
        pester(port + 10_000, true, seed ^ number, is_over, sent);
    });
}

#[test]
fn requests_that_are_nearly_right_disturb_nobody() {
    let seed = seed();
    under(|port, number, is_over, sent| {
        pester(port, false, seed ^ number, is_over, sent);
    });
}
