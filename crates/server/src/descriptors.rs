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

/// The process' limit as it was before it was raised, `(soft, hard)`. Dropping it puts that back.
#[must_use]
pub(crate) struct Raised(Option<(u64, u64)>);

impl Raised {
    /// The limit stays raised.
    pub(crate) fn keep(mut self) {
        self.0 = None;
    }
}

impl Drop for Raised {
    fn drop(&mut self) {
        if let Some((soft, hard)) = self.0 {
            let _ = setrlimit(Resource::RLIMIT_NOFILE, soft, hard);
        }
    }
}

/// Raises the process' limit so far that there is a descriptor for each of so many clients.
///
/// # Errors
/// For how many clients there can be one, where the system allows no more. The limit stays as it
/// was.
pub(crate) fn make_room(clients: u32, io_threads: u16) -> Result<Raised, TooFew> {
    let (raised, few) = raise(clients, io_threads);
    few.map_or(Ok(raised), Err)
}

/// As [`make_room`], but the limit is raised as far as it can be where there are too few.
pub(crate) fn raise(clients: u32, io_threads: u16) -> (Raised, Option<TooFew>) {
    let Ok((soft, hard)) = getrlimit(Resource::RLIMIT_NOFILE) else { return (Raised(None), None) };
    let wanted = u64::from(clients) + MOST_KEPT;
    if soft >= wanted {
        return (Raised(None), None);
    }
    let target = wanted.min(hard);
    let (raised, limit) = match setrlimit(Resource::RLIMIT_NOFILE, target, hard) {
        Ok(()) => (Raised(Some((soft, hard))), target),
        Err(_) => (Raised(None), soft),
    };
    let possible = clients_within(limit, io_threads);
    (raised, (possible < clients).then_some(TooFew { clients: possible, limit }))
}

/// How many clients so many descriptors are enough for: where they are few, a quarter of them is
/// kept.
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
