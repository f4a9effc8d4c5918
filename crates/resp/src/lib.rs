//! RESP2 and RESP3, without I/O.
//!
//! [`RequestParser`] finds the arguments of commands in a connection's bytes and copies nothing;
//! [`Reply`] writes answers in the protocol version that the client chose; [`Value`] is a reply as
//! a tree, for answers that are built away from a connection.
//!
//! Deliberately not here: sockets, buffers' ownership, the meaning of commands.

mod reply;
mod request;
mod split;
mod value;

pub use reply::{Protocol, Reply};
pub use request::{ArgRange, Limits, ProtocolError, RequestParser, Span, Step};
pub use value::Value;
