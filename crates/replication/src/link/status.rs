//! The link as INFO and ROLE show it.

use tessera_slot::Millis;

use super::{Ending, ReplicaLink, State};

/// How far the link is, in the words of ROLE.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum LinkPhase {
    /// The link is not connected; a new attempt is due.
    Connect,
    /// The connection is being made.
    Connecting,
    /// Connected; talking about how to synchronise.
    Handshake,
    /// A full resync.
    Sync,
    /// The link is up.
    Connected,
}

impl LinkPhase {
    /// The word that ROLE gives.
    pub fn name(self) -> &'static str {
        match self {
            LinkPhase::Connect => "connect",
            LinkPhase::Connecting => "connecting",
            LinkPhase::Handshake => "handshake",
            LinkPhase::Sync => "sync",
            LinkPhase::Connected => "connected",
        }
    }
}

/// How much of a full resync's payload has come.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Transfer {
    /// Bytes in all, if the primary knew it (`master_sync_total_bytes`).
    pub total: Option<u64>,
    /// Bytes received (`master_sync_read_bytes`).
    pub read: u64,
}

/// The fields of INFO about a link.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct LinkStatus {
    /// How far it is. `Connected` is `master_link_status:up`, `Sync` is
    /// `master_sync_in_progress:1`.
    pub phase: LinkPhase,
    /// Seconds since the primary was heard of (`master_last_io_seconds_ago`); `None` while not up.
    pub last_io_seconds: Option<u64>,
    /// Seconds since the link was lost (`master_link_down_since_seconds`); `None` if it is up or
    /// never was.
    pub down_seconds: Option<u64>,
    /// The payload, while it comes.
    pub transfer: Option<Transfer>,
}

impl ReplicaLink {
    /// The link as INFO and ROLE show it.
    pub fn status(&self, now: Millis) -> LinkStatus {
        let phase = self.phase();
        let up = phase == LinkPhase::Connected;
        LinkStatus {
            phase,
            last_io_seconds: up.then(|| now.since(self.last_io) / 1000),
            down_seconds: self.down_since.map(|since| now.since(since) / 1000),
            transfer: self.transfer(),
        }
    }

    /// When the primary was last heard of, or the present attempt to connect began.
    pub fn last_io(&self) -> Millis {
        self.last_io
    }

    fn phase(&self) -> LinkPhase {
        match self.state {
            State::Waiting { .. } => LinkPhase::Connect,
            State::Connecting => LinkPhase::Connecting,
            State::Handshake { .. } | State::AwaitPsync => LinkPhase::Handshake,
            State::AwaitPayload { .. } | State::Payload { .. } | State::Loading { .. } => {
                LinkPhase::Sync
            }
            State::Streaming { .. } => LinkPhase::Connected,
        }
    }

    fn transfer(&self) -> Option<Transfer> {
        match &self.state {
            State::Payload { ending: Ending::Length { left, total }, .. } => {
                Some(Transfer { total: Some(*total), read: total - left })
            }
            State::Payload { ending: Ending::Mark { read, .. }, .. } => {
                Some(Transfer { total: None, read: *read })
            }
            _ => None,
        }
    }
}
