//! The arguments of a command.

use tessera_resp::Span;

/// The arguments of a command, its name first: positions in the bytes in which it arrived.
#[derive(Clone, Copy)]
pub struct Args<'a> {
    command: &'a [u8],
    spans: &'a [Span],
}

impl<'a> Args<'a> {
    /// The arguments at `spans` of a command which begins where `command` begins.
    #[inline]
    pub fn new(command: &'a [u8], spans: &'a [Span]) -> Args<'a> {
        Args { command, spans }
    }

    /// How many there are, the name included.
    #[inline]
    pub fn len(self) -> usize {
        self.spans.len()
    }

    /// Whether there is nothing, not even a name.
    pub fn is_empty(self) -> bool {
        self.spans.is_empty()
    }

    /// One argument.
    ///
    /// # Panics
    /// If there are not so many; the command's arity has been checked.
    #[inline]
    pub fn at(self, index: usize) -> &'a [u8] {
        self.spans[index].of(self.command)
    }

    /// One argument, if there are so many.
    pub fn get(self, index: usize) -> Option<&'a [u8]> {
        self.spans.get(index).map(|span| span.of(self.command))
    }

    /// Whether an argument is this word, in any case. `word` is lower-case.
    #[inline]
    pub fn is(self, index: usize, word: &str) -> bool {
        self.get(index).is_some_and(|arg| arg.eq_ignore_ascii_case(word.as_bytes()))
    }

    /// The arguments from `start` on.
    pub fn from(self, start: usize) -> impl ExactSizeIterator<Item = &'a [u8]> + Clone {
        let command = self.command;
        self.spans[start.min(self.spans.len())..].iter().map(move |span| span.of(command))
    }

    /// The arguments from `start` on as a command of their own.
    pub fn tail(self, start: usize) -> Args<'a> {
        Args { command: self.command, spans: &self.spans[start.min(self.spans.len())..] }
    }

    /// All arguments as a list of slices.
    pub fn to_vec(self) -> Vec<&'a [u8]> {
        self.from(0).collect()
    }

    /// Bytes of all arguments together.
    pub fn bytes(self) -> usize {
        self.spans.iter().map(|span| span.len as usize).sum()
    }
}
