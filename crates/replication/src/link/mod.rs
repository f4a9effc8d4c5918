//! A replica's side of replication.
//!
//! ```text
//! Waiting ► Connecting ► Handshake ► AwaitPsync
//!    ▲                                  ├─► Streaming                                (+CONTINUE)
//!    │                                  └─► AwaitPayload ► Payload ► Loading ► Streaming
//!    └── any fault: Close, then a new attempt after a growing pause               (+FULLRESYNC)
//! ```

mod handshake;
mod line;
mod mark;
mod status;
#[cfg(test)]
mod tests;

use std::ops::Range;

use tessera_log::{ReplId, encode_command};
use tessera_slot::{Millis, Offset};

use handshake::{Awaited, PsyncReply};
use line::{LineBuffer, LineTaken};
use mark::MarkScanner;
pub use status::{LinkPhase, LinkStatus, Transfer};

/// A replica acknowledges at least this often (milliseconds).
const ACK_PERIOD: u64 = 1000;
/// While the payload is loaded the primary gets a newline this often (milliseconds).
const NEWLINE_PERIOD: u64 = 1000;
/// The pause before a new attempt: the first, and the longest (milliseconds).
const FIRST_PAUSE: u64 = 100;
const LONGEST_PAUSE: u64 = 1000;

/// A replica's description of itself, and its time-outs.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct LinkConfig {
    /// The port that the primary shows in INFO (`replica-announce-port`, else `port`).
    pub listening_port: u16,
    /// The address that the primary shows in INFO (`replica-announce-ip`).
    pub announce_ip: Option<String>,
    /// User for AUTH (`masteruser`); the default user if absent.
    pub user: Option<String>,
    /// Password for AUTH (`masterauth`); no AUTH if absent.
    pub password: Option<Vec<u8>>,
    /// Version for REPLCONF VERSION, as `x.y.z`: the primary may adapt to it.
    pub version: String,
    /// Silence of the primary that ends the link (`repl-timeout`), in milliseconds.
    pub timeout_ms: u64,
}

/// A moment of a history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Position {
    /// The history.
    pub id: ReplId,
    /// The bytes of it that have been applied.
    pub offset: Offset,
}

/// The events of a link.
#[derive(Clone, Copy, Debug)]
pub enum LinkEvent<'a> {
    /// The moment of [`ReplicaLink::deadline`] has come (or any other: it does no harm).
    Tick,
    /// The connection asked for by [`LinkEffect::Connect`] is there.
    Connected,
    /// The connection could not be made, or is lost.
    Closed,
    /// Bytes from the primary.
    Received(&'a [u8]),
    /// The payload has been loaded completely. Comes after [`LinkEffect::EndPayload`].
    Loaded,
    /// The payload could not be loaded; the data may be incomplete now.
    LoadFailed,
    /// The stream was applied up to here.
    Applied {
        /// The end of what was applied.
        offset: Offset,
        /// The offset up to which the append-only file is on disk, if there is one.
        fsynced: Option<Offset>,
    },
    /// The stream said REPLCONF GETACK.
    AckRequested,
}

/// The requests to the driver, in order. Ranges are of the bytes of the [`LinkEvent::Received`]
/// being handled.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum LinkEffect {
    /// Connect to the primary; report `Connected` or `Closed`.
    Connect,
    /// Send these bytes.
    Send(Vec<u8>),
    /// The primary's whole data follows. The replica's own data and history end with its loading.
    BeginFullSync {
        /// The history that the data belongs to.
        id: ReplId,
        /// The moment of the history that the data shows.
        offset: Offset,
        /// Length of the payload in bytes, if the primary knows it.
        length: Option<u64>,
    },
    /// A piece of the RDB payload.
    Payload(Range<usize>),
    /// A piece of the RDB payload that was held back from an earlier `Received`, because it might
    /// have been the beginning of the end mark.
    PayloadHeld(Vec<u8>),
    /// The payload is complete: load the rest, then report `Loaded` or `LoadFailed`. `Stream` may
    /// come before that is reported; it applies after the payload.
    EndPayload,
    /// The primary continues the history from where this replica is.
    Resume {
        /// The history's name from now on. If it is a new one, the history until now is also known
        /// by the old one (`Log::shift_replication_id`), and replicas of this replica must
        /// reconnect.
        id: ReplId,
        /// Whether the name is a new one.
        renamed: bool,
    },
    /// A piece of the stream of commands. Each command that is whole is appended to the history
    /// as it is, applied, and reported by `Applied`; the beginning of one that is not waits for the
    /// rest, and is dropped if the connection is lost, for the primary sends it again. So what the
    /// driver has taken over is reported before `Closed` is.
    Stream(Range<usize>),
    /// Close the connection. The driver does not report `Closed` for it, nor anything else that
    /// comes from it.
    Close(LinkFault),
}

/// Why a link was ended from this side.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum LinkFault {
    /// Nothing was heard for `repl-timeout`.
    #[error("no answer from the primary within the replication timeout")]
    Timeout,
    /// PING was answered by an error.
    #[error("the primary answered PING by an error: {0}")]
    Ping(String),
    /// AUTH was refused.
    #[error("the primary refused AUTH: {0}")]
    Auth(String),
    /// The primary cannot serve now, but will later.
    #[error("the primary cannot synchronise now: {0}")]
    NotNow(String),
    /// PSYNC was refused.
    #[error("the primary refused PSYNC: {0}")]
    Psync(String),
    /// The primary gave up during a full resync.
    #[error("the primary aborted the full resync: {0}")]
    Aborted(String),
    /// The received bytes are not the protocol.
    #[error("the primary does not follow the replication protocol: {0}")]
    Protocol(String),
    /// The payload could not be loaded.
    #[error("the primary's data could not be loaded")]
    LoadFailed,
}

/// The promise of +FULLRESYNC.
type Grant = Position;

/// How the payload ends.
#[derive(Debug)]
enum Ending {
    Length { left: u64, total: u64 },
    Mark { scanner: Box<MarkScanner>, read: u64 },
}

#[derive(Debug)]
enum State {
    Waiting {
        until: Millis,
    },
    Connecting,
    Handshake {
        awaited: Awaited,
    },
    AwaitPsync,
    AwaitPayload {
        grant: Grant,
    },
    Payload {
        grant: Grant,
        ending: Ending,
    },
    /// `newline_at` is absent once the connection is lost: what has come is still being loaded.
    Loading {
        grant: Grant,
        newline_at: Option<Millis>,
    },
    Streaming {
        ack_at: Millis,
    },
}

/// The state machine of a replica's link to its primary.
#[derive(Debug)]
pub struct ReplicaLink {
    config: LinkConfig,
    state: State,
    position: Option<Position>,
    fsynced: Option<Offset>,
    line: LineBuffer,
    pause: u64,
    /// When the primary was last heard of, or the attempt began.
    last_io: Millis,
    /// Since when the link is not up; `None` while it is, or if it never was.
    down_since: Option<Millis>,
}

impl ReplicaLink {
    /// A link that connects at its first `Tick`. `position` is where this replica stands in a
    /// history, if its data belongs to one: then a partial resync is tried.
    pub fn new(config: LinkConfig, position: Option<Position>, now: Millis) -> ReplicaLink {
        ReplicaLink {
            config,
            state: State::Waiting { until: now },
            position,
            fsynced: None,
            line: LineBuffer::default(),
            pause: FIRST_PAUSE,
            last_io: now,
            down_since: None,
        }
    }

    /// The settings; changes count from the next use.
    pub fn config_mut(&mut self) -> &mut LinkConfig {
        &mut self.config
    }

    /// This replica's position; unknown during a full resync.
    pub fn position(&self) -> Option<Position> {
        self.position
    }

    /// Takes an event and appends what is to be done to `effects`.
    pub fn handle(&mut self, now: Millis, event: LinkEvent<'_>, effects: &mut Vec<LinkEffect>) {
        match event {
            LinkEvent::Tick => self.on_tick(now, effects),
            LinkEvent::Connected => self.on_connected(now, effects),
            LinkEvent::Closed => self.on_closed(now),
            LinkEvent::Received(bytes) => self.on_received(now, bytes, effects),
            LinkEvent::Loaded => self.on_loaded(now, effects),
            LinkEvent::LoadFailed => self.on_load_failed(now, effects),
            LinkEvent::Applied { offset, fsynced } => {
                if let Some(position) = &mut self.position {
                    position.offset = offset;
                }
                self.fsynced = fsynced;
            }
            LinkEvent::AckRequested => self.send_ack(now, effects),
        }
    }

    /// When the next `Tick` is needed at the latest; `None` if only another event can change
    /// something.
    pub fn deadline(&self) -> Option<Millis> {
        let silence = self.last_io.plus(self.config.timeout_ms);
        match &self.state {
            State::Waiting { until } => Some(*until),
            // The driver may not read while it loads, so silence means nothing.
            State::Loading { newline_at, .. } => *newline_at,
            State::Streaming { ack_at } => Some(silence.min(*ack_at)),
            State::Connecting
            | State::Handshake { .. }
            | State::AwaitPsync
            | State::AwaitPayload { .. }
            | State::Payload { .. } => Some(silence),
        }
    }

    fn on_tick(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        if self.deadline().is_none_or(|deadline| now < deadline) {
            return;
        }
        match &mut self.state {
            State::Waiting { .. } => {
                self.state = State::Connecting;
                self.last_io = now;
                effects.push(LinkEffect::Connect);
            }
            State::Loading { newline_at, .. } => {
                *newline_at = Some(now.plus(NEWLINE_PERIOD));
                effects.push(LinkEffect::Send(b"\n".to_vec()));
            }
            State::Streaming { .. } if now < self.last_io.plus(self.config.timeout_ms) => {
                self.send_ack(now, effects);
            }
            _ => self.fail(now, LinkFault::Timeout, effects),
        }
    }

    fn on_connected(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        if !matches!(self.state, State::Connecting) {
            return;
        }
        self.last_io = now;
        self.line = LineBuffer::default();
        self.state = State::Handshake { awaited: Awaited::Ping };
        effects.push(send(&[b"PING"]));
    }

    fn on_closed(&mut self, now: Millis) {
        match &mut self.state {
            // The data will be whole, and a new attempt must not begin before: it would ask for
            // all of it once more.
            State::Loading { newline_at, .. } => *newline_at = None,
            _ => self.wait(now),
        }
    }

    fn on_loaded(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        let State::Loading { grant, newline_at } = self.state else { return };
        self.position = Some(grant);
        match newline_at {
            // The first acknowledgement tells a primary that used an end mark to start the stream.
            Some(_) => self.stream(now, effects),
            None => self.wait(now),
        }
    }

    fn on_load_failed(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        match self.state {
            State::Loading { newline_at: None, .. } => self.wait(now),
            State::Payload { .. } | State::Loading { .. } => {
                self.fail(now, LinkFault::LoadFailed, effects);
            }
            _ => {}
        }
    }

    fn on_received(&mut self, now: Millis, bytes: &[u8], effects: &mut Vec<LinkEffect>) {
        self.last_io = now;
        let mut at = 0;
        while at < bytes.len() {
            match self.consume(now, bytes, at, effects) {
                Ok(count) => at += count,
                Err(fault) => return self.fail(now, fault, effects),
            }
        }
    }

    /// Takes some of `bytes[at..]`, at least one byte; returns how many.
    fn consume(
        &mut self,
        now: Millis,
        bytes: &[u8],
        at: usize,
        effects: &mut Vec<LinkEffect>,
    ) -> Result<usize, LinkFault> {
        let rest = bytes.len() - at;
        match &mut self.state {
            // Nothing is expected here: the driver reports bytes that came before it had closed.
            State::Waiting { .. } | State::Connecting => Ok(rest),
            State::Streaming { .. } | State::Loading { .. } => {
                effects.push(LinkEffect::Stream(at..bytes.len()));
                Ok(rest)
            }
            State::Payload { ending, .. } => {
                let (count, ended) = take_payload(ending, &bytes[at..], at, effects);
                if ended {
                    self.end_payload(now, effects);
                }
                Ok(count)
            }
            State::Handshake { .. } | State::AwaitPsync | State::AwaitPayload { .. } => {
                match self.line.take(&bytes[at..]) {
                    LineTaken::Whole { line, count } => {
                        self.on_line(now, &line, effects)?;
                        Ok(count)
                    }
                    LineTaken::Partial => Ok(rest),
                    LineTaken::TooLong => Err(LinkFault::Protocol("a line without end".to_owned())),
                }
            }
        }
    }

    fn on_line(
        &mut self,
        now: Millis,
        line: &[u8],
        effects: &mut Vec<LinkEffect>,
    ) -> Result<(), LinkFault> {
        match self.state {
            State::Handshake { awaited } => self.on_handshake_reply(awaited, line, effects),
            // A bare newline: the primary is alive, but not ready.
            _ if line.is_empty() => Ok(()),
            State::AwaitPsync => self.on_psync_reply(now, line, effects),
            State::AwaitPayload { grant } => self.on_payload_header(now, grant, line, effects),
            _ => unreachable!("lines are read in the three states above"),
        }
    }

    fn on_handshake_reply(
        &mut self,
        awaited: Awaited,
        line: &[u8],
        effects: &mut Vec<LinkEffect>,
    ) -> Result<(), LinkFault> {
        awaited.check(line)?;
        if awaited == Awaited::Ping {
            effects.push(LinkEffect::Send(handshake::announce(&self.config)));
        }
        match awaited.next(&self.config) {
            Some(awaited) => self.state = State::Handshake { awaited },
            None => {
                self.state = State::AwaitPsync;
                effects.push(LinkEffect::Send(handshake::psync(self.position)));
            }
        }
        Ok(())
    }

    fn on_psync_reply(
        &mut self,
        now: Millis,
        line: &[u8],
        effects: &mut Vec<LinkEffect>,
    ) -> Result<(), LinkFault> {
        match handshake::parse_psync_reply(line)? {
            PsyncReply::FullResync(grant) => {
                self.position = None;
                self.state = State::AwaitPayload { grant };
            }
            PsyncReply::Continue(new_id) => {
                let Some(position) = &mut self.position else {
                    let text = "+CONTINUE, but a full resync was asked for";
                    return Err(LinkFault::Protocol(text.to_owned()));
                };
                let id = new_id.unwrap_or(position.id);
                let renamed = id != position.id;
                position.id = id;
                effects.push(LinkEffect::Resume { id, renamed });
                self.stream(now, effects);
            }
        }
        Ok(())
    }

    fn on_payload_header(
        &mut self,
        now: Millis,
        grant: Grant,
        line: &[u8],
        effects: &mut Vec<LinkEffect>,
    ) -> Result<(), LinkFault> {
        let ending = handshake::parse_payload_header(line)?;
        let length = match &ending {
            Ending::Length { total, .. } => Some(*total),
            Ending::Mark { .. } => None,
        };
        effects.push(LinkEffect::BeginFullSync { id: grant.id, offset: grant.offset, length });
        self.state = State::Payload { grant, ending };
        if length == Some(0) {
            self.end_payload(now, effects);
        }
        Ok(())
    }

    fn end_payload(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        if let State::Payload { grant, .. } = self.state {
            self.state = State::Loading { grant, newline_at: Some(now.plus(NEWLINE_PERIOD)) };
            effects.push(LinkEffect::EndPayload);
        }
    }

    /// The link is up.
    fn stream(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        self.state = State::Streaming { ack_at: now };
        self.last_io = now;
        self.pause = FIRST_PAUSE;
        self.down_since = None;
        self.send_ack(now, effects);
    }

    fn send_ack(&mut self, now: Millis, effects: &mut Vec<LinkEffect>) {
        let (State::Streaming { ack_at }, Some(position)) = (&mut self.state, self.position) else {
            return;
        };
        *ack_at = now.plus(ACK_PERIOD);
        effects.push(LinkEffect::Send(handshake::ack(position.offset, self.fsynced)));
    }

    fn fail(&mut self, now: Millis, fault: LinkFault, effects: &mut Vec<LinkEffect>) {
        effects.push(LinkEffect::Close(fault));
        self.wait(now);
    }

    fn wait(&mut self, now: Millis) {
        if matches!(self.state, State::Waiting { .. }) {
            return;
        }
        if matches!(self.state, State::Streaming { .. }) {
            self.down_since = Some(now);
        }
        self.state = State::Waiting { until: now.plus(self.pause) };
        self.pause = (self.pause * 2).min(LONGEST_PAUSE);
    }
}

/// Passes payload bytes on. `at` is where `bytes` begin in the received buffer. Returns how many
/// were taken, and whether the payload has ended.
fn take_payload(
    ending: &mut Ending,
    bytes: &[u8],
    at: usize,
    effects: &mut Vec<LinkEffect>,
) -> (usize, bool) {
    match ending {
        Ending::Length { left, .. } => {
            let count = usize::try_from(*left).map_or(bytes.len(), |left| left.min(bytes.len()));
            effects.push(LinkEffect::Payload(at..at + count));
            *left -= count as u64;
            (count, *left == 0)
        }
        Ending::Mark { scanner, read } => {
            let found = scanner.scan(bytes);
            if !found.held.is_empty() {
                effects.push(LinkEffect::PayloadHeld(found.held.to_vec()));
            }
            if found.payload > 0 {
                effects.push(LinkEffect::Payload(at..at + found.payload));
            }
            *read += (found.held.len() + found.payload) as u64;
            (found.consumed, found.ended)
        }
    }
}

fn send(args: &[&[u8]]) -> LinkEffect {
    let mut out = Vec::new();
    encode_command(&mut out, args);
    LinkEffect::Send(out)
}
