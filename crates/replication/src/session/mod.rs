//! The state that a primary keeps for one replica.
//!
//! ```text
//! Configuring ─ PSYNC ► Deciding ─► Online                                        (+CONTINUE)
//!                          └─► WaitSnapshot ► Snapshotting ► SendBulk          (+FULLRESYNC)
//!                                  ┌──────────────────────────┴─────┐
//!                                Online  ($length)               AwaitAck ► Online  ($EOF:mark)
//! ```
//!
//! A session begins with the first REPLCONF, PSYNC or SYNC of a connection; until one of the latter
//! two the connection is an ordinary client's.

mod replconf;
#[cfg(test)]
mod tests;

use tessera_log::ReplId;
use tessera_slot::{Millis, Offset};

/// While a replica waits for its snapshot it gets a newline this often (milliseconds).
const NEWLINE_PERIOD: u64 = 1000;

/// Whether this node can serve a resync at all.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SyncPermission {
    /// It is a primary, or a replica whose own link is up.
    Granted,
    /// It is a replica whose own link is down: it does not know its history.
    OwnLinkDown,
    /// It is handing over to a replica.
    FailingOver,
}

/// How the payload's end is made known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Framing {
    /// By its length, announced before it.
    Length(u64),
    /// By 40 random bytes, announced before it and sent after it. Only if the replica said that it
    /// understands that.
    Mark([u8; 40]),
}

/// The contents of a full resync's payload.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Contents {
    /// Keys.
    pub data: bool,
    /// Libraries of functions.
    pub functions: bool,
}

/// The events of a session.
#[derive(Clone, Copy, Debug)]
pub enum SessionEvent<'a> {
    /// REPLCONF, with its arguments (without the command's name).
    Replconf(&'a [&'a [u8]]),
    /// PSYNC, with its arguments (at least two; without the command's name).
    Psync(&'a [&'a [u8]], SyncPermission),
    /// SYNC.
    Sync(SyncPermission),
    /// An empty line: a replica's sign of life while it loads.
    Newline,
    /// [`SessionEffect::TryResume`] succeeded; this is the history's current name.
    Resumed(ReplId),
    /// [`SessionEffect::TryResume`] did not.
    NotResumable,
    /// The snapshot of this moment of the history has begun, and a reader stands there.
    SnapshotStarted {
        /// The history's name.
        id: ReplId,
        /// The moment.
        offset: Offset,
    },
    /// The snapshot could not be made.
    SnapshotFailed,
    /// The payload's bytes are about to be sent.
    PayloadReady(Framing),
    /// The connection has taken some of them.
    PayloadProgress,
    /// The connection has taken all of them.
    PayloadSent,
    /// The moment of [`ReplicaSession::deadline`] has come (or any other: it does no harm).
    Tick,
}

/// The requests to the driver, in order.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum SessionEffect {
    /// Send these bytes.
    Send(Vec<u8>),
    /// The node's own primary wants an acknowledgement: tell the node's link.
    AckRequested,
    /// Open a reader at `offset` of the history called `id` (`Log::open_reader`) and report
    /// `Resumed` or `NotResumable`.
    TryResume {
        /// The history that the replica names.
        id: ReplId,
        /// The offset up to which it has applied the history.
        offset: Offset,
    },
    /// Start a snapshot, or join one that is about to start, and report `SnapshotStarted` when it
    /// does.
    StartFullSync {
        /// Whether the payload may end with a mark.
        eof_capable: bool,
        /// The contents.
        contents: Contents,
    },
    /// Send what the reader gives, from now on.
    StartStream,
    /// Close the connection, after what is to be sent.
    Close(SessionFault),
}

/// Why a session was ended from this side.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum SessionFault {
    /// Nothing was acknowledged for `repl-timeout`.
    #[error("the replica acknowledged nothing within the replication timeout")]
    AckTimeout,
    /// The payload did not move for `repl-timeout`.
    #[error("the replica took nothing of the payload within the replication timeout")]
    TransferTimeout,
    /// There is no snapshot to send.
    #[error("the snapshot for the replica failed")]
    SnapshotFailed,
    /// A client that wanted the snapshot only did not leave after it.
    #[error("the client got its snapshot")]
    SnapshotDelivered,
}

/// How far the session is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum SessionState {
    /// An ordinary connection that has said something about itself.
    Configuring,
    /// PSYNC named a history; whether it can be continued is being found out.
    Deciding,
    /// A snapshot is needed and has not begun.
    WaitSnapshot,
    /// The snapshot has begun.
    Snapshotting,
    /// The payload is being sent.
    SendBulk(Framing),
    /// The payload and its end mark are sent; the stream starts when the replica acknowledges.
    AwaitAck,
    /// The payload is sent and nothing follows, by the client's wish.
    Delivered,
    /// The replica follows the stream.
    Online,
}

impl SessionState {
    /// The word that INFO gives; `None` while the connection is no replica.
    pub fn name(self) -> Option<&'static str> {
        match self {
            SessionState::Configuring | SessionState::Deciding => None,
            SessionState::WaitSnapshot | SessionState::Snapshotting => Some("wait_bgsave"),
            SessionState::SendBulk(_) | SessionState::AwaitAck | SessionState::Delivered => {
                Some("send_bulk")
            }
            SessionState::Online => Some("online"),
        }
    }
}

/// The fields of INFO about a replica.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct SessionStatus {
    /// The address that the replica announced; otherwise that of the connection is shown.
    pub announced_ip: Option<String>,
    /// The port that it announced, or 0.
    pub listening_port: u16,
    /// `wait_bgsave`, `send_bulk` or `online`.
    pub state: &'static str,
    /// The offset that it has acknowledged.
    pub offset: Offset,
    /// Seconds since it acknowledged; 0 while it is not online.
    pub lag_seconds: u64,
}

/// The replica's description of itself.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Announced {
    ip: Option<String>,
    port: u16,
    eof: bool,
    psync2: bool,
    version: Option<[u8; 3]>,
    rdb_only: bool,
    contents: Contents,
}

impl Default for Announced {
    fn default() -> Announced {
        let contents = Contents { data: true, functions: true };
        let (eof, psync2, rdb_only) = (false, false, false);
        Announced { ip: None, port: 0, eof, psync2, version: None, rdb_only, contents }
    }
}

/// The state machine of one replica at its primary.
#[derive(Debug)]
pub struct ReplicaSession {
    state: SessionState,
    announced: Announced,
    timeout_ms: u64,
    /// The replica used SYNC: it gets no +FULLRESYNC and acknowledges nothing.
    old_protocol: bool,
    acked: Offset,
    fsynced: Option<Offset>,
    /// When it last acknowledged, took payload, or entered its state.
    last_sign: Millis,
    newline_at: Millis,
    /// An acknowledgement came before the driver said that the payload was sent.
    acked_payload: bool,
}

impl ReplicaSession {
    /// A session of a connection that has just sent its first REPLCONF, PSYNC or SYNC. `timeout_ms`
    /// is `repl-timeout` in milliseconds.
    pub fn new(now: Millis, timeout_ms: u64) -> ReplicaSession {
        ReplicaSession {
            state: SessionState::Configuring,
            announced: Announced::default(),
            timeout_ms,
            old_protocol: false,
            acked: Offset(0),
            fsynced: None,
            last_sign: now,
            newline_at: now,
            acked_payload: false,
        }
    }

    /// How far the session is.
    pub fn state(&self) -> SessionState {
        self.state
    }

    /// Whether the replica follows the stream.
    pub fn is_online(&self) -> bool {
        self.state == SessionState::Online
    }

    /// The offset that the replica has acknowledged.
    pub fn acked(&self) -> Offset {
        self.acked
    }

    /// The offset up to which the replica has the history on disk, if it said so.
    pub fn fsynced(&self) -> Option<Offset> {
        self.fsynced
    }

    /// The replica's version as it said, `[major, minor, patch]`.
    pub fn version(&self) -> Option<[u8; 3]> {
        self.announced.version
    }

    /// Whole seconds since the replica acknowledged.
    pub fn lag_seconds(&self, now: Millis) -> u64 {
        now.since(self.last_sign) / 1000
    }

    /// Changes `repl-timeout` (milliseconds).
    pub fn set_timeout(&mut self, timeout_ms: u64) {
        self.timeout_ms = timeout_ms;
    }

    /// The replica as INFO shows it; `None` while the connection is no replica.
    pub fn status(&self, now: Millis) -> Option<SessionStatus> {
        Some(SessionStatus {
            announced_ip: self.announced.ip.clone(),
            listening_port: self.announced.port,
            state: self.state.name()?,
            offset: self.acked,
            lag_seconds: if self.is_online() { self.lag_seconds(now) } else { 0 },
        })
    }

    /// Takes an event and appends what is to be done to `effects`. An event that does not fit the
    /// state changes nothing.
    pub fn handle(
        &mut self,
        now: Millis,
        event: SessionEvent<'_>,
        effects: &mut Vec<SessionEffect>,
    ) {
        use SessionState as S;
        match (event, self.state) {
            (SessionEvent::Replconf(args), _) => self.on_replconf(now, args, effects),
            (SessionEvent::Psync(args, permission), S::Configuring) => {
                self.on_psync(now, args, permission, effects);
            }
            (SessionEvent::Sync(permission), S::Configuring) if permit(permission, effects) => {
                self.old_protocol = true;
                self.start_full_sync(now, effects);
            }
            (SessionEvent::Newline, S::AwaitAck | S::Online | S::SendBulk(_)) => {
                self.last_sign = now;
            }
            (SessionEvent::Resumed(id), S::Deciding) => self.on_resumed(now, id, effects),
            (SessionEvent::NotResumable, S::Deciding) => self.start_full_sync(now, effects),
            (SessionEvent::SnapshotStarted { id, offset }, S::WaitSnapshot) => {
                self.state = S::Snapshotting;
                if !self.old_protocol {
                    send(effects, format!("+FULLRESYNC {id} {offset}\r\n"));
                }
            }
            (SessionEvent::SnapshotFailed, S::WaitSnapshot) if !self.old_protocol => {
                send(effects, "-ERR BGSAVE failed, replication can't continue\r\n".to_owned());
                effects.push(SessionEffect::Close(SessionFault::SnapshotFailed));
            }
            (SessionEvent::SnapshotFailed, S::WaitSnapshot | S::Snapshotting | S::SendBulk(_)) => {
                effects.push(SessionEffect::Close(SessionFault::SnapshotFailed));
            }
            (SessionEvent::PayloadReady(framing), S::Snapshotting) => {
                self.on_payload_ready(now, framing, effects);
            }
            (SessionEvent::PayloadProgress, S::SendBulk(_)) => self.last_sign = now,
            (SessionEvent::PayloadSent, S::SendBulk(framing)) => {
                self.on_payload_sent(now, framing, effects);
            }
            (SessionEvent::Tick, _) => self.on_tick(now, effects),
            _ => {}
        }
    }

    /// When the next `Tick` is needed at the latest.
    pub fn deadline(&self) -> Option<Millis> {
        match self.state {
            SessionState::Configuring | SessionState::Deciding => None,
            SessionState::WaitSnapshot | SessionState::Snapshotting => Some(self.newline_at),
            SessionState::Online if self.old_protocol => None,
            SessionState::SendBulk(_)
            | SessionState::AwaitAck
            | SessionState::Delivered
            | SessionState::Online => Some(self.last_sign.plus(self.timeout_ms)),
        }
    }

    fn on_psync(
        &mut self,
        now: Millis,
        args: &[&[u8]],
        permission: SyncPermission,
        effects: &mut Vec<SessionEffect>,
    ) {
        let &[id, first_wanted, ref more @ ..] = args else {
            return send(effects, wrong("wrong number of arguments for 'psync' command"));
        };
        if more.first().is_some_and(|word| word.eq_ignore_ascii_case(b"failover")) {
            return send(effects, wrong("PSYNC FAILOVER is not supported"));
        }
        if !permit(permission, effects) {
            return;
        }
        let Some(first_wanted) = replconf::parse_integer(first_wanted) else {
            return send(effects, wrong("value is not an integer or out of range"));
        };
        // PSYNC names the first byte that is wanted: one more than what was applied.
        let applied = u64::try_from(first_wanted).ok().and_then(|first| first.checked_sub(1));
        match (ReplId::parse(id), applied) {
            (Ok(id), Some(applied)) => {
                self.state = SessionState::Deciding;
                effects.push(SessionEffect::TryResume { id, offset: Offset(applied) });
            }
            _ => self.start_full_sync(now, effects),
        }
    }

    fn on_resumed(&mut self, now: Millis, id: ReplId, effects: &mut Vec<SessionEffect>) {
        let line = match self.announced.psync2 {
            true => format!("+CONTINUE {id}\r\n"),
            false => "+CONTINUE\r\n".to_owned(),
        };
        send(effects, line);
        self.go_online(now, effects);
    }

    fn start_full_sync(&mut self, now: Millis, effects: &mut Vec<SessionEffect>) {
        self.state = SessionState::WaitSnapshot;
        self.newline_at = now.plus(NEWLINE_PERIOD);
        effects.push(SessionEffect::StartFullSync {
            eof_capable: self.announced.eof,
            contents: self.announced.contents,
        });
    }

    fn on_payload_ready(
        &mut self,
        now: Millis,
        framing: Framing,
        effects: &mut Vec<SessionEffect>,
    ) {
        self.state = SessionState::SendBulk(framing);
        self.last_sign = now;
        let header = match framing {
            Framing::Length(length) => format!("${length}\r\n").into_bytes(),
            Framing::Mark(mark) => [&b"$EOF:"[..], &mark, b"\r\n"].concat(),
        };
        effects.push(SessionEffect::Send(header));
    }

    fn on_payload_sent(&mut self, now: Millis, framing: Framing, effects: &mut Vec<SessionEffect>) {
        self.last_sign = now;
        if let Framing::Mark(mark) = framing {
            effects.push(SessionEffect::Send(mark.to_vec()));
        }
        match framing {
            _ if self.announced.rdb_only => self.state = SessionState::Delivered,
            Framing::Length(_) => self.go_online(now, effects),
            Framing::Mark(_) if self.acked_payload => self.go_online(now, effects),
            // A replica may look for the mark at the end of what it has read only, so nothing may
            // follow the mark until the replica has seen it.
            Framing::Mark(_) => self.state = SessionState::AwaitAck,
        }
    }

    fn go_online(&mut self, now: Millis, effects: &mut Vec<SessionEffect>) {
        self.state = SessionState::Online;
        self.last_sign = now;
        effects.push(SessionEffect::StartStream);
    }

    fn on_ack(
        &mut self,
        now: Millis,
        offset: Offset,
        fsynced: Option<Offset>,
        effects: &mut Vec<SessionEffect>,
    ) {
        self.acked = self.acked.max(offset);
        self.fsynced = self.fsynced.max(fsynced);
        self.last_sign = now;
        match self.state {
            SessionState::AwaitAck => self.go_online(now, effects),
            SessionState::SendBulk(_) => self.acked_payload = true,
            _ => {}
        }
    }

    fn on_tick(&mut self, now: Millis, effects: &mut Vec<SessionEffect>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        let fault = match self.state {
            SessionState::WaitSnapshot | SessionState::Snapshotting => {
                self.newline_at = now.plus(NEWLINE_PERIOD);
                effects.push(SessionEffect::Send(b"\n".to_vec()));
                return;
            }
            SessionState::SendBulk(_) => SessionFault::TransferTimeout,
            SessionState::Delivered => SessionFault::SnapshotDelivered,
            _ => SessionFault::AckTimeout,
        };
        effects.push(SessionEffect::Close(fault));
    }
}

/// Whether a resync may begin; if not, says why.
fn permit(permission: SyncPermission, effects: &mut Vec<SessionEffect>) -> bool {
    let why_not = match permission {
        SyncPermission::Granted => return true,
        SyncPermission::OwnLinkDown => "Can't SYNC while not connected with my master",
        SyncPermission::FailingOver => "Can't SYNC while failing over",
    };
    send(effects, format!("-NOMASTERLINK {why_not}\r\n"));
    false
}

fn send(effects: &mut Vec<SessionEffect>, text: String) {
    effects.push(SessionEffect::Send(text.into_bytes()));
}

fn wrong(text: &str) -> String {
    format!("-ERR {text}\r\n")
}
