//! Once faults have ended, all nodes come to agree on who owns what, and serve.

use crate::world::World;
use tessera_cluster::{ClusterState, Snapshot, ViewRole};

/// A disagreement between the nodes; `None` if they agree on everything and every node serves. It
/// is meant for a world in which every node runs and every host reaches every other.
pub fn disagreement(world: &World) -> Option<String> {
    let snapshots: Vec<Snapshot> =
        (0..world.host_count()).filter_map(|host| world.snapshot(host)).collect();
    let first = snapshots.first()?;
    for snapshot in &snapshots {
        if snapshot.state != ClusterState::Ok {
            return Some(format!("{} is in state {:?}", snapshot.id, snapshot.state));
        }
        if snapshot.members.len() != world.host_count() {
            return Some(format!("{} knows {} nodes", snapshot.id, snapshot.members.len()));
        }
        for (mine, theirs) in snapshot.members.iter().zip(&first.members) {
            if mine != theirs {
                return Some(format!(
                    "{} and {} differ on {}: {:?} {} {} {:?}, {:?} {} {} {:?}",
                    snapshot.id,
                    first.id,
                    mine.id,
                    mine.role,
                    mine.config_epoch,
                    mine.flags,
                    mine.slots,
                    theirs.role,
                    theirs.config_epoch,
                    theirs.flags,
                    theirs.slots
                ));
            }
            if mine.flags.contains("fail") {
                return Some(format!("{} holds {} for failed", snapshot.id, mine.id));
            }
        }
    }
    unserved(first)
}

fn unserved(snapshot: &Snapshot) -> Option<String> {
    let orphan = snapshot.members.iter().find(|member| match member.role {
        ViewRole::Primary => false,
        ViewRole::Replica(primary) => !primary
            .and_then(|id| snapshot.member(id))
            .is_some_and(|primary| primary.role == ViewRole::Primary),
    });
    orphan.map(|member| format!("{} replicates no primary", member.id))
}
