//! How nodes get known: handshakes, and the names and addresses by which nodes answer.

use crate::bus::{Header, MessageFlags, PingKind};
use crate::forgotten::Forgotten;
use crate::guests::handshake_in_progress;
use crate::links::Links;
use crate::node::{Address, Node, Role, ShardId, Source, Stage};
use crate::nodes::Nodes;
use crate::surroundings::Surroundings;
use crate::{LinkId, LogLevel, LogTopic};
use tessera_slot::{Millis, NodeId};

/// Who has answered on a link that this node has opened.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[must_use]
pub(crate) enum Answerer {
    /// The node that was to be reached, or a new one, which has told its name.
    Expected,
    /// A node that is known already: the record of its handshake is to be removed.
    KnownAlready { handshake: NodeId },
    /// Another node. The link is closed.
    Other,
}

/// Changes the table of nodes and their links.
pub(crate) struct Membership<'a> {
    pub(crate) nodes: &'a mut Nodes,
    pub(crate) links: &'a mut Links,
    pub(crate) forgotten: &'a mut Forgotten,
    pub(crate) around: &'a mut Surroundings,
}

impl Membership<'_> {
    /// The operator asks for a node's acquaintance.
    pub(crate) fn meet(&mut self, address: Address) {
        if !handshake_in_progress(self.nodes, &address) {
            let id = self.begin_handshake(address, None);
            self.links.open(self.nodes, self.around, id);
        }
    }

    /// Somebody unknown has introduced itself: its address and source, unless it is not to be met,
    /// or is being met already.
    pub(crate) fn guest(&self, link: LinkId, header: &Header) -> Option<(Address, Source)> {
        let address = self.address_in(link, header);
        let source = Source::Guest(self.links.get(link)?.peer?);
        let is_new = self.links.node_of(link).is_none()
            && address.ip.is_some()
            && !handshake_in_progress(self.nodes, &address);
        is_new.then_some((address, source))
    }

    /// Meets a guest in turn, to learn its name over a link that this node has opened itself.
    pub(crate) fn meet_guest(
        &mut self,
        link: LinkId,
        header: &Header,
        (address, source): (Address, Source),
    ) {
        let id = self.begin_handshake(address, Some(source));
        if let Some(node) = self.nodes.get_mut(id) {
            node.extensions = header.message_flags.has(MessageFlags::EXT_DATA);
        }
        self.links.bind(self.nodes, self.around, id, link);
        self.links.open(self.nodes, self.around, id);
    }

    fn begin_handshake(&mut self, address: Address, source: Option<Source>) -> NodeId {
        let (id, shard) = (self.around.rng().node_id(), ShardId(self.around.rng().node_id()));
        let mut node = Node::new(id, shard, self.around.now());
        node.stage = Stage::Handshake;
        node.source = source;
        node.send_meet = source.is_none();
        node.address = address;
        // Neither clients nor the file learn of it before its name is known.
        self.nodes.insert(node);
        id
    }

    /// A node that was met has spoken.
    pub(crate) fn handshake_done(&mut self, id: NodeId) {
        let Some(node) = self.nodes.get_mut(id) else { return };
        if std::mem::take(&mut node.send_meet) {
            let name = self.nodes.name_of(id);
            let text = format!("Successfully completed handshake with {name}");
            self.around.log_limited(LogTopic::Handshake, LogLevel::Notice, text);
        }
    }

    /// On a link that we have opened: is this the node we wanted to reach? `sender` is the known
    /// node that speaks.
    pub(crate) fn check_name(
        &mut self,
        link: LinkId,
        sender: Option<NodeId>,
        header: &Header,
    ) -> Answerer {
        let Some(id) = self.links.node_of(link) else { return Answerer::Other };
        let Some(node) = self.nodes.get_mut(id) else { return Answerer::Other };
        if node.in_handshake() {
            if let Some(known) = sender {
                // Met again, perhaps at a new address.
                let address = self.address_in(link, header);
                self.links.set_address(self.nodes, self.around, known, address);
                return Answerer::KnownAlready { handshake: id };
            }
            node.role = Role::told_by(header.flags);
            self.forgotten.lift(header.sender);
            self.rename(id, header.sender);
            self.nodes.prove(header.sender);
            self.around.changed();
        } else if id != header.sender {
            let text = format!("PONG contains mismatching sender ID. About node {id}");
            self.around.log_limited(LogTopic::Packet, LogLevel::Notice, text);
            node.address = Address::default();
            self.links.close(self.nodes, self.around, link);
            self.around.changed();
            return Answerer::Other;
        }
        Answerer::Expected
    }

    /// A node has another name: its record and its links get it.
    pub(crate) fn rename(&mut self, old: NodeId, new: NodeId) {
        self.nodes.rename(old, new);
        self.links.rename(old, new);
    }

    /// A node that pings us from another address than we know has moved.
    pub(crate) fn take_address(&mut self, id: NodeId, link: LinkId, header: &Header) {
        let own_link = self.nodes.get(id).and_then(|node| node.link);
        if own_link != Some(link) {
            let address = self.address_in(link, header);
            self.links.set_address(self.nodes, self.around, id, address);
        }
    }

    fn address_in(&self, link: LinkId, header: &Header) -> Address {
        let peer = self.links.get(link).and_then(|known| known.peer);
        let ports = (header.port, header.secondary_port);
        let base_is_tls = self.around.config().base_port_is_tls();
        Address::from_wire(header.ip.or(peer), ports, header.bus_port, base_is_tls)
    }

    /// Where a peer has reached this node shows its own address.
    pub(crate) fn learn_own_ip(&mut self, link: LinkId, kind: PingKind) {
        let me = self.nodes.me();
        let wanted = kind == PingKind::Meet || me.address.ip.is_none();
        let announced = self.around.config().announce_ip.parse::<std::net::IpAddr>().is_ok();
        let local = self.links.get(link).and_then(|known| known.local);
        if let Some(ip) = local
            && wanted
            && !announced
            && me.address.ip != Some(ip)
        {
            self.nodes.me_mut().address.ip = Some(ip);
            let text = format!("IP address for this node updated to {ip}");
            self.around.log_limited(LogTopic::Address, LogLevel::Notice, text);
            self.around.changed();
        }
    }

    /// A node has answered a ping over the link that this node has opened; its answer arrived at
    /// the time `heard` at the latest.
    pub(crate) fn take_pong(&mut self, id: NodeId, heard: Millis) {
        if let Some(node) = self.nodes.get_mut(id) {
            node.pong_received = Some(self.around.now());
            node.heard(heard);
            node.ping_sent = None;
            node.reached = true;
            node.hung_up = false;
        }
        self.nodes.prove(id);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{around, header, id, node, three_shards};

    /// Node 2, which has a link to a node at some address.
    struct Member {
        nodes: Nodes,
        links: Links,
        forgotten: Forgotten,
        around: Surroundings,
    }

    const LINK: LinkId = LinkId::Outgoing(0);

    impl Member {
        fn new() -> Member {
            let (links, forgotten) = (Links::default(), Forgotten::default());
            Member { nodes: three_shards(2), links, forgotten, around: around() }
        }

        fn borrow(&mut self) -> Membership<'_> {
            Membership {
                nodes: &mut self.nodes,
                links: &mut self.links,
                forgotten: &mut self.forgotten,
                around: &mut self.around,
            }
        }
    }

    fn address(last: u8) -> Address {
        Address { ip: Some([10, 0, 0, last].into()), port: 7000, tls_port: 0, bus_port: 17_000 }
    }

    #[test]
    fn a_node_that_was_met_is_known_by_the_name_that_it_tells() {
        let mut member = Member::new();
        member.forgotten.ban(id(9), Millis(u64::MAX));
        member.borrow().meet(address(9));
        member.borrow().meet(address(9));
        assert_eq!(member.nodes.len(), 6, "it is met once");
        let mut header = header(&member.nodes, 1);
        (header.sender, header.flags) = (id(9), crate::bus::NodeFlags::PRIMARY);
        assert_eq!(member.borrow().check_name(LINK, None, &header), Answerer::Expected);
        let node = node(&mut member.nodes, 9);
        assert!(node.is_primary() && !node.is_unproven());
        assert_eq!(member.links.node_of(LINK), Some(id(9)));
        assert!(!member.forgotten.contains(id(9)), "the operator wants it back");
    }

    #[test]
    fn a_node_that_is_met_again_has_moved() {
        let mut member = Member::new();
        member.borrow().meet(address(1));
        let handshake = member.links.node_of(LINK).expect("it was opened");
        let header = header(&member.nodes, 1);
        let answerer = member.borrow().check_name(LINK, Some(id(1)), &header);
        assert_eq!(answerer, Answerer::KnownAlready { handshake });
        assert_eq!(node(&mut member.nodes, 1).address, address(1));
    }

    #[test]
    fn an_address_at_which_another_node_answers_is_dropped() {
        let mut member = Member::new();
        node(&mut member.nodes, 1).address = address(1);
        member.links.open(&mut member.nodes, &mut member.around, id(1));
        let header = header(&member.nodes, 3);
        assert_eq!(member.borrow().check_name(LINK, Some(id(3)), &header), Answerer::Other);
        assert_eq!(node(&mut member.nodes, 1).address, Address::default());
        assert!(member.links.get(LINK).is_none());
    }
}
