//! What each section of INFO says.

use super::{Lines, Section};
use crate::clients::ClientKind;
use crate::{Cx, Db, Facts, Mode, metrics};
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;
use tessera_store::Counted;

const fn section(
    name: &'static str,
    heading: &'static str,
    usual: bool,
    lines: fn(&mut Db<'_, '_>, &Cx<'_>, &Facts, &mut Lines),
) -> Section {
    Section { name, heading, usual, lines }
}

pub(super) const SECTIONS: &[Section] = &[
    section("server", "Server", true, server),
    section("clients", "Clients", true, clients),
    section("memory", "Memory", true, memory),
    section("persistence", "Persistence", true, persistence),
    section("stats", "Stats", true, stats),
    section("replication", "Replication", true, replication),
    section("cpu", "CPU", true, cpu),
    section("modules", "Modules", true, |_, _, _, _| {}),
    section("commandstats", "Commandstats", false, command_stats),
    section("errorstats", "Errorstats", true, error_stats),
    section("latencystats", "Latencystats", false, |_, _, _, _| {}),
    section("cluster", "Cluster", true, cluster),
    section("keyspace", "Keyspace", true, keyspace),
];

/// A directive as CONFIG GET shows it.
fn directive(cx: &Cx<'_>, name: &str) -> String {
    let found = cx.config.get(&[name]);
    let value = found.first().map(|(_, value)| String::from_utf8_lossy(value).into_owned());
    value.unwrap_or_default()
}

fn server(_: &mut Db<'_, '_>, cx: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    let uptime = cx.now.since(cx.engine.started) / 1000;
    lines.add("redis_version", super::super::COMPATIBLE_VERSION);
    lines.add("server_name", "tessera");
    lines.add("tessera_version", env!("CARGO_PKG_VERSION"));
    lines.add("redis_git_sha1", "00000000");
    lines.add("redis_git_dirty", 0);
    lines.add("redis_build_id", env!("CARGO_PKG_VERSION"));
    lines.add("redis_mode", super::super::mode_name(cx.config));
    lines.add("server_mode", super::super::mode_name(cx.config));
    lines.add("os", &facts.os);
    lines.add("arch_bits", usize::BITS);
    lines.add("multiplexing_api", "epoll");
    lines.add("process_id", facts.process_id);
    lines.add("process_supervised", directive(cx, "supervised"));
    lines.add("run_id", cx.engine.run_id.as_str());
    lines.add("tcp_port", cx.config.network.port);
    lines.add("server_time_usec", u128::from(cx.now.0) * 1000);
    lines.add("uptime_in_seconds", uptime);
    lines.add("uptime_in_days", uptime / 86_400);
    lines.add("hz", cx.config.general.hz);
    lines.add("configured_hz", cx.config.general.hz);
    lines.add("lru_clock", (cx.now.0 / 1000) & 0xff_ffff);
    lines.add("executable", &facts.executable);
    lines.add("config_file", &facts.config_file);
    lines.add("io_threads_active", facts.io_threads);
}

fn clients(_: &mut Db<'_, '_>, cx: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    let all = cx.engine.clients.matching(&Default::default(), cx.now.0);
    let most = |of: fn(&crate::ClientInfo) -> usize| all.iter().map(|c| of(c)).max().unwrap_or(0);
    let blocked = cx.engine.blocked_clients() + facts.waiting_clients;
    let own = |kind| matches!(kind, ClientKind::Normal | ClientKind::PubSub);
    lines.add("connected_clients", all.iter().filter(|client| own(client.kind())).count());
    lines.add("cluster_connections", 0);
    lines.add("maxclients", directive(cx, "maxclients"));
    lines.add("client_recent_max_input_buffer", most(|client| client.query_bytes.load(Relaxed)));
    lines.add("client_recent_max_output_buffer", most(|client| client.reply_bytes.load(Relaxed)));
    lines.add("blocked_clients", blocked);
    lines.add("tracking_clients", 0);
    lines.add("pubsub_clients", 0);
    let watching = |client: &crate::ClientInfo| client.watching.load(Relaxed);
    lines.add("watching_clients", all.iter().filter(|client| watching(client) > 0).count());
    lines.add("clients_in_timeout_table", 0);
    lines.add("total_watched_keys", all.iter().map(|client| watching(client)).sum::<usize>());
    lines.add("total_blocking_keys", cx.engine.blocking_keys());
    lines.add("total_blocking_keys_on_nokey", cx.engine.blocking_keys_for_deletion());
}

/// Bytes as Redis writes them for people: `1.50M`.
pub(super) fn human(bytes: u64) -> String {
    const UNITS: [char; 6] = ['K', 'M', 'G', 'T', 'P', 'E'];
    if bytes < 1024 {
        return format!("{bytes}B");
    }
    let power = (bytes.ilog2() / 10) as usize;
    format!("{:.2}{}", bytes as f64 / (1u64 << (10 * power)) as f64, UNITS[power - 1])
}

fn memory(_: &mut Db<'_, '_>, cx: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    let backlog = cx.engine.log.bytes();
    let uncounted = backlog.saturating_sub(cx.engine.log.backlog_limit());
    let (used, peak) = cx.engine.memory();
    let resident = facts.resident.unwrap_or(used);
    for (name, bytes) in
        [("used_memory", used), ("used_memory_rss", resident), ("used_memory_peak", peak)]
    {
        lines.add(name, bytes);
        lines.add(format!("{name}_human"), human(bytes));
    }
    let share = used as f64 * 100.0 / peak.max(1) as f64;
    lines.add("used_memory_peak_perc", format!("{share:.2}%"));
    lines.add("used_memory_overhead", backlog);
    lines.add("used_memory_startup", cx.engine.startup_memory);
    lines.add("used_memory_dataset", used.saturating_sub(backlog));
    let share = used.saturating_sub(backlog) as f64 * 100.0 / used.max(1) as f64;
    lines.add("used_memory_dataset_perc", format!("{share:.2}%"));
    lines.add("allocator_allocated", used);
    lines.add("total_system_memory", facts.total_memory);
    lines.add("total_system_memory_human", human(facts.total_memory));
    lines.add("used_memory_lua", 0);
    lines.add("used_memory_scripts", 0);
    lines.add("number_of_cached_scripts", 0);
    lines.add("number_of_functions", 0);
    lines.add("number_of_libraries", 0);
    lines.add("maxmemory", cx.config.memory.maxmemory.0);
    lines.add("maxmemory_human", human(cx.config.memory.maxmemory.0));
    lines.add("maxmemory_policy", directive(cx, "maxmemory-policy"));
    let ratio = resident as f64 / used.max(1) as f64;
    lines.add("mem_fragmentation_ratio", format!("{ratio:.2}"));
    lines.add("mem_fragmentation_bytes", resident as i64 - used as i64);
    lines.add("mem_not_counted_for_evict", uncounted);
    lines.add("mem_replication_backlog", backlog);
    lines.add("mem_total_replication_buffers", backlog);
    let log = &cx.engine.log;
    let behind = if log.reader_count() > 0 { uncounted } else { 0 };
    lines.add("mem_clients_slaves", behind);
    lines.add("mem_clients_normal", cx.engine.clients.memory());
    lines.add("mem_cluster_links", 0);
    lines.add("mem_aof_buffer", 0);
    lines.add("mem_allocator", "mimalloc");
    lines.add("active_defrag_running", 0);
    lines.metrics(metrics::MEMORY, cx, facts);
}

fn persistence(_: &mut Db<'_, '_>, cx: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    lines.add("loading", u8::from(cx.engine.mode().any(Mode::LOADING)));
    lines.add("async_loading", 0);
    lines.metrics(metrics::PERSISTENCE, cx, facts);
    lines.add("rdb_bgsave_in_progress", 0);
    // Nothing has ever been saved, so neither a time nor "ok" would be true.
    lines.add("rdb_last_save_time", 0);
    lines.add("rdb_last_bgsave_status", "none");
    lines.add("rdb_last_bgsave_time_sec", -1);
    lines.add("rdb_current_bgsave_time_sec", -1);
    lines.add("rdb_saves", 0);
    lines.add("rdb_last_cow_size", 0);
    lines.add("rdb_last_load_keys_expired", 0);
    lines.add("rdb_last_load_keys_loaded", 0);
    lines.add("aof_enabled", 0);
    lines.add("aof_rewrite_in_progress", 0);
    lines.add("aof_rewrite_scheduled", 0);
    lines.add("aof_last_rewrite_time_sec", -1);
    lines.add("aof_current_rewrite_time_sec", -1);
    lines.add("aof_last_bgrewrite_status", "ok");
    lines.add("aof_rewrites", 0);
    lines.add("aof_last_write_status", "ok");
    lines.add("aof_last_cow_size", 0);
}

fn stats(_: &mut Db<'_, '_>, cx: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    lines.metrics(metrics::STATS, cx, facts);
}

fn replication(_: &mut Db<'_, '_>, cx: &Cx<'_>, _: &Facts, lines: &mut Lines) {
    let known = cx.engine.host().replication();
    if !known.info.is_empty() {
        lines.0 = known.info;
        return;
    }
    let log = &cx.engine.log;
    let identity = log.identity();
    let replica = cx.engine.mode().any(Mode::REPLICA);
    lines.add("role", if replica { "slave" } else { "master" });
    lines.add("connected_slaves", known.replicas);
    lines.add("master_failover_state", "no-failover");
    lines.add("master_replid", identity.id.as_str());
    lines.add("master_repl_offset", log.offset());
    lines.add("repl_backlog_active", u8::from(log.is_active()));
    lines.add("repl_backlog_size", log.backlog_limit());
    lines.add("repl_backlog_first_byte_offset", log.first_offset().0 + u64::from(log.is_active()));
    lines.add("repl_backlog_histlen", log.offset().0 - log.first_offset().0.min(log.offset().0));
}

fn cpu(_: &mut Db<'_, '_>, _: &Cx<'_>, facts: &Facts, lines: &mut Lines) {
    let seconds = |time: Duration| format!("{}.{:06}", time.as_secs(), time.subsec_micros());
    for (of, time) in
        [("", facts.cpu), ("_children", facts.cpu_children), ("_main_thread", facts.cpu_thread)]
    {
        lines.add(format!("used_cpu_sys{of}"), seconds(time.system));
        lines.add(format!("used_cpu_user{of}"), seconds(time.user));
    }
}

fn command_stats(_: &mut Db<'_, '_>, cx: &Cx<'_>, _: &Facts, lines: &mut Lines) {
    for index in 0..crate::commands::count() {
        let [calls, nanos, rejected, failed] = cx.engine.stats.of_command(index);
        if calls + rejected + failed == 0 {
            continue;
        }
        let each = nanos as f64 / 1000.0 / calls.max(1) as f64;
        lines.add(
            format!("cmdstat_{}", crate::commands::name_of(index + 1)),
            format_args!(
                "calls={calls},usec={},usec_per_call={each:.2},rejected_calls={rejected},failed_calls={failed}",
                nanos / 1000
            ),
        );
    }
}

fn error_stats(_: &mut Db<'_, '_>, cx: &Cx<'_>, _: &Facts, lines: &mut Lines) {
    for (code, count) in cx.engine.stats.error_codes() {
        lines.add(format!("errorstat_{code}"), format_args!("count={count}"));
    }
}

fn cluster(_: &mut Db<'_, '_>, cx: &Cx<'_>, _: &Facts, lines: &mut Lines) {
    lines.add("cluster_enabled", u8::from(cx.config.cluster.enabled));
}

fn keyspace(db: &mut Db<'_, '_>, _: &Cx<'_>, _: &Facts, lines: &mut Lines) {
    let (databases, patience) = (db.keyspace().databases(), db.patience);
    let counts = db.world().count(0..databases, patience);
    for (index, Counted { keys, expiring, aging }) in counts.into_iter().enumerate() {
        if keys > 0 {
            lines.add(
                format!("db{index}"),
                format_args!(
                    "keys={keys},expires={expiring},avg_ttl=0,keys_with_volatile_items={aging}"
                ),
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::human;

    #[test]
    fn bytes_for_people() {
        for (bytes, text) in [
            (0, "0B"),
            (1023, "1023B"),
            (1024, "1.00K"),
            (916_344, "894.87K"),
            (1 << 20, "1.00M"),
            (25_276_514_304, "23.54G"),
        ] {
            assert_eq!(human(bytes), text);
        }
    }
}
