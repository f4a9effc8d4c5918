//! How far this node's data is, as the driver tells it.

use crate::PrimaryLink;
use tessera_slot::{Millis, Offset};

/// The replication offset, and the link over which it grows.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Progress {
    offset: Offset,
    link: PrimaryLink,
}

impl Progress {
    pub(crate) fn none() -> Progress {
        Progress { offset: Offset(0), link: PrimaryLink::Down { since: None } }
    }

    pub(crate) fn offset(self) -> Offset {
        self.offset
    }

    pub(crate) fn set_offset(&mut self, offset: Offset) {
        self.offset = offset;
    }

    pub(crate) fn set_link(&mut self, link: PrimaryLink) {
        self.link = link;
    }

    /// Whether a full synchronisation has not ended well: the data is a part of the primary's.
    pub(crate) fn is_incomplete(self) -> bool {
        self.link == PrimaryLink::Incomplete
    }

    /// How long ago the primary was heard last, in milliseconds; endless if never.
    pub(crate) fn age(self, now: Millis) -> u64 {
        match self.link {
            PrimaryLink::Up { heard } => now.since(heard),
            PrimaryLink::Incomplete | PrimaryLink::Down { since: None } => u64::MAX,
            PrimaryLink::Down { since: Some(since) } => now.since(since),
        }
    }
}
