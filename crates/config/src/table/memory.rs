//! Limits of memory, eviction, freeing, defragmentation.

use super::{COUNT, FLAG, SIZE_MAX, Spec, bytes, choice, family, integer};
use crate::value::{Bytes, BytesOrPercent, Kind, choices};

choices! {
    /// The keys that are evicted when `maxmemory` is reached.
    MaxmemoryPolicy {
        /// The least recently used of the keys that expire.
        VolatileLru = "volatile-lru",
        /// The least often used of the keys that expire.
        VolatileLfu = "volatile-lfu",
        /// Any of the keys that expire.
        VolatileRandom = "volatile-random",
        /// The key that expires next.
        VolatileTtl = "volatile-ttl",
        /// The least recently used key.
        AllkeysLru = "allkeys-lru",
        /// The least often used key.
        AllkeysLfu = "allkeys-lfu",
        /// Any key.
        AllkeysRandom = "allkeys-random",
        /// No keys: writes are refused.
        Noeviction = "noeviction",
    }
}

family! {
    /// Limits of memory, eviction, freeing, defragmentation.
    Memory in memory {
        /// Most bytes of data; 0: without limit.
        maxmemory: Bytes = Bytes(0), "maxmemory", bytes(0, u64::MAX).effective();
        /// The keys that are evicted when `maxmemory` is reached.
        maxmemory_policy: MaxmemoryPolicy = MaxmemoryPolicy::Noeviction,
            "maxmemory-policy", choice(MaxmemoryPolicy::WORDS).effective();
        /// Keys compared for one eviction.
        maxmemory_samples: u32 = 5, "maxmemory-samples", integer(1, 64).effective();
        /// How much time evictions may take, 0 to 100.
        maxmemory_eviction_tenacity: u32 = 10,
            "maxmemory-eviction-tenacity", integer(0, 100).effective();
        /// Most bytes of all clients' buffers, or a part of `maxmemory`; 0: without limit.
        maxmemory_clients: BytesOrPercent = BytesOrPercent::Bytes(Bytes(0)),
            "maxmemory-clients", Spec::new(Kind::MemoryOrPercent(100)).effective();
        /// How hard to look for expired keys, 1 to 10.
        active_expire_effort: u32 = 1, "active-expire-effort", integer(1, 10).effective();
        /// How slowly the counter of uses grows.
        lfu_log_factor: u32 = 10, "lfu-log-factor", COUNT.effective();
        /// Minutes after which the counter of uses is lowered by one; 0: never.
        lfu_decay_time: u32 = 1, "lfu-decay-time", COUNT.effective();
        /// Free evicted values in the background, here and (by UNLINK instead of DEL) on replicas.
        lazyfree_lazy_eviction: bool = true, "lazyfree-lazy-eviction", FLAG.effective();
        /// Free expired values in the background, here and (by UNLINK instead of DEL) on replicas.
        lazyfree_lazy_expire: bool = true, "lazyfree-lazy-expire", FLAG.effective();
        /// Free values that go as a side effect in the background, here and on replicas.
        lazyfree_lazy_server_del: bool = true, "lazyfree-lazy-server-del", FLAG.effective();
        /// Let DEL free in the background, as UNLINK does.
        lazyfree_lazy_user_del: bool = true, "lazyfree-lazy-user-del", FLAG;
        /// Let FLUSHDB and FLUSHALL free in the background unless SYNC is given.
        lazyfree_lazy_user_flush: bool = true, "lazyfree-lazy-user-flush", FLAG;
        /// Move tables to a larger size while idle, too.
        activerehashing: bool = true, "activerehashing", FLAG;
        /// Let the allocator purge in a thread of its own.
        jemalloc_bg_thread: bool = true, "jemalloc-bg-thread", FLAG;
        /// Defragment memory while running.
        activedefrag: bool = false, "activedefrag", FLAG;
        /// Bytes of waste below which there is no defragmentation.
        active_defrag_ignore_bytes: Bytes = Bytes::mib(100),
            "active-defrag-ignore-bytes", bytes(1, SIZE_MAX);
        /// Percentage of waste at which defragmentation begins.
        active_defrag_threshold_lower: u32 = 10, "active-defrag-threshold-lower", integer(0, 1000);
        /// Percentage of waste at which it works hardest.
        active_defrag_threshold_upper: u32 = 100, "active-defrag-threshold-upper", integer(0, 1000);
        /// Least CPU for defragmentation, in per cent.
        active_defrag_cycle_min: u32 = 1, "active-defrag-cycle-min", integer(1, 99);
        /// Most CPU for defragmentation, in per cent.
        active_defrag_cycle_max: u32 = 25, "active-defrag-cycle-max", integer(1, 99);
        /// Microseconds of one step of defragmentation.
        active_defrag_cycle_us: u32 = 500, "active-defrag-cycle-us", integer(0, 100_000);
        /// Elements of a value beyond which it is defragmented in steps.
        active_defrag_max_scan_fields: u64 = 1000,
            "active-defrag-max-scan-fields", integer(1, i64::MAX);
    }
}
