//! A node's rights on the keys of a slot.

use crate::NodeId;

/// The state of one hash slot on this node. It lives beside the slot's tables under the slot's
/// mutex, so that a command never acts on a stale answer.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum SlotState {
    /// Commands on the slot's keys run here. The only state outside cluster mode.
    #[default]
    Served,
    /// Served here, but leaving: a key that is no longer here is answered with `ASK` to `to`.
    Migrating {
        /// The node that receives the slot.
        to: NodeId,
    },
    /// Arriving: served only to a client that has sent `ASKING`.
    Importing {
        /// The node that still owns the slot.
        from: NodeId,
    },
    /// Another node serves it (`MOVED`), or no node does (`CLUSTERDOWN Hash slot not served`). A
    /// replica's slots are in this state too: their owner is its primary.
    Remote {
        /// The node that serves the slot, if any.
        owner: Option<NodeId>,
    },
}
