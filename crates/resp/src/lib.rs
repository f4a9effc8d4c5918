//! RESP2 and RESP3, without I/O.
//!
//! [`Value`] is a reply as a tree, for answers that are built away from a connection.

mod value;

pub use value::Value;
