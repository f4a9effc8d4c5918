//! The memory that clients take, and the choice of clients to disconnect when it is too much
//! (`maxmemory-clients`).
//!
//! A client's thread says at the end of a turn how much the client has; only a difference costs
//! more than a comparison. So the sum is one look away, and the list of clients is walked only when
//! the sum is above the limit.

use crate::Session;
use crate::clients::{ClientInfo, ClientKind, Clients};
use crate::transaction::Watched;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_config::value::BytesOrPercent;

/// A smaller limit counts as this one: the server would answer nobody any more.
const LOWEST_LIMIT: usize = 128 << 10;

/// How many bytes all clients may take together; `usize::MAX`: as many as they like.
pub fn client_memory_limit(config: &Config) -> usize {
    let limit = match config.memory.maxmemory_clients {
        BytesOrPercent::Bytes(bytes) => bytes.0,
        BytesOrPercent::Percent(percent) => {
            let all = u128::from(config.memory.maxmemory.0);
            u64::try_from(all * u128::from(percent) / 100).unwrap_or(u64::MAX)
        }
    };
    match usize::try_from(limit) {
        Ok(0) | Err(_) => usize::MAX,
        Ok(limit) => limit.max(LOWEST_LIMIT),
    }
}

/// The clients that were chosen to go.
#[derive(Debug, Default)]
pub struct EvictedClients {
    /// The clients, which are no longer among the others. Their threads are still to close their
    /// connections.
    pub clients: Vec<Arc<ClientInfo>>,
    /// The others still take too much, and none of them may be evicted.
    pub is_above: bool,
}

impl ClientInfo {
    /// Bytes that the client takes: its buffers, what it has queued and watches, and what there is
    /// for every client.
    pub fn memory(&self) -> usize {
        let buffers = [&self.query_room, &self.reply_room, &self.multi_bytes, &self.watching_bytes];
        let bytes: usize = buffers.iter().map(|bytes| bytes.load(Relaxed)).sum();
        bytes + size_of::<ClientInfo>() + size_of::<Session>()
    }

    /// Whether its memory counts: that of replicas and of the primary does not, nor that of who is
    /// gone already.
    fn counts(&self) -> bool {
        matches!(self.kind(), ClientKind::Normal | ClientKind::PubSub) && !self.killed.load(Relaxed)
    }

    /// The client watches one more key, of so many bytes.
    pub(crate) fn note_watched(&self, key_bytes: usize) {
        self.watching.fetch_add(1, Relaxed);
        self.watching_bytes.fetch_add(size_of::<Watched>() + key_bytes, Relaxed);
    }

    /// The client watches nothing any more.
    pub(crate) fn note_unwatched(&self) {
        self.watching.store(0, Relaxed);
        self.watching_bytes.store(0, Relaxed);
    }
}

impl Clients {
    /// Bytes that all clients take, as their threads have said.
    #[inline]
    pub fn memory(&self) -> usize {
        self.memory.load(Relaxed)
    }

    /// Counts what a client takes now. To be called by its thread.
    #[inline]
    pub fn account(&self, client: &ClientInfo) {
        let bytes = if client.counts() { client.memory() } else { 0 };
        if client.accounted.load(Relaxed) != bytes {
            self.account_as(client, bytes);
        }
    }

    /// Counts a client as taking so much. Sums wrap around on the way, and are right in the end.
    pub(crate) fn account_as(&self, client: &ClientInfo, bytes: usize) {
        let before = client.accounted.swap(bytes, Relaxed);
        self.memory.fetch_add(bytes.wrapping_sub(before), Relaxed);
    }

    /// Chooses those who take most, until the others take no more than `limit` together.
    #[cold]
    pub fn evict(&self, limit: usize) -> EvictedClients {
        let mut by_id = self.by_id.lock();
        let counted = by_id.values().filter(|client| client.counts());
        let mut total: usize = counted.clone().map(|client| client.memory()).sum();
        let mut largest: Vec<(usize, Arc<ClientInfo>)> = counted
            .filter(|client| total > limit && !client.no_evict.load(Relaxed))
            .map(|client| (client.memory(), Arc::clone(client)))
            .collect();
        largest.sort_unstable_by_key(|(bytes, _)| std::cmp::Reverse(*bytes));
        let mut evicted = EvictedClients::default();
        for (bytes, client) in largest {
            if total <= limit {
                break;
            }
            total = total.saturating_sub(bytes);
            self.kill_listed(&mut by_id, &client);
            evicted.clients.push(client);
        }
        evicted.is_above = total > limit;
        evicted
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_config::value::Bytes;

    /// Clients 1, 2 … with queries of these many bytes.
    fn clients(sizes: &[usize]) -> (Clients, Vec<Arc<ClientInfo>>) {
        let clients = Clients::default();
        let client = |&size: &usize| {
            let id = clients.next_id();
            let info = Arc::new(ClientInfo::new(id, String::new(), String::new(), 0, 0, 0));
            info.query_room.store(size, Relaxed);
            clients.add(Arc::clone(&info));
            clients.account(&info);
            info
        };
        let infos = sizes.iter().map(client).collect();
        (clients, infos)
    }

    fn ids(evicted: &EvictedClients) -> Vec<u64> {
        evicted.clients.iter().map(|client| client.id).collect()
    }

    #[test]
    fn the_largest_go_until_it_is_enough() {
        let (clients, infos) = clients(&[100_000, 400_000, 0, 300_000, 200_000]);
        let all: usize = infos.iter().map(|info| info.memory()).sum();
        assert_eq!(clients.memory(), all);
        assert_eq!(ids(&clients.evict(all)), [0; 0]);

        let left = all - infos[1].memory();
        let evicted = clients.evict(left);
        assert_eq!((ids(&evicted), evicted.is_above), (vec![2], false));
        assert_eq!((clients.memory(), clients.len()), (left, 4));

        // One byte too few for two of them.
        let evicted = clients.evict(left - infos[3].memory() - 1);
        assert_eq!(ids(&evicted), [4, 5]);
        assert!(infos[4].killed.load(Relaxed) && !infos[0].killed.load(Relaxed));

        // A client that is gone does not count any more, whatever its thread still says.
        clients.account(&infos[1]);
        assert_eq!(clients.memory(), infos[0].memory() + infos[2].memory());
    }

    #[test]
    fn some_are_spared() {
        let (clients, infos) = clients(&[900_000, 800_000, 700_000, 10]);
        infos[0].no_evict.store(true, Relaxed);
        infos[1].set_kind(ClientKind::Replica);
        infos[2].set_kind(ClientKind::Primary);
        infos.iter().for_each(|info| clients.account(info));
        assert_eq!(clients.memory(), infos[0].memory() + infos[3].memory());
        let evicted = clients.evict(500_000);
        assert_eq!((ids(&evicted), evicted.is_above), (vec![4], true));
        assert_eq!(clients.memory(), infos[0].memory());
    }

    #[test]
    fn limits() {
        let mut config = Config::default();
        for (limit, maxmemory, expected) in [
            (BytesOrPercent::Bytes(Bytes(0)), 1 << 30, usize::MAX),
            (BytesOrPercent::Bytes(Bytes(1)), 0, 128 << 10),
            (BytesOrPercent::Bytes(Bytes(3_000_000)), 0, 3_000_000),
            (BytesOrPercent::Percent(7), 100 << 20, 7 << 20),
            (BytesOrPercent::Percent(7), 0, usize::MAX),
        ] {
            config.memory.maxmemory_clients = limit;
            config.memory.maxmemory = Bytes(maxmemory);
            assert_eq!(client_memory_limit(&config), expected, "{limit:?} {maxmemory}");
        }
    }
}
