//! Commands in the form in which replicas receive them.

use crate::inner::Inner;

/// The longest `*<count>\r\n` or `\r\n$<length>\r\n`.
const LONGEST_FRAME: usize = 1 + 20 + 2;

/// Adds to the history while its mutex is held. Everything that one [`crate::Log::append`] adds becomes
/// visible to readers at once.
pub struct Appender<'a> {
    inner: &'a mut Inner,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(inner: &'a mut Inner) -> Appender<'a> {
        Appender { inner }
    }

    /// A write in database `db`, preceded by SELECT if the stream is in another one.
    pub fn command<A: AsRef<[u8]>>(&mut self, db: u32, args: &[A]) {
        if self.inner.stream_db != Some(db) {
            self.select(db);
        }
        self.control(args);
    }

    /// A command that belongs to no database, such as PING or REPLCONF GETACK.
    pub fn control<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        frame_command(args, |bytes| self.inner.put(bytes));
    }

    /// Bytes of the primary's stream, as they are. Which database they end in is unknown, so the next
    /// [`Appender::command`] selects its own.
    pub fn raw(&mut self, bytes: &[u8]) {
        self.inner.put(bytes);
        self.inner.stream_db = None;
    }

    fn select(&mut self, db: u32) {
        let mut digits = itoa::Buffer::new();
        self.control(&[b"SELECT", digits.format(db).as_bytes()]);
        self.inner.stream_db = Some(db);
    }
}

/// Appends a command to `out` as a RESP array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    frame_command(args, |bytes| out.extend_from_slice(bytes));
}

/// Hands the array form of a command to `put`, piece by piece: arguments are not copied in between.
#[inline]
fn frame_command<A: AsRef<[u8]>>(args: &[A], mut put: impl FnMut(&[u8])) {
    let mut frame = Frame { bytes: [0; 2 * LONGEST_FRAME + 2], len: 0 };
    frame.number(b'*', args.len());
    for arg in args {
        let arg = arg.as_ref();
        frame.number(b'$', arg.len());
        put(frame.take());
        put(arg);
        frame.line_end();
    }
    put(frame.take());
}

/// What stands between two arguments.
struct Frame {
    bytes: [u8; 2 * LONGEST_FRAME + 2],
    len: usize,
}

impl Frame {
    fn number(&mut self, mark: u8, value: usize) {
        self.push(&[mark]);
        let mut digits = itoa::Buffer::new();
        self.push(digits.format(value).as_bytes());
        self.line_end();
    }

    fn line_end(&mut self) {
        self.push(b"\r\n");
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }

    fn take(&mut self) -> &[u8] {
        &self.bytes[..std::mem::take(&mut self.len)]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_is_an_array_of_bulk_strings() {
        let mut out = Vec::new();
        encode_command(&mut out, &[&b"SET"[..], b"", b"a\r\nb"]);
        assert_eq!(out, b"*3\r\n$3\r\nSET\r\n$0\r\n\r\n$4\r\na\r\nb\r\n");
        out.clear();
        encode_command::<&[u8]>(&mut out, &[]);
        assert_eq!(out, b"*0\r\n");
    }
}
