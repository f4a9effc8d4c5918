//! Tells the driver what has changed for commands: slot states, the routing view, the role.

use crate::core::Cluster;
use crate::node::Role;
use crate::{Effect, NodeView, RoutingView, ViewRole};
use std::net::IpAddr;
use std::sync::Arc;
use tessera_slot::{NodeId, Slot, SlotRange, SlotState};

/// The state that the driver was told last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Published {
    slots: Vec<(SlotRange, SlotState)>,
    view: Option<Arc<RoutingView>>,
    following: Option<(NodeId, IpAddr, u16)>,
}

impl Cluster {
    /// The picture that commands are routed by now.
    pub fn routing_view(&self) -> Option<Arc<RoutingView>> {
        self.published.view.clone()
    }

    pub(crate) fn publish_slots(&mut self) {
        let now = self.slot_states();
        let mut changed = Vec::new();
        for (range, state) in &now {
            push_differences(&mut changed, *range, *state, &self.published.slots);
        }
        if !changed.is_empty() {
            self.out.push(Effect::SetSlots(changed));
            self.published.slots = now;
        }
    }

    /// The state of every slot, as maximal ranges in ascending order.
    fn slot_states(&self) -> Vec<(SlotRange, SlotState)> {
        let mut owners: Vec<(SlotRange, NodeId)> = Vec::new();
        for node in self.nodes.iter().filter(|node| !node.slots.is_empty()) {
            owners.extend(node.slots.ranges().iter().map(|range| (*range, node.id)));
        }
        owners.sort_unstable_by_key(|(range, _)| range.start);
        let mut states = Vec::new();
        let mut next = Some(Slot::MIN);
        for (range, owner) in owners {
            if let Some(gap) = gap_before(next, range.start) {
                self.add_states(&mut states, gap, None);
            }
            self.add_states(&mut states, range, Some(owner));
            next = Slot::new(range.end.number() + 1);
        }
        if let Some(start) = next {
            self.add_states(&mut states, SlotRange { start, end: Slot::MAX }, None);
        }
        states
    }

    /// Adds a range with one owner, cut where single slots are on the move.
    fn add_states(
        &self,
        states: &mut Vec<(SlotRange, SlotState)>,
        range: SlotRange,
        owner: Option<NodeId>,
    ) {
        let me = self.nodes.me();
        let mine = owner == Some(me.id);
        let base = if mine { SlotState::Served } else { SlotState::Remote { owner } };
        let moving = if mine { &self.open.migrating } else { &self.open.importing };
        let mut start = range.start;
        for (&slot, &node) in moving.range(range.start..=range.end) {
            let state = match mine {
                true => SlotState::Migrating { to: node },
                false if me.is_primary() => SlotState::Importing { from: node },
                false => continue,
            };
            if let Some(before) = gap_before(Some(start), slot) {
                states.push((before, base));
            }
            states.push((SlotRange { start: slot, end: slot }, state));
            match Slot::new(slot.number() + 1).filter(|next| *next <= range.end) {
                Some(next) => start = next,
                None => return,
            }
        }
        states.push((SlotRange { start, end: range.end }, base));
    }

    pub(crate) fn publish_view(&mut self) {
        let view = self.build_view();
        if self.published.view.as_deref() != Some(&view) {
            let view = Arc::new(view);
            self.published.view = Some(Arc::clone(&view));
            self.out.push(Effect::Routing(view));
        }
    }

    fn build_view(&self) -> RoutingView {
        let known: Vec<_> = self.nodes.iter().filter(|node| !node.in_handshake()).collect();
        let views = known.iter().map(|node| NodeView {
            id: node.id,
            ip: node.address.ip,
            port: node.address.port,
            tls_port: node.address.tls_port,
            hostname: node.hostname.clone(),
            endpoint: node.endpoint(&self.config),
            role: match node.role {
                Role::Replica { of } => ViewRole::Replica(of),
                Role::Primary | Role::Unknown => ViewRole::Primary,
            },
            failed: node.has_failed(),
        });
        let me = known.iter().position(|node| node.id == self.id());
        let me = me.expect("this node is in its own table and never in a handshake");
        let allow_reads = self.config.allow_reads_when_down;
        let mut view = RoutingView::new(self.state.get(), allow_reads, views.collect(), me);
        for (index, node) in known.iter().enumerate() {
            for range in node.slots.ranges() {
                view.set_owner(*range, index);
            }
        }
        view
    }

    /// Follows the primary, or stops following. Derived from the role, so that no path forgets it.
    pub(crate) fn publish_role(&mut self) {
        let Some(primary) = self.nodes.me().primary() else {
            if self.nodes.me().is_primary() && self.published.following.take().is_some() {
                self.out.push(Effect::Promote);
            }
            return;
        };
        let Some(node) = self.nodes.get(primary) else { return };
        let Some(host) = node.address.ip else { return };
        let port = node.address.client_port(self.config.tls_replication);
        let target = (primary, host, port);
        if self.published.following != Some(target) {
            self.published.following = Some(target);
            self.out.push(Effect::Follow { primary, host, port });
        }
    }
}

/// The range from `start` to the slot before `end`, if it is not empty.
fn gap_before(start: Option<Slot>, end: Slot) -> Option<SlotRange> {
    let start = start?;
    let last = Slot::new(end.number().checked_sub(1)?)?;
    (start <= last).then_some(SlotRange { start, end: last })
}

/// Adds those parts of a range whose state is another than before.
fn push_differences(
    changed: &mut Vec<(SlotRange, SlotState)>,
    range: SlotRange,
    state: SlotState,
    before: &[(SlotRange, SlotState)],
) {
    if before.is_empty() {
        changed.push((range, state));
        return;
    }
    let first = before.partition_point(|(old, _)| old.end < range.start);
    for (old, old_state) in &before[first..] {
        if old.start > range.end {
            break;
        }
        if *old_state != state {
            let start = old.start.max(range.start);
            let end = old.end.min(range.end);
            changed.push((SlotRange { start, end }, state));
        }
    }
}
