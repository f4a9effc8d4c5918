//! Many strings in few allocations.

/// From this size on a chunk takes no further string, bytes. So growing never copies much.
const CHUNK: usize = 256 * 1024;

/// A sequence of strings, kept one behind the other.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Strings {
    chunks: Vec<Chunk>,
    len: usize,
}

#[derive(Clone, PartialEq, Eq, Default)]
struct Chunk {
    bytes: Vec<u8>,
    /// The end of each string.
    ends: Vec<usize>,
}

impl Chunk {
    fn get(&self, index: usize) -> Option<&[u8]> {
        let end = *self.ends.get(index)?;
        let start = if index == 0 { 0 } else { self.ends[index - 1] };
        Some(&self.bytes[start..end])
    }
}

impl Strings {
    /// No strings.
    pub fn new() -> Strings {
        Strings::default()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Adds one.
    pub fn push(&mut self, text: &[u8]) {
        let added: Result<(), std::convert::Infallible> = self.push_with(|bytes| {
            bytes.extend_from_slice(text);
            Ok(())
        });
        added.expect("adding bytes cannot fail");
    }

    /// Adds one which `append` appends to the bytes that it is given. After an error there is none
    /// more.
    pub(crate) fn push_with<E>(
        &mut self,
        append: impl FnOnce(&mut Vec<u8>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.chunks.last().is_none_or(|chunk| chunk.bytes.len() >= CHUNK) {
            self.chunks.push(Chunk::default());
        }
        let chunk = self.chunks.last_mut().expect("just pushed if there was none");
        let before = chunk.bytes.len();
        let appended = append(&mut chunk.bytes);
        match &appended {
            Ok(()) => {
                chunk.ends.push(chunk.bytes.len());
                self.len += 1;
            }
            Err(_) => chunk.bytes.truncate(before),
        }
        appended
    }

    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.chunks
            .iter()
            .flat_map(|chunk| (0..chunk.ends.len()).filter_map(|index| chunk.get(index)))
    }

    /// The strings in order, each lent for a moment; the memory of those that have been passed is
    /// freed.
    pub fn into_reader(self) -> StringsReader {
        StringsReader { chunks: self.chunks.into_iter(), current: Chunk::default(), next: 0 }
    }
}

impl<T: AsRef<[u8]>> FromIterator<T> for Strings {
    fn from_iter<I: IntoIterator<Item = T>>(texts: I) -> Strings {
        let mut strings = Strings::new();
        for text in texts {
            strings.push(text.as_ref());
        }
        strings
    }
}

impl std::fmt::Debug for Strings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shown = self.iter().map(|text| text.escape_ascii().to_string());
        f.debug_list().entries(shown).finish()
    }
}

/// Strings that are read once. See [`Strings::into_reader`].
#[derive(Debug)]
pub struct StringsReader {
    chunks: std::vec::IntoIter<Chunk>,
    current: Chunk,
    next: usize,
}

impl std::fmt::Debug for Chunk {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} strings of {} bytes", self.ends.len(), self.bytes.len())
    }
}

impl StringsReader {
    /// The next string. (No iterator, since that could not lend.)
    pub fn next_string(&mut self) -> Option<&[u8]> {
        while self.next >= self.current.ends.len() {
            self.current = self.chunks.next()?;
            self.next = 0;
        }
        self.next += 1;
        self.current.get(self.next - 1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strings_come_back_in_order_over_many_chunks() {
        let texts: Vec<Vec<u8>> = (0..3000usize).map(|at| vec![at as u8; at % 700]).collect();
        let strings: Strings = texts.iter().collect();
        assert!(strings.chunks.len() > 2, "more than one chunk");
        assert_eq!(strings.len(), texts.len());
        assert!(strings.iter().eq(texts.iter().map(Vec::as_slice)));
        let mut reader = strings.into_reader();
        for text in &texts {
            assert_eq!(reader.next_string(), Some(&text[..]));
        }
        assert_eq!(reader.next_string(), None);
    }

    #[test]
    fn what_failed_leaves_nothing() {
        let mut strings = Strings::new();
        let failed = strings.push_with(|bytes| {
            bytes.extend_from_slice(b"half");
            Err(7)
        });
        assert_eq!(failed, Err(7));
        strings.push(b"whole");
        assert_eq!(strings.iter().collect::<Vec<_>>(), [b"whole"]);
    }
}
