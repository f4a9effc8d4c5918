//! The offsets of the fields. Each follows from the field before it.
//!
//! Source: the cluster bus header, protocol version 1, as Redis 7 and Valkey 8 lay it out.

use tessera_slot::SLOT_COUNT;

/// The signature that begins every packet.
pub(super) const SIGNATURE: &[u8; 4] = b"RCmb";
/// The only protocol version there is.
pub(super) const VERSION: u16 = 1;
/// The bit of the type field that marks a light header.
pub(super) const LIGHT_BIT: u16 = 0x8000;

/// A name: 40 hexadecimal digits.
pub(super) const NAME_LEN: usize = 40;
/// An address as text, padded with zero bytes (INET6_ADDRSTRLEN).
pub(super) const IP_LEN: usize = 46;
/// A bitmap of slots.
pub(super) const SLOTS_LEN: usize = SLOT_COUNT / 8;

// Common to both headers.
pub(super) const SIG: usize = 0;
pub(super) const TOTLEN: usize = SIG + 4;
pub(super) const VER: usize = TOTLEN + 4;
pub(super) const PORT: usize = VER + 2;
pub(super) const TYPE: usize = PORT + 2;
pub(super) const COUNT: usize = TYPE + 2;

/// The length of a light header.
pub(crate) const LIGHT_HEADER_LEN: usize = COUNT + 2;

// The full header only.
pub(super) const CURRENT_EPOCH: usize = COUNT + 2;
pub(super) const CONFIG_EPOCH: usize = CURRENT_EPOCH + 8;
pub(super) const OFFSET: usize = CONFIG_EPOCH + 8;
pub(super) const SENDER: usize = OFFSET + 8;
pub(super) const MY_SLOTS: usize = SENDER + NAME_LEN;
pub(super) const REPLICA_OF: usize = MY_SLOTS + SLOTS_LEN;
pub(super) const MY_IP: usize = REPLICA_OF + NAME_LEN;
pub(super) const EXTENSIONS: usize = MY_IP + IP_LEN;
const RESERVED: usize = EXTENSIONS + 2;
pub(super) const SECONDARY_PORT: usize = RESERVED + 30;
pub(super) const BUS_PORT: usize = SECONDARY_PORT + 2;
pub(super) const FLAGS: usize = BUS_PORT + 2;
pub(super) const STATE: usize = FLAGS + 2;
pub(super) const MESSAGE_FLAGS: usize = STATE + 1;

/// The length of a full header.
pub const HEADER_LEN: usize = MESSAGE_FLAGS + 3;

/// The offsets within a gossip entry.
pub(super) mod gossip {
    use super::{IP_LEN, NAME_LEN};
    pub(in crate::bus) const NAME: usize = 0;
    pub(in crate::bus) const PING_SENT: usize = NAME + NAME_LEN;
    pub(in crate::bus) const PONG_RECEIVED: usize = PING_SENT + 4;
    pub(in crate::bus) const IP: usize = PONG_RECEIVED + 4;
    pub(in crate::bus) const PORT: usize = IP + IP_LEN;
    pub(in crate::bus) const BUS_PORT: usize = PORT + 2;
    pub(in crate::bus) const FLAGS: usize = BUS_PORT + 2;
    pub(in crate::bus) const SECONDARY_PORT: usize = FLAGS + 2;
    pub(in crate::bus) const UNUSED: usize = SECONDARY_PORT + 2;
}

/// The length of a gossip entry.
pub(crate) const GOSSIP_LEN: usize = gossip::UNUSED + 2;

/// The offsets within the body of an UPDATE.
pub(super) mod update {
    use super::{NAME_LEN, SLOTS_LEN};
    pub(in crate::bus) const CONFIG_EPOCH: usize = 0;
    pub(in crate::bus) const NAME: usize = CONFIG_EPOCH + 8;
    pub(in crate::bus) const SLOTS: usize = NAME + NAME_LEN;
    pub(in crate::bus) const LEN: usize = SLOTS + SLOTS_LEN;
}

/// The fixed part of a MODULE body: id, length, type.
pub(super) const MODULE_FIXED: usize = 8 + 4 + 1;
/// The offset of the length in a MODULE body.
pub(super) const MODULE_DATA_LEN: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn offsets_of_protocol_version_1() {
        // The offsets that Valkey's cluster_legacy.h asserts.
        let table = [
            (TOTLEN, 4),
            (VER, 8),
            (PORT, 10),
            (TYPE, 12),
            (COUNT, 14),
            (CURRENT_EPOCH, 16),
            (CONFIG_EPOCH, 24),
            (OFFSET, 32),
            (SENDER, 40),
            (MY_SLOTS, 80),
            (REPLICA_OF, 2128),
            (MY_IP, 2168),
            (EXTENSIONS, 2214),
            (SECONDARY_PORT, 2246),
            (BUS_PORT, 2248),
            (FLAGS, 2250),
            (STATE, 2252),
            (MESSAGE_FLAGS, 2253),
            (HEADER_LEN, 2256),
            (LIGHT_HEADER_LEN, 16),
            (GOSSIP_LEN, 104),
            (update::LEN, 2096),
        ];
        for (ours, theirs) in table {
            assert_eq!(ours, theirs);
        }
    }
}
