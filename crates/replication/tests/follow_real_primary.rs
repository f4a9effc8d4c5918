//! A [`ReplicaLink`] on a plain socket follows Debian's Redis 7.0 and, where VALKEY_SERVER names
//! one, Valkey: full resync, stream, acknowledgements, partial resync.

mod support;

use std::collections::{HashMap, VecDeque};
use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use support::peer::Peer;
use support::{info, parse_command, servers};
use tessera_log::{Log, ReplId};
use tessera_rdb::{Item, Limits, Reader, Value};
use tessera_replication::{LinkConfig, LinkEffect, LinkEvent, LinkPhase, ReplicaLink};
use tessera_slot::{Millis, Offset};

const PATIENCE: Duration = Duration::from_secs(20);

/// A replica of strings: a link, a socket, a history and a map.
struct Follower {
    link: ReplicaLink,
    primary: SocketAddr,
    socket: Option<TcpStream>,
    begun: Instant,
    log: Log,
    payload: Vec<u8>,
    unparsed: Vec<u8>,
    data: HashMap<Vec<u8>, Vec<u8>>,
    full_resyncs: usize,
    partial_resyncs: usize,
}

impl Follower {
    fn new(primary: SocketAddr) -> Follower {
        let config = LinkConfig {
            listening_port: 7001,
            announce_ip: Some("10.0.0.7".to_owned()),
            user: None,
            password: Some(b"secret".to_vec()),
            version: "8.1.0".to_owned(),
            timeout_ms: 10_000,
        };
        Follower {
            link: ReplicaLink::new(config, None, Millis(0)),
            primary,
            socket: None,
            begun: Instant::now(),
            log: Log::new(ReplId::from_random([0; 20]), 1 << 20),
            payload: Vec::new(),
            unparsed: Vec::new(),
            data: HashMap::new(),
            full_resyncs: 0,
            partial_resyncs: 0,
        }
    }

    fn now(&self) -> Millis {
        Millis(self.begun.elapsed().as_millis() as u64)
    }

    fn run_until(&mut self, what: &str, done: impl Fn(&Follower) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
            self.step();
        }
    }

    /// Reads once, waiting a little, or does what is due.
    fn step(&mut self) {
        self.handle(LinkEvent::Tick, &[]);
        let Some(socket) = &mut self.socket else {
            thread::sleep(Duration::from_millis(1));
            return;
        };
        let mut buffer = [0; 1000];
        match socket.read(&mut buffer) {
            Ok(0) => {
                self.disconnect();
            }
            Ok(count) => self.handle(LinkEvent::Received(&buffer[..count]), &buffer),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
    }

    fn handle(&mut self, event: LinkEvent<'_>, received: &[u8]) {
        let mut effects = Vec::new();
        self.link.handle(self.now(), event, &mut effects);
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            if let Some(event) = self.carry_out(effect, received) {
                let mut more = Vec::new();
                self.link.handle(self.now(), event, &mut more);
                effects.extend(more);
            }
        }
    }

    fn carry_out(&mut self, effect: LinkEffect, received: &[u8]) -> Option<LinkEvent<'static>> {
        match effect {
            LinkEffect::Connect => {
                let socket = TcpStream::connect(self.primary).unwrap();
                socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
                self.socket = Some(socket);
                return Some(LinkEvent::Connected);
            }
            LinkEffect::Send(bytes) => self.socket.as_mut().unwrap().write_all(&bytes).unwrap(),
            LinkEffect::BeginFullSync { id, offset, .. } => {
                self.full_resyncs += 1;
                self.payload.clear();
                self.log.adopt(id, offset, 0);
            }
            LinkEffect::Payload(range) => self.payload.extend_from_slice(&received[range]),
            LinkEffect::PayloadHeld(bytes) => self.payload.extend_from_slice(&bytes),
            LinkEffect::EndPayload => {
                self.data = load(&self.payload);
                return Some(LinkEvent::Loaded);
            }
            LinkEffect::Resume { id, renamed } => {
                self.partial_resyncs += 1;
                if renamed {
                    self.log.shift_replication_id(id);
                }
            }
            LinkEffect::Stream(range) => return Some(self.apply(&received[range])),
            LinkEffect::Close(fault) => panic!("the link failed: {fault}"),
        }
        None
    }

    fn apply(&mut self, bytes: &[u8]) -> LinkEvent<'static> {
        self.unparsed.extend_from_slice(bytes);
        let mut ack_requested = false;
        while let Some((args, len)) = parse_command(&self.unparsed) {
            let command: Vec<u8> = self.unparsed.drain(..len).collect();
            self.log.append_raw(0, &command);
            match args[0].to_ascii_uppercase().as_slice() {
                b"SET" => drop(self.data.insert(args[1].clone(), args[2].clone())),
                b"REPLCONF" => ack_requested = true,
                _ => {}
            }
        }
        let event = LinkEvent::Applied { offset: self.log.offset(), fsynced: None };
        if !ack_requested {
            return event;
        }
        self.link.handle(self.now(), event, &mut Vec::new());
        LinkEvent::AckRequested
    }

    fn disconnect(&mut self) {
        self.socket = None;
        // A command that was cut off is sent again.
        self.unparsed.clear();
        assert_eq!(self.link.position().unwrap().offset, self.log.offset());
        self.handle(LinkEvent::Closed, &[]);
    }
}

fn load(payload: &[u8]) -> HashMap<Vec<u8>, Vec<u8>> {
    let mut reader = Reader::new(payload, Limits::default()).unwrap();
    let mut data = HashMap::new();
    loop {
        match reader.next_item().unwrap() {
            Item::Entry(entry) => {
                let Value::String(text) = entry.value else { panic!("only strings were set") };
                data.insert(entry.key, text);
            }
            Item::End => break,
            _ => {}
        }
    }
    assert_eq!(reader.offset(), payload.len() as u64);
    data
}

fn text(number: usize) -> Vec<u8> {
    format!("value {number} ").repeat(number).into_bytes()
}

fn follow(program: &Path, diskless: &str) {
    let options = ["--repl-diskless-sync", diskless, "--repl-diskless-sync-delay", "0"];
    let mut primary = Peer::start(program, &options, |_| {});
    primary.command(&["CONFIG", "SET", "requirepass", "secret"]);
    for number in 0..300 {
        primary.command(&[&b"SET"[..], format!("key:{number}").as_bytes(), &text(number)]);
    }

    let mut follower = Follower::new(primary.address());
    let up =
        |follower: &Follower| follower.link.status(follower.now()).phase == LinkPhase::Connected;
    follower.run_until("the full resync", up);
    assert_eq!(follower.data.len(), 300);
    assert!((0..300).all(|n| follower.data[format!("key:{n}").as_bytes()] == text(n)));

    // WAIT asks for acknowledgements through the stream, and gets one.
    primary.command(&["SET", "late", "1"]);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| primary.command(&["WAIT", "1", "15000"]));
        follower.run_until("WAIT", |_| waiting.is_finished());
        assert_eq!(waiting.join().unwrap(), b"1");
    });
    assert_eq!(follower.data[&b"late"[..]], b"1");
    let shown = info(&mut primary, "slave0");
    assert!(shown.starts_with("ip=10.0.0.7,port=7001,state=online"), "{shown}");

    // Writes made while the follower is away come by a partial resync.
    follower.disconnect();
    primary.command(&[&b"SET"[..], b"missed", &text(300)]);
    follower.run_until("the partial resync", |f| f.data.contains_key(&b"missed"[..]));
    assert_eq!(follower.data[&b"missed"[..]], text(300));
    assert_eq!((follower.full_resyncs, follower.partial_resyncs), (1, 1));

    let end = Offset(info(&mut primary, "master_repl_offset").parse().unwrap());
    follower.run_until("the same offset", |f| f.log.offset() >= end);
    let id = ReplId::parse(info(&mut primary, "master_replid").as_bytes()).unwrap();
    assert_eq!(follower.log.identity().id, id);
}

#[test]
fn a_primary_with_diskless_resync() {
    for program in servers() {
        follow(&program, "yes");
    }
}

#[test]
fn a_primary_with_resync_by_a_file() {
    for program in servers() {
        follow(&program, "no");
    }
}
