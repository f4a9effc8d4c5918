//! When a list's nodes are full, and which of them are compressed.

/// Bytes of a node for `list-max-listpack-size` -1 to -5.
const NODE_BYTES: [usize; 5] = [4096, 8192, 16_384, 32_768, 65_536];
/// Bytes of a node whose elements are counted.
const COUNTED_NODE_BYTES: usize = 8192;

/// How much a node may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fill {
    /// Bytes.
    Bytes(usize),
    /// Elements.
    Count(usize),
}

/// How large a list's nodes may become, and which of them are compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ListLimits {
    fill: Fill,
    compress_depth: usize,
    packed_threshold: usize,
}

impl Default for ListLimits {
    /// Nodes of 8 KiB, none compressed.
    fn default() -> ListLimits {
        ListLimits::new(-2, 0)
    }
}

impl ListLimits {
    /// The limits that `list-max-listpack-size` and `list-compress-depth` say.
    pub fn new(max_listpack_size: i32, compress_depth: u32) -> ListLimits {
        let fill = match usize::try_from(max_listpack_size) {
            Ok(count) => Fill::Count(count.max(1)),
            Err(_) => {
                let level = max_listpack_size.unsigned_abs() as usize;
                Fill::Bytes(NODE_BYTES[level.min(NODE_BYTES.len()) - 1])
            }
        };
        ListLimits { fill, compress_depth: compress_depth as usize, packed_threshold: 0 }
    }

    /// With another length from which an element has a node for itself, bytes; 0: what follows from
    /// the nodes' size.
    pub fn with_packed_threshold(self, bytes: usize) -> ListLimits {
        ListLimits { packed_threshold: bytes, ..self }
    }

    /// Nodes at either end that are not compressed; 0: none is compressed.
    pub(super) fn compress_depth(self) -> usize {
        self.compress_depth
    }

    /// Whether an element of this length has a node for itself.
    pub(super) fn is_large(self, len: usize) -> bool {
        match (self.packed_threshold, self.fill) {
            (0, Fill::Bytes(limit)) => len > limit,
            (0, Fill::Count(_)) => len > COUNTED_NODE_BYTES,
            (threshold, _) => len >= threshold,
        }
    }

    /// Whether a node may have this many bytes and elements.
    pub(super) fn allows(self, bytes: usize, count: usize) -> bool {
        match self.fill {
            Fill::Bytes(limit) => bytes <= limit,
            Fill::Count(limit) => bytes <= COUNTED_NODE_BYTES && count <= limit,
        }
    }

    /// Whether the only node of a list is small enough for a listpack. A list that shrinks must
    /// have become half as small, lest it goes to and fro.
    pub(super) fn is_small(self, bytes: usize, count: usize, shrinks: bool) -> bool {
        let part = if shrinks { 2 } else { 1 };
        match self.fill {
            Fill::Bytes(limit) => bytes <= limit / part,
            Fill::Count(limit) => count <= limit / part,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nodes_are_limited_by_bytes_or_by_elements() {
        for (size, bytes) in
            [(-1, 4096), (-2, 8192), (-5, 65_536), (-6, 65_536), (i32::MIN, 65_536)]
        {
            let limits = ListLimits::new(size, 0);
            assert!(limits.allows(bytes, 60_000), "{size}");
            assert!(!limits.allows(bytes + 1, 1), "{size}");
            assert!(!limits.is_large(bytes) && limits.is_large(bytes + 1), "{size}");
        }
        for (size, count) in [(0, 1), (1, 1), (16, 16)] {
            let limits = ListLimits::new(size, 0);
            assert!(limits.allows(8192, count) && !limits.allows(8, count + 1), "{size}");
            assert!(!limits.allows(8193, 1) && limits.is_large(8193), "{size}");
        }
        let limits = ListLimits::new(-2, 0).with_packed_threshold(5);
        assert!(limits.is_large(5) && !limits.is_large(4));
    }

    #[test]
    fn a_list_that_shrinks_waits_for_half_the_limit() {
        let (bytes, counted) = (ListLimits::new(-1, 0), ListLimits::new(3, 0));
        assert!(bytes.is_small(4096, 100, false) && !bytes.is_small(4096, 100, true));
        assert!(bytes.is_small(2048, 100, true));
        assert!(counted.is_small(100_000, 3, false) && !counted.is_small(7, 2, true));
        assert!(counted.is_small(7, 1, true));
    }
}
