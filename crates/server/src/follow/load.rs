//! Loading the payload of a full synchronisation, straight from the connection.

use super::Follower;
use crate::server::random_id;
use std::io::{self, ErrorKind, Read};
use std::sync::Arc;
use tessera_dataset::{LoadOptions, Loaded, Notice, Target};
use tessera_engine::{Engine, Mode};
use tessera_replication::{LinkEvent, Position};
use tessera_slot::Offset;

const NOT_WANTED: &str = "another primary is to be followed";

/// The payload as it comes: reading from it reads from the connection.
struct Payload<'a>(&'a mut Follower);

impl Read for Payload<'_> {
    fn read(&mut self, out: &mut [u8]) -> io::Result<usize> {
        let follower = &mut *self.0;
        if !follower.is_wanted() {
            return Err(io::Error::other(NOT_WANTED));
        }
        while follower.payload.is_empty() && !follower.payload_ended {
            if !follower.is_wanted() {
                return Err(io::Error::other(NOT_WANTED));
            }
            if !follower.is_connected() {
                return Err(ErrorKind::ConnectionAborted.into());
            }
            follower.step();
        }
        follower.payload.read(out)
    }
}

impl Follower {
    /// Replaces all data by the payload's. What stood here before is gone from the start: while the
    /// loading goes on clients are told so.
    pub(super) fn load(&mut self, grant: Position) {
        let server = Arc::clone(&self.server);
        let engine = &server.engine;
        // A node that was told meanwhile to follow another primary, or none, keeps its data, and
        // may have taken writes since.
        if !server.follow.begin_loading(self.version) {
            return;
        }
        // Before anything is dropped: such a replica must not be elected.
        let was_incomplete = server.follow.is_incomplete();
        server.follow.set_incomplete(true);
        if server.cluster.as_ref().is_some_and(|cluster| !cluster.gives_up_data()) {
            server.follow.set_incomplete(was_incomplete);
            server.follow.end_loading();
            self.lost("this node has been elected in its place");
            return;
        }
        engine.set_mode(Mode::LOADING, true);
        self.is_loading = true;
        let mut world = engine.keyspace.enter_exclusive();
        let flushed = world.flush(None);
        // No replica may continue from a history whose data is half gone.
        engine.log.adopt(random_id(), Offset(0), 0);
        drop(world);
        engine.keyspace.discards().flushed(flushed);
        server.disconnect_replicas();
        self.publish();
        let started = std::time::Instant::now();
        let loaded = load(&mut Payload(self), engine, server.mailboxes.len());
        // A node that was told meanwhile to follow another primary, or none, must not take this
        // primary's history as its own after that. From here to `end_applying` such an order waits.
        let loaded = match loaded {
            Ok(_) if !server.follow.begin_applying(self.version) => Err(NOT_WANTED.to_owned()),
            loaded => loaded,
        };
        let event = match loaded {
            Ok(Loaded { keys, stream_db }) => {
                tracing::info!(
                    "PRIMARY <-> REPLICA sync: Finished with success: {keys} keys in {} ms",
                    started.elapsed().as_millis()
                );
                let world = engine.keyspace.enter_exclusive();
                engine.log.adopt(grant.id, grant.offset, stream_db as u32);
                drop(world);
                server.follow.set_incomplete(false);
                server.follow.end_applying();
                self.session.db = stream_db;
                LinkEvent::Loaded
            }
            Err(error) => {
                tracing::warn!("Failed trying to load the PRIMARY synchronization DB: {error}");
                let mut world = engine.keyspace.enter_exclusive();
                let flushed = world.flush(None);
                // A replica that has begun to follow this node meanwhile has seen data that is gone
                // now.
                engine.log.adopt(random_id(), Offset(0), 0);
                drop(world);
                engine.keyspace.discards().flushed(flushed);
                server.disconnect_replicas();
                LinkEvent::LoadFailed
            }
        };
        self.is_loading = false;
        self.payload.clear();
        engine.set_mode(Mode::LOADING, false);
        server.follow.end_loading();
        self.event(event, &[]);
        self.publish();
        self.apply_received();
    }
}

/// Reads a whole RDB stream into the keyspace.
fn load(payload: &mut Payload<'_>, engine: &Engine, thread: usize) -> Result<Loaded, String> {
    let options = LoadOptions::of(&engine.config(), crate::time::unix());
    let mut target = Target::Shared { keyspace: &engine.keyspace, thread };
    let notice = |notice: Notice<'_>| match notice {
        Notice::EmptyKey(key) => {
            tracing::warn!("Passing over key '{}' without elements", key.escape_ascii());
        }
        Notice::Function => {
            tracing::warn!("The primary has functions, which this version does not keep");
        }
    };
    let loaded = tessera_dataset::load(&mut *payload, &mut target, &options, notice)
        .map_err(|error| error.to_string())?;
    // The payload's end mark may come after the data's own end: only then is the link ready to go
    // on.
    match payload.read(&mut [0]) {
        Ok(0) => Ok(loaded),
        Ok(_) => Err("bytes after the end of the data".to_owned()),
        Err(error) => Err(error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use crate::bus::{ClusterHandle, cluster_config};
    use crate::follow::{Follower, Primary};
    use crate::server::Server;
    use crate::time;
    use std::sync::Arc;
    use tessera_cluster::Cluster;
    use tessera_engine::Mode;
    use tessera_log::ReplId;
    use tessera_replication::Position;
    use tessera_slot::Offset;

    #[test]
    fn a_payload_drops_nothing_when_the_core_has_been_elected() {
        // Given: the core is a primary already, but nodes.conf is not on disk yet, so the follower
        // still follows.
        let mut config = tessera_config::Config::default();
        config.cluster.enabled = true;
        let core = Cluster::new(cluster_config(&config), None, time::now(), 1).expect("no file");
        let cluster = Arc::new(ClusterHandle::new(core));
        let server = Server::without_threads(config, Some(cluster));
        let slot = server.put(b"key");
        let primary = Primary { host: "127.0.0.1".to_owned(), port: 1 };
        server.follow.set(Some(primary.clone()));
        let version = server.follow.state.lock().version;
        let mut follower = Follower::new(Arc::clone(&server), 0, primary, version);

        // When a full synchronisation is granted.
        follower.load(Position { id: ReplId::from_random([2; 20]), offset: Offset(1) });

        // Then the data that the node was elected with is all there.
        assert_eq!(server.engine.keyspace.peek_len(slot), 1);
        assert!(!server.engine.mode().any(Mode::LOADING) && !server.follow.is_incomplete());
    }

    #[test]
    fn a_payload_that_is_no_longer_wanted_drops_nothing() {
        // Given: a full synchronisation was granted, but then nobody was to be followed any more.
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let slot = server.put(b"key");
        let primary = Primary { host: "127.0.0.1".to_owned(), port: 1 };
        server.follow.set(Some(primary.clone()));
        let version = server.follow.state.lock().version;
        let mut follower = Follower::new(Arc::clone(&server), 0, primary, version);
        server.follow.set(None);

        // When the follower comes to it.
        follower.load(Position { id: ReplId::from_random([2; 20]), offset: Offset(1) });

        // Then the data is what it was.
        assert_eq!(server.engine.keyspace.peek_len(slot), 1);
        assert!(!server.engine.mode().any(Mode::LOADING) && !server.follow.is_incomplete());
    }
}
