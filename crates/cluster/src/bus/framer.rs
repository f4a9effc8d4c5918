//! Cuts the byte stream of a link into packets.

use super::layout::{LIGHT_HEADER_LEN, SIGNATURE, TOTLEN};

/// No packet is longer: PUBLISH carries at most a channel and a message of 512 MiB each.
const MAX_PACKET: usize = 1 << 30;

/// The stream is not that of a cluster bus; the link must be closed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FrameError {
    /// The bytes where a packet should begin are not `RCmb`.
    #[error("bad message signature")]
    Signature,
    /// The length field is below a header's length or above every sensible limit.
    #[error("bad message length {0}")]
    Length(u32),
}

/// Collects bytes and gives whole packets back. It holds at most the bytes that were received, never
/// what a length field promises.
#[derive(Debug, Default)]
pub struct Framer {
    buffer: Vec<u8>,
    start: usize,
}

impl Framer {
    /// An empty one.
    pub fn new() -> Framer {
        Framer::default()
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
        let Some(packet) = rest.get(..end) else { return Ok(None) };
        let packet = packet.to_vec();
        self.start += end;
        Ok(Some(packet))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

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
