//! A host: its disk, and the process that runs on it.

use crate::data::Node;
use crate::net::HostId;
use tessera_cluster::{Batch, Cluster, Event, PrimaryLink};
use tessera_slot::SlotSet;

/// The disk of a host, which survives its process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Disk {
    /// The file as a process on this host reads it.
    pub(crate) file: Option<String>,
    /// The file as a power cut leaves it.
    pub(crate) synced: Option<String>,
}

/// The point at which the next durable save is interrupted.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SaveFault {
    /// The process dies before the file is written.
    Before,
    /// The process dies after the file is written, before anything else is done.
    After,
}

/// A machine.
#[derive(Debug, Default)]
pub(crate) struct Host {
    pub(crate) process: Option<Process>,
    /// Counts the processes that have run here.
    pub(crate) generation: u64,
    pub(crate) disk: Disk,
    /// SIGSTOP: events pile up.
    pub(crate) paused: bool,
    pub(crate) inbox: Vec<Event>,
    pub(crate) save_fault: Option<SaveFault>,
    /// How long a durable save takes, in milliseconds; the process does nothing else meanwhile.
    pub(crate) disk_delay: u64,
    /// When a fault last befell the host, its process or its network. A slow disk and a lagging
    /// copy are none here.
    pub(crate) troubled_at: u64,
    /// The error of the wall clock, in milliseconds.
    pub(crate) clock_error: i64,
    /// How much a replica's copy lags, in ticks.
    pub(crate) lag: u64,
}

/// A running node.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) cluster: Cluster,
    pub(crate) next_accept: u64,
    pub(crate) tick_at: u64,
    pub(crate) offset: u64,
    /// The host that this node replicates, by the core's order.
    pub(crate) following: Option<HostId>,
    /// The process of that host that the link leads to, while it is up.
    pub(crate) linked_to: u64,
    pub(crate) primary_link: PrimaryLink,
    /// The link when the core decided on the batch that is being carried out.
    pub(crate) link_at_decision: PrimaryLink,
    /// How many ticks more a full synchronisation takes once the primary can be read.
    pub(crate) sync_ticks: u64,
    pub(crate) writes_paused: bool,
    /// The batch that is carried out when the file is on disk.
    pub(crate) saving: Option<Batch>,
    /// The slots for which clients' writes are taken, by what has been carried out.
    pub(crate) serves: SlotSet,
    /// The data, if the run has any. Otherwise `offset` stands for it.
    pub(crate) data: Option<Box<Node>>,
}
