//! The stream.

use crate::collection::{Collection, Kind};
use crate::listpack::Listpack;
use std::ptr::NonNull;

/// A stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stream {
    /// Few small elements.
    Packed(Listpack),
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for Stream {
    const KIND: Kind = Kind::Stream;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            Stream::Packed(listpack) => (PACKED, listpack.into_raw()),
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Stream {
        debug_assert_eq!(form, PACKED);
        // SAFETY: by the caller's promise.
        unsafe { Stream::Packed(Listpack::from_raw(pointer)) }
    }

    fn len(&self) -> usize {
        match self {
            Stream::Packed(listpack) => listpack.len(),
        }
    }

    fn memory(&self, _: usize) -> usize {
        match self {
            Stream::Packed(listpack) => listpack.memory(),
        }
    }

    fn free_effort(&self) -> usize {
        1
    }

    fn encoding(&self) -> &'static str {
        "listpack"
    }
}
