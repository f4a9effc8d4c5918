//! The house rules, checked by a test.
//!
//! Here is what the test reads files with: [`Source`] finds its way in a Rust file without parsing
//! it, [`Document`] in a Markdown file. The rules themselves, with their exceptions and the reasons
//! for them, stand in `tests/tidy/`.
//!
//! Deliberately not here: anything that rustc or clippy checks already.

mod document;
mod mask;
mod public;
mod source;

pub use document::{Document, Named, documents};
pub use mask::mask;
pub use public::PublicItem;
pub use source::{Function, Source, all_files, rust_files};
