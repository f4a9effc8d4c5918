//! The end of a payload whose length the primary does not know: 40 random bytes which it had
//! announced.

/// Length of the mark in bytes.
pub(crate) const MARK_LEN: usize = 40;

/// Finds the first occurrence of the mark in a stream that comes in pieces. Linear in the stream's
/// length (Knuth, Morris and Pratt): bytes at the end of a piece that match the mark are held back.
/// They equal the mark's own beginning, so they need not be stored.
#[derive(Debug)]
pub(crate) struct MarkScanner {
    mark: [u8; MARK_LEN],
    /// For each prefix of the mark, how long its longest proper prefix is that is also its suffix.
    borders: [u8; MARK_LEN],
    matched: usize,
}

/// The outcome of one piece.
#[derive(PartialEq, Eq, Debug)]
pub(crate) struct Scanned<'a> {
    /// Payload held back from earlier pieces.
    pub(crate) held: &'a [u8],
    /// How many bytes from the start of this piece are payload.
    pub(crate) payload: usize,
    /// How many bytes of this piece were looked at: all of them, or up to the end of the mark.
    pub(crate) consumed: usize,
    /// The mark is complete.
    pub(crate) ended: bool,
}

impl MarkScanner {
    pub(crate) fn new(mark: [u8; MARK_LEN]) -> MarkScanner {
        let mut borders = [0; MARK_LEN];
        let mut border = 0;
        for at in 1..MARK_LEN {
            while border > 0 && mark[at] != mark[border] {
                border = usize::from(borders[border - 1]);
            }
            if mark[at] == mark[border] {
                border += 1;
            }
            borders[at] = border as u8;
        }
        MarkScanner { mark, borders, matched: 0 }
    }

    /// Goes on with the next piece. It must not be called again once the mark was complete.
    pub(crate) fn scan(&mut self, piece: &[u8]) -> Scanned<'_> {
        let held_before = self.matched;
        let mut at = 0;
        while at < piece.len() && self.matched < MARK_LEN {
            if self.matched == 0 {
                let first = self.mark[0];
                let skip = piece[at..].iter().position(|byte| *byte == first);
                let Some(skip) = skip else {
                    at = piece.len();
                    break;
                };
                at += skip;
            }
            self.step(piece[at]);
            at += 1;
        }
        let payload = held_before + at - self.matched;
        let held = payload.min(held_before);
        Scanned {
            held: &self.mark[..held],
            payload: payload - held,
            consumed: at,
            ended: self.matched == MARK_LEN,
        }
    }

    fn step(&mut self, byte: u8) {
        while self.matched > 0 && self.mark[self.matched] != byte {
            self.matched = usize::from(self.borders[self.matched - 1]);
        }
        if self.mark[self.matched] == byte {
            self.matched += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The payload and what follows the mark, when `stream` comes in pieces of these sizes.
    fn run(mark: [u8; MARK_LEN], stream: &[u8], sizes: &[usize]) -> Option<(Vec<u8>, Vec<u8>)> {
        let mut scanner = MarkScanner::new(mark);
        let (mut payload, mut at) = (Vec::new(), 0);
        let mut sizes = sizes.iter().cycle();
        while at < stream.len() {
            let size = (*sizes.next().unwrap()).clamp(1, stream.len() - at);
            let found = scanner.scan(&stream[at..at + size]);
            payload.extend_from_slice(found.held);
            payload.extend_from_slice(&stream[at..at + found.payload]);
            at += found.consumed;
            if found.ended {
                return Some((payload, stream[at..].to_vec()));
            }
        }
        None
    }

    fn a_mark() -> impl Strategy<Value = [u8; MARK_LEN]> {
        // Two letters only, so that the mark repeats parts of itself and the payload parts of the
        // mark.
        prop::collection::vec(prop::sample::select(vec![b'a', b'b']), MARK_LEN)
            .prop_map(|bytes| bytes.try_into().unwrap())
    }

    proptest! {
        #[test]
        fn finds_the_first_mark_as_a_search_of_the_whole_would(
            mark in a_mark(),
            pieces in prop::collection::vec(
                (0..=MARK_LEN, prop::collection::vec(prop::sample::select(vec![b'a', b'b', b'c']), 0..20)),
                0..20,
            ),
            tail in prop::collection::vec(any::<u8>(), 0..50),
            sizes in prop::collection::vec(1usize..70, 1..10),
        ) {
            let mut stream = Vec::new();
            for (prefix, noise) in pieces {
                stream.extend_from_slice(&mark[..prefix]);
                stream.extend_from_slice(&noise);
            }
            stream.extend_from_slice(&mark);
            stream.extend_from_slice(&tail);
            let at = stream.windows(MARK_LEN).position(|window| window == mark).unwrap();
            let expected = (stream[..at].to_vec(), stream[at + MARK_LEN..].to_vec());
            prop_assert_eq!(run(mark, &stream, &sizes), Some(expected));
        }
    }

    #[test]
    fn a_stream_without_the_mark_does_not_end() {
        assert_eq!(run([b'a'; MARK_LEN], &[b'a'; MARK_LEN - 1], &[7]), None);
    }
}
