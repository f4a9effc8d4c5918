//! The pull parser.

use std::io::Read;

use tessera_slot::{Millis, Slot};

use crate::encode::Eviction;
use crate::error::Error;
use crate::format::{
    Dialect, HEADER_LEN, MAGIC_REDIS, MAGIC_VALKEY, SourceVersion, ValueType, opcode,
};
use crate::input::Input;
use crate::value::{Value, parse_value};

/// The limits of what a reader accepts.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Longest string in bytes, unpacked (directive `proto-max-bulk-len`).
    pub string: u64,
}

impl Default for Limits {
    /// 512 MiB, the default of `proto-max-bulk-len`.
    fn default() -> Limits {
        Limits { string: 512 * 1024 * 1024 }
    }
}

/// One key with its value.
#[derive(Clone, PartialEq, Debug)]
pub struct Entry {
    /// The key.
    pub key: Vec<u8>,
    /// When it expires, in milliseconds since 1970; the moment may have passed. A time before 1970
    /// is given as 0.
    pub expires_at: Option<Millis>,
    /// Eviction's knowledge about it.
    pub eviction: Option<Eviction>,
    /// The value.
    pub value: Value,
}

/// One element of the stream.
#[derive(Clone, PartialEq, Debug)]
pub enum Item {
    /// An auxiliary field. Unknown names are to be ignored.
    Aux {
        /// The field's name, such as `repl-id`.
        name: Vec<u8>,
        /// Its value as text.
        value: Vec<u8>,
    },
    /// The entries that follow belong to this database.
    SelectDb(u32),
    /// How large the database is: a hint, not a promise.
    ResizeDb {
        /// Keys in the database.
        keys: u64,
        /// How many of them expire.
        expires: u64,
    },
    /// How large a hash slot is: a hint, not a promise.
    SlotInfo {
        /// The slot of the entries that follow.
        slot: Slot,
        /// Keys in the slot.
        keys: u64,
        /// How many of them expire.
        expires: u64,
    },
    /// A library of functions: its source text.
    Function(Vec<u8>),
    /// A key with its value.
    Entry(Entry),
    /// The stream is complete and its checksum right. Nothing follows.
    End,
}

/// Reads an RDB stream item by item.
///
/// It may read ahead of the end of the stream; [`Reader::into_parts`] gives back what it read too
/// much. After an error, or after [`Item::End`], every further call gives an error.
#[derive(Debug)]
pub struct Reader<R> {
    input: Input<R>,
    version: SourceVersion,
    finished: bool,
}

/// The opcodes before the type of an entry.
#[derive(Default)]
struct Attributes {
    expires_at: Option<Millis>,
    eviction: Option<Eviction>,
}

impl<R: Read> Reader<R> {
    /// Reads and checks the header.
    pub fn new(source: R, limits: Limits) -> Result<Reader<R>, Error> {
        let mut input = Input::new(source, limits.string);
        let number = parse_header(&input.array::<HEADER_LEN>()?).ok_or(Error::NotRdb)?;
        let version =
            SourceVersion::new(number).ok_or(Error::UnknownVersion { version: number })?;
        Ok(Reader { input, version, finished: false })
    }

    /// The version in the header.
    pub fn version(&self) -> SourceVersion {
        self.version
    }

    /// Bytes read so far.
    pub fn offset(&self) -> u64 {
        self.input.offset()
    }

    /// The source, and the bytes that were read from it beyond the last item.
    pub fn into_parts(self) -> (R, Vec<u8>) {
        self.input.into_parts()
    }

    /// The next element. See [`Error`] for what can go wrong.
    pub fn next_item(&mut self) -> Result<Item, Error> {
        if self.finished {
            return Err(self.input.corrupt("read on after the end or after an error"));
        }
        let item = self.parse_item();
        self.finished = matches!(item, Err(_) | Ok(Item::End));
        item
    }

    fn parse_item(&mut self) -> Result<Item, Error> {
        let mut attributes = Attributes::default();
        loop {
            let offset = self.input.offset();
            let byte = self.input.byte()?;
            if self.parse_attribute(byte, &mut attributes)? {
                continue;
            }
            if byte < opcode::SLOT_INFO {
                return self.parse_entry(offset, byte, attributes);
            }
            if attributes.expires_at.is_some() || attributes.eviction.is_some() {
                return Err(self.input.corrupt("an expiry or eviction value without a key"));
            }
            return self.parse_section(offset, byte);
        }
    }

    /// Takes what belongs to the entry that follows; false if `byte` is something else.
    fn parse_attribute(&mut self, byte: u8, into: &mut Attributes) -> Result<bool, Error> {
        match byte {
            opcode::EXPIRE_MS => {
                let at = i64::from_le_bytes(self.input.array()?);
                into.expires_at = Some(Millis(at.max(0) as u64));
            }
            opcode::EXPIRE_SECONDS => {
                let at = i64::from(i32::from_le_bytes(self.input.array()?));
                into.expires_at = Some(Millis(at.max(0) as u64 * 1000));
            }
            opcode::IDLE => into.eviction = Some(Eviction::Idle(self.input.plain_length()?)),
            opcode::FREQ => into.eviction = Some(Eviction::Frequency(self.input.byte()?)),
            _ => return Ok(false),
        }
        Ok(true)
    }

    fn parse_section(&mut self, offset: u64, byte: u8) -> Result<Item, Error> {
        let unsupported = |what| Error::UnsupportedOpcode { offset, what };
        match byte {
            opcode::AUX => {
                Ok(Item::Aux { name: self.input.string()?, value: self.input.string()? })
            }
            opcode::SELECT_DB => {
                let number = self.input.plain_length()?;
                let db = u32::try_from(number)
                    .map_err(|_| self.input.corrupt("a database number above 32 bits"))?;
                Ok(Item::SelectDb(db))
            }
            opcode::RESIZE_DB => Ok(Item::ResizeDb {
                keys: self.input.plain_length()?,
                expires: self.input.plain_length()?,
            }),
            opcode::SLOT_INFO => self.parse_slot_info(),
            opcode::FUNCTION => Ok(Item::Function(self.input.string()?)),
            opcode::FUNCTION_PRE_GA => {
                Err(unsupported("functions of a release candidate of Redis 7.0"))
            }
            opcode::MODULE_AUX => Err(unsupported("data of a module")),
            opcode::EOF => self.parse_end(),
            _ => Err(Error::UnknownOpcode { offset, byte }),
        }
    }

    fn parse_slot_info(&mut self) -> Result<Item, Error> {
        let number = self.input.plain_length()?;
        let slot = u16::try_from(number)
            .ok()
            .and_then(Slot::new)
            .ok_or_else(|| self.input.corrupt("a slot number above 16383"))?;
        let keys = self.input.plain_length()?;
        let expires = self.input.plain_length()?;
        Ok(Item::SlotInfo { slot, keys, expires })
    }

    fn parse_end(&mut self) -> Result<Item, Error> {
        if self.version.has_checksum() {
            let computed = self.input.checksum();
            let stored = u64::from_le_bytes(self.input.array()?);
            // 0: the writer computed none.
            if stored != 0 && stored != computed {
                return Err(Error::Checksum { computed, stored });
            }
        }
        Ok(Item::End)
    }

    fn parse_entry(&mut self, offset: u64, byte: u8, with: Attributes) -> Result<Item, Error> {
        let kind = ValueType::from_byte(byte, self.version.dialect())
            .ok_or(Error::UnknownOpcode { offset, byte })?;
        let key = self.input.string()?;
        let Some(value) = parse_value(&mut self.input, kind)? else {
            return Err(Error::UnsupportedType { offset, key, kind });
        };
        let Attributes { expires_at, eviction } = with;
        Ok(Item::Entry(Entry { key, expires_at, eviction, value }))
    }
}

/// The version number of a header: `REDIS0011` or `VALKEY080`.
fn parse_header(header: &[u8; HEADER_LEN]) -> Option<u16> {
    let (digits, dialect) = if let Some(digits) = header.strip_prefix(MAGIC_REDIS) {
        (digits, Dialect::Redis)
    } else {
        (header.strip_prefix(MAGIC_VALKEY)?, Dialect::Valkey)
    };
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number: u16 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    match SourceVersion::new(number) {
        // The common versions carry Redis' word in Valkey's files too, Valkey's own never do.
        Some(version) if version.dialect() != dialect => None,
        _ => Some(number),
    }
}
