//! Commands in the form in which replicas receive them.

use crate::inner::Inner;

/// Adds to the history while its mutex is held. Everything that one [`crate::Log::append`] adds
/// becomes visible to readers at once.
pub struct Appender<'a> {
    inner: &'a mut Inner,
}

impl<'a> Appender<'a> {
    pub(crate) fn new(inner: &'a mut Inner) -> Appender<'a> {
        Appender { inner }
    }

    /// A write in database `db`, preceded by SELECT if the stream is in another one.
    pub fn command<A: AsRef<[u8]>>(&mut self, db: u32, args: &[A]) {
        if self.inner.select_next || self.inner.stream_db != db {
            self.select(db);
        }
        self.control(args);
    }

    /// A command that belongs to no database, such as PING or REPLCONF GETACK.
    pub fn control<A: AsRef<[u8]>>(&mut self, args: &[A]) {
        let len = encoded_len(args);
        if let Some(space) = self.inner.space(len) {
            encode_into(space, args);
            self.inner.commit(len);
        } else {
            frame_command(args, |bytes| self.inner.put(bytes));
        }
    }

    /// Bytes of the primary's stream, as they are, after which it stands in database `db`. The next
    /// [`Appender::command`] selects its own all the same.
    pub fn raw(&mut self, db: u32, bytes: &[u8]) {
        self.inner.put(bytes);
        self.inner.stream_db = db;
        self.inner.select_next = true;
    }

    /// Whole commands in database `db`, encoded by [`encode_command`] beforehand: they become part
    /// of the history without being copied.
    pub fn encoded(&mut self, db: u32, commands: Vec<u8>) {
        if self.inner.select_next || self.inner.stream_db != db {
            self.select(db);
        }
        self.inner.put_chunk(commands.into_boxed_slice());
    }

    fn select(&mut self, db: u32) {
        let mut digits = itoa::Buffer::new();
        self.control(&[b"SELECT", digits.format(db).as_bytes()]);
        self.inner.stream_db = db;
        self.inner.select_next = false;
    }
}

/// Appends a command to `out` as a RESP array of bulk strings.
pub fn encode_command<A: AsRef<[u8]>>(out: &mut Vec<u8>, args: &[A]) {
    frame_command(args, |bytes| out.extend_from_slice(bytes));
}

/// Writes the array form of a command to `space`, which is exactly as long as [`encoded_len`] says.
#[inline]
fn encode_into<A: AsRef<[u8]>>(space: &mut [u8], args: &[A]) {
    let mut rest = space;
    frame_command(args, |bytes| {
        let (target, behind) = std::mem::take(&mut rest).split_at_mut(bytes.len());
        target.copy_from_slice(bytes);
        rest = behind;
    });
    assert!(rest.is_empty(), "an encoded command is as long as was computed");
}

/// Hands the array form of a command to `put`, piece by piece.
#[inline(always)]
fn frame_command<A: AsRef<[u8]>>(args: &[A], mut put: impl FnMut(&[u8])) {
    put_number(b'*', args.len(), &mut put);
    for arg in args {
        let arg = arg.as_ref();
        put_number(b'$', arg.len(), &mut put);
        put(arg);
        put(b"\r\n");
    }
}

#[inline(always)]
fn put_number(mark: u8, value: usize, put: &mut impl FnMut(&[u8])) {
    let digit = b'0' + (value % 10) as u8;
    match value {
        // Nearly all numbers of a command; a copy of known size is a single move.
        0..10 => put(&[mark, digit, b'\r', b'\n']),
        10..100 => put(&[mark, b'0' + (value / 10) as u8, digit, b'\r', b'\n']),
        _ => {
            put(&[mark]);
            put(itoa::Buffer::new().format(value).as_bytes());
            put(b"\r\n");
        }
    }
}

/// How many bytes the array form of a command takes.
#[inline]
pub(crate) fn encoded_len<A: AsRef<[u8]>>(args: &[A]) -> usize {
    let line = |value: usize| 1 + value.checked_ilog10().unwrap_or(0) as usize + 1 + 2;
    let bulk = |arg: &A| line(arg.as_ref().len()) + arg.as_ref().len() + 2;
    line(args.len()) + args.iter().map(bulk).sum::<usize>()
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

    #[test]
    fn the_length_is_known_beforehand() {
        for size in [0, 1, 9, 10, 11, 99, 100, 101, 999, 1000, 12_345] {
            for count in [0, 1, 9, 10, 99, 100] {
                let args = vec![vec![b'x'; size]; count];
                let mut out = Vec::new();
                encode_command(&mut out, &args);
                assert_eq!(encoded_len(&args), out.len(), "{count} of {size}");
                let mut space = vec![0; out.len()];
                encode_into(&mut space, &args);
                assert!(space == out);
            }
        }
    }
}
