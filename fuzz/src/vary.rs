//! From a fuzzer's bytes to an input that is nearly right.

/// Most changes that are made to one input.
const CHANGES_MAX: usize = 6;
/// Longest piece that is inserted, removed or repeated, in bytes.
const PIECE_MAX: usize = 64;
/// Numbers at which lengths and counts go wrong.
const EDGES: [u64; 16] = [
    0,
    1,
    0x3f,
    0x40,
    0x7f,
    0x80,
    0xff,
    0x3fff,
    0x4000,
    0xffff,
    0x7fff_ffff,
    0x8000_0000,
    0xffff_ffff,
    1 << 32,
    i64::MAX as u64,
    u64::MAX,
];

/// Instructions, taken from a fuzzer's bytes one after the other; zeros when they are used up.
pub struct Vary<'a>(&'a [u8]);

impl<'a> Vary<'a> {
    /// Instructions made of these bytes.
    pub fn new(bytes: &'a [u8]) -> Vary<'a> {
        Vary(bytes)
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let (byte, rest) = self.0.split_first().map_or((0, self.0), |(byte, rest)| (*byte, rest));
        self.0 = rest;
        byte
    }

    /// A number below `end`, or 0 if there is none.
    pub fn below(&mut self, end: usize) -> usize {
        let number = usize::from(self.byte()) | usize::from(self.byte()) << 8;
        number % end.max(1)
    }

    /// A yes or no.
    pub fn flag(&mut self) -> bool {
        self.byte() & 1 == 1
    }

    /// One of the valid inputs with up to six changes, or simply the bytes that are left.
    pub fn input(&mut self, valid: &[Vec<u8>]) -> Vec<u8> {
        let choice = self.byte();
        if choice.is_multiple_of(8) || valid.is_empty() {
            return self.0.to_vec();
        }
        let mut input = valid[usize::from(choice / 8) % valid.len()].clone();
        for _ in 0..self.below(CHANGES_MAX + 1) {
            let other = self.below(valid.len());
            self.change(&mut input, &valid[other]);
        }
        input
    }

    /// Makes one change; `other` is another valid input, to take a piece of.
    fn change(&mut self, input: &mut Vec<u8>, other: &[u8]) {
        let kind = self.byte() % 10;
        let at = self.below(input.len() + 1);
        let end = (at + 1 + self.below(PIECE_MAX)).min(input.len());
        let piece = input[at.min(end)..end].to_vec();
        match kind {
            0 => input.truncate(at),
            1 => drop(input.drain(at.min(end)..end)),
            2 => insert(input, at, &piece),
            3 => {
                let times = self.below(8);
                (0..times).for_each(|_| insert(input, at, &piece));
            }
            4 => {
                let from = self.below(other.len() + 1);
                let until = (from + PIECE_MAX).min(other.len());
                insert(input, at, &other[from..until]);
            }
            5 => {
                let byte = self.byte();
                insert(input, at, &[byte]);
            }
            6 => {
                let digits = self.edge().to_string();
                insert(input, at, digits.as_bytes());
            }
            7 => {
                let (edge, width) = (self.edge(), 1 << (self.byte() % 4));
                let little = edge.to_le_bytes();
                let mut bytes = little[..width].to_vec();
                if self.flag() {
                    bytes.reverse();
                }
                overwrite(input, at, &bytes);
            }
            8 => {
                let byte = self.byte();
                overwrite(input, at, &[byte]);
            }
            _ => {
                let bit = 1 << (self.byte() % 8);
                if let Some(byte) = input.get_mut(at) {
                    *byte ^= bit;
                }
            }
        }
    }

    fn edge(&mut self) -> u64 {
        let edge = EDGES[usize::from(self.byte()) % EDGES.len()];
        edge.wrapping_add(u64::from(self.byte() % 3)).wrapping_sub(1)
    }

    /// Cuts `whole` into pieces, mostly short ones.
    pub fn cut<'w>(&mut self, whole: &'w [u8]) -> Vec<&'w [u8]> {
        let mut pieces = Vec::new();
        let mut rest = whole;
        while !rest.is_empty() {
            let longest = if self.0.is_empty() { 7 } else { usize::from(self.byte()) };
            let (piece, behind) = rest.split_at(longest.clamp(1, rest.len()));
            pieces.push(piece);
            rest = behind;
        }
        pieces
    }
}

fn insert(input: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    drop(input.splice(at..at, bytes.iter().copied()));
}

fn overwrite(input: &mut [u8], at: usize, bytes: &[u8]) {
    for (byte, new) in input.iter_mut().skip(at).zip(bytes) {
        *byte = *new;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_valid_ones_changed_ones_and_noise() {
        let valid = [b"hello".to_vec(), b"world".to_vec()];
        assert_eq!(Vary::new(&[1, 0, 0]).input(&valid), b"hello");
        assert_eq!(Vary::new(&[9, 0, 0]).input(&valid), b"world");
        assert_eq!(Vary::new(&[8, 1, 2, 3]).input(&valid), [1, 2, 3]);
        // One change: the other is number 0, cut off at 2.
        assert_eq!(Vary::new(&[1, 1, 0, 0, 0, 0, 2, 0]).input(&valid), b"he");
    }

    #[test]
    fn pieces_are_the_whole() {
        let whole: Vec<u8> = (0..100).collect();
        for instructions in [&[][..], &[0, 5, 200], &[1, 1, 1, 1]] {
            let pieces = Vary::new(instructions).cut(&whole);
            assert!(pieces.len() > 1);
            assert_eq!(pieces.concat(), whole);
        }
    }
}
