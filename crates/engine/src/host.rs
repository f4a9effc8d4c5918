//! What commands need of the world outside.

use crate::{Args, ClientInfo, Fail, Outcome};
use std::sync::Arc;
use tessera_cluster::RoutingView;
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
    /// The lines of INFO's section, without its title; if there are none, what the log knows is shown.
    pub info: Vec<(String, String)>,
    /// The answer to ROLE; `None`: that of a primary without replicas.
    pub role: Option<Value>,
    /// The number of replicas that are online.
    pub replicas: usize,
}

/// What DEBUG asks of the rim.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum DebugRequest {
    /// LOG: writes a line to the log.
    Log(String),
    /// CHANGE-REPL-ID: goes on with the history under a new name, so that nobody can resynchronise partially.
    ChangeReplicationId,
    /// DROP-CLUSTER-PACKET-FILTER: packets of this type of the cluster bus are dropped when they come; -1: none, -2: all.
    DropPackets(i32),
    /// CLOSE-CLUSTER-LINK-ON-PACKET-DROP: whether a dropped packet ends its link.
    CloseOnDrop(bool),
}

/// The rim, as commands see it. Nothing here blocks for long.
pub trait Host: Send + Sync {
    /// Runs a CLUSTER command of the cluster core. `args` begins with `CLUSTER`. A client that may not wait is answered at once, also
    /// while the node is still busy with what the answer tells.
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
    /// What commands are routed by; `None` outside cluster mode.
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
    /// Passes the answer on to a client that waits in a blocking command. Called with slots locked: it only leaves a message
    /// for the client's thread.
    fn answer(&self, client: &ClientInfo, answer: crate::Answer);
    /// REPLICAOF host port, or (`None`) NO ONE. With [`Outcome::Next`] the role has changed, and the caller answers; with
    /// [`Outcome::Wait`] the client is answered with `OK` when it has: that may be only after this command. A client that may not
    /// wait, as in a transaction, is answered by the caller in any case, and the role follows at once.
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
    /// How many replicas have acknowledged the offset. Asks them for it if there are fewer than `wanted`.
    fn acknowledged(&self, offset: Offset, wanted: usize) -> usize;
    /// CONFIG REWRITE.
    ///
    /// # Errors
    /// Why the file could not be written, as the text behind `ERR `: `The server is running without a config file`,
    /// or `Rewriting config file: ` and the reason.
    fn rewrite_config(&self) -> Result<(), String>;
    /// Carries out what a changed configuration needs.
    ///
    /// # Errors
    /// The directive that cannot take effect, and why; the configuration is then put back.
    fn apply_config(
        &self,
        changed: &[&'static str],
        config: &tessera_config::Config,
    ) -> Result<(), (String, String)>;
    /// Lines of INFO that only the rim knows: (section, name, value). A line whose name the section has already takes its
    /// place (`used_memory_rss`, `instantaneous_ops_per_sec`, `config_file` …); others are added at the section's end.
    fn info(&self) -> Vec<(&'static str, &'static str, String)>;
    /// A monotonic clock, microseconds, for work that may take only so long. A rim without one has no such limits.
    fn clock_us(&self) -> u64 {
        0
    }
    /// DEBUG SLEEP: stops the calling thread for a while.
    ///
    /// # Errors
    /// If this rim does not do such things.
    fn stall(&self, time: std::time::Duration) -> Result<(), Fail> {
        let _ = time;
        Err(Fail::text("ERR DEBUG SLEEP is not supported here"))
    }
    /// Other subcommands of DEBUG that only the rim can carry out.
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
