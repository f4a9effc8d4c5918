//! RDB files and streams, and the payloads of DUMP and RESTORE.
//!
//! Writing is piecewise: [`encode_entry`] turns one key into bytes and has no state, so any number
//! of threads may call it; the value says itself how it is written ([`Encode`]); [`Writer`] owns
//! the order, the header, the database selectors and the checksum. Reading is a pull parser,
//! [`Reader`]: each call of [`Reader::next_item`] gives one [`Item`]; a value comes as plain data
//! ([`value`]).
//!
//! Deliberately not here: files, sockets, clocks, keyspaces. The crate works on `std::io::Read` and
//! `std::io::Write` and holds at most one entry in memory.
//!
//! Hostile input gives an [`Error`] with the byte offset, never a panic; a length that the input
//! claims is not believed until its bytes have arrived.

mod crc;
mod dump;
mod encode;
mod encoder;
mod error;
mod format;
mod input;
mod legacy;
mod reader;
mod strings;
pub mod value;
mod writer;

pub use crc::Crc64;
pub use dump::{DumpBody, dump, parse_dump};
pub use encode::{Eviction, ValueRef, encode_entry, encode_head};
pub use encoder::{Encode, Encoder, Options};
pub use error::Error;
pub use format::{Dialect, SourceVersion, ValueType, Version};
pub use reader::{Entry, Item, Limits, Reader};
pub use strings::Compression;
pub use value::Value;
pub use writer::{Checksum, Writer};
