//! Snapshots and the append-only file.

use super::{
    COUNT, FLAG, INT_MAX, LIST, SIZE_MAX, bytes, checked, checks, choice, family, integer,
};
use crate::special::SavePoints;
use crate::value::{Bytes, choices};

choices! {
    /// When the append-only file is flushed to disk.
    AppendFsync {
        /// Every second.
        Everysec = "everysec",
        /// Before a write is answered.
        Always = "always",
        /// When the system likes.
        No = "no",
    }
}

choices! {
    /// How a payload of RESTORE or of a snapshot is checked.
    SanitizeDumpPayload {
        /// Only as far as loading needs.
        No = "no",
        /// In full.
        Yes = "yes",
        /// In full if it comes from a client.
        Clients = "clients",
    }
}

choices! {
    /// Whether a snapshot of an unknown version is loaded.
    RdbVersionCheck {
        /// It is refused.
        Strict = "strict",
        /// It is tried.
        Relaxed = "relaxed",
    }
}

family! {
    /// Snapshots and the append-only file.
    Persistence in persistence {
        /// When to write a snapshot.
        save: SavePoints = SavePoints::default(), "save", LIST.stores("");
        /// Name of the snapshot file.
        dbfilename: String = "dump.rdb".to_owned(),
            "dbfilename", checked(checks::db_file_name).protected();
        /// Compress strings in snapshots (LZF).
        rdbcompression: bool = true, "rdbcompression", FLAG.effective();
        /// Put a checksum at the end of snapshots.
        rdbchecksum: bool = true, "rdbchecksum", FLAG.immutable().effective();
        /// Remove snapshot files of a full sync when nothing else needs them.
        rdb_del_sync_files: bool = false, "rdb-del-sync-files", FLAG;
        /// Flush a snapshot to disk in portions while it is written.
        rdb_save_incremental_fsync: bool = true, "rdb-save-incremental-fsync", FLAG;
        /// Whether a snapshot of an unknown version is loaded.
        rdb_version_check: RdbVersionCheck = RdbVersionCheck::Strict,
            "rdb-version-check", choice(RdbVersionCheck::WORDS);
        /// Refuse writes while snapshots fail.
        stop_writes_on_bgsave_error: bool = true, "stop-writes-on-bgsave-error", FLAG;
        /// How a payload is checked before it is loaded.
        sanitize_dump_payload: SanitizeDumpPayload = SanitizeDumpPayload::No,
            "sanitize-dump-payload", choice(SanitizeDumpPayload::WORDS);
        /// Log every write to a file.
        appendonly: bool = false, "appendonly", FLAG.deny_loading().stores("no");
        /// Base name of the append-only files.
        appendfilename: String = "appendonly.aof".to_owned(),
            "appendfilename", checked(checks::append_file_name).immutable();
        /// Directory of the append-only files.
        appenddirname: String = "appendonlydir".to_owned(),
            "appenddirname", checked(checks::append_dir_name).immutable();
        /// When the append-only file is flushed to disk.
        appendfsync: AppendFsync = AppendFsync::Everysec, "appendfsync", choice(AppendFsync::WORDS);
        /// Do not flush while a snapshot or a rewrite is written.
        no_appendfsync_on_rewrite: bool = false, "no-appendfsync-on-rewrite", FLAG;
        /// Growth in per cent that starts a rewrite of the append-only file; 0: never.
        auto_aof_rewrite_percentage: u32 = 100, "auto-aof-rewrite-percentage", COUNT;
        /// Size in bytes below which there is no rewrite.
        auto_aof_rewrite_min_size: Bytes = Bytes::mib(64),
            "auto-aof-rewrite-min-size", bytes(0, SIZE_MAX);
        /// Start with an append-only file that ends in the middle of a command.
        aof_load_truncated: bool = true, "aof-load-truncated", FLAG;
        /// Begin a rewritten append-only file with a snapshot.
        aof_use_rdb_preamble: bool = true, "aof-use-rdb-preamble", FLAG;
        /// Put times into the append-only file.
        aof_timestamp_enabled: bool = false, "aof-timestamp-enabled", FLAG;
        /// Flush a rewrite to disk in portions while it is written.
        aof_rewrite_incremental_fsync: bool = true, "aof-rewrite-incremental-fsync", FLAG;
        /// For tests: keep append-only files that are no longer needed.
        aof_disable_auto_gc: bool = false, "aof-disable-auto-gc", FLAG.hidden();
        /// For tests: microseconds to wait after each key of a snapshot.
        rdb_key_save_delay: i32 = 0, "rdb-key-save-delay", integer(-INT_MAX - 1, INT_MAX).hidden();
        /// For tests: microseconds to wait after each key loaded.
        key_load_delay: i32 = 0, "key-load-delay", integer(-INT_MAX - 1, INT_MAX).hidden();
    }
}
