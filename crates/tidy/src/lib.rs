//! The house rules, checked by a test.
//!
//! Here is what the test reads sources with: [`Source`] finds its way in a Rust file without parsing it. The
//! rules themselves, with their exceptions and the reasons for them, stand in `tests/tidy.rs`.
//!
//! Deliberately not here: anything that rustc or clippy checks already.

mod mask;
mod source;

pub use mask::mask;
pub use source::{Function, Source, rust_files};
