//! The request parser: from the bytes of a connection to the arguments of a command.
//!
//! A request is an array of bulk strings (`*2\r\n$4\r\nECHO\r\n$2\r\nhi\r\n`) or an inline line
//! (`ECHO hi\r\n`). The parser yields positions in the caller's buffer, never copies. It keeps the
//! positions of a command that is not whole yet, so a command that arrives in many reads costs
//! linear time.

use crate::split::split_args_in_place;

/// The longest line that may announce something or be an inline command, in bytes.
const MAX_LINE: usize = 64 * 1024;
/// The most arguments that a client may announce before it has authenticated.
const MAX_ARGS_UNAUTHENTICATED: i64 = 10;
/// The longest argument that a client may announce before it has authenticated, in bytes.
const MAX_BULK_UNAUTHENTICATED: i64 = 16_384;
/// Room reserved for the arguments of one command before they have arrived.
const MAX_SPANS_RESERVED: usize = 1024;

/// How a TLS record with a handshake begins: its type, and the major version (RFC 8446, section
/// 5.1).
const TLS_HANDSHAKE: &[u8] = &[0x16, 0x03];

/// The position of an argument, relative to the first byte of its command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    /// The offset of the first byte.
    pub start: u32,
    /// The length in bytes.
    pub len: u32,
}

impl Span {
    /// The argument's bytes; `command` begins with the command's first byte.
    #[inline]
    pub fn of(self, command: &[u8]) -> &[u8] {
        &command[self.start as usize..][..self.len as usize]
    }
}

/// The limits beyond which the parser refuses a request.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// `proto-max-bulk-len`, in bytes.
    pub max_bulk: u64,
    /// Whether the client may run commands at all; narrower limits hold until it may.
    pub authenticated: bool,
}

/// Why a connection's bytes are no requests. The text follows `-ERR Protocol error: `, after which
/// the connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProtocolError {
    /// An inline request longer than 64 KiB.
    TooBigInline,
    /// The quotes of an inline request do not match.
    UnbalancedQuotes,
    /// An array announced on a line longer than 64 KiB.
    TooBigArrayLine,
    /// The announced number of arguments is no number, or beyond the limit.
    InvalidArrayLength,
    /// More arguments than a client may announce before it has authenticated.
    UnauthenticatedArrayLength,
    /// A bulk string announced on a line longer than 64 KiB.
    TooBigBulkLine,
    /// Another byte where `$` must stand.
    ExpectedBulk(u8),
    /// The announced length is no number, or beyond the limit.
    InvalidBulkLength,
    /// A longer argument than a client may announce before it has authenticated.
    UnauthenticatedBulkLength,
    /// The first bytes of a TLS handshake.
    Tls,
}

impl std::fmt::Display for ProtocolError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = match self {
            Self::TooBigInline => "too big inline request",
            Self::UnbalancedQuotes => "unbalanced quotes in request",
            Self::TooBigArrayLine => "too big mbulk count string",
            Self::InvalidArrayLength => "invalid multibulk length",
            Self::UnauthenticatedArrayLength => "unauthenticated multibulk length",
            Self::TooBigBulkLine => "too big bulk count string",
            Self::ExpectedBulk(byte) => {
                // An error is one line: what is not printable is shown as a question mark.
                let shown = if byte.is_ascii_graphic() { char::from(*byte) } else { '?' };
                return write!(f, "expected '$', got '{shown}'");
            }
            Self::InvalidBulkLength => "invalid bulk length",
            Self::UnauthenticatedBulkLength => "unauthenticated bulk length",
            Self::Tls => "TLS handshake on a port without TLS",
        };
        f.write_str(text)
    }
}

impl std::error::Error for ProtocolError {}

/// The arguments of one request, as a range of the list to which the parser has appended them. Each
/// request names both of its ends, so it cannot take in what another one has left behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ArgRange {
    start: usize,
    end: usize,
}

impl ArgRange {
    /// The request's arguments. `spans`: the list that was given to the parser.
    ///
    /// # Panics
    /// If the list was cut or emptied since.
    #[inline]
    pub fn of(self, spans: &[Span]) -> &[Span] {
        &spans[self.start..self.end]
    }

    /// Whether there are no arguments: an empty line or array, which is to be passed over.
    #[inline]
    pub fn is_empty(self) -> bool {
        self.start == self.end
    }
}

/// The outcome of one call of [`RequestParser::next`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// A whole command, whose arguments were appended to the caller's list.
    Command {
        /// The command's length in bytes.
        len: usize,
        /// Its arguments.
        args: ArgRange,
    },
    /// More bytes are needed. `missing`: at least how many, as far as that is known.
    Incomplete {
        /// A lower bound of the bytes to come.
        missing: usize,
    },
}

/// The outcome of a part of the parser; [`RequestParser::next`] makes a [`Step`] of it.
enum Found {
    Command { len: usize },
    Incomplete { missing: usize },
}

/// The state of a connection's parser. The buffer that it is given must begin with the same
/// command until that command is whole.
#[derive(Debug, Default)]
pub struct RequestParser {
    /// Arguments of the unfinished array that are still to come; 0: at the start of a command.
    args_left: usize,
    /// The length of the argument under way, once announced.
    bulk: Option<usize>,
    /// How far the unfinished command has been parsed.
    pos: usize,
    /// How far the search for the end of the present line got.
    scanned: usize,
    /// The arguments found so far of the unfinished command.
    spans: Vec<Span>,
    /// The inline line that was split last, as it came.
    line: Option<Box<[u8]>>,
}

impl RequestParser {
    /// A parser at the start of a connection.
    pub fn new() -> RequestParser {
        RequestParser::default()
    }

    /// Bytes of memory held for an unfinished command's arguments.
    pub fn memory(&self) -> usize {
        self.spans.capacity() * size_of::<Span>()
    }

    /// Bytes of an unfinished command that are parsed: headers and arguments.
    pub fn parsed(&self) -> usize {
        if self.args_left > 0 { self.pos } else { 0 }
    }

    /// The line of the inline command that [`RequestParser::next`] has just split or refused, as it
    /// was: splitting overwrites it. A caller that wants to parse it again puts these bytes back to
    /// the start of `buf`.
    #[inline]
    pub fn take_line(&mut self) -> Option<Box<[u8]>> {
        self.line.take()
    }

    /// Finds the next command at the start of `buf` and appends its arguments to `args`, which may
    /// hold those of other connections' requests. Only a whole command leaves anything there.
    ///
    /// # Errors
    /// [`ProtocolError`]; the connection must then be closed.
    #[inline]
    pub fn next(
        &mut self,
        buf: &mut [u8],
        limits: Limits,
        args: &mut Vec<Span>,
    ) -> Result<Step, ProtocolError> {
        let start = args.len();
        match self.find(buf, limits, args) {
            Ok(Found::Command { len }) => {
                Ok(Step::Command { len, args: ArgRange { start, end: args.len() } })
            }
            Ok(Found::Incomplete { missing }) => {
                // Most of the time nothing is to be kept, and nothing is moved.
                self.spans.extend(args.drain(start..));
                Ok(Step::Incomplete { missing })
            }
            Err(error) => {
                args.truncate(start);
                Err(error)
            }
        }
    }

    /// As [`RequestParser::next`], but leaves in `args` the positions that it has found.
    #[inline]
    fn find(
        &mut self,
        buf: &mut [u8],
        limits: Limits,
        args: &mut Vec<Span>,
    ) -> Result<Found, ProtocolError> {
        if self.args_left == 0 {
            match buf.first() {
                None => return Ok(Found::Incomplete { missing: 1 }),
                Some(b'*') => {
                    let Some((count, next)) =
                        self.number(buf, 1, ProtocolError::TooBigArrayLine)?
                    else {
                        return Ok(Found::Incomplete { missing: 1 });
                    };
                    let count = count
                        .filter(|&n| n <= i64::from(i32::MAX))
                        .ok_or(ProtocolError::InvalidArrayLength)?;
                    if count > MAX_ARGS_UNAUTHENTICATED && !limits.authenticated {
                        return Err(ProtocolError::UnauthenticatedArrayLength);
                    }
                    if count <= 0 {
                        return Ok(Found::Command { len: next });
                    }
                    self.args_left = count as usize;
                    self.pos = next;
                }
                Some(_) => return self.inline(buf, args),
            }
        }
        self.bulks(buf, limits, args)
    }

    fn bulks(
        &mut self,
        buf: &[u8],
        limits: Limits,
        args: &mut Vec<Span>,
    ) -> Result<Found, ProtocolError> {
        let first = args.len();
        args.reserve(self.args_left.min(MAX_SPANS_RESERVED));
        while self.args_left > 0 {
            let len = match self.bulk {
                Some(len) => len,
                None => {
                    match buf.get(self.pos) {
                        None => return Ok(Found::Incomplete { missing: 4 }),
                        Some(b'$') => {}
                        Some(&byte) => return Err(ProtocolError::ExpectedBulk(byte)),
                    }
                    let line = self.pos + 1;
                    let Some((len, next)) =
                        self.number(buf, line, ProtocolError::TooBigBulkLine)?
                    else {
                        return Ok(Found::Incomplete { missing: 3 });
                    };
                    let len = len
                        .filter(|&n| n >= 0 && n as u64 <= limits.max_bulk)
                        .ok_or(ProtocolError::InvalidBulkLength)?;
                    if len > MAX_BULK_UNAUTHENTICATED && !limits.authenticated {
                        return Err(ProtocolError::UnauthenticatedBulkLength);
                    }
                    self.pos = next;
                    len as usize
                }
            };
            let end = self.pos + len + 2;
            if end > u32::MAX as usize {
                return Err(ProtocolError::InvalidBulkLength);
            }
            if buf.len() < end {
                self.bulk = Some(len);
                return Ok(Found::Incomplete { missing: end - buf.len() });
            }
            self.bulk = None;
            args.push(Span { start: self.pos as u32, len: len as u32 });
            self.pos = end;
            self.args_left -= 1;
        }
        if !self.spans.is_empty() {
            self.spans.extend(args.drain(first..));
            // The room is given back: a connection may never see so long a command again.
            args.append(&mut std::mem::take(&mut self.spans));
        }
        let len = std::mem::take(&mut self.pos);
        Ok(Found::Command { len })
    }

    /// Reads the number on the line that begins at `start`. Outer `None`: the line's end has not
    /// arrived; inner `None`: it is no number. Also gives the position after the line.
    #[inline]
    #[allow(clippy::type_complexity)] // two kinds of nothing, and a pair
    fn number(
        &mut self,
        buf: &[u8],
        start: usize,
        too_long: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        // The usual case: one to three digits.
        let rest = &buf[start..];
        let mut value = 0i64;
        for (i, &byte) in rest.iter().take(4).enumerate() {
            match byte {
                b'0'..=b'9' => value = value * 10 + i64::from(byte - b'0'),
                b'\r' if i > 0 && rest.len() > i + 1 => {
                    // As in Redis, any byte behind the carriage return counts as line feed.
                    self.scanned = 0;
                    return Ok(Some((Some(value), start + i + 2)));
                }
                _ => break,
            }
        }
        self.number_slow(buf, start, too_long)
    }

    #[allow(clippy::type_complexity)]
    fn number_slow(
        &mut self,
        buf: &[u8],
        start: usize,
        too_long: ProtocolError,
    ) -> Result<Option<(Option<i64>, usize)>, ProtocolError> {
        let from = self.scanned.max(start);
        let Some(found) = buf[from..].iter().position(|&b| b == b'\r') else {
            if buf.len() - start > MAX_LINE {
                return Err(too_long);
            }
            self.scanned = buf.len();
            return Ok(None);
        };
        let end = from + found;
        if buf.len() < end + 2 {
            self.scanned = end;
            return Ok(None);
        }
        self.scanned = 0;
        Ok(Some((parse_strict_i64(&buf[start..end]), end + 2)))
    }

    fn inline(&mut self, buf: &mut [u8], args: &mut Vec<Span>) -> Result<Found, ProtocolError> {
        if buf.starts_with(TLS_HANDSHAKE) {
            return Err(ProtocolError::Tls);
        }
        let Some(found) = buf[self.scanned..].iter().position(|&b| b == b'\n') else {
            if buf.len() > MAX_LINE {
                return Err(ProtocolError::TooBigInline);
            }
            self.scanned = buf.len();
            return Ok(Found::Incomplete { missing: 1 });
        };
        let end = self.scanned + found;
        self.scanned = 0;
        if end > MAX_LINE {
            return Err(ProtocolError::TooBigInline);
        }
        let line = buf[..end].strip_suffix(b"\r").map_or(end, <[u8]>::len);
        self.line = Some(buf[..line].into());
        split_args_in_place(&mut buf[..line], args).map_err(|_| ProtocolError::UnbalancedQuotes)?;
        Ok(Found::Command { len: end + 1 })
    }
}

/// A decimal 64-bit integer without sign `+`, spaces or leading zeros.
fn parse_strict_i64(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    match digits {
        [b'0'] if text.len() == 1 => return Some(0),
        [b'1'..=b'9', ..] if digits.len() <= 19 => {}
        _ => return None,
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const LIMITS: Limits = Limits { max_bulk: 512 << 20, authenticated: true };

    /// Feeds `bytes` in pieces; gives the commands and the error, if any.
    fn feed(pieces: &[&[u8]], limits: Limits) -> (Vec<Vec<Vec<u8>>>, Option<ProtocolError>) {
        let (mut parser, mut buf) = (RequestParser::new(), Vec::new());
        let mut commands = Vec::new();
        for piece in pieces {
            buf.extend_from_slice(piece);
            loop {
                let mut args = Vec::new();
                match parser.next(&mut buf, limits, &mut args) {
                    Err(error) => return (commands, Some(error)),
                    Ok(Step::Incomplete { missing }) => {
                        assert!(missing > 0 && args.is_empty());
                        break;
                    }
                    Ok(Step::Command { len, .. }) => {
                        if !args.is_empty() {
                            commands.push(args.iter().map(|span| span.of(&buf).to_vec()).collect());
                        }
                        buf.drain(..len);
                    }
                }
            }
        }
        (commands, None)
    }

    fn error_of(bytes: &[u8], limits: Limits) -> Option<String> {
        feed(&[bytes], limits).1.map(|error| error.to_string())
    }

    #[test]
    fn errors_are_those_of_redis() {
        let long_line = [b"*".as_slice(), &[b'1'; 70_000]].concat();
        let long_bulk = [b"*1\r\n$".as_slice(), &[b'1'; 70_000]].concat();
        for (bytes, text) in [
            (b"*x\r\n".as_slice(), "invalid multibulk length"),
            (b"*2147483648\r\n", "invalid multibulk length"),
            (b"*1\r\n+x\r\n", "expected '$', got '+'"),
            (b"*1\r\n$-1\r\n", "invalid bulk length"),
            (b"*1\r\n$600000000\r\n", "invalid bulk length"),
            (b"*1\r\n$1 \r\n", "invalid bulk length"),
            (b"SET \"a\r\n", "unbalanced quotes in request"),
            (&[b'x'; 70_000], "too big inline request"),
            (&long_line, "too big mbulk count string"),
            (&long_bulk, "too big bulk count string"),
            (b"\x16\x03\x01\x02\0\x01", "TLS handshake on a port without TLS"),
        ] {
            assert_eq!(error_of(bytes, LIMITS).as_deref(), Some(text));
        }
        let stranger = Limits { authenticated: false, ..LIMITS };
        assert_eq!(
            error_of(b"*11\r\n", stranger).as_deref(),
            Some("unauthenticated multibulk length")
        );
        assert_eq!(
            error_of(b"*1\r\n$16385\r\n", stranger).as_deref(),
            Some("unauthenticated bulk length")
        );
    }

    #[test]
    fn an_inline_line_can_be_put_back() {
        for line in [r#"SET  k "a b" 'c\'d'"#, r#"SET "a b" "c"#, "PING"] {
            let mut buf = format!("{line}\r\n").into_bytes();
            let mut parser = RequestParser::new();
            let (mut first, mut again) = (Vec::new(), Vec::new());
            let step = parser.next(&mut buf, LIMITS, &mut first);
            let split = buf.clone();
            let kept = parser.take_line().unwrap();
            assert_eq!(&kept[..], line.as_bytes());
            buf[..kept.len()].copy_from_slice(&kept);
            assert_eq!(RequestParser::new().next(&mut buf, LIMITS, &mut again), step);
            assert_eq!((again, buf), (first, split));
            assert_eq!(parser.take_line(), None);
        }
    }

    #[test]
    fn empty_requests_are_passed_over() {
        let (commands, error) = feed(&[b"\r\n*0\r\n*-1\r\n  \r\nPING\r\n"], LIMITS);
        assert_eq!(error, None);
        assert_eq!(commands, [[b"PING".to_vec()]]);
    }

    #[test]
    fn arguments_of_a_long_command_are_not_moved_with_every_read() {
        const ARGS: usize = 50_000;
        let mut bytes = format!("*{ARGS}\r\n").into_bytes();
        (0..ARGS).for_each(|_| bytes.extend_from_slice(b"$1\r\nx\r\n"));
        let mut parser = RequestParser::new();
        for end in (1..bytes.len()).step_by(1000) {
            let mut args = Vec::new();
            let step = parser.next(&mut bytes[..end], LIMITS, &mut args).unwrap();
            assert!(matches!(step, Step::Incomplete { .. }));
            assert!(args.capacity() <= 2 * MAX_SPANS_RESERVED, "all of them were moved");
        }
        let mut args = Vec::new();
        let step = parser.next(&mut bytes, LIMITS, &mut args).unwrap();
        let all = ArgRange { start: 0, end: ARGS };
        assert_eq!(step, Step::Command { len: bytes.len(), args: all });
        assert_eq!(parser.memory(), 0, "nothing is kept for a command that is whole");
    }

    proptest! {
        #[test]
        fn any_pipeline_in_any_pieces(
            commands in proptest::collection::vec(
                proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..40), 1..6), 0..6),
            cuts in proptest::collection::vec(any::<proptest::sample::Index>(), 0..8),
        ) {
            let mut bytes = Vec::new();
            for command in &commands {
                bytes.extend(format!("*{}\r\n", command.len()).bytes());
                for arg in command {
                    bytes.extend(format!("${}\r\n", arg.len()).bytes());
                    bytes.extend(arg);
                    bytes.extend(b"\r\n");
                }
            }
            let mut at: Vec<usize> = cuts.iter().map(|i| i.index(bytes.len() + 1)).collect();
            at.extend([0, bytes.len()]);
            at.sort_unstable();
            let pieces: Vec<&[u8]> = at.windows(2).map(|w| &bytes[w[0]..w[1]]).collect();
            prop_assert_eq!(feed(&pieces, LIMITS), (commands, None));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = feed(&bytes.chunks(7).collect::<Vec<_>>(), LIMITS);
        }
    }

    #[test]
    fn one_byte_at_a_time_is_linear() {
        // A megabyte in single bytes takes far longer than any test may if each byte rescans.
        let mut bytes = b"*2\r\n$4\r\nECHO\r\n$1000000\r\n".to_vec();
        bytes.resize(bytes.len() + 1_000_000, b'x');
        bytes.extend(b"\r\n");
        let mut parser = RequestParser::new();
        for end in 1..=bytes.len() {
            let mut args = Vec::new();
            let step = parser.next(&mut bytes[..end], LIMITS, &mut args).unwrap();
            assert_eq!(matches!(step, Step::Command { .. }), end == bytes.len());
        }
    }
}
