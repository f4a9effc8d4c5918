//! The stream: header, auxiliary fields, selectors, entries, end and checksum.

use std::io::{self, Write};

use crate::crc::Crc64;
use crate::format::{Version, opcode};
use crate::strings::{Compression, put_length, put_string};

/// Whether the checksum is computed (directive `rdbchecksum`). Without it the file ends with zeros,
/// which a reader takes as "not checked".
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Checksum {
    /// The file ends with 0.
    Off,
    /// The file ends with the CRC-64 of everything before.
    #[default]
    On,
}

/// Writes an RDB stream in order. Entries are encoded elsewhere ([`crate::encode_entry`]) and
/// handed over as bytes; the order of the calls is the order in the file: aux fields and functions
/// first, then for each database `select_db`, `resize_db` and its entries, then [`Writer::finish`].
///
/// Every method fails only if the underlying writer does.
#[derive(Debug)]
pub struct Writer<W> {
    out: W,
    crc: Option<Crc64>,
    scratch: Vec<u8>,
}

impl<W: Write> Writer<W> {
    /// Begins a stream: writes the header.
    pub fn new(out: W, version: Version, checksum: Checksum) -> io::Result<Writer<W>> {
        let crc = (checksum == Checksum::On).then(Crc64::new);
        let mut writer = Writer { out, crc, scratch: Vec::new() };
        writer.put(&version.header())?;
        Ok(writer)
    }

    /// An auxiliary field, such as `redis-ver` or `repl-id`. Readers ignore names they do not know.
    pub fn aux(&mut self, name: &[u8], value: &[u8]) -> io::Result<()> {
        self.put_opcode(opcode::AUX, |out| {
            put_string(out, name, Compression::Off);
            put_string(out, value, Compression::Off);
        })
    }

    /// A library of functions: its source text.
    pub fn function(&mut self, code: &[u8], compression: Compression) -> io::Result<()> {
        self.put_opcode(opcode::FUNCTION, |out| put_string(out, code, compression))
    }

    /// The entries that follow belong to this database.
    pub fn select_db(&mut self, db: u32) -> io::Result<()> {
        self.put_opcode(opcode::SELECT_DB, |out| put_length(out, u64::from(db)))
    }

    /// How many keys the database holds, and how many of them expire: a hint for the reader.
    pub fn resize_db(&mut self, keys: u64, expires: u64) -> io::Result<()> {
        self.put_opcode(opcode::RESIZE_DB, |out| {
            put_length(out, keys);
            put_length(out, expires);
        })
    }

    /// Whole entries, as [`crate::encode_entry`] made them.
    pub fn entries(&mut self, encoded: &[u8]) -> io::Result<()> {
        self.put(encoded)
    }

    /// Ends the stream with its checksum, flushes, and gives the underlying writer back.
    pub fn finish(mut self) -> io::Result<W> {
        self.put(&[opcode::EOF])?;
        let sum = self.crc.take().map_or(0, |crc| crc.value());
        self.put(&sum.to_le_bytes())?;
        self.out.flush()?;
        Ok(self.out)
    }

    /// The underlying writer, for a caller who takes out what has been written so far.
    pub fn get_mut(&mut self) -> &mut W {
        &mut self.out
    }

    fn put_opcode(&mut self, opcode: u8, content: impl FnOnce(&mut Vec<u8>)) -> io::Result<()> {
        let mut scratch = std::mem::take(&mut self.scratch);
        scratch.clear();
        scratch.push(opcode);
        content(&mut scratch);
        let result = self.put(&scratch);
        self.scratch = scratch;
        result
    }

    fn put(&mut self, bytes: &[u8]) -> io::Result<()> {
        if let Some(crc) = &mut self.crc {
            crc.update(bytes);
        }
        self.out.write_all(bytes)
    }
}
