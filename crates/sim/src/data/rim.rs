//! The world outside of an engine, as its commands see it: routing and acknowledgements.
//!
//! Deliberately not here: whatever the simulated clients do not ask for (CLUSTER, SHUTDOWN,
//! REPLICAOF, CONFIG). The cluster core is commanded through [`crate::World::command`].

use super::Bug;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};
use tessera_cluster::{LinkId, RoutingView};
use tessera_config::{Config, Directive};
use tessera_engine::{
    Answer, Args, ClientInfo, ConfigChange, Facts, Fail, Host, Outcome, Replication, ShutdownMode,
};
use tessera_log::Log;
use tessera_resp::Reply;
use tessera_slot::Offset;
use tessera_store::Flushed;

/// What the node notes for its engine.
#[derive(Default)]
pub(crate) struct Noted {
    pub(crate) routing: Option<Arc<RoutingView>>,
    /// The replicas that are online, with what they have acknowledged.
    pub(crate) acknowledged: BTreeMap<LinkId, Offset>,
    pub(crate) is_replica: bool,
    /// The node has promised to append no more: a manual failover.
    pub(crate) log_closed: bool,
    /// How far acknowledgements were asked for.
    asked_until: Offset,
}

/// The rim of an engine.
pub(crate) struct Rim {
    log: Arc<Log>,
    bug: Option<Bug>,
    noted: Mutex<Noted>,
}

impl Rim {
    pub(crate) fn new(log: Arc<Log>, bug: Option<Bug>) -> Rim {
        Rim { log, bug, noted: Mutex::default() }
    }

    pub(crate) fn noted(&self) -> MutexGuard<'_, Noted> {
        self.noted.lock().expect("no thread has panicked with it")
    }
}

impl Host for Rim {
    fn cluster(&self, _: &Arc<ClientInfo>, _: Args<'_>, _: bool, reply: &mut Reply) -> Outcome {
        reply.error("ERR not here");
        Outcome::Next
    }

    fn after_cluster(&self, _: &Arc<ClientInfo>, answer: Answer) -> Option<Answer> {
        Some(answer)
    }

    fn routing(&self) -> Option<Arc<RoutingView>> {
        self.noted().routing.clone()
    }

    fn shutdown(&self, _: ShutdownMode) -> Result<(), Fail> {
        Err(Fail::text("ERR not here"))
    }

    fn disconnect(&self, _: &ClientInfo) {}

    fn answer(&self, _: &ClientInfo, _: Answer) {}

    fn replicate(
        &self,
        _: &Arc<ClientInfo>,
        _: Option<(&str, u16)>,
        _: bool,
    ) -> Result<Outcome, Fail> {
        Err(Fail::text("ERR not here"))
    }

    fn replication(&self) -> Replication {
        Replication::default()
    }

    fn end_wait(&self, _: &ClientInfo) {}

    /// As the server does it: replicas are asked, once for each end of the log.
    fn acknowledged(&self, offset: Offset, wanted: usize) -> usize {
        if self.bug == Some(Bug::WaitsForNobody) {
            return wanted;
        }
        let mut noted = self.noted();
        let reached = noted.acknowledged.values().filter(|acked| **acked >= offset).count();
        let may_ask = !noted.log_closed && !noted.is_replica && self.log.reader_count() > 0;
        let end = self.log.offset();
        if reached < wanted && may_ask && (end != noted.asked_until || end == Offset(0)) {
            noted.asked_until = self.log.append_control(&["REPLCONF", "GETACK", "*"]);
        }
        reached
    }

    fn rewrite_config(&self) -> Result<(), String> {
        Err("The server is running without a config file".to_owned())
    }

    fn prepare_config(
        &self,
        changed: &[&'static Directive],
        _: &mut Config,
    ) -> Result<Box<dyn ConfigChange + '_>, (&'static str, String)> {
        let name = changed.first().map_or("", |directive| directive.name);
        Err((name, "not here".to_owned()))
    }

    fn facts(&self) -> Facts {
        Facts::default()
    }

    fn free_later(&self, flushed: Flushed) {
        drop(flushed);
    }
}
