use super::*;
use tessera_cluster::Cluster;
use tessera_config::Config;
use tessera_log::ReplId;

/// The control thread of a server in cluster mode, which nobody runs.
fn control() -> Control {
    let mut config = Config::default();
    config.cluster.enabled = true;
    let cluster_config = crate::bus::cluster_config(&config);
    let core = Cluster::new(cluster_config, None, time::now(), 1).expect("no file, no error");
    let cluster = Arc::new(ClusterHandle::new(core));
    let server = Server::without_threads(config, Some(cluster));
    Control {
        server,
        thread: 0,
        links: HashMap::new(),
        events: mpsc::channel(EVENTS).0,
        next_accepted: 0,
        file: None,
        unsaved: None,
        saved_at: Millis(0),
        told: (None, None),
        resume_at: None,
        ping: PingSchedule::new(Millis(0), 1000),
        second_at: Millis(0),
        tick_at: None,
        quit: Arc::default(),
    }
}

#[tokio::test]
async fn a_link_that_has_ended_is_forgotten() {
    let mut control = control();
    let cluster = control.server.cluster.clone().expect("it is a cluster's");
    let addr = ([127, 0, 0, 1], 1).into();
    let links = [LinkId::Outgoing(1), LinkId::Accepted(1)];
    for link in links {
        control.links.insert(link, link::open(link, addr, control.events.clone()));
    }
    for link in links {
        control.pass_on(&cluster, Event::LinkDown { link, reason: LinkDownReason::Eof });
        assert!(!control.links.contains_key(&link), "{link:?}");
    }
}

#[test]
fn keys_of_lost_slots_are_dropped_and_replicas_told_unless_the_history_has_ended() {
    for log_closed in [false, true] {
        let control = control();
        let engine = &control.server.engine;
        {
            let _alone = engine.keyspace.enter_exclusive();
            engine.log.activate(ReplId::from_random([2; 20]));
        }
        let slot = control.server.put(b"key");
        let end = engine.log.offset();
        control.server.log_closed.store(log_closed, Release);
        control.drop_keys(&SlotSet::from_iter([slot]));
        assert_eq!(engine.keyspace.peek_len(slot), 0);
        assert_eq!(engine.log.offset() == end, log_closed, "closed: {log_closed}");
    }
}
