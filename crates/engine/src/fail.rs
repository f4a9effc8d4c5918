//! The errors of commands. The texts are Redis' own, since programs match on them.

use std::borrow::Cow;
use tessera_store::Busy;

/// An error reply.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fail {
    /// An option is unknown, doubled, or contradicts another.
    #[error("ERR syntax error")]
    Syntax,
    /// An argument or value is no 64-bit integer, or the result would be none.
    #[error("ERR value is not an integer or out of range")]
    NotInteger,
    /// An argument or value is no floating point number.
    #[error("ERR value is not a valid float")]
    NotFloat,
    /// The key holds a value of another type.
    #[error("WRONGTYPE Operation against a key holding the wrong kind of value")]
    WrongType,
    /// The key must exist.
    #[error("ERR no such key")]
    NoSuchKey,
    /// An index is outside of what there is.
    #[error("ERR index out of range")]
    IndexOutOfRange,
    /// The expiry time is zero, negative or too far.
    #[error("ERR invalid expire time in '{0}' command")]
    InvalidExpire(&'static str),
    /// A string would grow beyond `proto-max-bulk-len`.
    #[error("ERR string exceeds maximum allowed size (proto-max-bulk-len)")]
    StringTooLong,
    /// The wrong number of arguments.
    #[error("ERR wrong number of arguments for '{0}' command")]
    Arity(Cow<'static, str>),
    /// What the command needs is locked for longer than its thread waits. It has changed nothing,
    /// and runs again; a client sees this only where it cannot run again.
    #[error("BUSY Another command is working on these keys. Try again.")]
    Locked(Busy),
    /// Any other error, with its code word.
    #[error("{0}")]
    Text(Cow<'static, str>),
}

impl Fail {
    /// An error whose text is made on the spot.
    pub fn text(text: impl Into<Cow<'static, str>>) -> Fail {
        Fail::Text(text.into())
    }
}

impl From<Busy> for Fail {
    fn from(busy: Busy) -> Fail {
        Fail::Locked(busy)
    }
}

/// The result of a handler: its reply has been written, or an error is to be.
pub type Done = Result<(), Fail>;
