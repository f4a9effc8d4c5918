//! Fuzz targets for everything that reads bytes from outside: requests, RDB, cluster bus packets,
//! nodes.conf, configuration, HyperLogLogs.
//!
//! A target is a function over bytes that panics when a promise is broken. The bytes are not the
//! input itself: [`Vary`] takes them as instructions for changing one of the target's valid inputs,
//! because nearly all noise fails at its first byte; one input in eight is noise all the same.
//! `tests/targets.rs` runs each target with bolero: random bytes in `cargo test`, coverage-guided
//! with `cargo bolero test`.
//!
//! Deliberately not here: a fuzzing engine, generators of well-formed values (the crates' own
//! property tests have them).

mod memory;
pub mod targets;
mod vary;

pub use memory::{Meter, PeakAlloc};
pub use vary::Vary;
