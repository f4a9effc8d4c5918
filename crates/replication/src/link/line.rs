//! Lines of the handshake, in any number of pieces.

/// No line of the handshake is longer (bytes). Error texts are the longest.
const LONGEST_LINE: usize = 4096;

/// The beginning of a line whose end has not come yet.
#[derive(Default, Debug)]
pub(crate) struct LineBuffer {
    partial: Vec<u8>,
}

/// The outcome of some received bytes.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum LineTaken {
    /// A line, without its end, and how many of the bytes belonged to it.
    Whole { line: Vec<u8>, count: usize },
    /// All bytes belong to a line that is not complete.
    Partial,
    /// The line is longer than any line of the protocol.
    TooLong,
}

impl LineBuffer {
    /// Looks for the end of the line (`\n`, with or without `\r` before it) in `bytes`.
    pub(crate) fn take(&mut self, bytes: &[u8]) -> LineTaken {
        let end = bytes.iter().position(|byte| *byte == b'\n');
        let piece = &bytes[..end.unwrap_or(bytes.len())];
        if self.partial.len() + piece.len() > LONGEST_LINE {
            return LineTaken::TooLong;
        }
        self.partial.extend_from_slice(piece);
        let Some(end) = end else { return LineTaken::Partial };
        let mut line = std::mem::take(&mut self.partial);
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        LineTaken::Whole { line, count: end + 1 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_in_pieces() {
        let mut buffer = LineBuffer::default();
        assert_eq!(buffer.take(b"+PO"), LineTaken::Partial);
        assert_eq!(buffer.take(b"NG\r"), LineTaken::Partial);
        let whole = LineTaken::Whole { line: b"+PONG".to_vec(), count: 1 };
        assert_eq!(buffer.take(b"\n+OK\r\n"), whole);
        let empty = LineTaken::Whole { line: Vec::new(), count: 1 };
        assert_eq!(buffer.take(b"\n"), empty);
        assert_eq!(buffer.take(&[b'x'; LONGEST_LINE]), LineTaken::Partial);
        assert_eq!(buffer.take(b"x"), LineTaken::TooLong);
    }
}
