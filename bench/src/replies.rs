//! Counting replies in a stream of bytes, without building them.

/// The longest error text that is kept.
const ERROR_TEXT_MAX: usize = 200;

/// Counts the replies that have arrived on one connection; takes the stream in any portions.
#[derive(Debug, Default)]
pub(crate) struct ReplyCounter {
    state: State,
    /// Elements that are missing until the reply at hand is complete.
    missing: u64,
    /// The line at hand, without the bytes of earlier portions that are not needed.
    line: Vec<u8>,
    /// Whole replies so far.
    pub replies: u64,
    /// Errors among them.
    pub errors: u64,
    /// The text of the first error.
    pub first_error: Option<String>,
    /// Null replies among them: keys that were not there.
    pub nulls: u64,
}

#[derive(Clone, Copy, Debug, Default)]
enum State {
    /// In a line: a header, or a short reply.
    #[default]
    Line,
    /// In a string of which this many bytes are missing, its line end included.
    Bulk(u64),
}

/// The stream is not RESP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotResp;

impl ReplyCounter {
    /// Takes the next portion of the stream.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) -> Result<(), NotResp> {
        while !bytes.is_empty() {
            match self.state {
                State::Line => bytes = self.feed_line(bytes)?,
                State::Bulk(missing) => {
                    let taken = missing.min(bytes.len() as u64);
                    bytes = &bytes[taken as usize..];
                    self.state = State::Bulk(missing - taken);
                    if taken == missing {
                        self.state = State::Line;
                        self.element_done();
                    }
                }
            }
        }
        Ok(())
    }

    fn feed_line<'a>(&mut self, bytes: &'a [u8]) -> Result<&'a [u8], NotResp> {
        // Nearly every reply to SET is this one.
        if self.line.is_empty() && bytes.starts_with(b"+OK\r\n") {
            self.element_done();
            return Ok(&bytes[5..]);
        }
        let Some(end) = bytes.iter().position(|&byte| byte == b'\n') else {
            self.line.extend(bytes);
            return Ok(&[]);
        };
        if self.line.is_empty() {
            self.line_done(&bytes[..end])?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend(&bytes[..end]);
            self.line_done(&line)?;
            line.clear();
            self.line = line;
        }
        Ok(&bytes[end + 1..])
    }

    fn line_done(&mut self, line: &[u8]) -> Result<(), NotResp> {
        let (&kind, rest) = line.split_first().ok_or(NotResp)?;
        match kind {
            b'+' | b':' | b'#' | b',' | b'(' => self.element_done(),
            b'_' => {
                self.nulls += 1;
                self.element_done();
            }
            b'-' => {
                self.errors += 1;
                if self.first_error.is_none() {
                    let shown = &rest[..rest.len().min(ERROR_TEXT_MAX)];
                    self.first_error = Some(String::from_utf8_lossy(shown).trim_end().to_owned());
                }
                self.element_done();
            }
            b'$' | b'=' | b'!' => match number(rest)? {
                Some(length) => self.state = State::Bulk(length.checked_add(2).ok_or(NotResp)?),
                None => {
                    self.nulls += 1;
                    self.element_done();
                }
            },
            b'*' | b'~' | b'>' => self.array_of(number(rest)?.unwrap_or(0))?,
            b'%' => {
                let pairs = number(rest)?.unwrap_or(0);
                self.array_of(pairs.checked_mul(2).ok_or(NotResp)?)?;
            }
            _ => return Err(NotResp),
        }
        Ok(())
    }

    /// An array begins: its elements take its place.
    fn array_of(&mut self, count: u64) -> Result<(), NotResp> {
        if count == 0 {
            self.element_done();
        } else {
            let others = self.missing.max(1) - 1;
            self.missing = others.checked_add(count).ok_or(NotResp)?;
        }
        Ok(())
    }

    fn element_done(&mut self) {
        if self.missing > 1 {
            self.missing -= 1;
        } else {
            self.missing = 0;
            self.replies += 1;
        }
    }
}

/// The number of a header line; `None` for -1, which means null.
fn number(text: &[u8]) -> Result<Option<u64>, NotResp> {
    let text = text.strip_suffix(b"\r").unwrap_or(text);
    if text == b"-1" {
        return Ok(None);
    }
    if text.is_empty() || text.len() > 18 {
        return Err(NotResp);
    }
    let digit = |sum: u64, &byte: &u8| {
        byte.is_ascii_digit().then(|| sum * 10 + u64::from(byte - b'0')).ok_or(NotResp)
    };
    text.iter().try_fold(0, digit).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAM: &[u8] =
        b"+OK\r\n$5\r\na\r\nbc\r\n:12\r\n*2\r\n*1\r\n:1\r\n$-1\r\n-ERR no\r\n*0\r\n\
        %1\r\n+a\r\n+b\r\n_\r\n$0\r\n\r\n+OK\r\n";

    #[test]
    fn replies_are_counted_in_any_portions() {
        for portion in 1..STREAM.len() {
            let mut counter = ReplyCounter::default();
            for bytes in STREAM.chunks(portion) {
                counter.feed(bytes).expect("this is RESP");
            }
            assert_eq!(counter.replies, 10, "portions of {portion}");
            assert_eq!((counter.errors, counter.nulls), (1, 2));
            assert_eq!(counter.first_error.as_deref(), Some("ERR no"));
        }
    }

    #[test]
    fn other_streams_are_refused() {
        for text in ["HTTP/1.1 400\r\n", "$x\r\n", "\n", "$99999999999999999999\r\n"] {
            assert_eq!(ReplyCounter::default().feed(text.as_bytes()), Err(NotResp), "{text:?}");
        }
    }
}
