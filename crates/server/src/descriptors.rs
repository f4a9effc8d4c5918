//! Descriptors: one for each client that `maxclients` allows, and some for everything else.

use nix::sys::resource::{Resource, getrlimit, setrlimit};

/// The most that are kept for what is not a client: threads, files, links to other nodes.
const MOST_KEPT: u64 = 256;
/// The fewest, beside two for each I/O thread.
const FEWEST_KEPT: u64 = 32;

/// The system does not give enough descriptors, only for so many clients.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct TooFew {
    /// How many clients there can be; 0: the server cannot run.
    pub(crate) clients: u32,
    /// How many descriptors there are.
    pub(crate) limit: u64,
}

/// Raises the process' limit so far that there is a descriptor for each of so many clients.
///
/// # Errors
/// For how many there is one, where the system allows no more.
pub(crate) fn make_room(clients: u32, io_threads: u16) -> Result<(), TooFew> {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return Ok(()) };
    let wanted = u64::from(clients) + MOST_KEPT;
    if soft >= wanted {
        return Ok(());
    }
    let target = wanted.min(hard);
    let limit = match setrlimit(Resource::RLIMIT_NOFILE, target, hard) {
        Ok(()) => target,
        Err(_) => soft,
    };
    let possible = clients_within(limit, io_threads);
    if possible >= clients { Ok(()) } else { Err(TooFew { clients: possible, limit }) }
}

/// How many clients so many descriptors are enough for: where they are few, a quarter of them is kept.
fn clients_within(limit: u64, io_threads: u16) -> u32 {
    let fewest = FEWEST_KEPT + 2 * u64::from(io_threads);
    let kept = (limit / 4).clamp(fewest, MOST_KEPT.max(fewest));
    u32::try_from(limit.saturating_sub(kept)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn most_of_few_descriptors_are_for_clients() {
        for (limit, clients) in [
            (10, 0),
            (36, 0),
            (40, 4),
            (100, 64),
            (600, 450),
            (1024, 768),
            (10_256, 10_000),
            (u64::MAX, u32::MAX),
        ] {
            assert_eq!(clients_within(limit, 2), clients, "{limit}");
        }
        assert_eq!(clients_within(1024, 128), 736);
    }
}
