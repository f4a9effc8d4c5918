//! Traces: what happens, and what is to be done about it.

use proptest::prelude::*;
use tessera_log::{ReplId, encode_command};
use tessera_slot::{Millis, Offset};

use super::*;

const TIMEOUT: u64 = 60_000;

fn config() -> LinkConfig {
    LinkConfig {
        listening_port: 7001,
        announce_ip: None,
        user: None,
        password: None,
        version: "8.1.0".to_owned(),
        timeout_ms: TIMEOUT,
    }
}

fn history(n: u8) -> ReplId {
    ReplId::from_random([n; 20])
}

/// A link with a clock.
struct Trace {
    link: ReplicaLink,
    now: u64,
}

impl Trace {
    fn new(config: LinkConfig, position: Option<Position>) -> Trace {
        Trace { link: ReplicaLink::new(config, position, Millis(0)), now: 0 }
    }

    fn on(&mut self, event: LinkEvent<'_>) -> Vec<LinkEffect> {
        let mut effects = Vec::new();
        self.link.handle(Millis(self.now), event, &mut effects);
        effects
    }

    fn receive(&mut self, bytes: impl AsRef<[u8]>) -> Vec<LinkEffect> {
        self.on(LinkEvent::Received(bytes.as_ref()))
    }

    /// Lets time pass until the next deadline.
    fn tick(&mut self) -> Vec<LinkEffect> {
        self.now = self.link.deadline().expect("something is awaited").0;
        self.on(LinkEvent::Tick)
    }

    fn status(&self) -> LinkStatus {
        self.link.status(Millis(self.now))
    }

    /// A link that has just sent PSYNC.
    fn at_psync(position: Option<Position>) -> Trace {
        let mut trace = Trace::new(config(), position);
        assert_eq!(trace.tick(), [LinkEffect::Connect]);
        trace.on(LinkEvent::Connected);
        trace.receive("+PONG\r\n");
        trace.receive("+OK\r\n+OK\r\n");
        let psync = match position {
            Some(at) => format!("PSYNC {} {}", at.id, at.offset.0 + 1),
            None => "PSYNC ? -1".to_owned(),
        };
        assert_eq!(trace.receive("+OK\r\n"), [sent(&[&psync])]);
        trace
    }

    /// A link that follows `history(1)` from offset 100.
    fn streaming() -> Trace {
        let mut trace = Trace::at_psync(None);
        trace.receive(format!("+FULLRESYNC {} 100\r\n", history(1)));
        trace.receive("$5\r\nREDIS");
        assert_eq!(trace.on(LinkEvent::Loaded), [sent(&["REPLCONF ACK 100"])]);
        trace
    }
}

fn sent(commands: &[&str]) -> LinkEffect {
    let mut out = Vec::new();
    for command in commands {
        encode_command(&mut out, &command.split(' ').collect::<Vec<_>>());
    }
    LinkEffect::Send(out)
}

fn begin(offset: u64, length: Option<u64>) -> LinkEffect {
    LinkEffect::BeginFullSync { id: history(1), offset: Offset(offset), length }
}

#[test]
fn handshake_with_everything() {
    let mut trace = Trace::new(
        LinkConfig {
            announce_ip: Some("10.0.0.7".to_owned()),
            user: Some("replica".to_owned()),
            password: Some(b"secret".to_vec()),
            ..config()
        },
        None,
    );
    assert_eq!(trace.tick(), [LinkEffect::Connect]);
    assert_eq!(trace.status().phase, LinkPhase::Connecting);
    assert_eq!(trace.on(LinkEvent::Connected), [sent(&["PING"])]);
    // The primary wants a password: that is what AUTH is for.
    assert_eq!(
        trace.receive("-NOAUTH Authentication required.\r\n"),
        [sent(&[
            "AUTH replica secret",
            "REPLCONF listening-port 7001",
            "REPLCONF ip-address 10.0.0.7",
            "REPLCONF capa eof capa psync2",
            "REPLCONF version 8.1.0",
        ])]
    );
    assert_eq!(trace.receive("+OK\r\n+OK\r\n+O"), []);
    assert_eq!(trace.status().phase, LinkPhase::Handshake);
    // An old primary does not know the last option; that is no reason not to go on.
    let answer = "K\r\n+OK\r\n-ERR Unrecognized REPLCONF option: version\r\n";
    assert_eq!(trace.receive(answer), [sent(&["PSYNC ? -1"])]);
}

#[test]
fn what_ends_the_handshake() {
    let wrong_password = "-WRONGPASS invalid username-password pair";
    let cases = [
        ("-ERR max number of clients reached\r\n", 0, "answered PING by an error: ERR max"),
        ("-LOADING Redis is loading\r\n", 0, "cannot synchronise now: LOADING"),
        (&format!("{wrong_password}\r\n"), 1, "refused AUTH: WRONGPASS"),
        ("-NOMASTERLINK Can't SYNC\r\n", 5, "cannot synchronise now: NOMASTERLINK"),
        ("-NOAUTH Authentication required.\r\n", 5, "refused PSYNC: NOAUTH"),
        ("+DUALCHANNELSYNC\r\n", 5, "does not follow the replication protocol"),
    ];
    for (answer, after, text) in cases {
        let config = LinkConfig { password: Some(b"secret".to_vec()), ..config() };
        let mut trace = Trace::new(config, None);
        trace.tick();
        trace.on(LinkEvent::Connected);
        for _ in 0..after {
            trace.receive("+OK\r\n");
        }
        let effects = trace.receive(answer);
        let [LinkEffect::Close(fault)] = &effects[..] else { panic!("{answer}: {effects:?}") };
        assert!(fault.to_string().contains(text), "{fault}");
        assert_eq!(trace.status().phase, LinkPhase::Connect);
    }
}

#[test]
fn full_resync_with_a_known_length() {
    let mut trace = Trace::at_psync(Some(Position { id: history(9), offset: Offset(7) }));
    // Newlines keep the connection alive while the primary prepares the snapshot.
    assert_eq!(trace.receive("\n\n"), []);
    assert_eq!(trace.receive(format!("+FULLRESYNC {} 100\r\n\n\n$1", history(1))), []);
    assert_eq!(trace.link.position(), None);
    let effects = trace.receive("0\r\nREDIS");
    assert_eq!(effects, [begin(100, Some(10)), LinkEffect::Payload(3..8)]);
    let transfer = Transfer { total: Some(10), read: 5 };
    assert_eq!(trace.status().transfer, Some(transfer));
    // The payload's last bytes and the first of the stream come together.
    let effects = trace.receive("0011!*1\r\n");
    let ended = [LinkEffect::Payload(0..5), LinkEffect::EndPayload, LinkEffect::Stream(5..9)];
    assert_eq!(effects, ended);
    assert_eq!(trace.status().phase, LinkPhase::Sync);
    assert_eq!(trace.tick(), [LinkEffect::Send(b"\n".to_vec())]);
    assert_eq!(trace.on(LinkEvent::Loaded), [sent(&["REPLCONF ACK 100"])]);
    let position = Position { id: history(1), offset: Offset(100) };
    assert_eq!(trace.link.position(), Some(position));
    assert_eq!(trace.status().phase, LinkPhase::Connected);
}

#[test]
fn full_resync_with_an_end_mark_byte_by_byte() {
    let mark = "0123456789".repeat(4);
    let payload = format!("REDIS0010{}{}tail", &mark[..39], &mark[..20]);
    let mut trace = Trace::at_psync(None);
    let head = format!("+FULLRESYNC {} 0\r\n$EOF:{mark}\r\n", history(1));
    assert_eq!(trace.receive(head), [begin(0, None)]);
    let mut received = Vec::new();
    for byte in format!("{payload}{mark}").bytes() {
        for effect in trace.receive([byte]) {
            match effect {
                LinkEffect::Payload(range) => received.extend_from_slice(&[byte][range]),
                LinkEffect::PayloadHeld(bytes) => received.extend_from_slice(&bytes),
                LinkEffect::EndPayload => received.extend_from_slice(b"(end)"),
                other => panic!("{other:?}"),
            }
        }
    }
    assert_eq!(received, format!("{payload}(end)").as_bytes());
}

#[test]
fn the_stream_is_acknowledged_every_second_and_on_request() {
    let mut trace = Trace::streaming();
    assert_eq!(trace.receive("*1\r\n$4\r\nPING\r\n"), [LinkEffect::Stream(0..14)]);
    trace.on(LinkEvent::Applied { offset: Offset(114), fsynced: None });
    assert_eq!(trace.tick(), [sent(&["REPLCONF ACK 114"])]);
    assert_eq!(trace.now, 1000);
    trace.now = 1500;
    trace.on(LinkEvent::Applied { offset: Offset(128), fsynced: Some(Offset(120)) });
    assert_eq!(trace.on(LinkEvent::AckRequested), [sent(&["REPLCONF ACK 128 FACK 120"])]);
    // The next regular one counts from there.
    assert_eq!(trace.link.deadline(), Some(Millis(2500)));
    assert_eq!(trace.on(LinkEvent::Tick), []);
}

#[test]
fn partial_resync_after_a_lost_connection() {
    let mut trace = Trace::streaming();
    trace.on(LinkEvent::Applied { offset: Offset(150), fsynced: None });
    trace.now = 5000;
    assert_eq!(trace.on(LinkEvent::Closed), []);
    trace.now = 8000;
    assert_eq!(trace.status().down_seconds, Some(3));
    assert_eq!(trace.on(LinkEvent::Tick), [LinkEffect::Connect]);
    trace.on(LinkEvent::Connected);
    trace.receive("+PONG\r\n");
    let psync = format!("PSYNC {} 151", history(1));
    assert_eq!(trace.receive("+OK\r\n+OK\r\n+OK\r\n"), [sent(&[&psync])]);
    // The primary was replaced meanwhile: the same history under a new name.
    let effects = trace.receive(format!("+CONTINUE {}\r\n*1\r\n", history(2)));
    let resume = LinkEffect::Resume { id: history(2), renamed: true };
    assert_eq!(effects, [resume, sent(&["REPLCONF ACK 150"]), LinkEffect::Stream(52..56)]);
    let position = Position { id: history(2), offset: Offset(150) };
    assert_eq!(trace.link.position(), Some(position));
    let status = trace.status();
    assert_eq!((status.phase, status.down_seconds), (LinkPhase::Connected, None));
}

#[test]
fn continue_without_a_name_keeps_it() {
    let at = Position { id: history(1), offset: Offset(9) };
    let resume = LinkEffect::Resume { id: history(1), renamed: false };
    let effects = Trace::at_psync(Some(at)).receive("+CONTINUE\r\n");
    assert_eq!(effects, [resume, sent(&["REPLCONF ACK 9"])]);
    // The replica did not ask to continue.
    let effects = Trace::at_psync(None).receive("+CONTINUE\r\n");
    assert!(matches!(effects[..], [LinkEffect::Close(LinkFault::Protocol(_))]));
}

#[test]
fn silence_ends_every_state_but_loading() {
    let after = |prepare: &dyn Fn(&mut Trace)| {
        let mut trace = Trace::new(config(), None);
        trace.tick();
        prepare(&mut trace);
        let begun = trace.now;
        let mut effects = trace.tick();
        while !matches!(effects[..], [LinkEffect::Close(_)]) {
            assert!(trace.now < begun + 10 * TIMEOUT, "the link waits for ever");
            effects = trace.tick();
        }
        assert_eq!(effects, [LinkEffect::Close(LinkFault::Timeout)]);
        trace.now - begun
    };
    let up_to_psync = |trace: &mut Trace| {
        trace.on(LinkEvent::Connected);
        trace.receive("+PONG\r\n+OK\r\n+OK\r\n+OK\r\n");
    };
    let up_to_header = |trace: &mut Trace| {
        up_to_psync(trace);
        trace.receive(format!("+FULLRESYNC {} 100\r\n", history(1)));
    };
    let up_to_payload = |trace: &mut Trace| {
        up_to_header(trace);
        trace.receive("$10\r\n");
    };
    assert_eq!(after(&|_| {}), TIMEOUT);
    assert_eq!(after(&|trace| drop(trace.on(LinkEvent::Connected))), TIMEOUT);
    assert_eq!(after(&up_to_psync), TIMEOUT);
    assert_eq!(after(&up_to_header), TIMEOUT);
    assert_eq!(after(&up_to_payload), TIMEOUT);
    let up = |trace: &mut Trace| {
        up_to_payload(trace);
        trace.receive("0123456789");
        // Loading takes longer than the timeout, and the primary hears of it.
        for _ in 0..2 * TIMEOUT / NEWLINE_PERIOD {
            assert_eq!(trace.tick(), [LinkEffect::Send(b"\n".to_vec())]);
        }
        trace.on(LinkEvent::Loaded);
    };
    assert_eq!(after(&up), TIMEOUT);
}

#[test]
fn pauses_between_attempts_grow_to_a_second() {
    let mut trace = Trace::new(config(), None);
    let mut pauses = Vec::new();
    trace.tick();
    for _ in 0..6 {
        trace.on(LinkEvent::Closed);
        let closed = trace.now;
        assert_eq!(trace.tick(), [LinkEffect::Connect]);
        pauses.push(trace.now - closed);
    }
    assert_eq!(pauses, [100, 200, 400, 800, 1000, 1000]);
}

#[test]
fn a_failed_load_forgets_the_position() {
    let mut trace = Trace::at_psync(Some(Position { id: history(9), offset: Offset(7) }));
    trace.receive(format!("+FULLRESYNC {} 100\r\n$2\r\n!!", history(1)));
    let effects = trace.on(LinkEvent::LoadFailed);
    assert_eq!(effects, [LinkEffect::Close(LinkFault::LoadFailed)]);
    assert_eq!(trace.link.position(), None);
    // Bytes of the old connection are not looked at any more.
    assert_eq!(trace.receive("*1\r\n"), []);
}

#[test]
fn a_connection_lost_while_loading_costs_a_partial_resync_only() {
    let load = |end: LinkEvent<'_>| {
        let mut trace = Trace::at_psync(None);
        trace.receive(format!("+FULLRESYNC {} 100\r\n$2\r\n!!*1", history(1)));
        assert_eq!(trace.on(LinkEvent::Closed), []);
        assert_eq!((trace.link.deadline(), trace.status().phase), (None, LinkPhase::Sync));
        assert_eq!(trace.on(LinkEvent::Tick), []);
        assert_eq!(trace.on(end), []);
        assert_eq!(trace.tick(), [LinkEffect::Connect]);
        trace.link.position()
    };
    let position = Position { id: history(1), offset: Offset(100) };
    assert_eq!(load(LinkEvent::Loaded), Some(position));
    assert_eq!(load(LinkEvent::LoadFailed), None);
}

/// The output of a link when `input` comes in pieces of these sizes: payload, stream, faults.
fn passed_on(input: &[u8], sizes: &[usize]) -> (Vec<u8>, Vec<u8>, Vec<LinkFault>) {
    let mut trace = Trace::new(config(), None);
    trace.tick();
    trace.on(LinkEvent::Connected);
    let (mut payload, mut stream, mut faults) = (Vec::new(), Vec::new(), Vec::new());
    let (mut at, mut sizes) = (0, sizes.iter().cycle());
    while at < input.len() {
        let size = (*sizes.next().unwrap()).clamp(1, input.len() - at);
        let piece = &input[at..at + size];
        at += size;
        for effect in trace.receive(piece) {
            match effect {
                LinkEffect::Payload(range) => payload.extend_from_slice(&piece[range]),
                LinkEffect::PayloadHeld(bytes) => payload.extend_from_slice(&bytes),
                LinkEffect::Stream(range) => stream.extend_from_slice(&piece[range]),
                LinkEffect::Close(fault) => faults.push(fault),
                _ => {}
            }
        }
    }
    (payload, stream, faults)
}

const GREETING: &str = "+PONG\r\n+OK\r\n+OK\r\n+OK\r\n\n";

proptest! {
    #[test]
    fn pieces_of_any_size_are_the_same(
        payload in prop::collection::vec(any::<u8>(), 0..200),
        stream in prop::collection::vec(any::<u8>(), 0..200),
        marked: bool,
        sizes in prop::collection::vec(1usize..60, 1..8),
    ) {
        let mark = "fedcba9876543210fedcba9876543210fedcba98";
        let header = match marked {
            true => format!("$EOF:{mark}\r\n"),
            false => format!("${}\r\n", payload.len()),
        };
        let grant = format!("{GREETING}+FULLRESYNC {} 100\r\n\n{header}", history(1));
        let mut input = [grant.as_bytes(), &payload].concat();
        if marked {
            input.extend_from_slice(mark.as_bytes());
        }
        input.extend_from_slice(&stream);
        prop_assert_eq!(passed_on(&input, &sizes), (payload, stream, Vec::new()));
    }

    #[test]
    fn noise_ends_the_link_or_is_waited_out(
        states in 0usize..4,
        noise in prop::collection::vec(any::<u8>(), 0..5000),
        sizes in prop::collection::vec(1usize..600, 1..8),
    ) {
        let grant = format!("+FULLRESYNC {} 100\r\n", history(1));
        let greeting = ["", GREETING, &grant, "$1000\r\n"][..=states].concat();
        let input = [greeting.as_bytes(), &noise].concat();
        let (payload, _, faults) = passed_on(&input, &sizes);
        prop_assert!(payload.len() <= noise.len() && faults.len() <= 1);
    }
}

#[test]
fn an_aborted_resync_is_reported() {
    let mut trace = Trace::at_psync(None);
    trace.receive(format!("+FULLRESYNC {} 100\r\n", history(1)));
    let effects = trace.receive("-ERR BGSAVE failed\r\n");
    let fault = LinkFault::Aborted("ERR BGSAVE failed".to_owned());
    assert_eq!(effects, [LinkEffect::Close(fault)]);
}
