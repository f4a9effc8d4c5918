//! The world outside, as commands need it.

use crate::{Args, ClientInfo, Deferred, Fail, Outcome};
use std::sync::Arc;
use std::time::Duration;
use tessera_cluster::RoutingView;
use tessera_config::special::ReplicaOf;
use tessera_config::{Config, Directive};
use tessera_resp::{Reply, Value};
use tessera_slot::Offset;
use tessera_store::Flushed;

/// How SHUTDOWN was asked for.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ShutdownMode {
    /// SAVE or NOSAVE; `None`: as configured.
    pub save: Option<bool>,
    /// Do not wait for lagging replicas.
    pub now: bool,
    /// Go on even if saving fails.
    pub force: bool,
    /// Give up a shutdown that is under way.
    pub abort: bool,
}

/// The node's replication, as ROLE and INFO show it.
#[derive(Clone, Debug, Default)]
pub struct Replication {
    /// The lines of INFO's section, without its title; if there are none, what the log knows is
    /// shown.
    pub info: Vec<(String, String)>,
    /// The answer to ROLE; `None`: that of a primary without replicas.
    pub role: Option<Value>,
    /// The number of replicas that are online.
    pub replicas: usize,
}

/// The requests of DEBUG to the server crate.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DebugRequest {
    /// LOG: writes a line to the log.
    Log(String),
    /// CHANGE-REPL-ID: goes on with the history under a new name, so that nobody can resynchronise
    /// partially.
    ChangeReplicationId,
    /// DROP-CLUSTER-PACKET-FILTER: packets of this type of the cluster bus are dropped when they
    /// come; -1: none, -2: all.
    DropPackets(i32),
    /// CLOSE-CLUSTER-LINK-ON-PACKET-DROP: whether a dropped packet ends its link.
    CloseOnDrop(bool),
}

/// A change of the configuration that cannot fail any more. Dropping it undoes what was prepared.
pub trait ConfigChange {
    /// Carries it out. The new configuration is set already.
    fn commit(self: Box<Self>);
}

/// How much happens in a second, over the last moments.
#[derive(Clone, Copy, PartialEq, Debug, Default)]
pub struct Rates {
    /// Commands.
    pub commands: f64,
    /// Bytes received, those of replication included.
    pub bytes_in: f64,
    /// Bytes sent, those of replication included.
    pub bytes_out: f64,
    /// Bytes received from the primary.
    pub repl_in: f64,
    /// Bytes sent to replicas.
    pub repl_out: f64,
}

/// Processor time of some threads.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct CpuTime {
    /// In the kernel.
    pub system: Duration,
    /// In the program.
    pub user: Duration,
}

/// What only the rim knows of the process and the machine.
#[derive(Clone, PartialEq, Debug, Default)]
pub struct Facts {
    /// The system's name, release and machine.
    pub os: String,
    /// The process id.
    pub process_id: u32,
    /// The program's path.
    pub executable: String,
    /// The configuration file's path; empty: none.
    pub config_file: String,
    /// Threads that serve clients; 0: there is no rim to tell.
    pub io_threads: usize,
    /// Clients that wait for something else than keys.
    pub waiting_clients: usize,
    /// Resident memory of the process, bytes; `None`: unknown.
    pub resident: Option<u64>,
    /// Memory of the machine, bytes.
    pub total_memory: u64,
    /// Processor time of the process.
    pub cpu: CpuTime,
    /// Processor time of its children.
    pub cpu_children: CpuTime,
    /// Processor time of the calling thread: there is no main thread.
    pub cpu_thread: CpuTime,
    /// How much is going on.
    pub rates: Rates,
}

/// The server crate, as commands see it. Nothing here blocks for long, unless it says that it is
/// called with nothing locked.
pub trait Host: Send + Sync {
    /// Runs a CLUSTER command of the cluster core. `args` begins with `CLUSTER`. A client that may
    /// not wait is answered at once, also while the node is still busy with what the answer tells.
    fn cluster(
        &self,
        client: &Arc<ClientInfo>,
        args: Args<'_>,
        may_wait: bool,
        reply: &mut Reply,
    ) -> Outcome;
    /// The answer of a transaction with CLUSTER commands: given back if the node has done already
    /// what these want; else the client gets it as from [`Host::answer`] when that is so. Called
    /// without any lock.
    fn after_cluster(
        &self,
        client: &Arc<ClientInfo>,
        answer: crate::Answer,
    ) -> Option<crate::Answer>;
    /// The view by which commands are routed; `None` outside cluster mode.
    fn routing(&self) -> Option<Arc<RoutingView>>;
    /// Starts to shut the server down. Does not return an answer to the client unless it fails.
    ///
    /// # Errors
    /// Why it cannot be shut down.
    fn shutdown(&self, mode: ShutdownMode) -> Result<(), Fail>;
    /// Has the thread of this client, whose `killed` flag is set, disconnect it.
    fn disconnect(&self, client: &ClientInfo);

    /// Something was left to do: an I/O thread is to call [`crate::Engine::do_chores`] soon.
    fn wake_for_chores(&self) {}
    /// Passes the answer on to a client that waits in a blocking command. Called with slots locked:
    /// it only leaves a message for the client's thread.
    fn answer(&self, client: &ClientInfo, answer: crate::Answer);
    /// REPLICAOF host port, or (`None`) NO ONE. With [`Outcome::Next`] the role has changed, and
    /// the caller answers; with [`Outcome::Wait`] the client is answered with `OK` when it has:
    /// that may be only after this command. A client that may not wait, as in a transaction, is
    /// answered by the caller in any case, and the role follows at once.
    ///
    /// # Errors
    /// Why nothing can be done about it.
    fn replicate(
        &self,
        client: &Arc<ClientInfo>,
        primary: Option<(&str, u16)>,
        may_wait: bool,
    ) -> Result<Outcome, Fail>;
    /// The state of replication.
    fn replication(&self) -> Replication;
    /// Has the thread of a client that waits for replicas answer it: its wait was cut
    /// ([`ClientInfo::cut_ack_wait`]).
    fn end_wait(&self, client: &ClientInfo);

    /// How many replicas have acknowledged the offset. Asks them for it if there are fewer than
    /// `wanted`.
    fn acknowledged(&self, offset: Offset, wanted: usize) -> usize;
    /// Whom this node follows, from the moment in which a client has ordered it.
    fn followed(&self) -> ReplicaOf {
        ReplicaOf::default()
    }
    /// Takes away what is to be carried out when nothing is locked. The client gets the answer of
    /// [`Engine::carry_out`](crate::Engine::carry_out) as from [`Host::answer`]. Called with locks
    /// held, so it only leaves a message for another thread. A host without such a thread gives it
    /// back, and the caller carries it out itself.
    fn defer(&self, client: &Arc<ClientInfo>, deferred: Deferred) -> Option<Deferred> {
        let _ = client;
        Some(deferred)
    }
    /// CONFIG REWRITE. Called with nothing locked.
    ///
    /// # Errors
    /// Why the file could not be written, as the text behind `ERR `: `The server is running without
    /// a config file`, or `Rewriting config file: ` and the reason.
    fn rewrite_config(&self) -> Result<(), String>;
    /// Prepares for the configuration that is about to be set; `changed` are the directives whose
    /// values it changes. May complete values, such as a relative path. Called with nothing locked.
    ///
    /// # Errors
    /// The directive that cannot take effect, and why; nothing has changed then.
    fn prepare_config(
        &self,
        changed: &[&'static Directive],
        config: &mut Config,
    ) -> Result<Box<dyn ConfigChange + '_>, (&'static str, String)>;
    /// What only the rim knows of the process and the machine.
    fn facts(&self) -> Facts;
    /// A monotonic clock, microseconds, for work that may take only so long. A rim without one has
    /// no such limits.
    fn clock_us(&self) -> u64 {
        0
    }
    /// DEBUG SLEEP: stops the calling thread for a while.
    ///
    /// # Errors
    /// If this rim does not do such things.
    fn stall(&self, time: Duration) -> Result<(), Fail> {
        let _ = time;
        Err(Fail::text("ERR DEBUG SLEEP is not supported here"))
    }
    /// Other subcommands of DEBUG that only the rim can carry out. Called with nothing locked.
    ///
    /// # Errors
    /// If this rim does not do such things.
    fn debug(&self, request: DebugRequest) -> Result<(), Fail> {
        let _ = request;
        Err(Fail::text("ERR this DEBUG subcommand is not supported here"))
    }
    /// Has all other threads give memory back to the system that they have freed.
    fn purge_memory(&self) {}
    /// Frees flushed tables in the background.
    fn free_later(&self, flushed: Flushed);
}
