//! The layout of an entry.
//!
//! | size | what |
//! | --- | --- |
//! | 1 | what the value is: [`Form`] |
//! | 1 | flags: [`HAS_EXPIRY`], [`EDITED`], [`WIDE`], [`NOTED`] |
//! | 1 | snapshot epoch: the last snapshot that has, or need not have, this entry |
//! | 1 | length of the key, bytes; not with `WIDE` |
//! | 4 | access clock, for eviction |
//! | 4 | length of the key, bytes; only with `WIDE` |
//! | 2, 6 or 8 | length of an embedded value, bytes; or the pointer to the value; or the integer |
//! | 8 | expiry time, Unix ms; only with `HAS_EXPIRY` |
//! | | the key, then the embedded value |
//!
//! So a 16-byte key with a 64-byte value takes 96 bytes, and a 17-byte key of a collection 32,
//! sizes which the allocator has. Behind the header nothing is aligned.

use std::alloc::Layout;
use tessera_collections::Kind;

pub(super) const HAS_EXPIRY: u8 = 1;
/// The string was changed in place (APPEND, SETRANGE …): shown as encoding `raw`, as Redis does.
pub(super) const EDITED: u8 = 2;
/// The key's length has four bytes.
pub(super) const WIDE: u8 = 4;
/// It is noted that the value has grown.
pub(super) const NOTED: u8 = 8;
/// The largest allocation with an embedded value. Above, the value has an allocation of its own.
pub(super) const MAX_EMBEDDED: usize = 1024;

const HEADER: usize = size_of::<Header>();
/// Bytes of a key's length that is wide.
const WIDE_LEN: usize = 4;
/// Bytes of the length of an embedded value, which is below [`MAX_EMBEDDED`].
const VALUE_LEN: usize = 2;
const INTEGER: usize = 8;
/// Bytes of a pointer: addresses in user space are below 2^48, and tables rest on that too.
pub(super) const POINTER: usize = 6;

/// The form of the value: the type in the upper five bits, its form in the lower three.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(transparent)]
pub(super) struct Form(u8);

impl Form {
    pub(super) const INTEGER: Form = Form::of(Kind::String, 0);
    pub(super) const EMBEDDED: Form = Form::of(Kind::String, 1);
    /// A string with an allocation of its own: the pointer is a `Box<Vec<u8>>`.
    pub(super) const BOXED: Form = Form::of(Kind::String, 2);

    pub(super) const fn of(kind: Kind, form: u8) -> Form {
        Form((kind as u8) << 3 | form)
    }

    #[inline]
    pub(super) fn kind(self) -> Kind {
        match self.0 >> 3 {
            0 => Kind::String,
            1 => Kind::List,
            2 => Kind::Set,
            3 => Kind::Hash,
            4 => Kind::SortedSet,
            5 => Kind::Stream,
            other => unreachable!("no kind {other}"),
        }
    }

    /// The form within the type.
    pub(super) fn within(self) -> u8 {
        self.0 & 7
    }
}

/// The first eight bytes of every entry.
#[repr(C)]
pub(super) struct Header {
    pub(super) form: Form,
    pub(super) flags: u8,
    pub(super) epoch: u8,
    /// The length of a key that is not wide.
    pub(super) key_len: u8,
    pub(super) access: u32,
}

const _: () = assert!(HEADER == 8);

/// The facts that decide the layout of an entry.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) form: Form,
    pub(super) has_expiry: bool,
    pub(super) key_len: usize,
    pub(super) value_len: usize,
}

impl Shape {
    #[inline]
    pub(super) fn is_wide(self) -> bool {
        self.key_len > usize::from(u8::MAX)
    }

    /// The length of a wide key.
    pub(super) const WIDE_LEN_AT: usize = HEADER;

    /// The length of the value, the pointer or the integer, where the key is wide or not.
    #[inline]
    pub(super) fn word_offset(is_wide: bool) -> usize {
        HEADER + if is_wide { WIDE_LEN } else { 0 }
    }

    #[inline]
    pub(super) fn expiry_offset(self) -> usize {
        let word = match self.form {
            Form::EMBEDDED => VALUE_LEN,
            Form::INTEGER => INTEGER,
            _ => POINTER,
        };
        Shape::word_offset(self.is_wide()) + word
    }

    #[inline]
    pub(super) fn key_offset(self) -> usize {
        self.expiry_offset() + if self.has_expiry { 8 } else { 0 }
    }

    #[inline]
    pub(super) fn value_offset(self) -> usize {
        self.key_offset() + self.key_len
    }

    #[inline]
    pub(super) fn size(self) -> usize {
        allocated(self.value_offset() + self.value_len)
    }

    pub(super) fn layout(self) -> Layout {
        Layout::from_size_align(self.size(), 8).expect("key and value are below 4 GiB each")
    }
}

/// The size that the allocator makes of a size, so that a value of similar length can take the same
/// place: words up to 64 bytes, then four sizes to a doubling. Above the limit of embedded values
/// it is just words.
#[inline]
fn allocated(size: usize) -> usize {
    let step = match size {
        0..=64 => 8,
        65..=128 => 16,
        129..=256 => 32,
        257..=512 => 64,
        513..=MAX_EMBEDDED => 128,
        _ => 8,
    };
    size.next_multiple_of(step)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(form: Form, has_expiry: bool, key_len: usize, value_len: usize) -> usize {
        Shape { form, has_expiry, key_len, value_len }.size()
    }

    #[test]
    fn small_entries_take_little() {
        assert_eq!(size(Form::EMBEDDED, false, 16, 64), 96);
        assert_eq!(size(Form::INTEGER, false, 16, 0), 32);
        assert_eq!(size(Form::of(Kind::List, 0), false, 17, 0), 32);
        assert_eq!(size(Form::of(Kind::List, 0), true, 17, 0), 40);
        assert_eq!(size(Form::of(Kind::List, 0), false, 256, 0), 320);
    }

    #[test]
    fn sizes_are_those_of_the_allocator() {
        for bytes in 1..=MAX_EMBEDDED {
            // SAFETY: computes a number.
            let good = unsafe { libmimalloc_sys::mi_good_size(bytes) };
            assert_eq!(allocated(bytes), good, "{bytes} bytes");
        }
    }
}
