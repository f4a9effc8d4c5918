//! The bytes that are read: counted, summed up, never trusted.

use std::io::{ErrorKind, Read};

use crate::crc::Crc64;
use crate::error::Error;
use crate::format::{length, special};

const BUFFER: usize = 64 * 1024;
/// A claimed length is believed in steps of this many bytes, so that a hostile one costs nothing.
const GROWTH_STEP: u64 = 1024 * 1024;
/// LZF's best case: three bytes for 264.
const LZF_MAX_EXPANSION: u64 = 88;

/// A length field: a plain number, or the announcement of a specially encoded string.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Length {
    Plain(u64),
    Special(u8),
}

/// A buffered source which knows its position and the checksum of what was taken from it.
#[derive(Debug)]
pub(crate) struct Input<R> {
    source: R,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    taken: u64,
    crc: Crc64,
    /// Up to here the buffer's bytes are in the checksum. Summing them up in one go is cheaper
    /// than field by field.
    summed: usize,
    limit: u64,
}

impl<R: Read> Input<R> {
    /// `limit`: longest string in bytes.
    pub(crate) fn new(source: R, limit: u64) -> Input<R> {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Input { source, buffer, start: 0, end: 0, taken: 0, crc: Crc64::new(), summed: 0, limit }
    }

    /// Bytes taken so far.
    pub(crate) fn offset(&self) -> u64 {
        self.taken
    }

    /// Checksum of the bytes taken so far.
    pub(crate) fn checksum(&mut self) -> u64 {
        self.sum_up();
        self.crc.value()
    }

    /// The source, and what was read from it but not taken.
    pub(crate) fn into_parts(self) -> (R, Vec<u8>) {
        let rest = self.buffer[self.start..self.end].to_vec();
        (self.source, rest)
    }

    pub(crate) fn corrupt(&self, what: &'static str) -> Error {
        Error::Corrupt { offset: self.taken, what }
    }

    pub(crate) fn byte(&mut self) -> Result<u8, Error> {
        Ok(self.array::<1>()?[0])
    }

    pub(crate) fn array<const N: usize>(&mut self) -> Result<[u8; N], Error> {
        let mut bytes = [0; N];
        self.fill(&mut bytes)?;
        Ok(bytes)
    }

    /// A length that must be a plain number.
    pub(crate) fn plain_length(&mut self) -> Result<u64, Error> {
        match self.length()? {
            Length::Plain(value) => Ok(value),
            Length::Special(_) => Err(self.corrupt("a string encoding where a number belongs")),
        }
    }

    /// A string in any of its encodings.
    pub(crate) fn string(&mut self) -> Result<Vec<u8>, Error> {
        let mut text = Vec::new();
        self.append_string(&mut text)?;
        Ok(text)
    }

    /// As [`Input::string`], behind what is in `to`. After an error there may be a part of it.
    pub(crate) fn append_string(&mut self, to: &mut Vec<u8>) -> Result<(), Error> {
        let number = match self.length()? {
            Length::Plain(len) => return self.append_bytes(len, to),
            Length::Special(special::INT8) => i32::from(i8::from_le_bytes(self.array()?)),
            Length::Special(special::INT16) => i32::from(i16::from_le_bytes(self.array()?)),
            Length::Special(special::INT32) => i32::from_le_bytes(self.array()?),
            Length::Special(special::LZF) => return self.append_unpacked(to),
            Length::Special(_) => return Err(self.corrupt("unknown string encoding")),
        };
        to.extend_from_slice(itoa::Buffer::new().format(number).as_bytes());
        Ok(())
    }

    fn length(&mut self) -> Result<Length, Error> {
        let first = self.byte()?;
        Ok(match first >> 6 {
            length::BITS_6 => Length::Plain(u64::from(first)),
            length::BITS_14 => {
                Length::Plain(u64::from(first & 0x3f) << 8 | u64::from(self.byte()?))
            }
            length::SPECIAL => Length::Special(first & 0x3f),
            _ => match first {
                length::BITS_32 => Length::Plain(u64::from(u32::from_be_bytes(self.array()?))),
                length::BITS_64 => Length::Plain(u64::from_be_bytes(self.array()?)),
                _ => return Err(self.corrupt("unknown form of a length")),
            },
        })
    }

    fn append_unpacked(&mut self, to: &mut Vec<u8>) -> Result<(), Error> {
        let packed_len = self.plain_length()?;
        let len = self.plain_length()?;
        self.check_limit(len)?;
        if len > packed_len.saturating_mul(LZF_MAX_EXPANSION) {
            return Err(self.corrupt("a compressed string that cannot be as long as it says"));
        }
        let mut packed = Vec::new();
        self.append_bytes(packed_len, &mut packed)?;
        let text = tessera_collections::lzf::decompress(&packed, len as usize)
            .ok_or_else(|| self.corrupt("a compressed string that cannot be unpacked"))?;
        if to.is_empty() {
            *to = text;
        } else {
            to.extend_from_slice(&text);
        }
        Ok(())
    }

    fn check_limit(&self, length: u64) -> Result<(), Error> {
        if length > self.limit {
            return Err(Error::TooLong { offset: self.taken, length, limit: self.limit });
        }
        Ok(())
    }

    /// Appends `len` bytes, the memory for them growing as they arrive.
    fn append_bytes(&mut self, len: u64, to: &mut Vec<u8>) -> Result<(), Error> {
        self.check_limit(len)?;
        let is_alone = to.is_empty();
        let mut rest = len;
        while rest > 0 {
            let have = to.len();
            let step = rest.min(GROWTH_STEP.max(len - rest)) as usize;
            if is_alone {
                to.reserve_exact(step);
            }
            to.resize(have + step, 0);
            self.fill(&mut to[have..])?;
            rest -= step as u64;
        }
        Ok(())
    }

    /// Takes exactly as many bytes as `target` has room for.
    #[inline]
    pub(crate) fn fill(&mut self, target: &mut [u8]) -> Result<(), Error> {
        let next = self.start + target.len();
        if next <= self.end {
            target.copy_from_slice(&self.buffer[self.start..next]);
            self.start = next;
            self.taken += target.len() as u64;
            return Ok(());
        }
        self.fill_from_source(target)
    }

    fn fill_from_source(&mut self, target: &mut [u8]) -> Result<(), Error> {
        let mut done = 0;
        while done < target.len() {
            if self.start == self.end {
                self.sum_up();
                let offset = self.taken + done as u64;
                // Data larger than the buffer goes straight to its place.
                let rest = &mut target[done..];
                if rest.len() >= BUFFER {
                    let read = read_some(&mut self.source, rest, offset)?;
                    self.crc.update(&rest[..read]);
                    done += read;
                    continue;
                }
                self.end = read_some(&mut self.source, &mut self.buffer, offset)?;
                (self.start, self.summed) = (0, 0);
            }
            let count = (target.len() - done).min(self.end - self.start);
            target[done..done + count]
                .copy_from_slice(&self.buffer[self.start..self.start + count]);
            self.start += count;
            done += count;
        }
        self.taken += target.len() as u64;
        Ok(())
    }

    fn sum_up(&mut self) {
        self.crc.update(&self.buffer[self.summed..self.start]);
        self.summed = self.start;
    }
}

fn read_some(source: &mut impl Read, space: &mut [u8], offset: u64) -> Result<usize, Error> {
    loop {
        match source.read(space) {
            Ok(0) => return Err(Error::Truncated { offset }),
            Ok(read) => return Ok(read),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(source) => return Err(Error::Io { offset, source }),
        }
    }
}
