//! Sockets, connections and their buffers.

use super::{
    COUNT, Effect, FLAG, INT_MAX, LIST, PORT, SIZE_MAX, Spec, TEXT, bytes, family, integer,
};
use crate::special::{BindAddresses, OutputLimits};
use crate::value::{Bytes, FileMode, Kind};

/// The most I/O threads.
pub(crate) const IO_THREADS_MAX: u16 = 128;

/// The largest C `unsigned int`.
const UINT_MAX: i64 = u32::MAX as i64;

family! {
    /// Sockets, connections and their buffers.
    Network in network {
        /// TCP port to listen on; 0: none.
        port: u16 = 6379, "port", PORT.takes(Effect::Listen);
        /// Addresses to listen on.
        bind: BindAddresses = BindAddresses::default(), "bind", LIST.takes(Effect::Restart);
        /// Address that outgoing connections start from; empty: the system's choice.
        bind_source_addr: String = String::new(), "bind-source-addr", TEXT;
        /// Path of the unix socket; empty: none.
        unixsocket: String = String::new(), "unixsocket", TEXT.immutable().effective();
        /// Permissions of the unix socket, octal; 0: as the umask gives.
        unixsocketperm: FileMode = FileMode(0),
            "unixsocketperm", Spec::new(Kind::Octal(0, 0o777)).immutable().effective();
        /// Group of the unix socket; empty: unchanged.
        unixsocketgroup: String = String::new(), "unixsocketgroup", TEXT.immutable().effective();
        /// Refuse other machines while no password and no address is configured.
        protected_mode: bool = true, "protected-mode", FLAG.effective();
        /// Connections that may wait to be accepted.
        tcp_backlog: u32 = 511, "tcp-backlog", COUNT.immutable().effective();
        /// Seconds after which an idle client is disconnected; 0: never.
        timeout: u32 = 0, "timeout", COUNT.effective();
        /// Seconds between TCP keep-alive probes; 0: none.
        tcp_keepalive: u32 = 300, "tcp-keepalive", COUNT.effective();
        /// Most clients at a time.
        maxclients: u32 = 10_000, "maxclients", integer(1, UINT_MAX).takes(Effect::Descriptors);
        /// Threads that serve clients. The default is the number of cores.
        io_threads: u16 = 1,
            "io-threads", integer(1, IO_THREADS_MAX as i64).immutable().effective();
        /// Read in I/O threads too. They always do here, so `no` has no effect.
        io_threads_do_reads: bool = true, "io-threads-do-reads", FLAG.immutable().hidden();
        /// Events that make another I/O thread worth while.
        events_per_io_thread: u32 = 2, "events-per-io-thread", COUNT.hidden();
        /// Commands of a batch whose keys are prefetched together; 0 or 1: none.
        prefetch_batch_max_size: u16 = 16, "prefetch-batch-max-size", integer(0, 128);
        /// Connections accepted before clients are served again.
        max_new_connections_per_cycle: u32 = 10, "max-new-connections-per-cycle", integer(1, 1000);
        /// TLS connections accepted before clients are served again.
        max_new_tls_connections_per_cycle: u32 = 1,
            "max-new-tls-connections-per-cycle", integer(1, 1000);
        /// SO_MARK of listening sockets; 0: none.
        socket_mark_id: u32 = 0, "socket-mark-id", integer(0, UINT_MAX).immutable();
        /// Longest argument of a command, in bytes.
        proto_max_bulk_len: Bytes = Bytes::mib(512),
            "proto-max-bulk-len", bytes(1 << 20, SIZE_MAX).effective();
        /// Most bytes of commands that a client may have waiting.
        client_query_buffer_limit: Bytes = Bytes::mib(1024),
            "client-query-buffer-limit", bytes(1 << 20, SIZE_MAX).effective();
        /// When a client that does not read its answers is disconnected, for each class of clients.
        client_output_buffer_limit: OutputLimits = OutputLimits::default(),
            "client-output-buffer-limit", LIST.effective();
        /// RDMA port; 0: none.
        rdma_port: u16 = 0, "rdma-port", PORT;
        /// Addresses for RDMA; empty: none.
        rdma_bind: String = String::new(), "rdma-bind", TEXT;
        /// RDMA receive buffer of a connection, in bytes.
        rdma_rx_size: u32 = 1 << 20, "rdma-rx-size", integer(64 * 1024, 16 << 20).immutable();
        /// RDMA completion vector; -1: chosen at random.
        rdma_completion_vector: i32 = -1,
            "rdma-completion-vector", integer(-1, 1024).immutable();
        /// Bytes of a snapshot loaded between two looks at the clients.
        loading_process_events_interval_bytes: Bytes = Bytes::mib(2),
            "loading-process-events-interval-bytes", bytes(1024, INT_MAX as u64).hidden();
    }
}
