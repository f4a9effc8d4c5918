//! Ping extensions: length, type, two bytes of padding, then data padded to a multiple of eight.

use super::decode::{DecodeError, Reader};
use super::layout::NAME_LEN;
use tessera_slot::NodeId;

const HOSTNAME: u16 = 0;
const HUMAN_NODENAME: u16 = 1;
const FORGOTTEN_NODE: u16 = 2;
const SHARD_ID: u16 = 3;

/// Length (4), type (2), padding (2).
const EXTENSION_HEADER: usize = 8;

/// The length of an extension that names a forgotten node: its name, and for how long it is banned.
pub(super) const FORGOTTEN_LEN: usize = EXTENSION_HEADER + NAME_LEN + 8;

/// An announced name is at most this long (NET_HOST_STR_LEN without its zero byte).
const MAX_TEXT: usize = 255;

/// One extension of a ping.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Extension {
    /// Type 0: the sender's hostname.
    Hostname(String),
    /// Type 1: the sender's name for humans.
    HumanNodename(String),
    /// Type 2: a node that was removed by CLUSTER FORGET.
    ForgottenNode {
        /// The node.
        node: NodeId,
        /// For how many seconds it stays banned.
        ttl: u64,
    },
    /// Type 3: the shard of the sender.
    ShardId(NodeId),
    /// Any other type. Type 4 is among them: a client's IPv4 address to Valkey 8, the cluster's
    /// internal secret to Redis 8. Neither is needed here, so neither is read or offered.
    Other(u16),
}

impl Extension {
    /// Reads one extension; it takes exactly the length it gives.
    pub(super) fn read(reader: &mut Reader<'_>) -> Result<Extension, DecodeError> {
        let length = reader.u32()? as usize;
        let kind = reader.u16()?;
        reader.bytes(2)?;
        if length < EXTENSION_HEADER || !length.is_multiple_of(8) {
            return Err(DecodeError::Extension);
        }
        let data = reader.bytes(length - EXTENSION_HEADER)?;
        let mut data_reader = Reader::new(data);
        Ok(match kind {
            HOSTNAME => Extension::Hostname(text(data)?),
            HUMAN_NODENAME => Extension::HumanNodename(text(data)?),
            FORGOTTEN_NODE => {
                let node = data_reader.name()?;
                Extension::ForgottenNode { node, ttl: data_reader.u64()? }
            }
            SHARD_ID => Extension::ShardId(data_reader.name()?),
            other => Extension::Other(other),
        })
    }

    /// Appends the extension.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        let mut data = Vec::with_capacity(NAME_LEN + 8);
        let kind = match self {
            Extension::Hostname(text) | Extension::HumanNodename(text) => {
                data.extend_from_slice(text.as_bytes());
                data.push(0);
                if matches!(self, Extension::Hostname(_)) { HOSTNAME } else { HUMAN_NODENAME }
            }
            Extension::ForgottenNode { node, ttl } => {
                data.extend_from_slice(&node.to_hex());
                data.extend_from_slice(&ttl.to_be_bytes());
                FORGOTTEN_NODE
            }
            Extension::ShardId(shard) => {
                data.extend_from_slice(&shard.to_hex());
                SHARD_ID
            }
            Extension::Other(kind) => *kind,
        };
        data.resize(data.len().next_multiple_of(8), 0);
        let length = (EXTENSION_HEADER + data.len()) as u32;
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&kind.to_be_bytes());
        out.extend_from_slice(&[0, 0]);
        out.extend_from_slice(&data);
    }
}

/// A text that ends with a zero byte. It goes into nodes.conf, where blanks, commas and quotes have
/// a meaning: they are replaced, and so is what is no UTF-8, since an odd name is no reason to lose
/// a node.
fn text(data: &[u8]) -> Result<String, DecodeError> {
    let end = data.iter().position(|&byte| byte == 0).ok_or(DecodeError::Extension)?;
    if end > MAX_TEXT {
        return Err(DecodeError::Extension);
    }
    let plain = |char: char| match char {
        ',' | '=' | '"' | '\'' | char::REPLACEMENT_CHARACTER => '?',
        char if char.is_whitespace() || char.is_control() => '?',
        char => char,
    };
    Ok(String::from_utf8_lossy(&data[..end]).chars().map(plain).collect())
}
