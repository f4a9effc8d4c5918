//! Packets in: the sender is identified, then one handler per type.

use super::Cluster;
use crate::bus::{self, Body, Header, MessageFlags, NodeFlags, Packet, PingKind};
use crate::membership::Answerer;
use crate::{Effect, LinkId, LogLevel, LogTopic};
use tessera_slot::{Epoch, NodeId};

/// Whether the handlers after a step still have something to do.
enum Go {
    On,
    Stop,
}

impl Cluster {
    pub(super) fn receive(&mut self, link: LinkId, bytes: &[u8]) {
        if self.links.get(link).is_none() {
            return;
        }
        let packet = match bus::decode(bytes) {
            Ok(packet) => packet,
            Err(error) => {
                self.hang_up(link, &format!("an invalid packet: {error}"));
                return;
            }
        };
        if let Some(kind) = packet.message_type() {
            self.links.count_received(kind);
        }
        match packet {
            Packet::Light(publish) => self.receive_light(link, publish),
            Packet::Full(header, body) if !self.is_same_speaker(link, &header, &body) => {
                self.hang_up(link, "a packet under another name than before");
            }
            Packet::Full(header, body) if header.sender == self.id() => {
                self.receive_own(link, &body);
            }
            Packet::Full(header, body) => self.receive_full(link, &header, body),
        }
        self.links.trust_if_known(&self.nodes, &mut self.around, link);
    }

    /// Closes a link on which something has come that no sound node sends.
    fn hang_up(&mut self, link: LinkId, what: &str) {
        let peer = self.links.get(link).and_then(|known| known.peer);
        let peer = peer.map_or_else(|| "an unknown address".to_owned(), |ip| ip.to_string());
        let text = format!("Closing the link to {peer}: it has sent {what}");
        self.around.log_limited(LogTopic::Packet, LogLevel::Warning, text);
        self.close_link(link);
    }

    /// Whether a link's other end speaks by the name that it had at first. On a link that we have
    /// opened a ping's name is looked at where it is known which node was to be reached.
    fn is_same_speaker(&mut self, link: LinkId, header: &Header, body: &Body) -> bool {
        let looked_at = matches!((link, body), (LinkId::Outgoing(_), Body::Ping { .. }));
        self.links.is_same_speaker(link, header.sender) || looked_at
    }

    fn receive_light(&mut self, link: LinkId, publish: bus::Publish) {
        let sender = self.links.node_of(link);
        let heard = self.attention.hearing_time(self.around.now());
        let known =
            sender.and_then(|id| self.nodes.get_mut(id)).filter(|node| !node.in_handshake());
        let Some(node) = known else {
            self.hang_up(link, "a light message before its name");
            return;
        };
        node.heard(heard);
        self.publish_locally(publish);
    }

    fn publish_locally(&mut self, publish: bus::Publish) {
        let bus::Publish { sharded, channel, message } = publish;
        self.around.push(Effect::Published { channel, message, sharded });
    }

    /// This node was told to meet itself. It answers, so that the handshake ends, and then drops
    /// the record.
    fn receive_own(&mut self, link: LinkId, body: &Body) {
        match body {
            Body::Ping { kind: PingKind::Pong, .. } => {
                let node = self.links.node_of(link);
                if let Some(id) = node.filter(|id| *id != self.id()) {
                    self.remove_node(id);
                }
            }
            Body::Ping { .. } => self.send_ping(link, PingKind::Pong),
            _ => {}
        }
    }

    /// The known node that speaks: the link's own, or by its name for a link without one.
    fn sender_of(&mut self, link: LinkId, header: &Header) -> Option<NodeId> {
        let bound = self.links.get(link)?.node;
        let settled = bound.and_then(|id| self.nodes.get(id)).filter(|node| !node.in_handshake());
        if let Some(node) = settled {
            return Some(node.id);
        }
        let named = self.nodes.get(header.sender)?.id;
        if bound.is_none() {
            self.links.bind(&mut self.nodes, &mut self.around, named, link);
        }
        Some(named)
    }

    fn receive_full(&mut self, link: LinkId, header: &Header, body: Body) {
        if !self.has_believable_epochs(header, &body) {
            self.hang_up(link, "an epoch that nobody can have reached");
            return;
        }
        let sender = self.sender_of(link, header);
        if let Some(id) = sender {
            self.take_header(id, header);
        }
        match (body, sender) {
            (Body::Ping { kind, gossip, extensions }, _) => {
                if let (Go::On, Some(sender)) = (self.take_ping(link, sender, header, kind), sender)
                {
                    self.take_claims(sender, header);
                    self.take_gossip(sender, &gossip);
                    // Gossip cannot have removed a node, but extensions can.
                    self.take_extensions(sender, extensions);
                }
            }
            (Body::Fail(node), Some(sender)) => {
                let finding = self.detection().take_fail(sender, node);
                self.act_on_finding(node, finding);
            }
            (Body::Fail(node), None) => {
                let from = header.sender;
                let text = format!("Ignoring FAIL message from unknown node {from} about {node}");
                self.around.log_limited(LogTopic::Report, LogLevel::Notice, text);
            }
            (Body::Publish(publish), Some(_)) => self.publish_locally(publish),
            (Body::AuthRequest, Some(sender)) => self.take_auth_request(sender, header),
            (Body::AuthAck, Some(sender)) => {
                self.candidacy().take_vote(sender, header.current_epoch);
            }
            (Body::MfStart, Some(sender)) => {
                self.manual.take_start(&self.nodes, &mut self.around, sender);
            }
            (Body::Update { node, config_epoch, slots }, Some(_)) => {
                let outcomes = self.ownership().take_update(node, config_epoch, &slots);
                self.act_on_claims(outcomes);
            }
            (Body::Module | Body::Unknown(_), _) => {}
            // Nobody whom this node does not know has a say.
            (
                Body::Publish(_)
                | Body::AuthRequest
                | Body::AuthAck
                | Body::MfStart
                | Body::Update { .. },
                None,
            ) => {}
        }
    }

    fn has_believable_epochs(&mut self, header: &Header, body: &Body) -> bool {
        let of_body = match body {
            Body::Update { config_epoch, .. } => *config_epoch,
            _ => Epoch(0),
        };
        let highest = header.current_epoch.max(header.config_epoch).max(of_body);
        self.epochs.is_believable(highest, self.around.now())
    }

    /// Takes in the header, which every packet of a known node has.
    fn take_header(&mut self, sender: NodeId, header: &Header) {
        let heard = self.attention.hearing_time(self.around.now());
        let Some(node) = self.nodes.get_mut(sender) else { return };
        node.heard(heard);
        node.extensions |= header.message_flags.has(MessageFlags::EXT_DATA);
        if node.in_handshake() {
            return;
        }
        node.offset = header.offset;
        self.ownership().take_epochs(sender, header);
        if header.message_flags.has(MessageFlags::PAUSED) {
            self.primary_has_paused(sender, header.offset);
        }
    }

    fn take_ping(
        &mut self,
        link: LinkId,
        sender: Option<NodeId>,
        header: &Header,
        kind: PingKind,
    ) -> Go {
        if kind != PingKind::Pong {
            let is_refused =
                sender.is_none() && kind == PingKind::Meet && !self.receive_guest(link, header);
            if !is_refused {
                self.membership().learn_own_ip(link, kind);
            }
            self.send_ping(link, PingKind::Pong);
        }
        if let Some(id) = sender {
            self.membership().handshake_done(id);
        }
        if let LinkId::Outgoing(_) = link {
            match self.membership().check_name(link, sender, header) {
                Answerer::Expected => {}
                Answerer::KnownAlready { handshake } => {
                    self.remove_node(handshake);
                    return Go::Stop;
                }
                Answerer::Other => return Go::Stop,
            }
        }
        if let Some(id) = sender {
            if let Some(node) = self.nodes.get_mut(id) {
                node.no_failover = header.flags.has(NodeFlags::NOFAILOVER);
            }
            if kind == PingKind::Ping {
                self.membership().take_address(id, link, header);
            }
        }
        if kind == PingKind::Pong {
            self.take_pong(link);
        }
        Go::On
    }

    /// Somebody unknown has introduced itself. False if it is refused.
    fn receive_guest(&mut self, link: LinkId, header: &Header) -> bool {
        let Some((address, source)) = self.membership().guest(link, header) else { return false };
        let has_place = self.make_place(source);
        if has_place {
            self.membership().meet_guest(link, header, (address, source));
        }
        has_place
    }

    fn take_pong(&mut self, link: LinkId) {
        let LinkId::Outgoing(_) = link else { return };
        let Some(id) = self.links.node_of(link) else { return };
        let heard = self.attention.hearing_time(self.around.now());
        self.membership().take_pong(id, heard);
        self.detection().clear_suspicion(id);
    }
}
