//! How strings grow that are edited in place, and what they give up when they have come to rest.
//!
//! A short one doubles, a long one gets a little room: so a string that is built piece by piece is
//! seldom moved, and a long one takes little more than it holds. From 8 MiB on moving costs no copy
//! (`alloc`).

/// Up to this length strings double.
const DOUBLING: usize = 1 << 20;
/// A longer one gets room for a part of its length: one in this many bytes, at least [`DOUBLING`].
const PART: usize = 32;
/// From this length on a string is moved, and cut, without being copied.
const MAPPED: usize = 8 << 20;
/// Bytes of a string that take as long to be freed as an allocation: so a mapped one is freed in
/// the background.
pub(crate) const PER_ALLOCATION: usize = 128 << 10;
/// Room that is not worth to be given up: of a mapped string this many bytes; of another one one in
/// so many of its length, and this many.
const MAPPED_TRIFLE: usize = 64 << 10;
const TRIFLE: (usize, usize) = (16, 64);

/// Makes room for a string that is about to have `len` bytes.
#[inline]
pub fn make_room(bytes: &mut Vec<u8>, len: usize) {
    if len > bytes.capacity() {
        grow(bytes, len);
    }
}

#[cold]
fn grow(bytes: &mut Vec<u8>, len: usize) {
    let more = len - bytes.len();
    match len {
        0..DOUBLING => bytes.reserve(more),
        _ => bytes.reserve_exact(more + (len / PART).max(DOUBLING)),
    }
}

/// Whether a string of `len` bytes has more room than it needs at rest.
#[inline]
pub(crate) fn is_roomy(capacity: usize, len: usize) -> bool {
    let trifle = if len >= MAPPED { MAPPED_TRIFLE } else { len / TRIFLE.0 + TRIFLE.1 };
    capacity - len > trifle
}

/// Has a string that has come to rest give up the room that it does not need.
pub(crate) fn fit(bytes: &mut Vec<u8>) {
    if !is_roomy(bytes.capacity(), bytes.len()) {
        return;
    }
    if bytes.len() >= MAPPED {
        // It stays where it is.
        bytes.shrink_to_fit();
    } else {
        // The allocator would leave a shrunken block the room that it has.
        *bytes = bytes.as_slice().to_vec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: usize = 1 << 20;

    #[test]
    fn long_strings_get_little_room() {
        for (len, most) in
            [(1, 64), (1000, 2000), (MIB, 2 * MIB), (8 * MIB, 9 * MIB), (64 * MIB, 66 * MIB)]
        {
            let mut bytes = vec![0; len];
            make_room(&mut bytes, len + 1);
            let room = bytes.capacity();
            assert!(room > len && room <= most + 1, "{room} for {len}");
            fit(&mut bytes);
            let fitted = bytes.capacity();
            assert!(!is_roomy(fitted, len), "{fitted} for {len}");
            assert_eq!(bytes.len(), len);
        }
    }

    #[test]
    fn strings_that_are_built_piece_by_piece_are_seldom_moved() {
        let (mut bytes, mut grown) = (Vec::new(), 0);
        while bytes.len() < 64 * MIB {
            let (len, before) = (bytes.len() + 1000, bytes.capacity());
            make_room(&mut bytes, len);
            grown += usize::from(bytes.capacity() != before);
            bytes.resize(len, 0);
        }
        assert!(grown < 80, "{grown}");
    }
}
