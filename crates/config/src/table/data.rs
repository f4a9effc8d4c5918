//! Thresholds between encodings of data types.

use super::{COUNT, INT_MAX, LONG_COUNT, SIZE_MAX, bytes, family, integer};
use crate::value::Bytes;

family! {
    /// Thresholds between encodings of data types.
    Data in data {
        /// Fields up to which a hash is a listpack.
        hash_max_listpack_entries: u64 = 512, "hash-max-listpack-entries",
            LONG_COUNT.also(&["hash-max-ziplist-entries"]).effective();
        /// Bytes of a field or value up to which a hash is a listpack.
        hash_max_listpack_value: Bytes = Bytes(64), "hash-max-listpack-value",
            bytes(0, SIZE_MAX).also(&["hash-max-ziplist-value"]).effective();
        /// Size of a list's nodes: entries if positive; -1 to -5: 4 to 64 KiB.
        list_max_listpack_size: i32 = -2, "list-max-listpack-size",
            integer(-INT_MAX - 1, INT_MAX).also(&["list-max-ziplist-size"]).effective();
        /// Nodes at either end of a list that are not compressed; 0: compress none.
        list_compress_depth: u32 = 0, "list-compress-depth", COUNT.effective();
        /// Members up to which a set of integers is an intset.
        set_max_intset_entries: u64 = 512, "set-max-intset-entries", LONG_COUNT.effective();
        /// Members up to which a set is a listpack.
        set_max_listpack_entries: u64 = 128, "set-max-listpack-entries", LONG_COUNT.effective();
        /// Bytes of a member up to which a set is a listpack.
        set_max_listpack_value: u64 = 64, "set-max-listpack-value", LONG_COUNT.effective();
        /// Members up to which a sorted set is a listpack.
        zset_max_listpack_entries: u64 = 128, "zset-max-listpack-entries",
            LONG_COUNT.also(&["zset-max-ziplist-entries"]).effective();
        /// Bytes of a member up to which a sorted set is a listpack.
        zset_max_listpack_value: Bytes = Bytes(64), "zset-max-listpack-value",
            bytes(0, SIZE_MAX).also(&["zset-max-ziplist-value"]).effective();
        /// Most bytes of a stream's node; 0: without limit.
        stream_node_max_bytes: Bytes = Bytes(4096),
            "stream-node-max-bytes", bytes(0, SIZE_MAX).effective();
        /// Most entries of a stream's node; 0: without limit.
        stream_node_max_entries: u64 = 100, "stream-node-max-entries", LONG_COUNT.effective();
        /// Bytes up to which a HyperLogLog is sparse.
        hll_sparse_max_bytes: Bytes = Bytes(3000),
            "hll-sparse-max-bytes", bytes(0, SIZE_MAX).effective();
    }
}
