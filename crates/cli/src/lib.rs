//! Tools on the client's side.
//!
//! [`up`] runs a whole cluster on one machine; [`client`] is the small RESP client that it, and
//! other tools, ask servers with. Everything here talks to servers by the protocol only, so that it
//! works with any server that speaks it.
//!
//! Deliberately not here: the server itself.

pub mod client;
pub mod up;
