//! The payload of DUMP and RESTORE: type, value, version (2 bytes, little-endian), checksum (8
//! bytes, little-endian) of everything before it.

use crate::crc::Crc64;
use crate::encoder::{Encode, Encoder, Options};
use crate::error::Error;
use crate::format::{SourceVersion, ValueType};
use crate::input::Input;
use crate::reader::Limits;
use crate::value::{Value, parse_value};
use crate::writer::Checksum;

const CHECKSUM_LEN: usize = 8;
const FOOTER_LEN: usize = 2 + CHECKSUM_LEN;

/// The payload of a value. Its version is the oldest that has the value's type: 10, and so readable
/// by Redis 7.0 and everything later, if `options` ask for that and it can hold the value.
pub fn dump(value: impl Encode, options: impl Into<Options>) -> Vec<u8> {
    let options = options.into();
    let kind = value.value_type(options.version);
    let mut out = vec![kind.to_byte()];
    value.encode(&mut Encoder::new(&mut out, options));
    out.extend_from_slice(&kind.first_version().number().to_le_bytes());
    let sum = Crc64::of(&out);
    out.extend_from_slice(&sum.to_le_bytes());
    out
}

/// A payload whose version is known and whose checksum is right: type and value may still be
/// anything.
#[derive(Clone, Copy, Debug)]
pub struct DumpBody<'a> {
    body: &'a [u8],
    version: SourceVersion,
}

impl<'a> DumpBody<'a> {
    /// Checks what stands at a payload's end: the version, and with [`Checksum::On`] the checksum.
    /// A checksum of 0 is wrong here, unlike in files, unless it is the true one.
    pub fn verify(payload: &'a [u8], checksum: Checksum) -> Result<DumpBody<'a>, Error> {
        let body_len = payload
            .len()
            .checked_sub(FOOTER_LEN)
            .ok_or(Error::Truncated { offset: payload.len() as u64 })?;
        let (summed, sum) = payload.split_at(payload.len() - CHECKSUM_LEN);
        let (body, version) = summed.split_at(body_len);
        let version =
            u16::from_le_bytes(version.try_into().expect("the footer's version is 2 bytes"));
        let version = SourceVersion::new(version).ok_or(Error::UnknownVersion { version })?;
        if checksum == Checksum::On {
            let stored = u64::from_le_bytes(sum.try_into().expect("the checksum is 8 bytes"));
            let computed = Crc64::of(summed);
            if stored != computed {
                return Err(Error::Checksum { computed, stored });
            }
        }
        Ok(DumpBody { body, version })
    }

    /// The payload's version.
    pub fn version(&self) -> SourceVersion {
        self.version
    }

    /// Reads the value.
    pub fn parse(&self, limits: Limits) -> Result<Value, Error> {
        let mut input = Input::new(self.body, limits.string);
        let byte = input.byte()?;
        let kind = ValueType::from_byte(byte, self.version.dialect())
            .ok_or(Error::UnknownOpcode { offset: 0, byte })?;
        let value = parse_value(&mut input, kind)?.ok_or(Error::UnsupportedPayload { kind })?;
        if input.offset() != self.body.len() as u64 {
            return Err(input.corrupt("bytes after the value"));
        }
        Ok(value)
    }
}

/// Checks a payload and reads its value.
pub fn parse_dump(payload: &[u8], limits: Limits) -> Result<Value, Error> {
    DumpBody::verify(payload, Checksum::On)?.parse(limits)
}
