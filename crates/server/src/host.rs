//! The server as commands see it.

use crate::follow::{FollowStatus, Order, Primary};
use crate::server::{Server, random_id};
use crate::settings;
use std::sync::{Arc, Weak};
use tessera_cluster::RoutingView;
use tessera_config::special::ReplicaOf;
use tessera_config::{Config, Directive};
use tessera_engine::{
    Answer, Args, ClientInfo, ConfigChange, DebugRequest, Deferred, Facts, Fail, Host, Mode,
    Outcome, Park, Replication, ShutdownMode,
};
use tessera_replication::LinkPhase;
use tessera_resp::{Reply, Value};
use tessera_slot::Offset;
use tessera_store::Flushed;

/// The server, as commands reach it. The server owns the engine, which owns this.
pub(crate) struct Rim(Weak<Server>);

impl Rim {
    pub(crate) fn of(server: &Arc<Server>) -> Rim {
        Rim(Arc::downgrade(server))
    }

    fn server(&self) -> Arc<Server> {
        self.0.upgrade().expect("commands run as long as there is a server")
    }
}

/// Follows a primary from now on, or becomes one (`None`). Returns when the old primary's stream is
/// no longer applied.
pub(crate) fn follow(server: &Server, primary: Option<Primary>) {
    let engine = &server.engine;
    let Some(primary) = primary else {
        if !engine.mode().any(Mode::REPLICA) {
            return;
        }
        server.follow.set(None);
        // From here on the data is what it is.
        server.follow.set_incomplete(false);
        let world = engine.keyspace.enter_exclusive();
        if engine.log.is_active() {
            engine.log.shift_replication_id(random_id());
        }
        for mode in [Mode::REPLICA, Mode::READ_ONLY, Mode::STALE] {
            engine.set_mode(mode, false);
        }
        drop(world);
        server.disconnect_replicas();
        crate::logging::set_role(false);
        tracing::info!("PRIMARY MODE enabled");
        return;
    };
    // After this no client's write is under way.
    let world = engine.keyspace.enter_exclusive();
    server.forget_asking();
    engine.set_mode(Mode::REPLICA, true);
    engine.set_mode(Mode::READ_ONLY, engine.config().replication.replica_read_only);
    drop(world);
    // A client that waits for acknowledgements of this node's own history waits in vain, and so
    // does one that waits for a key to change.
    server.wake_waiting();
    engine.unblock_all(0);
    crate::logging::set_role(true);
    server.follow.set(Some(primary));
    server.note_stale();
}

impl Host for Rim {
    fn cluster(
        &self,
        client: &Arc<ClientInfo>,
        args: Args<'_>,
        may_wait: bool,
        reply: &mut Reply,
    ) -> Outcome {
        let server = self.server();
        let Some(cluster) = &server.cluster else {
            reply.error("ERR This instance has cluster support disabled");
            return Outcome::Next;
        };
        let argv: Vec<&[u8]> = args.from(1).collect();
        cluster.command(&server.engine, client, &argv, may_wait, reply)
    }

    fn after_cluster(&self, client: &Arc<ClientInfo>, answer: Answer) -> Option<Answer> {
        let server = self.server();
        match &server.cluster {
            Some(cluster) => cluster.answer_when_idle(client, answer),
            None => Some(answer),
        }
    }

    fn routing(&self) -> Option<Arc<RoutingView>> {
        let server = self.server();
        server.cluster.as_ref()?.routing()
    }

    fn shutdown(&self, mode: ShutdownMode) -> Result<(), Fail> {
        let server = self.server();
        if mode.abort {
            return Err(Fail::text("ERR No shutdown in progress."));
        }
        if mode.save == Some(true) {
            return Err(Fail::text("ERR Errors trying to SHUTDOWN. Check logs."));
        }
        if mode.now {
            server.stop.ask_now();
        } else {
            server.stop.ask();
        }
        Ok(())
    }

    fn disconnect(&self, client: &ClientInfo) {
        let server = self.server();
        server.disconnect(client);
    }

    fn wake_for_chores(&self) {
        let server = self.server();
        if let Some(mailbox) = server.mailboxes.first() {
            mailbox.wake();
        }
    }

    fn answer(&self, client: &ClientInfo, answer: Answer) {
        let server = self.server();
        server.answer(client, answer);
    }

    fn replicate(
        &self,
        client: &Arc<ClientInfo>,
        primary: Option<(&str, u16)>,
        may_wait: bool,
    ) -> Result<Outcome, Fail> {
        let server = self.server();
        let primary = primary.map(|(host, port)| Primary { host: host.to_owned(), port });
        if primary.is_some() {
            // The client's next write is refused already: what it wrote would be lost in the
            // synchronisation.
            let read_only = server.engine.config().replication.replica_read_only;
            server.engine.set_mode(Mode::REPLICA, true);
            server.engine.set_mode(Mode::READ_ONLY, read_only);
        }
        // Following waits until the world is empty, in which this command still is: the client is
        // answered after that.
        let follower = Arc::clone(&server);
        let start = || {
            std::thread::Builder::new()
                .name("replicaof".to_owned())
                .spawn(move || {
                    follower.follow.carry_out(|order| {
                        follow(&follower, order.primary);
                        if let Some(client) = &order.client {
                            follower.complete(client, Value::ok());
                        }
                    });
                })
                .map(drop)
        };
        let order = Order { client: may_wait.then(|| Arc::clone(client)), primary };
        server
            .follow
            .order(order, start)
            .map_err(|error| Fail::text(format!("ERR no thread for this: {error}")))?;
        // A client that does not wait must not be completed either: it may be waiting for something
        // else by then.
        Ok(if may_wait { Outcome::Wait(Park::Elsewhere) } else { Outcome::Next })
    }

    fn replication(&self) -> Replication {
        let server = self.server();
        replication(&server)
    }

    fn acknowledged(&self, offset: Offset, wanted: usize) -> usize {
        let server = self.server();
        server.acknowledged(offset, wanted)
    }

    fn end_wait(&self, client: &ClientInfo) {
        let server = self.server();
        server.end_wait(client);
    }

    fn followed(&self) -> ReplicaOf {
        let server = self.server();
        server.followed()
    }

    fn defer(&self, client: &Arc<ClientInfo>, deferred: Deferred) -> Option<Deferred> {
        let server = self.server();
        server.deferred.push(Arc::clone(client), deferred);
        None
    }

    fn rewrite_config(&self) -> Result<(), String> {
        let server = self.server();
        settings::rewrite(&server)
    }

    fn prepare_config(
        &self,
        changed: &[&'static Directive],
        config: &mut Config,
    ) -> Result<Box<dyn ConfigChange + '_>, (&'static str, String)> {
        let server = self.server();
        let change = settings::prepare(server, changed, config)?;
        Ok(Box::new(change))
    }

    fn facts(&self) -> Facts {
        let server = self.server();
        crate::facts::facts(&server)
    }

    fn clock_us(&self) -> u64 {
        crate::time::monotonic_us()
    }

    fn stall(&self, time: std::time::Duration) -> Result<(), Fail> {
        std::thread::sleep(time);
        Ok(())
    }

    fn debug(&self, request: DebugRequest) -> Result<(), Fail> {
        let server = self.server();
        match request {
            DebugRequest::Log(line) => tracing::info!("DEBUG LOG: {line}"),
            DebugRequest::DropPackets(kind) => {
                if let Some(cluster) = &server.cluster {
                    cluster.filter.drop_type(kind);
                }
            }
            DebugRequest::CloseOnDrop(on) => {
                if let Some(cluster) = &server.cluster {
                    cluster.filter.close_on_drop(on);
                }
            }
            DebugRequest::ChangeReplicationId => {
                let world = server.engine.keyspace.enter_exclusive();
                // Once for the new name, once more so that the old one is no former name either.
                server.engine.log.shift_replication_id(random_id());
                server.engine.log.shift_replication_id(random_id());
                drop(world);
                tracing::info!("Changing replication IDs after receiving change-repl-id");
            }
        }
        Ok(())
    }

    fn purge_memory(&self) {
        let server = self.server();
        server.purge.ask();
    }

    fn free_later(&self, flushed: Flushed) {
        let server = self.server();
        server.engine.keyspace.discards().flushed(flushed);
    }
}

fn replication(server: &Server) -> Replication {
    let log = &server.engine.log;
    let replicas = server.replicas.all();
    let online = replicas.iter().filter(|replica| replica.online).count();
    let mut info: Vec<(String, String)> = Vec::new();
    let mut add = |name: &str, value: String| info.push((name.to_owned(), value));
    let followed = server.follow.shown();
    add("role", if followed.is_some() { "slave" } else { "master" }.to_owned());
    if let Some((primary, status)) = &followed {
        follow_lines(server, primary, status.as_ref(), &mut add);
    }
    add("connected_slaves", replicas.len().to_string());
    let config = server.engine.config();
    if config.replication.min_replicas_to_write > 0 {
        let lag = u64::from(config.replication.min_replicas_max_lag);
        let good = replicas.iter().filter(|replica| replica.online && replica.lag() <= lag).count();
        add("min_slaves_good_slaves", good.to_string());
    }
    for (index, replica) in replicas.iter().enumerate() {
        let (ip, port) = replica.endpoint();
        let (state, offset) = (replica.status.state, replica.status.offset);
        let lag = replica.lag();
        let line = format!("ip={ip},port={port},state={state},offset={offset},lag={lag}");
        add(&format!("slave{index}"), line);
    }
    let identity = log.identity();
    let second = identity.second.map(|second| (second.id.to_string(), second.until.0 as i64 + 1));
    let (second_id, second_offset) = second.unwrap_or_else(|| ("0".repeat(40), -1));
    let (end, first) = (log.offset(), log.first_offset());
    let active = log.is_active();
    // A full synchronisation takes one connection.
    add("replicas_waiting_psync", "0".to_owned());
    add("master_failover_state", "no-failover".to_owned());
    add("master_replid", identity.id.to_string());
    add("master_replid2", second_id);
    add("master_repl_offset", end.to_string());
    add("second_repl_offset", second_offset.to_string());
    add("repl_backlog_active", u8::from(active).to_string());
    add("repl_backlog_size", log.backlog_limit().to_string());
    let first_byte = if active { first.0 + 1 } else { 0 };
    add("repl_backlog_first_byte_offset", first_byte.to_string());
    add("repl_backlog_histlen", (end.0 - first.0.min(end.0)).to_string());
    let role = role(server, followed, &replicas);
    Replication { info, role: Some(role), replicas: online }
}

fn follow_lines(
    server: &Server,
    primary: &Primary,
    status: Option<&FollowStatus>,
    add: &mut dyn FnMut(&str, String),
) {
    let config = server.engine.config();
    let offset = server.engine.log.offset();
    let is_up = status.is_some_and(FollowStatus::is_up);
    let link = status.map(|status| status.link);
    let is_syncing = link.is_some_and(|link| link.phase == LinkPhase::Sync);
    add("master_host", primary.host.clone());
    add("master_port", primary.port.to_string());
    add("master_link_status", if is_up { "up" } else { "down" }.to_owned());
    let last_io = link.and_then(|link| link.last_io_seconds).map_or(-1, |ago| ago as i64);
    add("master_last_io_seconds_ago", last_io.to_string());
    add("master_sync_in_progress", u8::from(is_syncing).to_string());
    add("slave_read_repl_offset", offset.to_string());
    add("slave_repl_offset", offset.to_string());
    if let Some(transfer) = link.and_then(|link| link.transfer) {
        let total = transfer.total.unwrap_or(0);
        add("master_sync_total_bytes", total.to_string());
        add("master_sync_read_bytes", transfer.read.to_string());
        add("master_sync_left_bytes", (total as i64 - transfer.read as i64).to_string());
    }
    if !is_up {
        let down = link.and_then(|link| link.down_seconds).map_or(-1, |down| down as i64);
        add("master_link_down_since_seconds", down.to_string());
    }
    add("slave_priority", config.replication.replica_priority.to_string());
    add("slave_read_only", u8::from(config.replication.replica_read_only).to_string());
    add("replica_announced", "1".to_owned());
}

/// The answer to ROLE.
fn role(
    server: &Server,
    followed: Option<(Primary, Option<FollowStatus>)>,
    replicas: &[crate::server::ReplicaEntry],
) -> Value {
    let offset = server.engine.log.offset();
    if let Some((primary, status)) = followed {
        let phase = status.map_or(LinkPhase::Connect, |status| status.link.phase);
        return Value::Array(vec![
            Value::bulk("slave"),
            Value::bulk(primary.host),
            Value::Integer(i64::from(primary.port)),
            Value::bulk(phase.name()),
            Value::Integer(offset.0 as i64),
        ]);
    }
    let replicas = replicas.iter().filter(|replica| replica.online).map(|replica| {
        let (ip, port) = replica.endpoint();
        let offset = replica.status.offset.to_string();
        Value::Array(vec![Value::bulk(ip), Value::bulk(port.to_string()), Value::bulk(offset)])
    });
    Value::Array(vec![
        Value::bulk("master"),
        Value::Integer(offset.0 as i64),
        Value::Array(replicas.collect()),
    ])
}
