//! One entry as bytes, without state: any thread may do it for any key.

use tessera_slot::Millis;

use crate::encoder::{Encode, Encoder, Options};
use crate::format::{ValueType, Version, opcode};
use crate::strings::{put_length, put_string};

/// Eviction's knowledge about a key. It is stored so that it survives a restart.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Eviction {
    /// Seconds since the key was last used (an LRU policy).
    Idle(u64),
    /// Logarithmic counter of uses (an LFU policy).
    Frequency(u8),
}

/// A string that is to be written, borrowed from its owner.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ValueRef<'a> {
    /// A string's bytes.
    String(&'a [u8]),
    /// A string that is held as a number.
    Integer(i64),
}

impl Encode for ValueRef<'_> {
    fn value_type(&self, _: Version) -> ValueType {
        ValueType::String
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        match *self {
            ValueRef::String(text) => encoder.string(text),
            ValueRef::Integer(value) => encoder.integer(value),
        }
    }
}

/// Appends one entry to `out`: expiry, eviction, type, key, value. `expires_at` is in milliseconds
/// since 1970.
///
/// The entry belongs to the database whose selector precedes it in the stream ([`crate::Writer`]).
pub fn encode_entry(
    out: &mut Vec<u8>,
    key: &[u8],
    expires_at: Option<Millis>,
    eviction: Option<Eviction>,
    value: impl Encode,
    options: impl Into<Options>,
) {
    let options = options.into();
    encode_head(out, key, expires_at, eviction, value.value_type(options.version), options);
    value.encode(&mut Encoder::new(out, options));
}

/// Appends what comes before the value of an entry: expiry, eviction, type, key. The parts of the
/// value are to follow ([`Encoder`]).
pub fn encode_head(
    out: &mut Vec<u8>,
    key: &[u8],
    expires_at: Option<Millis>,
    eviction: Option<Eviction>,
    value_type: ValueType,
    options: Options,
) {
    if let Some(at) = expires_at {
        out.push(opcode::EXPIRE_MS);
        out.extend_from_slice(&at.0.to_le_bytes());
    }
    match eviction {
        Some(Eviction::Idle(seconds)) => {
            out.push(opcode::IDLE);
            put_length(out, seconds);
        }
        Some(Eviction::Frequency(counter)) => out.extend_from_slice(&[opcode::FREQ, counter]),
        None => {}
    }
    out.push(value_type.to_byte());
    put_string(out, key, options.compression);
}
