//! Cuts the byte stream of a link into packets.

use super::extension::FORGOTTEN_LEN;
use super::layout::{GOSSIP_LEN, HEADER_LEN, LIGHT_HEADER_LEN, SIGNATURE, TOTLEN};

/// No packet is longer: PUBLISH carries at most a channel and a message of 512 MiB each.
const MAX_PACKET: usize = 1 << 30;
/// The longest packet of a node that is not known yet, some 320 KiB: a MEET or PING from a cluster
/// of this many nodes which speaks of all of them (suspected ones are all told of) and of as many
/// forgotten ones, and as much again.
const MAX_UNKNOWN_PACKET: usize = 2 * (HEADER_LEN + LARGEST_CLUSTER * (GOSSIP_LEN + FORGOTTEN_LEN));
/// Nodes of the largest cluster that the protocol is meant for.
const LARGEST_CLUSTER: usize = 1000;

/// The stream is not that of a cluster bus; the link must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes where a packet should begin are not `RCmb`.
    #[error("bad message signature")]
    Signature,
    /// The length field is below a header's length or above every sensible limit.
    #[error("bad message length {0}")]
    Length(u32),
    /// The packet may be a sound one, but is longer than what a node that is not known yet has to
    /// say. After [`Framer::node_is_known`] it can be read.
    #[error("message of {0} bytes from a node that is not known")]
    Stranger(u32),
}

/// Collects bytes and gives whole packets back. It holds at most the bytes that were received,
/// never what a length field promises.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
    known: bool,
}

impl Framer {
    /// An empty one, for a peer that is not known yet.
    pub fn new() -> Framer {
        Framer::default()
    }

    /// From now on the peer may send packets of any length.
    pub fn node_is_known(&mut self) {
        self.known = true;
    }

    /// Takes received bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        if self.start > 0 {
            self.buffer.drain(..self.start);
            self.start = 0;
        }
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole packet, if it is there. Call it until it gives `None`.
    pub fn next_packet(&mut self) -> Result<Option<Vec<u8>>, FrameError> {
        let rest = &self.buffer[self.start..];
        let known = rest.len().min(SIGNATURE.len());
        if rest[..known] != SIGNATURE[..known] {
            return Err(FrameError::Signature);
        }
        let Some(length) = rest.get(TOTLEN..TOTLEN + 4) else { return Ok(None) };
        let length = u32::from_be_bytes(length.try_into().expect("four bytes"));
        let end = length as usize;
        if !(LIGHT_HEADER_LEN..=MAX_PACKET).contains(&end) {
            return Err(FrameError::Length(length));
        }
        if !self.known && end > MAX_UNKNOWN_PACKET {
            return Err(FrameError::Stranger(length));
        }
        let Some(packet) = rest.get(..end) else { return Ok(None) };
        let packet = packet.to_vec();
        self.start += end;
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bus::{Body, Extension, Gossip, Header, MessageFlags, NodeFlags, Packet, PingKind};
    use tessera_slot::{Epoch, NodeId, Offset, SlotSet};

    fn header() -> Header {
        Header {
            sender: NodeId([9; 20]),
            current_epoch: Epoch(1),
            config_epoch: Epoch(1),
            offset: Offset(0),
            slots: SlotSet::FULL,
            primary: None,
            ip: None,
            port: 1,
            secondary_port: 0,
            bus_port: 2,
            flags: NodeFlags::PRIMARY,
            cluster_ok: true,
            message_flags: MessageFlags::EXT_DATA,
        }
    }

    fn packet(length: u32) -> Vec<u8> {
        let mut bytes = vec![7; length as usize];
        bytes[..4].copy_from_slice(SIGNATURE);
        bytes[4..8].copy_from_slice(&length.to_be_bytes());
        bytes
    }

    #[test]
    fn packets_come_whole_however_the_stream_is_cut() {
        let stream = [packet(16), packet(40), packet(17)].concat();
        for step in 1..stream.len() {
            let mut framer = Framer::new();
            let mut lengths = Vec::new();
            for chunk in stream.chunks(step) {
                framer.push(chunk);
                while let Some(packet) = framer.next_packet().unwrap() {
                    lengths.push(packet.len());
                }
            }
            assert_eq!(lengths, [16, 40, 17], "step {step}");
        }
    }

    #[test]
    fn a_stranger_may_introduce_itself_and_say_no_more() {
        // A node of a cluster of a thousand that suspects all others, as it is encoded.
        let gossip = Gossip {
            node: NodeId([1; 20]),
            ping_sent: 0,
            pong_received: 0,
            ip: None,
            port: 1,
            bus_port: 2,
            flags: NodeFlags::PFAIL,
            secondary_port: 0,
        };
        let meet = Body::Ping {
            kind: PingKind::Meet,
            gossip: vec![gossip; LARGEST_CLUSTER],
            extensions: (0..LARGEST_CLUSTER as u64)
                .map(|ttl| Extension::ForgottenNode { node: NodeId([2; 20]), ttl })
                .chain([Extension::Hostname("h".repeat(255))])
                .collect(),
        };
        let meet = crate::bus::encode(&Packet::Full(Box::new(header()), meet));
        let mut framer = Framer::new();
        framer.push(&meet);
        assert_eq!(framer.next_packet(), Ok(Some(meet)));

        // More than that is refused by its length alone, until the node is known.
        let long = packet(MAX_UNKNOWN_PACKET as u32 + 1);
        framer.push(&long[..8]);
        let stranger = FrameError::Stranger(MAX_UNKNOWN_PACKET as u32 + 1);
        assert_eq!(framer.next_packet(), Err(stranger));
        framer.node_is_known();
        assert_eq!(framer.next_packet(), Ok(None));
        framer.push(&long[8..]);
        assert_eq!(framer.next_packet(), Ok(Some(long)));
    }

    #[test]
    fn a_foreign_stream_is_refused_at_once() {
        let mut framer = Framer::new();
        framer.push(b"GE");
        assert_eq!(framer.next_packet(), Err(FrameError::Signature));
        for length in [0, 15, u32::MAX] {
            let mut framer = Framer::new();
            framer.push(b"RCmb");
            framer.push(&length.to_be_bytes());
            assert_eq!(framer.next_packet(), Err(FrameError::Length(length)));
        }
    }
}
