//! The list.

use crate::collection::{Collection, Kind};
use crate::listpack::Listpack;
use std::ptr::NonNull;

/// A list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum List {
    /// Few small elements.
    Packed(Listpack),
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for List {
    const KIND: Kind = Kind::List;

    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            List::Packed(listpack) => (PACKED, listpack.into_raw()),
        }
    }

    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> List {
        debug_assert_eq!(form, PACKED);
        // SAFETY: by the caller's promise.
        unsafe { List::Packed(Listpack::from_raw(pointer)) }
    }

    fn len(&self) -> usize {
        match self {
            List::Packed(listpack) => listpack.len(),
        }
    }

    fn memory(&self, _: usize) -> usize {
        match self {
            List::Packed(listpack) => listpack.memory(),
        }
    }

    fn free_effort(&self) -> usize {
        1
    }

    fn encoding(&self) -> &'static str {
        "listpack"
    }
}
