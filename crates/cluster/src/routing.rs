//! Tells the driver what has changed for commands: slot states, the routing view, the role.

use crate::node::Role;
use crate::nodes::Nodes;
use crate::open_slots::OpenSlots;
use crate::surroundings::Surroundings;
use crate::{ClusterConfig, ClusterState, Effect, NodeView, RoutingView, ViewRole};
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

impl Published {
    /// The picture that commands are routed by now.
    pub(crate) fn view(&self) -> Option<&Arc<RoutingView>> {
        self.view.as_ref()
    }

    pub(crate) fn publish(
        &mut self,
        nodes: &Nodes,
        open: &OpenSlots,
        state: ClusterState,
        around: &mut Surroundings,
    ) {
        self.publish_slots(slot_states(nodes, open), around);
        self.publish_view(build_view(nodes, state, around.config()), around);
        self.publish_role(nodes, around);
    }

    fn publish_slots(&mut self, now: Vec<(SlotRange, SlotState)>, around: &mut Surroundings) {
        let mut changed = Vec::new();
        for (range, state) in &now {
            push_differences(&mut changed, *range, *state, &self.slots);
        }
        if !changed.is_empty() {
            around.push(Effect::SetSlots(changed));
            self.slots = now;
        }
    }

    fn publish_view(&mut self, view: RoutingView, around: &mut Surroundings) {
        if self.view.as_deref() != Some(&view) {
            let view = Arc::new(view);
            self.view = Some(Arc::clone(&view));
            around.push(Effect::Routing(view));
        }
    }

    /// Follows the primary, or stops following. Derived from the role, so that no path forgets it.
    fn publish_role(&mut self, nodes: &Nodes, around: &mut Surroundings) {
        let Some(primary) = nodes.me().primary() else {
            if nodes.me().is_primary() && self.following.take().is_some() {
                around.push(Effect::Promote);
            }
            return;
        };
        let Some(node) = nodes.get(primary) else { return };
        let Some(host) = node.address.ip else { return };
        let port = node.address.client_port(around.config().tls_replication);
        let target = (primary, host, port);
        if self.following != Some(target) {
            self.following = Some(target);
            around.push(Effect::Follow { primary, host, port });
        }
    }
}

/// The state of every slot, as maximal ranges in ascending order.
fn slot_states(nodes: &Nodes, open: &OpenSlots) -> Vec<(SlotRange, SlotState)> {
    let mut owners: Vec<(SlotRange, NodeId)> = Vec::new();
    for node in nodes.iter().filter(|node| !node.slots.is_empty()) {
        owners.extend(node.slots.ranges().iter().map(|range| (*range, node.id)));
    }
    owners.sort_unstable_by_key(|(range, _)| range.start);
    let mut states = Vec::new();
    let mut next = Some(Slot::MIN);
    for (range, owner) in owners {
        if let Some(gap) = gap_before(next, range.start) {
            add_states(&mut states, (nodes, open), gap, None);
        }
        add_states(&mut states, (nodes, open), range, Some(owner));
        next = Slot::new(range.end.number() + 1);
    }
    if let Some(start) = next {
        add_states(&mut states, (nodes, open), SlotRange { start, end: Slot::MAX }, None);
    }
    states
}

/// Adds a range with one owner, cut where single slots are on the move.
fn add_states(
    states: &mut Vec<(SlotRange, SlotState)>,
    (nodes, open): (&Nodes, &OpenSlots),
    range: SlotRange,
    owner: Option<NodeId>,
) {
    let me = nodes.me();
    let mine = owner == Some(me.id);
    let base = if mine { SlotState::Served } else { SlotState::Remote { owner } };
    let moving = if mine { open.migrating() } else { open.importing() };
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

fn build_view(nodes: &Nodes, state: ClusterState, config: &ClusterConfig) -> RoutingView {
    let known: Vec<_> = nodes.iter().filter(|node| !node.in_handshake()).collect();
    let views = known.iter().map(|node| NodeView {
        id: node.id,
        ip: node.address.ip,
        port: node.address.port,
        tls_port: node.address.tls_port,
        hostname: node.hostname.clone(),
        endpoint: node.endpoint(config),
        role: match node.role {
            Role::Replica { of } => ViewRole::Replica(of),
            Role::Primary | Role::Unknown => ViewRole::Primary,
        },
        failed: node.has_failed(),
    });
    let me = known.iter().position(|node| node.id == nodes.my_id());
    let me = me.expect("this node is in its own table and never in a handshake");
    let mut view = RoutingView::new(state, config.allow_reads_when_down, views.collect(), me);
    for (index, node) in known.iter().enumerate() {
        for range in node.slots.ranges() {
            view.set_owner(*range, index);
        }
    }
    view
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
