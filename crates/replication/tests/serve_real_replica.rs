//! A [`ReplicaSession`] on a plain socket serves Debian's Redis 7.0 and, where VALKEY_SERVER names
//! one, Valkey: full resync, stream, acknowledgements, partial resync under a new name.

mod support;

use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::path::Path;
use std::thread;
use std::time::{Duration, Instant};

use support::peer::Peer;
use support::{info, parse_command, servers};
use tessera_log::{Log, Reader, ReplId};
use tessera_rdb::{Checksum, Compression, ValueRef, Version, Writer, encode_entry};
use tessera_replication::{Framing, ReplicaSession, SessionEffect, SessionEvent, SyncPermission};
use tessera_slot::{Millis, Offset};

const PATIENCE: Duration = Duration::from_secs(20);
const KEYS: usize = 300;

/// How the payload's end is made known.
#[derive(Clone, Copy)]
enum Style {
    Length,
    Mark,
}

/// A primary of one replica.
struct Primary {
    listener: TcpListener,
    socket: Option<TcpStream>,
    session: ReplicaSession,
    begun: Instant,
    log: Log,
    reader: Option<Reader>,
    streaming: bool,
    unparsed: Vec<u8>,
    style: Style,
    full_resyncs: usize,
    partial_resyncs: usize,
}

impl Primary {
    fn new(style: Style) -> Primary {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let log = Log::new(ReplId::from_random([0; 20]), 1 << 20);
        log.activate(ReplId::from_random([1; 20]));
        Primary {
            listener,
            socket: None,
            session: ReplicaSession::new(Millis(0), 10_000),
            begun: Instant::now(),
            log,
            reader: None,
            streaming: false,
            unparsed: Vec::new(),
            style,
            full_resyncs: 0,
            partial_resyncs: 0,
        }
    }

    fn port(&self) -> u16 {
        self.listener.local_addr().unwrap().port()
    }

    fn now(&self) -> Millis {
        Millis(self.begun.elapsed().as_millis() as u64)
    }

    fn write(&mut self, key: &str, value: &[u8]) {
        self.log.append_command(0, &[b"SET", key.as_bytes(), value]);
    }

    fn run_until(&mut self, what: &str, mut done: impl FnMut(&Primary) -> bool) {
        let begun = Instant::now();
        while !done(self) {
            assert!(begun.elapsed() < PATIENCE, "in vain: {what}");
            self.step();
        }
    }

    /// The replica has acknowledged everything.
    fn run_until_acknowledged(&mut self) {
        let end = self.log.offset();
        self.run_until("the acknowledgement", |primary| primary.session.acked() >= end);
    }

    fn step(&mut self) {
        if let Ok((socket, _)) = self.listener.accept() {
            socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
            self.disconnect();
            self.socket = Some(socket);
        }
        let Some(socket) = &mut self.socket else {
            thread::sleep(Duration::from_millis(1));
            return;
        };
        let mut buffer = [0; 1000];
        match socket.read(&mut buffer) {
            Ok(0) => self.disconnect(),
            Ok(count) => self.receive(&buffer[..count]),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {}
            Err(error) => panic!("{error}"),
        }
        self.handle(SessionEvent::Tick);
        self.pump();
    }

    fn disconnect(&mut self) {
        self.session = ReplicaSession::new(self.now(), 10_000);
        (self.socket, self.reader, self.streaming) = (None, None, false);
        self.unparsed.clear();
    }

    fn receive(&mut self, bytes: &[u8]) {
        self.unparsed.extend_from_slice(bytes);
        loop {
            if self.unparsed.first() == Some(&b'\n') {
                self.unparsed.remove(0);
                self.handle(SessionEvent::Newline);
                continue;
            }
            if self.unparsed.is_empty() {
                return;
            }
            let Some((args, len)) = parse_command(&self.unparsed) else { return };
            self.unparsed.drain(..len);
            let rest: Vec<&[u8]> = args[1..].iter().map(Vec::as_slice).collect();
            match args[0].to_ascii_uppercase().as_slice() {
                b"PING" => self.send(b"+PONG\r\n"),
                b"REPLCONF" => self.handle(SessionEvent::Replconf(&rest)),
                b"PSYNC" => self.handle(SessionEvent::Psync(&rest, SyncPermission::Granted)),
                other => panic!("{}", other.escape_ascii()),
            }
        }
    }

    fn send(&mut self, bytes: &[u8]) {
        self.socket.as_mut().unwrap().write_all(bytes).unwrap();
    }

    fn handle(&mut self, event: SessionEvent<'_>) {
        let mut events = VecDeque::from([event]);
        while let Some(event) = events.pop_front() {
            let mut effects = Vec::new();
            self.session.handle(self.now(), event, &mut effects);
            for effect in effects {
                events.extend(self.carry_out(effect));
            }
        }
    }

    fn carry_out(&mut self, effect: SessionEffect) -> Vec<SessionEvent<'static>> {
        match effect {
            SessionEffect::Send(bytes) => {
                self.send(&bytes);
                if bytes.starts_with(b"$") {
                    self.send(&payload());
                    return vec![SessionEvent::PayloadSent];
                }
            }
            SessionEffect::TryResume { id, offset } => {
                let Ok(reader) = self.log.open_reader(&id, offset) else {
                    return vec![SessionEvent::NotResumable];
                };
                self.reader = Some(reader);
                self.partial_resyncs += 1;
                return vec![SessionEvent::Resumed(self.log.identity().id)];
            }
            SessionEffect::StartFullSync { eof_capable, .. } => {
                assert!(eof_capable);
                self.full_resyncs += 1;
                let (id, reader) = self.log.start_full_sync();
                let offset = reader.offset();
                self.reader = Some(reader);
                let framing = match self.style {
                    Style::Length => Framing::Length(payload().len() as u64),
                    Style::Mark => Framing::Mark([b'm'; 40]),
                };
                let started = SessionEvent::SnapshotStarted { id, offset };
                return vec![started, SessionEvent::PayloadReady(framing)];
            }
            SessionEffect::StartStream => self.streaming = true,
            SessionEffect::AckRequested => panic!("a replica asks for no acknowledgement"),
            SessionEffect::Close(fault) => panic!("{fault}"),
        }
        Vec::new()
    }

    fn pump(&mut self) {
        let (true, Some(socket), Some(reader)) =
            (self.streaming, &mut self.socket, &mut self.reader)
        else {
            return;
        };
        let sent = socket.write(reader.peek().unwrap()).unwrap();
        reader.advance(sent);
    }
}

fn text(number: usize) -> Vec<u8> {
    format!("value {number} ").repeat(number).into_bytes()
}

/// The data of every full resync.
fn payload() -> Vec<u8> {
    let mut writer = Writer::new(Vec::new(), Version::V10, Checksum::On).unwrap();
    writer.select_db(0).unwrap();
    let mut entries = Vec::new();
    for number in 0..KEYS {
        let (key, text) = (format!("key:{number}"), text(number));
        let value = ValueRef::String(&text);
        encode_entry(&mut entries, key.as_bytes(), None, None, value, Compression::Lzf);
    }
    writer.entries(&entries).unwrap();
    writer.finish().unwrap()
}

fn serve(program: &Path, style: Style) {
    let mut primary = Primary::new(style);
    primary.write("before", b"the snapshot");
    let address = format!("127.0.0.1 {}", primary.port());
    // One style stores the payload in a file first, the other parses it from the socket.
    let diskless_load = match style {
        Style::Length => "disabled",
        Style::Mark => "on-empty-db",
    };
    let options = ["--replicaof", &address, "--repl-diskless-load", diskless_load];
    let mut replica = Peer::start(program, &options, |_| {});
    primary.run_until("the full resync", |primary| primary.session.is_online());
    primary.write("live", b"1");
    primary.run_until_acknowledged();
    for number in 0..KEYS {
        assert_eq!(replica.command(&["GET", &format!("key:{number}")]), text(number));
    }
    assert_eq!(replica.command(&["GET", "live"]), b"1");
    assert_eq!(info(&mut replica, "master_link_status"), "up");

    // The connection is lost, and the history goes on under a new name.
    primary.disconnect();
    let renamed_at = primary.log.offset();
    let new_name = ReplId::from_random([2; 20]);
    primary.log.shift_replication_id(new_name);
    primary.write("missed", &text(300));
    primary.run_until("the partial resync", |primary| primary.session.is_online());
    primary.run_until_acknowledged();
    assert_eq!(replica.command(&["GET", "missed"]), text(300));
    assert_eq!((primary.full_resyncs, primary.partial_resyncs), (1, 1));

    assert_eq!(info(&mut replica, "master_replid"), new_name.as_str());
    let second: u64 = info(&mut replica, "second_repl_offset").parse().unwrap();
    assert_eq!(Offset(second), renamed_at.plus(1));
    let end = info(&mut replica, "master_repl_offset").parse().unwrap();
    assert_eq!(Offset(end), primary.log.offset());
}

#[test]
fn a_replica_with_a_payload_of_known_length() {
    for program in servers() {
        serve(&program, Style::Length);
    }
}

#[test]
fn a_replica_with_an_end_mark() {
    for program in servers() {
        serve(&program, Style::Mark);
    }
}
