//! Traces: what a replica says, and what the primary does.

use super::*;

const TIMEOUT: u64 = 60_000;

struct Trace {
    session: ReplicaSession,
    now: u64,
}

impl Trace {
    fn new() -> Trace {
        Trace { session: ReplicaSession::new(Millis(0), TIMEOUT), now: 0 }
    }

    fn on(&mut self, event: SessionEvent<'_>) -> Vec<SessionEffect> {
        let mut effects = Vec::new();
        self.session.handle(Millis(self.now), event, &mut effects);
        effects
    }

    fn replconf(&mut self, words: &str) -> String {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        reply(self.on(SessionEvent::Replconf(&args)))
    }

    fn psync(&mut self, words: &str) -> Vec<SessionEffect> {
        let args: Vec<&[u8]> = words.split(' ').map(str::as_bytes).collect();
        self.on(SessionEvent::Psync(&args, SyncPermission::Granted))
    }

    fn tick(&mut self) -> Vec<SessionEffect> {
        self.now = self.session.deadline().expect("something is awaited").0;
        self.on(SessionEvent::Tick)
    }

    fn word(&self) -> Option<&'static str> {
        self.session.status(Millis(self.now)).map(|status| status.state)
    }

    /// A replica that is getting its payload.
    fn sending(framing: Framing) -> Trace {
        let mut trace = Trace::new();
        trace.replconf("capa eof capa psync2");
        trace.psync("? -1");
        trace.on(started());
        trace.on(SessionEvent::PayloadReady(framing));
        trace
    }

    /// A replica that is online.
    fn online() -> Trace {
        let mut trace = Trace::sending(Framing::Length(5));
        assert_eq!(trace.on(SessionEvent::PayloadSent), [SessionEffect::StartStream]);
        trace
    }
}

fn history() -> ReplId {
    ReplId::from_random([1; 20])
}

fn started() -> SessionEvent<'static> {
    SessionEvent::SnapshotStarted { id: history(), offset: Offset(100) }
}

fn line(text: &str) -> SessionEffect {
    SessionEffect::Send(text.as_bytes().to_vec())
}

/// The one answer, without its line end; nothing if nothing is answered.
fn reply(effects: Vec<SessionEffect>) -> String {
    match &effects[..] {
        [] => String::new(),
        [SessionEffect::Send(bytes)] => String::from_utf8_lossy(bytes).trim_end().to_owned(),
        other => panic!("{other:?}"),
    }
}

fn full_sync(eof_capable: bool) -> SessionEffect {
    let contents = Contents { data: true, functions: true };
    SessionEffect::StartFullSync { eof_capable, contents }
}

#[test]
fn replconf_answers_as_redis_does() {
    let long = format!("ip-address {}", "x".repeat(256));
    let cases = [
        ("listening-port 7001", "+OK"),
        ("Listening-Port 7001 ip-address 10.0.0.7", "+OK"),
        ("capa eof capa psync2 capa dual-channel", "+OK"),
        ("version 8.1.255", "+OK"),
        ("rdb-only 1", "+OK"),
        ("rdb-filter-only functions", "+OK"),
        ("ack 100", ""),
        ("capa", "-ERR syntax error"),
        ("listening-port x", "-ERR value is not an integer or out of range"),
        ("listening-port 65536", "-ERR value is not an integer or out of range"),
        (&long, "-ERR REPLCONF ip-address provided by replica instance is too long: 256 bytes"),
        ("rdb-only 2", "-ERR value is out of range, value must between 0 and 1"),
        ("rdb-only x", "-ERR value is not an integer or out of range"),
        ("rdb-filter-only keys", "-ERR Unsupported rdb-filter-only option: keys"),
        ("version 8.1", "-ERR Unrecognized version format: 8.1"),
        ("version 8.1.256", "-ERR Unrecognized version format: 8.1.256"),
        ("colour blue", "-ERR Unrecognized REPLCONF option: colour"),
    ];
    for (words, expected) in cases {
        assert_eq!(Trace::new().replconf(words), expected, "{words}");
    }
    let effects = Trace::new().on(SessionEvent::Replconf(&[b"GETACK", b"*"]));
    assert_eq!(effects, [SessionEffect::AckRequested]);
}

#[test]
fn partial_resync() {
    let mut trace = Trace::new();
    trace.replconf("listening-port 7001 capa eof capa psync2");
    let resume = SessionEffect::TryResume { id: history(), offset: Offset(100) };
    assert_eq!(trace.psync(&format!("{} 101", history())), [resume]);
    assert_eq!(trace.word(), None);
    let continued = line(&format!("+CONTINUE {}\r\n", history()));
    let effects = trace.on(SessionEvent::Resumed(history()));
    assert_eq!(effects, [continued, SessionEffect::StartStream]);
    let expected = SessionStatus {
        announced_ip: None,
        listening_port: 7001,
        state: "online",
        offset: Offset(0),
        lag_seconds: 0,
    };
    assert_eq!(trace.session.status(Millis(0)), Some(expected));
    // A second PSYNC on the same connection is not answered.
    assert_eq!(trace.psync("? -1"), []);
}

#[test]
fn a_replica_of_the_first_psync_gets_no_name() {
    let mut trace = Trace::new();
    trace.psync(&format!("{} 101", history()));
    let effects = trace.on(SessionEvent::Resumed(history()));
    assert_eq!(effects, [line("+CONTINUE\r\n"), SessionEffect::StartStream]);
}

#[test]
fn what_cannot_be_resumed_becomes_a_full_resync() {
    for ask in ["? -1", "abc 5", "0101010101010101010101010101010101010101 0"] {
        assert_eq!(Trace::new().psync(ask), [full_sync(false)], "{ask}");
    }
    let mut trace = Trace::new();
    trace.psync(&format!("{} 101", history()));
    assert_eq!(trace.on(SessionEvent::NotResumable), [full_sync(false)]);
    assert_eq!(trace.word(), Some("wait_bgsave"));
}

#[test]
fn refused_psync() {
    let mut trace = Trace::new();
    let ask = |permission| SessionEvent::Psync(&[b"?", b"-1"], permission);
    let down = reply(trace.on(ask(SyncPermission::OwnLinkDown)));
    assert_eq!(down, "-NOMASTERLINK Can't SYNC while not connected with my master");
    let failing_over = reply(trace.on(SessionEvent::Sync(SyncPermission::FailingOver)));
    assert_eq!(failing_over, "-NOMASTERLINK Can't SYNC while failing over");
    assert_eq!(reply(trace.psync("? x")), "-ERR value is not an integer or out of range");
    assert_eq!(reply(trace.psync("? -1 FAILOVER")), "-ERR PSYNC FAILOVER is not supported");
    assert_eq!(trace.session.state(), SessionState::Configuring);
}

#[test]
fn full_resync_with_a_known_length() {
    let mut trace = Trace::new();
    trace.replconf("capa eof");
    assert_eq!(trace.psync("? -1"), [full_sync(true)]);
    assert_eq!(trace.tick(), [line("\n")]);
    let granted = line(&format!("+FULLRESYNC {} 100\r\n", history()));
    assert_eq!(trace.on(started()), [granted]);
    assert_eq!(trace.tick(), [line("\n")]);
    assert_eq!(trace.now, 2000);
    let ready = SessionEvent::PayloadReady(Framing::Length(5));
    assert_eq!(trace.on(ready), [line("$5\r\n")]);
    assert_eq!(trace.word(), Some("send_bulk"));
    assert_eq!(trace.on(SessionEvent::PayloadSent), [SessionEffect::StartStream]);
    assert_eq!(trace.word(), Some("online"));
}

#[test]
fn after_an_end_mark_the_stream_waits_for_the_replica() {
    let mark = [b'm'; 40];
    let mut trace = Trace::sending(Framing::Mark(mark));
    assert_eq!(trace.on(SessionEvent::PayloadSent), [SessionEffect::Send(mark.to_vec())]);
    assert_eq!(trace.word(), Some("send_bulk"));
    // A sign of life while it loads is no acknowledgement.
    assert_eq!(trace.on(SessionEvent::Newline), []);
    let effects = trace.on(SessionEvent::Replconf(&[b"ACK", b"100"]));
    assert_eq!(effects, [SessionEffect::StartStream]);
    assert_eq!((trace.word(), trace.session.acked()), (Some("online"), Offset(100)));

    // The replica may be faster than the report that all is sent.
    let mut trace = Trace::sending(Framing::Mark(mark));
    trace.on(SessionEvent::Replconf(&[b"ACK", b"100"]));
    let effects = trace.on(SessionEvent::PayloadSent);
    assert_eq!(effects, [SessionEffect::Send(mark.to_vec()), SessionEffect::StartStream]);
}

#[test]
fn sync_of_old_gets_the_payload_only() {
    let mut trace = Trace::new();
    let sync = SessionEvent::Sync(SyncPermission::Granted);
    assert_eq!(trace.on(sync), [full_sync(false)]);
    assert_eq!(trace.on(started()), []);
    trace.on(SessionEvent::PayloadReady(Framing::Length(5)));
    assert_eq!(trace.on(SessionEvent::PayloadSent), [SessionEffect::StartStream]);
    // It acknowledges nothing, and is not expected to.
    assert_eq!(trace.session.deadline(), None);
}

#[test]
fn a_client_that_wants_the_snapshot_only() {
    let mut trace = Trace::new();
    trace.replconf("rdb-only 1 rdb-filter-only functions");
    let contents = Contents { data: false, functions: true };
    let effects = trace.psync("? -1");
    assert_eq!(effects, [SessionEffect::StartFullSync { eof_capable: false, contents }]);
    trace.on(started());
    trace.on(SessionEvent::PayloadReady(Framing::Length(5)));
    assert_eq!(trace.on(SessionEvent::PayloadSent), []);
    assert_eq!(trace.tick(), [SessionEffect::Close(SessionFault::SnapshotDelivered)]);
}

#[test]
fn a_snapshot_that_fails() {
    let mut trace = Trace::new();
    trace.psync("? -1");
    let close = SessionEffect::Close(SessionFault::SnapshotFailed);
    let told = line("-ERR BGSAVE failed, replication can't continue\r\n");
    assert_eq!(trace.on(SessionEvent::SnapshotFailed), [told, close.clone()]);
    // In the middle of a payload nothing can be told any more.
    let mut trace = Trace::sending(Framing::Length(5));
    assert_eq!(trace.on(SessionEvent::SnapshotFailed), [close]);
}

#[test]
fn silence_ends_a_session() {
    let mut trace = Trace::online();
    trace.now = 30_000;
    trace.on(SessionEvent::Replconf(&[b"ACK", b"100"]));
    assert_eq!(trace.tick(), [SessionEffect::Close(SessionFault::AckTimeout)]);
    assert_eq!(trace.now, 30_000 + TIMEOUT);

    let mut trace = Trace::sending(Framing::Length(5));
    trace.now = 30_000;
    trace.on(SessionEvent::PayloadProgress);
    assert_eq!(trace.tick(), [SessionEffect::Close(SessionFault::TransferTimeout)]);
    assert_eq!(trace.now, 30_000 + TIMEOUT);
}

#[test]
fn acknowledgements_never_go_back() {
    let mut trace = Trace::online();
    trace.on(SessionEvent::Replconf(&[b"ACK", b"200", b"FACK", b"150"]));
    trace.on(SessionEvent::Replconf(&[b"ACK", b"120"]));
    trace.on(SessionEvent::Replconf(&[b"ACK", b"-5"]));
    assert_eq!(trace.session.acked(), Offset(200));
    assert_eq!(trace.session.fsynced(), Some(Offset(150)));
}
