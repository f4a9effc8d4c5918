//! Replication, as far as offsets go: the model for runs without data (`data/mod.rs` has the rest).

use crate::net::HostId;
use crate::world::World;
use tessera_cluster::{Event, PrimaryLink, ViewRole};
use tessera_slot::Offset;

/// A primary, as its replica sees it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Source {
    /// Its stream can be read: the process, and how far it is.
    Open { process: u64, offset: u64 },
    /// Nothing comes, and nothing says that the connection has ended.
    Silent,
    /// There is no connection, and none comes about.
    Gone,
}

impl World {
    /// The core has ordered to follow another primary.
    pub(crate) fn follow(&mut self, host: HostId, primary: Option<HostId>) {
        if let Some(process) = &mut self.hosts[host].process {
            process.following = primary;
            process.primary_link = match process.primary_link {
                PrimaryLink::Up { heard } => PrimaryLink::Down { since: Some(heard) },
                same => same,
            };
        }
    }

    /// Moves a node's offset on, and tells the core.
    pub(crate) fn replicate(&mut self, host: HostId) {
        let Some(process) = &self.hosts[host].process else { return };
        let (following, offset, before) = (process.following, process.offset, process.primary_link);
        let is_primary = process.cluster.role() == ViewRole::Primary;
        let source = following.map(|primary| self.source(host, primary));
        let grows =
            self.writes && is_primary && !process.writes_paused && !process.serves.is_empty();
        let written = if grows { self.rng.below(1000) } else { 0 };
        let lagging = self.hosts[host].lag > 0 && self.rng.below(self.hosts[host].lag) != 0;
        let link = source.map_or(before, |source| self.next_link(host, source));
        let Some(process) = &mut self.hosts[host].process else { return };
        process.primary_link = link;
        process.offset = match (link, source) {
            (PrimaryLink::Incomplete, _) => 0,
            (PrimaryLink::Up { .. }, Some(Source::Open { offset, .. })) if !lagging => offset,
            _ => offset + written,
        };
        let events = [
            (before != link).then_some(Event::PrimaryLink(link)),
            (process.offset != offset).then_some(Event::ReplicationOffset(Offset(process.offset))),
        ];
        for event in events.into_iter().flatten() {
            self.deliver(host, event);
        }
    }

    /// How a node's link to its primary is one tick on. A full synchronisation drops the data when
    /// it begins, and makes it whole only after some ticks in which the primary can be read.
    fn next_link(&mut self, host: HostId, source: Source) -> PrimaryLink {
        /// The longest full synchronisation, in ticks.
        const LONGEST_SYNC: u64 = 20;
        let heard = self.clock(host).mono;
        let Some(process) = &mut self.hosts[host].process else { unreachable!("it ticks") };
        match (process.primary_link, source) {
            (PrimaryLink::Up { .. }, Source::Open { process: of, .. })
                if of == process.linked_to =>
            {
                PrimaryLink::Up { heard }
            }
            (link @ PrimaryLink::Up { .. }, Source::Silent) => link,
            (PrimaryLink::Up { heard }, _) => PrimaryLink::Down { since: Some(heard) },
            (PrimaryLink::Down { .. }, Source::Open { .. })
                if self.full_syncs && self.rng.one_in(2) =>
            {
                process.sync_ticks = self.rng.below(LONGEST_SYNC);
                self.full_syncs_begun += 1;
                PrimaryLink::Incomplete
            }
            (PrimaryLink::Incomplete, Source::Open { .. }) if process.sync_ticks > 0 => {
                process.sync_ticks -= 1;
                PrimaryLink::Incomplete
            }
            (_, Source::Open { process: of, .. }) => {
                process.linked_to = of;
                PrimaryLink::Up { heard }
            }
            (link, Source::Silent | Source::Gone) => link,
        }
    }

    /// A replica's data is gone but for a part, as when its primary dies in the middle of a full
    /// synchronisation.
    pub fn lose_data(&mut self, host: HostId) {
        self.trouble(host);
        if let Some(process) = &mut self.hosts[host].process {
            (process.primary_link, process.sync_ticks) = (PrimaryLink::Incomplete, u64::MAX);
            self.deliver(host, Event::PrimaryLink(PrimaryLink::Incomplete));
        }
    }

    /// How far the data of the node on a host is.
    pub fn offset(&self, host: HostId) -> u64 {
        self.hosts[host].process.as_ref().map_or(0, |process| process.offset)
    }

    fn source(&self, host: HostId, primary: HostId) -> Source {
        let Some(process) = &self.hosts[primary].process else { return Source::Gone };
        if self.net.is_refused(host, primary) || process.cluster.withholds_data() {
            return Source::Gone;
        }
        if self.net.is_cut(host, primary)
            || self.net.is_refused(primary, host)
            || !self.is_running(primary)
        {
            return Source::Silent;
        }
        match process.cluster.role() {
            ViewRole::Primary => {
                Source::Open { process: self.hosts[primary].generation, offset: process.offset }
            }
            ViewRole::Replica(_) => Source::Gone,
        }
    }
}
