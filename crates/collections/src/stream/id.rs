//! The id of an entry: milliseconds and a sequence number.

use std::fmt;

/// The id of an entry of a stream. Ids only grow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StreamId {
    /// Milliseconds, usually Unix time.
    pub ms: u64,
    /// The number within the millisecond.
    pub seq: u64,
}

impl StreamId {
    /// 0-0, below the id of any entry.
    pub const MIN: StreamId = StreamId { ms: 0, seq: 0 };
    /// The last possible id.
    pub const MAX: StreamId = StreamId { ms: u64::MAX, seq: u64::MAX };

    /// An id of its two parts.
    pub const fn new(ms: u64, seq: u64) -> StreamId {
        StreamId { ms, seq }
    }

    /// The id directly behind it; `None` behind the last.
    pub fn next(self) -> Option<StreamId> {
        match self.seq.checked_add(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_add(1)?, seq: 0 }),
        }
    }

    /// The id directly before it; `None` before 0-0.
    pub fn prev(self) -> Option<StreamId> {
        match self.seq.checked_sub(1) {
            Some(seq) => Some(StreamId { seq, ..self }),
            None => Some(StreamId { ms: self.ms.checked_sub(1)?, seq: u64::MAX }),
        }
    }

    /// Its 16 bytes, big-endian, as RDB files have them: they sort as the ids do.
    pub fn to_bytes(self) -> [u8; 16] {
        (u128::from(self.ms) << 64 | u128::from(self.seq)).to_be_bytes()
    }

    /// The id of these bytes.
    pub fn from_bytes(bytes: [u8; 16]) -> StreamId {
        let both = u128::from_be_bytes(bytes);
        StreamId { ms: (both >> 64) as u64, seq: both as u64 }
    }

    /// The id that is so far behind this one, in both parts. Parts wrap: a later millisecond may
    /// have a smaller number.
    pub(super) fn plus(self, ms: i64, seq: i64) -> StreamId {
        StreamId { ms: self.ms.wrapping_add(ms as u64), seq: self.seq.wrapping_add(seq as u64) }
    }

    /// How far it is behind another, as [`StreamId::plus`] takes it.
    pub(super) fn minus(self, other: StreamId) -> (i64, i64) {
        (self.ms.wrapping_sub(other.ms) as i64, self.seq.wrapping_sub(other.seq) as i64)
    }

    /// Its text, `ms-seq`, made on the stack.
    #[inline]
    pub fn text(self, buffer: &mut IdText) -> &[u8] {
        buffer.format(self)
    }
}

impl fmt::Display for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.ms, self.seq)
    }
}

/// Room for the text of an id: two numbers of 20 digits and a dash.
pub struct IdText([u8; 41]);

impl Default for IdText {
    fn default() -> IdText {
        IdText([0; 41])
    }
}

impl IdText {
    fn format(&mut self, id: StreamId) -> &[u8] {
        let at = self.digits(id.seq, self.0.len()) - 1;
        self.0[at] = b'-';
        let at = self.digits(id.ms, at);
        &self.0[at..]
    }

    /// Writes the digits of a number so that they end before `at`; gives where they begin.
    fn digits(&mut self, mut number: u64, mut at: usize) -> usize {
        loop {
            at -= 1;
            self.0[at] = b'0' + (number % 10) as u8;
            number /= 10;
            if number == 0 {
                return at;
            }
        }
    }
}
