//! The pieces that values are written with.

use tessera_slot::Millis;

use crate::format::{ValueType, Version, length, list_node, special};
use crate::strings::{Compression, put_integer, put_length, put_string};
use crate::value::StreamId;

/// How values are written.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Options {
    /// The newest version whose types may be used where an older one could hold the value too.
    pub version: Version,
    /// Whether long strings are compressed.
    pub compression: Compression,
}

impl From<Compression> for Options {
    fn from(compression: Compression) -> Options {
        Options { compression, ..Options::default() }
    }
}

/// A value that can be written: its owner knows the parts, [`Encoder`] how each is written.
pub trait Encode {
    /// The type that [`Encode::encode`] writes for this version: one of it or older, unless only a
    /// newer one can hold the value.
    fn value_type(&self, version: Version) -> ValueType;

    /// Writes what follows type and key.
    fn encode(&self, encoder: &mut Encoder<'_>);
}

impl<T: Encode + ?Sized> Encode for &T {
    fn value_type(&self, version: Version) -> ValueType {
        (**self).value_type(version)
    }

    fn encode(&self, encoder: &mut Encoder<'_>) {
        (**self).encode(encoder);
    }
}

/// Appends the parts of a value to a buffer.
#[derive(Debug)]
pub struct Encoder<'a> {
    out: &'a mut Vec<u8>,
    options: Options,
}

impl<'a> Encoder<'a> {
    /// Writes behind what is in `out`.
    pub fn new(out: &'a mut Vec<u8>, options: Options) -> Encoder<'a> {
        Encoder { out, options }
    }

    /// The version that is written.
    pub fn version(&self) -> Version {
        self.options.version
    }

    /// A length, a count, or any other number.
    pub fn length(&mut self, value: u64) {
        put_length(self.out, value);
    }

    /// A string, in its shortest form.
    pub fn string(&mut self, text: &[u8]) {
        put_string(self.out, text, self.options.compression);
    }

    /// A string whose text is this number in decimal.
    pub fn integer(&mut self, value: i64) {
        put_integer(self.out, value);
    }

    /// A string that is compressed already (LZF); `len` is its length unpacked.
    pub fn compressed(&mut self, packed: &[u8], len: usize) {
        self.out.push(length::SPECIAL << 6 | special::LZF);
        put_length(self.out, packed.len() as u64);
        put_length(self.out, len as u64);
        self.out.extend_from_slice(packed);
    }

    /// A score.
    pub fn double(&mut self, value: f64) {
        self.out.extend_from_slice(&value.to_le_bytes());
    }

    /// Writes the beginning of a quicklist's node that is one large element. The element, a string,
    /// follows.
    pub fn plain_node(&mut self) {
        put_length(self.out, list_node::PLAIN);
    }

    /// Writes the beginning of a quicklist's node that is a listpack. The listpack, a string,
    /// follows.
    pub fn packed_node(&mut self) {
        put_length(self.out, list_node::PACKED);
    }

    /// A time in Unix ms, or none.
    pub fn time(&mut self, at: Option<Millis>) {
        let at = at.map_or(-1, |at| i64::try_from(at.0).unwrap_or(i64::MAX));
        self.out.extend_from_slice(&at.to_le_bytes());
    }

    /// An id as two numbers.
    pub fn id(&mut self, id: StreamId) {
        put_length(self.out, id.ms);
        put_length(self.out, id.seq);
    }

    /// An id as 16 bytes.
    pub fn raw_id(&mut self, id: StreamId) {
        self.out.extend_from_slice(&id.to_bytes());
    }

    /// The id that a node of a stream has as its key.
    pub fn node_id(&mut self, id: StreamId) {
        self.length(16);
        self.raw_id(id);
    }

    /// How many entries a consumer group has read, if that is known.
    pub fn entries_read(&mut self, count: Option<u64>) {
        put_length(self.out, count.unwrap_or(u64::MAX));
    }
}
