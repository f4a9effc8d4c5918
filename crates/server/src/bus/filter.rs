//! Packets that are to be lost on their way in, for tests (DEBUG DROP-CLUSTER-PACKET-FILTER).

use std::sync::atomic::{AtomicBool, AtomicI32, Ordering::Relaxed};

/// The position of a packet's type: 16 bits, big endian (cluster bus header, version 1). The upper
/// bit marks a light header.
const TYPE: std::ops::Range<usize> = 12..14;
const TYPE_MASK: u16 = 0x7FFF;
const NONE: i32 = -1;
const ALL: i32 = -2;

/// The packets that are dropped.
#[derive(Debug)]
pub(crate) struct PacketFilter {
    kind: AtomicI32,
    close: AtomicBool,
}

impl Default for PacketFilter {
    fn default() -> PacketFilter {
        PacketFilter { kind: AtomicI32::new(NONE), close: AtomicBool::new(false) }
    }
}

/// The verdict on a packet.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Verdict {
    Take,
    Drop,
    /// Drop it and end its link.
    Close,
}

impl PacketFilter {
    /// Drops packets of this type from now on; -1: none, -2: all.
    pub(crate) fn drop_type(&self, kind: i32) {
        self.kind.store(kind, Relaxed);
    }

    /// Whether a dropped packet ends its link.
    pub(crate) fn close_on_drop(&self, on: bool) {
        self.close.store(on, Relaxed);
    }

    /// The verdict on this packet.
    pub(crate) fn judge(&self, packet: &[u8]) -> Verdict {
        let dropped = self.kind.load(Relaxed);
        if dropped == NONE {
            return Verdict::Take;
        }
        let kind =
            packet.get(TYPE).map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]) & TYPE_MASK);
        match kind {
            Some(kind) if dropped != ALL && i32::from(kind) != dropped => Verdict::Take,
            _ if self.close.load(Relaxed) => Verdict::Close,
            _ => Verdict::Drop,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_chosen_type_is_lost() {
        let filter = PacketFilter::default();
        let packet = |kind: u16| [&[0; 12][..], &kind.to_be_bytes(), &[0; 40]].concat();
        let judge = |filter: &PacketFilter| [0, 2, 0x8002].map(|kind| filter.judge(&packet(kind)));
        assert_eq!(judge(&filter), [Verdict::Take; 3]);
        filter.drop_type(2);
        assert_eq!(judge(&filter), [Verdict::Take, Verdict::Drop, Verdict::Drop]);
        filter.close_on_drop(true);
        assert_eq!(judge(&filter), [Verdict::Take, Verdict::Close, Verdict::Close]);
        filter.drop_type(ALL);
        assert_eq!(judge(&filter), [Verdict::Close; 3]);
        filter.drop_type(NONE);
        assert_eq!(judge(&filter), [Verdict::Take; 3]);
    }
}
