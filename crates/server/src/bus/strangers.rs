//! Accepted links on which no known node has spoken yet.

use std::collections::VecDeque;
use tessera_cluster::LinkId;

/// The number of them that are kept: fewer than the descriptors that are kept from clients, and
/// enough for the nodes of a large cluster, each of which says at once who it is.
const LIMIT: usize = 100;

/// The links, the oldest first. Any program that reaches the port can open one: without a limit
/// they would take all descriptors, and the memory that a first packet may fill.
#[derive(Default)]
pub(super) struct Strangers(VecDeque<LinkId>);

impl Strangers {
    /// Takes a new link in; gives the one which is to be closed for it.
    pub(super) fn add(&mut self, link: LinkId) -> Option<LinkId> {
        self.0.push_back(link);
        if self.0.len() > LIMIT { self.0.pop_front() } else { None }
    }

    /// The link has ended, or its node is known.
    pub(super) fn remove(&mut self, link: LinkId) {
        self.0.retain(|&stranger| stranger != link);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_stranger_goes_for_a_new_one() {
        let mut strangers = Strangers::default();
        let links = (0..LIMIT as u64 + 2).map(LinkId::Accepted).collect::<Vec<_>>();
        for &link in &links[..LIMIT] {
            assert_eq!(strangers.add(link), None);
        }
        // The first one is a stranger no more.
        strangers.remove(links[0]);
        assert_eq!(strangers.add(links[LIMIT]), None);
        assert_eq!(strangers.add(links[LIMIT + 1]), Some(links[1]));
    }
}
