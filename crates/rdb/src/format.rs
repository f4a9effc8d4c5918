//! The numbers of the format: versions, opcodes, length and string encodings, value types.
//!
//! Source: the RDB files of Redis 1.0 to 8.2 and Valkey 7.2 to 9.0. After version 11 the format has
//! forked: Redis went on with 12, Valkey with 80 and a magic word of its own.

use std::fmt;

/// The first bytes of a file: five letters and four decimal digits of version.
pub(crate) const MAGIC_REDIS: &[u8; 5] = b"REDIS";
/// The first bytes of a file of Valkey's own versions: six letters and three digits.
pub(crate) const MAGIC_VALKEY: &[u8; 6] = b"VALKEY";
/// Length of magic word and version together, in both spellings.
pub(crate) const HEADER_LEN: usize = 9;

/// From this version on a file ends with a checksum.
pub(crate) const FIRST_CHECKSUM_VERSION: u16 = 5;

/// Opcodes: bytes that stand where a value type could stand.
pub(crate) mod opcode {
    pub(crate) const SLOT_INFO: u8 = 244;
    pub(crate) const FUNCTION: u8 = 245;
    pub(crate) const FUNCTION_PRE_GA: u8 = 246;
    pub(crate) const MODULE_AUX: u8 = 247;
    pub(crate) const IDLE: u8 = 248;
    pub(crate) const FREQ: u8 = 249;
    pub(crate) const AUX: u8 = 250;
    pub(crate) const RESIZE_DB: u8 = 251;
    pub(crate) const EXPIRE_MS: u8 = 252;
    pub(crate) const EXPIRE_SECONDS: u8 = 253;
    pub(crate) const SELECT_DB: u8 = 254;
    pub(crate) const EOF: u8 = 255;
}

/// The two high bits of a length's first byte, and the two long forms.
pub(crate) mod length {
    pub(crate) const BITS_6: u8 = 0;
    pub(crate) const BITS_14: u8 = 1;
    pub(crate) const SPECIAL: u8 = 3;
    pub(crate) const BITS_32: u8 = 0x80;
    pub(crate) const BITS_64: u8 = 0x81;
}

/// String encodings: the low six bits where the two high bits say "special".
pub(crate) mod special {
    pub(crate) const INT8: u8 = 0;
    pub(crate) const INT16: u8 = 1;
    pub(crate) const INT32: u8 = 2;
    pub(crate) const LZF: u8 = 3;
}

/// Kinds of nodes of a list.
pub(crate) mod list_node {
    pub(crate) const PLAIN: u64 = 1;
    pub(crate) const PACKED: u64 = 2;
}

/// The version that is written. The oldest one that carries the data is the right one, for Redis
/// 7.0 refuses what is newer than 10.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub enum Version {
    /// Redis 7.0: strings, and all collections but those below.
    #[default]
    V10,
    /// Redis 7.2: sets as listpacks, streams with the active time of consumers.
    V11,
    /// Redis 7.4: hashes whose fields expire, in Redis' form.
    V12,
    /// Valkey 9: hashes whose fields expire, in Valkey's form. Redis does not read it.
    V80,
}

impl Version {
    /// The version's number, as it stands in the header and in the footer of DUMP.
    pub fn number(self) -> u16 {
        match self {
            Version::V10 => 10,
            Version::V11 => 11,
            Version::V12 => 12,
            Version::V80 => 80,
        }
    }

    /// The first bytes of a file.
    pub(crate) fn header(self) -> [u8; HEADER_LEN] {
        match self {
            Version::V80 => *b"VALKEY080",
            Version::V12 => *b"REDIS0012",
            Version::V11 => *b"REDIS0011",
            Version::V10 => *b"REDIS0010",
        }
    }
}

/// The project whose format a file has, after the fork.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Dialect {
    /// Versions 1 to 11, which both share, and Redis' 12.
    Redis,
    /// Valkey's versions from 80 on.
    Valkey,
}

/// The version of a file or payload that is read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SourceVersion {
    number: u16,
    dialect: Dialect,
}

impl SourceVersion {
    /// The version with this number, or `None` if its layout is not known here.
    pub fn new(number: u16) -> Option<SourceVersion> {
        match number {
            1..=12 => Some(SourceVersion { number, dialect: Dialect::Redis }),
            80 => Some(SourceVersion { number, dialect: Dialect::Valkey }),
            _ => None,
        }
    }

    /// The version's number.
    pub fn number(self) -> u16 {
        self.number
    }

    /// The project whose format it is.
    pub fn dialect(self) -> Dialect {
        self.dialect
    }

    pub(crate) fn has_checksum(self) -> bool {
        self.number >= FIRST_CHECKSUM_VERSION
    }
}

macro_rules! value_types {
    ($($(#[$doc:meta])* $variant:ident = $number:literal, $name:literal;)*) => {
        /// How a value is stored: every type of every version.
        #[derive(Clone, Copy, PartialEq, Eq, Debug)]
        pub enum ValueType {
            $($(#[$doc])* $variant,)*
            /// A hash whose fields may expire, as Valkey 9 stores it. Its number, 22, means another
            /// thing in Redis' files.
            HashValkeyExpiry,
        }

        impl ValueType {
            /// The type with this number in a file of this dialect; `None` if there is none.
            pub fn from_byte(byte: u8, dialect: Dialect) -> Option<ValueType> {
                match (byte, dialect) {
                    (22, Dialect::Valkey) => Some(ValueType::HashValkeyExpiry),
                    (23.., Dialect::Valkey) => None,
                    $(($number, _) => Some(ValueType::$variant),)*
                    _ => None,
                }
            }

            /// The oldest version that is written which has this type.
            pub fn first_version(self) -> Version {
                match self {
                    ValueType::SetListpack | ValueType::Stream3 => Version::V11,
                    ValueType::HashExpiryPreGa
                    | ValueType::HashListpackExpiryPreGa
                    | ValueType::HashExpiry
                    | ValueType::HashListpackExpiry
                    | ValueType::Stream4 => Version::V12,
                    ValueType::HashValkeyExpiry => Version::V80,
                    _ => Version::V10,
                }
            }

            /// The number that stands in the file.
            pub fn to_byte(self) -> u8 {
                match self {
                    $(ValueType::$variant => $number,)*
                    ValueType::HashValkeyExpiry => 22,
                }
            }

            /// The user's word for such a value: "list", "sorted set", and so on.
            pub fn name(self) -> &'static str {
                match self {
                    $(ValueType::$variant => $name,)*
                    ValueType::HashValkeyExpiry => "hash with expiring fields",
                }
            }
        }
    };
}

value_types! {
    /// A string.
    String = 0, "string";
    /// A list, element by element.
    List = 1, "list";
    /// A set, element by element.
    Set = 2, "set";
    /// A sorted set with scores as text.
    ZsetText = 3, "sorted set";
    /// A hash, field by field.
    Hash = 4, "hash";
    /// A sorted set with binary scores.
    ZsetBinary = 5, "sorted set";
    /// A module's value, as release candidates of Redis 4.0 wrote it.
    ModulePreGa = 6, "module value";
    /// A module's value.
    Module = 7, "module value";
    /// A hash as a zipmap (before Redis 2.6).
    HashZipmap = 9, "hash";
    /// A list as one ziplist.
    ListZiplist = 10, "list";
    /// A set of integers.
    SetIntset = 11, "set";
    /// A sorted set as a ziplist.
    ZsetZiplist = 12, "sorted set";
    /// A hash as a ziplist.
    HashZiplist = 13, "hash";
    /// A list as a sequence of ziplists.
    ListQuicklistZiplist = 14, "list";
    /// A stream.
    Stream = 15, "stream";
    /// A hash as a listpack.
    HashListpack = 16, "hash";
    /// A sorted set as a listpack.
    ZsetListpack = 17, "sorted set";
    /// A list as a sequence of listpacks and plain nodes.
    ListQuicklist = 18, "list";
    /// A stream with its first id, highest deleted id and counters.
    Stream2 = 19, "stream";
    /// A set as a listpack.
    SetListpack = 20, "set";
    /// A stream with the active time of its consumers.
    Stream3 = 21, "stream";
    /// A hash with expiring fields, as release candidates of Redis 7.4 wrote it.
    HashExpiryPreGa = 22, "hash with expiring fields";
    /// The same as a listpack.
    HashListpackExpiryPreGa = 23, "hash with expiring fields";
    /// A hash with expiring fields (Redis 7.4).
    HashExpiry = 24, "hash with expiring fields";
    /// The same as a listpack (Redis 7.4).
    HashListpackExpiry = 25, "hash with expiring fields";
    /// A stream with idempotence data (Redis 8.2).
    Stream4 = 26, "stream";
}

impl fmt::Display for ValueType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_keeps_its_number() {
        for dialect in [Dialect::Redis, Dialect::Valkey] {
            let mut known = 0;
            for byte in 0..=255 {
                if let Some(kind) = ValueType::from_byte(byte, dialect) {
                    assert_eq!(kind.to_byte(), byte);
                    known += 1;
                }
            }
            assert_eq!(known, if dialect == Dialect::Redis { 26 } else { 22 });
        }
        assert_ne!(
            ValueType::from_byte(22, Dialect::Redis),
            ValueType::from_byte(22, Dialect::Valkey)
        );
    }

    #[test]
    fn versions_with_a_known_layout() {
        for number in [0, 13, 79, 81, u16::MAX] {
            assert_eq!(SourceVersion::new(number), None, "{number}");
        }
        assert!(!SourceVersion::new(4).unwrap().has_checksum());
        assert!(SourceVersion::new(5).unwrap().has_checksum());
    }
}
