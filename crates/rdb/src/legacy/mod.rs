//! Compact forms that Redis has given up: read, never written.

pub(crate) mod ziplist;
pub(crate) mod zipmap;

/// The first `count` bytes, taken off the front.
fn take<'a>(rest: &mut &'a [u8], count: usize) -> Option<&'a [u8]> {
    let (taken, behind) = rest.split_at_checked(count)?;
    *rest = behind;
    Some(taken)
}

/// The first bytes as an array, taken off the front.
fn array<const N: usize>(rest: &mut &[u8]) -> Option<[u8; N]> {
    take(rest, N)?.try_into().ok()
}
