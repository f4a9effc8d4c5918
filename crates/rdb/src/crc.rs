//! The checksum of RDB files and DUMP payloads.

use crc_fast::{CrcAlgorithm, Digest};

/// A running CRC-64 as Redis computes it: Jones' polynomial, reflected, starting at 0, without a
/// final inversion.
#[derive(Clone, Debug)]
pub struct Crc64(Digest);

impl Crc64 {
    /// The checksum of no bytes, which is 0.
    pub fn new() -> Crc64 {
        Crc64(Digest::new(CrcAlgorithm::Crc64Redis))
    }

    /// The checksum of `bytes`.
    pub fn of(bytes: &[u8]) -> u64 {
        crc_fast::checksum(CrcAlgorithm::Crc64Redis, bytes)
    }

    /// Adds `bytes` to what has been summed up so far.
    pub fn update(&mut self, bytes: &[u8]) {
        self.0.update(bytes);
    }

    /// The checksum of all bytes so far.
    pub fn value(&self) -> u64 {
        self.0.finalize()
    }
}

impl Default for Crc64 {
    fn default() -> Crc64 {
        Crc64::new()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn check_value_of_the_catalogue() {
        assert_eq!(Crc64::of(b"123456789"), 0xE9C6_D914_C4B8_D9CA);
        assert_eq!(Crc64::new().value(), 0);
        let mut running = Crc64::new();
        for byte in b"123456789" {
            running.update(&[*byte]);
        }
        assert_eq!(running.value(), 0xE9C6_D914_C4B8_D9CA);
    }
}
