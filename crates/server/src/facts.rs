//! What INFO says of the process and the machine.

use crate::server::Server;
use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::time::TimeVal;
use std::time::Duration;
use tessera_engine::{CpuTime, Facts};

/// Looks at the process and the machine.
pub(crate) fn facts(server: &Server) -> Facts {
    let memory = rustix::system::sysinfo();
    Facts {
        os: system(),
        process_id: std::process::id(),
        executable: server.paths.executable.clone(),
        config_file: server.paths.config_file.clone().unwrap_or_default(),
        io_threads: server.mailboxes.len(),
        waiting_clients: server.parked_clients(),
        resident: resident(),
        total_memory: memory.totalram as u64 * u64::from(memory.mem_unit),
        cpu: cpu_time(UsageWho::RUSAGE_SELF),
        cpu_children: cpu_time(UsageWho::RUSAGE_CHILDREN),
        cpu_thread: cpu_time(UsageWho::RUSAGE_THREAD),
        rates: server.sampler.rates(),
    }
}

/// The system's name, release and machine.
fn system() -> String {
    let os = rustix::system::uname();
    let parts = [os.sysname(), os.release(), os.machine()];
    parts.map(|part| part.to_string_lossy().into_owned()).join(" ")
}

fn cpu_time(who: UsageWho) -> CpuTime {
    let duration = |time: TimeVal| {
        let micros = time.tv_sec() as u64 * 1_000_000 + time.tv_usec() as u64;
        Duration::from_micros(micros)
    };
    let usage = getrusage(who);
    usage.map_or_else(
        |_| CpuTime::default(),
        |usage| CpuTime {
            system: duration(usage.system_time()),
            user: duration(usage.user_time()),
        },
    )
}

/// Resident memory of the process, bytes.
fn resident() -> Option<u64> {
    let statm = std::fs::read_to_string("/proc/self/statm").ok()?;
    let pages: u64 = statm.split_whitespace().nth(1)?.parse().ok()?;
    Some(pages * rustix::param::page_size() as u64)
}
