//! LZF, as RDB files and the inner nodes of lists have it.
//!
//! The compressing half is our own because of the table of earlier positions: it must be cleared
//! for every string, and with a library's table of 256 KiB a value of 64 bytes took 3400 ns instead
//! of 220 (measured with the example `codec_cost` and lzf-rust 0.1.0). This one's table is as large
//! as the string.
//!
//! The format (liblzf): a control byte below 32 announces that many literal bytes, plus one. Any
//! other one begins a repetition: its upper three bits are the length minus 2, where 7 means that a
//! byte with the rest of the length follows; its lower five bits and the next byte are the distance
//! minus 1.

const MAX_LITERALS: usize = 32;
const MIN_MATCH: usize = 3;
/// 7 + 255 in the length's two fields, plus 2.
const MAX_MATCH: usize = 264;
/// 13 bits.
const MAX_DISTANCE: usize = 8192;
const LONG_MATCH: usize = 7;
/// Size of the table of positions, in bits of the hash.
const TABLE_BITS: std::ops::RangeInclusive<u32> = 6..=13;

/// `text` compressed, or `None` if that takes more than `limit` bytes. `text` is shorter than 4
/// GiB; a longer one is not compressed.
pub fn compress(text: &[u8], limit: usize) -> Option<Vec<u8>> {
    if u32::try_from(text.len()).is_err() {
        return None;
    }
    let mut positions = Positions::new(text.len());
    let mut out = Vec::with_capacity(limit);
    let (mut at, mut literals) = (0, 0);
    while at + MIN_MATCH <= text.len() {
        let Some(earlier) = positions.replace(text, at) else {
            // The longer nothing has repeated itself, the larger the steps.
            at += 1 + ((at - literals) >> 6);
            continue;
        };
        put_literals(&mut out, &text[literals..at], limit)?;
        let len = common_len(text, earlier, at);
        put_match(&mut out, len, at - earlier);
        // The last position within the match, so that repetitions in a row are found.
        if at + len + 1 < text.len() {
            positions.replace(text, at + len - 1);
        }
        at += len;
        literals = at;
    }
    put_literals(&mut out, &text[literals..], limit)?;
    (out.len() <= limit).then_some(out)
}

/// The text that was compressed, which has `len` bytes, or `None` if that is not so. Room for `len`
/// bytes is taken first, so a caller must check a length from outside.
pub fn decompress(packed: &[u8], len: usize) -> Option<Vec<u8>> {
    lzf_rust::decompress_into_vec(packed, len).ok().filter(|text| text.len() == len)
}

/// The last position of each sequence of three bytes, by hash.
struct Positions {
    /// A position plus one; 0 where there is none.
    table: Vec<u32>,
    shift: u32,
}

impl Positions {
    fn new(len: usize) -> Positions {
        let bits = len.ilog2().clamp(*TABLE_BITS.start(), *TABLE_BITS.end());
        Positions { table: vec![0; 1 << bits], shift: u32::BITS - bits }
    }

    /// Notes the three bytes at `at`; gives where they were before, if that is near enough.
    #[inline]
    fn replace(&mut self, text: &[u8], at: usize) -> Option<usize> {
        let bytes = &text[at..at + MIN_MATCH];
        let word = u32::from_le_bytes([0, bytes[0], bytes[1], bytes[2]]);
        let entry = &mut self.table[(word.wrapping_mul(0x9e37_79b1) >> self.shift) as usize];
        let earlier = (*entry as usize).checked_sub(1);
        *entry = at as u32 + 1;
        earlier.filter(|earlier| {
            at - earlier <= MAX_DISTANCE && text[*earlier..earlier + MIN_MATCH] == *bytes
        })
    }
}

fn common_len(text: &[u8], earlier: usize, at: usize) -> usize {
    let longest = MAX_MATCH.min(text.len() - at);
    let pairs = text[earlier..].iter().zip(&text[at..at + longest]);
    pairs.take_while(|(a, b)| a == b).count()
}

fn put_literals(out: &mut Vec<u8>, literals: &[u8], limit: usize) -> Option<()> {
    if out.len() + literals.len() > limit {
        return None;
    }
    for run in literals.chunks(MAX_LITERALS) {
        out.push(run.len() as u8 - 1);
        out.extend_from_slice(run);
    }
    Some(())
}

fn put_match(out: &mut Vec<u8>, len: usize, distance: usize) {
    let (len, distance) = (len - 2, distance - 1);
    let [low, high, ..] = distance.to_le_bytes();
    if len < LONG_MATCH {
        out.extend_from_slice(&[(len as u8) << 5 | high, low]);
    } else {
        out.extend_from_slice(&[(LONG_MATCH as u8) << 5 | high, (len - LONG_MATCH) as u8, low]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn check(text: &[u8]) -> usize {
        let packed = compress(text, text.len() * 2).expect("literals take less than this");
        let unpacked = decompress(&packed, text.len()).expect("what was compressed");
        assert!(unpacked == text, "{}", text.escape_ascii());
        packed.len()
    }

    proptest! {
        #[test]
        fn unpacks_to_the_same(
            pieces in prop::collection::vec((prop::collection::vec(0u8..4, 1..12), 1usize..400), 1..30),
        ) {
            let text: Vec<u8> =
                pieces.iter().flat_map(|(piece, times)| piece.repeat(*times)).collect();
            check(&text);
        }

        #[test]
        fn unpacks_to_the_same_what_hardly_repeats(text in prop::collection::vec(any::<u8>(), 3..9000)) {
            check(&text);
        }
    }

    #[test]
    fn repetitions_at_the_borders_of_the_format() {
        for len in (3..600).chain([8190, 8191, 8192, 8193, 8194, 8195, 8196, 100_000]) {
            check(&vec![b'x'; len]);
            // The same eight bytes at both ends of a long stretch without repetitions.
            let mut far: Vec<u8> = (0..len as u32).flat_map(|n| n.to_le_bytes()).collect();
            far.truncate(len);
            check(&[&b"abcdefgh"[..], &far, b"abcdefgh"].concat());
        }
        assert!(check(&[b'x'; 10_000]) < 10_000 / 80);
    }

    #[test]
    fn gives_up_at_the_limit() {
        let text = b"tessera tessera tessera tessera";
        let len = check(text);
        assert!(len < 20, "{len}");
        assert!(compress(text, len).is_some());
        assert_eq!(compress(text, len - 1), None);
    }
}
