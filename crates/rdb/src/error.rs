//! Errors of an RDB file or a DUMP payload.

use crate::format::ValueType;

/// Why reading stopped. Every variant says at which byte of the input; nothing after that byte has
/// been believed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The source of the bytes failed.
    #[error("cannot read the RDB data at byte {offset}: {source}")]
    Io {
        /// Bytes from the start of the input.
        offset: u64,
        /// The source's error.
        #[source]
        source: std::io::Error,
    },
    /// The input ended in the middle of something.
    #[error("the RDB data ends too early, at byte {offset}")]
    Truncated {
        /// Bytes from the start of the input.
        offset: u64,
    },
    /// The first bytes are no RDB header.
    #[error("not an RDB file: it does not begin with REDIS or VALKEY and a version")]
    NotRdb,
    /// A version whose layout is not known.
    #[error("RDB version {version} is not supported")]
    UnknownVersion {
        /// The version found.
        version: u16,
    },
    /// A byte that is neither a known opcode nor a known value type.
    #[error("unknown RDB opcode or value type {byte} at byte {offset}")]
    UnknownOpcode {
        /// Bytes from the start of the input.
        offset: u64,
        /// The byte found.
        byte: u8,
    },
    /// An opcode whose content belongs to a loaded module or to a release candidate.
    #[error("the RDB data holds {what} at byte {offset}, which is not supported")]
    UnsupportedOpcode {
        /// Bytes from the start of the input.
        offset: u64,
        /// The thing that is not supported.
        what: &'static str,
    },
    /// A value of a type that cannot be loaded.
    #[error(
        "key '{}' at byte {offset} is a {kind}, which is not supported",
        String::from_utf8_lossy(key)
    )]
    UnsupportedType {
        /// Bytes from the start of the input.
        offset: u64,
        /// The key.
        key: Vec<u8>,
        /// The value's type.
        kind: ValueType,
    },
    /// A DUMP payload of a type that cannot be loaded.
    #[error("the payload is a {kind}, which is not supported")]
    UnsupportedPayload {
        /// The value's type.
        kind: ValueType,
    },
    /// A length above the limit given by the caller.
    #[error("a length of {length} bytes at byte {offset} is above the limit of {limit}")]
    TooLong {
        /// Bytes from the start of the input.
        offset: u64,
        /// The length found.
        length: u64,
        /// The limit.
        limit: u64,
    },
    /// Bytes that cannot be what their place demands.
    #[error("corrupt RDB data at byte {offset}: {what}")]
    Corrupt {
        /// Bytes from the start of the input.
        offset: u64,
        /// The fault.
        what: &'static str,
    },
    /// The checksum at the end is not that of the bytes.
    #[error("wrong RDB checksum: the data has {computed:016x}, its end says {stored:016x}")]
    Checksum {
        /// Checksum of the bytes read.
        computed: u64,
        /// Checksum stored at the end.
        stored: u64,
    },
}
