//! Connections between processes: how they come about, what goes over them, how they end.

use crate::net::{self, CLIENTS, DATA_LINKS, End, HostId, addr_of, ip_of};
use crate::world::{Happening, World};
use std::net::SocketAddr;
use std::sync::Arc;
use tessera_cluster::{Event, LinkDownReason, LinkId};

impl World {
    /// The end of a link of the process that runs on a host.
    pub(crate) fn end(&self, host: HostId, link: LinkId) -> End {
        End { host, generation: self.hosts[host].generation, link }
    }

    pub(crate) fn open(&mut self, opener: End, addr: SocketAddr) {
        let Some(target) = net::host_at(addr.ip()).filter(|target| *target < self.hosts.len())
        else {
            return;
        };
        let at = self.now + self.net.delay(opener.host, target, &mut self.rng);
        self.schedule(at, target, 0, Happening::Syn { opener, target });
    }

    /// Whether who has opened this end is still there.
    fn is_there(&self, end: End) -> bool {
        end.generation == CLIENTS || self.hosts[end.host].generation == end.generation
    }

    pub(crate) fn syn_arrives(&mut self, opener: End, target: HostId) {
        // In a partition the packet is lost, and so are those that repeat it: the core gives up. So
        // it does where the answer is refused: that resets the target's side alone.
        let is_answered = self.net.is_refused(opener.host, target);
        let is_lost = self.net.is_cut(opener.host, target);
        if is_lost || (!is_answered && self.net.is_refused(target, opener.host)) {
            return;
        }
        let back = self.now + self.net.delay(target, opener.host, &mut self.rng);
        if !self.is_there(opener) {
            return;
        }
        let process = self.hosts[target].process.as_mut().filter(|_| !is_answered);
        let Some(process) = process else {
            let event = Event::LinkDown { link: opener.link, reason: LinkDownReason::Refused };
            self.schedule(back, opener.host, opener.generation, Happening::Event(event));
            return;
        };
        let first = if net::is_data(opener.link) { DATA_LINKS } else { 0 };
        let link = LinkId::Accepted(first + process.next_accept);
        process.next_accept += 1;
        let generation = self.hosts[target].generation;
        let number = self.net.connect(opener, End { host: target, generation, link });
        let peer = SocketAddr::new(ip_of(opener.host), 40_000);
        let event = Event::LinkAccepted { link, peer, local: addr_of(target) };
        self.schedule(self.now, target, generation, Happening::Event(event));
        self.schedule(back, opener.host, opener.generation, Happening::Connected { number });
    }

    pub(crate) fn connected(&mut self, number: u64) {
        let Some(connection) = self.net.connections.get(&number) else { return };
        let opener = connection.ends[0];
        if self.is_there(opener) {
            let local = SocketAddr::new(ip_of(opener.host), 40_000);
            let event = Event::LinkConnected { link: opener.link, local };
            self.arrive(opener.host, opener.generation, event);
        }
    }

    pub(crate) fn send(&mut self, end: End, bytes: Arc<[u8]>) {
        let End { host, generation, link } = end;
        let Some((number, side)) = self.net.find(host, generation, link) else { return };
        let far = 1 - side;
        let peer = self.net.connections[&number].ends[far].host;
        if self.net.is_cut(host, peer) {
            if let Some(connection) = self.net.connections.get_mut(&number) {
                connection.stalled[far].push_back(bytes);
            }
            return;
        }
        match self.net.connections[&number].untold {
            // The other end is gone: its system says so, if it can.
            Some(alive) if alive == side && self.net.is_open(host, peer) => {
                self.net.remove(number);
                let event = Event::LinkDown { link, reason: LinkDownReason::Reset };
                self.schedule(self.now + 1, host, generation, Happening::Event(event));
            }
            Some(_) => {}
            None if self.net.is_refused(host, peer) => self.reset_end(number, side),
            None => {
                self.transmit(number, far, bytes);
                if self.net.is_refused(peer, host) {
                    // The acknowledgement of the packet is refused.
                    self.reset_end(number, far);
                }
            }
        }
    }

    /// A firewall resets one end of a connection, once what is under way to it has arrived. The
    /// other end sees silence.
    fn reset_end(&mut self, number: u64, side: usize) {
        let Some(connection) = self.net.connections.get_mut(&number) else { return };
        connection.untold = Some(1 - side);
        let (end, at) = (connection.ends[side], connection.last_arrival[side].max(self.now + 1));
        let event = Event::LinkDown { link: end.link, reason: LinkDownReason::Reset };
        self.schedule(at, end.host, end.generation, Happening::Event(event));
    }

    fn transmit(&mut self, number: u64, far: usize, bytes: Arc<[u8]>) {
        let Some(connection) = self.net.connections.get(&number) else { return };
        let ends = connection.ends;
        let delay = self.net.delay(ends[1 - far].host, ends[far].host, &mut self.rng);
        let at = (self.now + delay).max(connection.last_arrival[far]);
        if let Some(connection) = self.net.connections.get_mut(&number) {
            connection.last_arrival[far] = at;
        }
        let event = Event::Packet { link: ends[far].link, bytes: bytes.to_vec() };
        self.schedule(at, ends[far].host, ends[far].generation, Happening::Event(event));
    }

    /// Closes an end; the other one sees that the stream has ended.
    pub(crate) fn close(&mut self, end: End) {
        if let Some((number, side)) = self.net.find(end.host, end.generation, end.link) {
            self.hang_up(number, side, LinkDownReason::Eof);
        }
    }

    /// One side's end of a connection is gone; the other side is told, when the network allows.
    pub(crate) fn hang_up(&mut self, number: u64, side: usize, reason: LinkDownReason) {
        let Some(connection) = self.net.connections.get(&number) else { return };
        let (near, far) = (connection.ends[side], connection.ends[1 - side]);
        let at = connection.last_arrival[1 - side];
        if self.net.is_cut(near.host, far.host) || self.net.is_refused(near.host, far.host) {
            if let Some(connection) = self.net.connections.get_mut(&number) {
                connection.untold = Some(1 - side);
            }
            return;
        }
        let at = at.max(self.now + self.net.delay(near.host, far.host, &mut self.rng));
        self.net.remove(number);
        let event = Event::LinkDown { link: far.link, reason };
        self.schedule(at, far.host, far.generation, Happening::Event(event));
    }

    /// Breaks every connection between two hosts; both sides learn it.
    pub(crate) fn break_links(&mut self, a: HostId, b: HostId) {
        self.trouble(a);
        self.trouble(b);
        let between = |ends: &[End; 2]| {
            (ends[0].host, ends[1].host) == (a, b) || (ends[0].host, ends[1].host) == (b, a)
        };
        let connections = &self.net.connections;
        let numbers: Vec<u64> =
            connections.iter().filter(|(_, c)| between(&c.ends)).map(|(n, _)| *n).collect();
        for number in numbers {
            if let Some(connection) = self.net.remove(number) {
                for end in connection.ends {
                    let event = Event::LinkDown { link: end.link, reason: LinkDownReason::Reset };
                    self.schedule(self.now, end.host, end.generation, Happening::Event(event));
                }
            }
        }
    }

    /// Cuts the network between two hosts: what is sent waits.
    pub fn cut(&mut self, a: HostId, b: HostId) {
        self.trouble(a);
        self.trouble(b);
        self.net.cut(a, b);
    }

    /// A firewall refuses what goes from one host to the other from now on. The other direction is
    /// open.
    pub fn refuse(&mut self, from: HostId, to: HostId) {
        if from != to {
            self.trouble(from);
            self.trouble(to);
            self.net.refused.insert((from, to));
        }
    }

    /// Cuts a host off from all others.
    pub(crate) fn isolate(&mut self, host: HostId) {
        for other in 0..self.hosts.len() {
            self.cut(host, other);
        }
    }

    /// Ends all cuts and refusals: waiting packets are sent again, hang-ups become known.
    pub fn mend_network(&mut self) {
        (0..self.hosts.len()).for_each(|host| self.trouble(host));
        self.net.cut.clear();
        self.net.refused.clear();
        self.net.slow.clear();
        let numbers: Vec<u64> = self.net.connections.keys().copied().collect();
        numbers.into_iter().for_each(|number| self.go_on(number));
    }

    /// Ends the cut between two hosts.
    pub fn mend(&mut self, a: HostId, b: HostId) {
        self.net.cut.remove(&(a.min(b), a.max(b)));
        let is_between = |ends: &[End; 2]| {
            let hosts = (ends[0].host, ends[1].host);
            hosts == (a, b) || hosts == (b, a)
        };
        let connections = self.net.connections.iter();
        let numbers: Vec<u64> =
            connections.filter(|(_, c)| is_between(&c.ends)).map(|(number, _)| *number).collect();
        numbers.into_iter().for_each(|number| self.go_on(number));
    }

    /// What waited for the network on a connection goes on.
    fn go_on(&mut self, number: u64) {
        for far in 0..2 {
            let Some(connection) = self.net.connections.get_mut(&number) else { return };
            for bytes in std::mem::take(&mut connection.stalled[far]) {
                self.transmit(number, far, bytes);
            }
        }
        if let Some(far) = self.net.connections.get(&number).and_then(|c| c.untold) {
            self.hang_up(number, 1 - far, LinkDownReason::Reset);
        }
    }
}
