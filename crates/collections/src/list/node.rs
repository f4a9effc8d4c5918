//! A node of a quicklist: a listpack, or one large element; compressed where it is far from both
//! ends.

use crate::listpack::{Element, Listpack};
use crate::lzf;

/// Smaller nodes are not compressed.
const COMPRESS_FROM: usize = 48;
/// A node is kept compressed only if that saves more bytes than this.
const COMPRESS_GAIN: usize = 8;

/// A node of a quicklist.
#[derive(Debug, Clone)]
pub(super) enum Node {
    /// A listpack. Its elements are counted here too, so that looking for an index need not touch
    /// it.
    Packed { count: u32, listpack: Listpack },
    /// One element that is too large for a listpack.
    #[allow(clippy::box_collection)] // one word, so that a node has two
    Plain(Box<Vec<u8>>),
    /// A compressed node.
    Compressed { count: u32, packed: Box<Compressed> },
}

/// A node's bytes, compressed with LZF.
#[derive(Debug, Clone)]
pub(super) struct Compressed {
    lzf: Box<[u8]>,
    /// Bytes before they were compressed.
    size: usize,
    /// Whether they are one element and not a listpack.
    is_plain: bool,
}

/// The content of a node.
#[derive(Debug, Clone, Copy)]
pub enum NodeRef<'a> {
    /// A listpack.
    Packed(&'a Listpack),
    /// One large element.
    Plain(&'a [u8]),
}

/// Room for a node that was unpacked to be read.
#[derive(Default)]
pub(super) struct Unpacked(Option<Node>);

impl Node {
    /// A node with one element.
    pub(super) fn packed(text: &[u8]) -> Node {
        let mut listpack = Listpack::new();
        listpack.push(text);
        Node::Packed { count: 1, listpack }
    }

    /// A node of a listpack.
    pub(super) fn of(listpack: Listpack) -> Node {
        Node::Packed { count: listpack.len() as u32, listpack }
    }

    /// A node of one large element.
    pub(super) fn plain(text: &[u8]) -> Node {
        Node::Plain(Box::new(text.to_vec()))
    }

    /// The number of elements.
    #[inline]
    pub(super) fn count(&self) -> usize {
        match self {
            Node::Packed { count, .. } | Node::Compressed { count, .. } => *count as usize,
            Node::Plain(_) => 1,
        }
    }

    /// Bytes of the listpack or element, uncompressed.
    pub(super) fn size(&self) -> usize {
        match self {
            Node::Packed { listpack, .. } => listpack.byte_len(),
            Node::Plain(text) => text.len(),
            Node::Compressed { packed, .. } => packed.size,
        }
    }

    /// Whether it is one large element.
    pub(super) fn is_plain(&self) -> bool {
        match self {
            Node::Packed { .. } => false,
            Node::Plain(_) => true,
            Node::Compressed { packed, .. } => packed.is_plain,
        }
    }

    /// Whether it is compressed.
    #[cfg(test)]
    pub(super) fn is_compressed(&self) -> bool {
        matches!(self, Node::Compressed { .. })
    }

    /// Bytes of memory beyond the node itself.
    pub(super) fn memory(&self) -> usize {
        match self {
            Node::Packed { listpack, .. } => listpack.memory(),
            Node::Plain(text) => size_of::<Vec<u8>>() + text.capacity(),
            Node::Compressed { packed, .. } => size_of::<Compressed>() + packed.lzf.len(),
        }
    }

    /// Its content; `unpacked` takes it if it was compressed.
    #[inline]
    pub(super) fn read<'a>(&'a self, unpacked: &'a mut Unpacked) -> NodeRef<'a> {
        match self {
            Node::Packed { listpack, .. } => NodeRef::Packed(listpack),
            Node::Plain(text) => NodeRef::Plain(text),
            Node::Compressed { count, packed } => match unpacked.0.insert(packed.unpack(*count)) {
                Node::Packed { listpack, .. } => NodeRef::Packed(listpack),
                Node::Plain(text) => NodeRef::Plain(text),
                Node::Compressed { .. } => unreachable!("just unpacked"),
            },
        }
    }

    /// Unpacks it, if it is compressed.
    #[inline]
    pub(super) fn unpack(&mut self) {
        if let Node::Compressed { count, packed } = self {
            *self = packed.unpack(*count);
        }
    }

    /// Compresses it, if that gains enough.
    pub(super) fn compress(&mut self) {
        let count = self.count() as u32;
        let (bytes, is_plain): (&[u8], bool) = match self {
            Node::Packed { listpack, .. } => (listpack.as_bytes(), false),
            Node::Plain(text) => (text, true),
            Node::Compressed { .. } => return,
        };
        let size = bytes.len();
        if size < COMPRESS_FROM {
            return;
        }
        if let Some(lzf) = lzf::compress(bytes, size - COMPRESS_GAIN - 1) {
            let packed = Compressed { lzf: lzf.into_boxed_slice(), size, is_plain };
            *self = Node::Compressed { count, packed: Box::new(packed) };
        }
    }

    /// Gives up a listpack's room to grow.
    pub(super) fn fit(&mut self) {
        if let Node::Packed { listpack, .. } = self {
            listpack.fit();
        }
    }

    /// Changes its listpack; compressed it is unpacked first.
    ///
    /// # Panics
    /// If it is one large element.
    #[inline]
    pub(super) fn edit<R>(&mut self, change: impl FnOnce(&mut Listpack, &mut u32) -> R) -> R {
        self.unpack();
        let Node::Packed { count, listpack } = self else { panic!("a node of a listpack") };
        change(listpack, count)
    }

    /// Takes its listpack out.
    ///
    /// # Panics
    /// If it is one large element.
    pub(super) fn into_listpack(mut self) -> Listpack {
        self.unpack();
        let Node::Packed { listpack, .. } = self else { panic!("a node of a listpack") };
        listpack
    }
}

impl Compressed {
    fn unpack(&self, count: u32) -> Node {
        let bytes = lzf::decompress(&self.lzf, self.size).expect("it was compressed here");
        if self.is_plain {
            return Node::Plain(Box::new(bytes));
        }
        let listpack = Listpack::from_trusted(&bytes);
        Node::Packed { count, listpack }
    }
}

/// One large element as an element: it may look like an integer all the same.
#[inline]
pub(super) fn plain_element(text: &[u8]) -> Element<'_> {
    Element::of(text)
}
