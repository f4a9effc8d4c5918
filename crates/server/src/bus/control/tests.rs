use super::*;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Release;
use tessera_cluster::Cluster;
use tessera_config::Config;
use tessera_log::ReplId;
use tessera_slot::SlotSet;

/// The control thread of a server in cluster mode, which nobody runs.
fn control() -> Control {
    let mut config = Config::default();
    config.cluster.enabled = true;
    let cluster_config = crate::bus::cluster_config(&config);
    let core = Cluster::new(cluster_config, None, time::now(), 1).expect("no file, no error");
    let cluster = Arc::new(ClusterHandle::new(core));
    let server = Server::without_threads(config, Some(Arc::clone(&cluster)));
    let applier = Applier::new(Arc::clone(&server), cluster);
    Control {
        server,
        thread: 0,
        links: HashMap::new(),
        strangers: Strangers::default(),
        inbox: Inbox::new(mpsc::channel(EVENTS).0),
        next_accepted: 0,
        file: None,
        unsaved: None,
        save_failed: false,
        saved_at: Millis(0),
        told: (None, None),
        applier: Some(Arc::new(applier)),
        ping: PingSchedule::new(Millis(0), 1000),
        second_at: Millis(0),
        tick_at: None,
        seen: None,
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
        control.links.insert(link, link::open(link, addr, control.inbox.clone()));
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
        control.applier.as_ref().expect("of a cluster").drop_keys(0, &SlotSet::from_iter([slot]));
        assert_eq!(engine.keyspace.peek_len(slot), 0);
        assert_eq!(engine.log.offset() == end, log_closed, "closed: {log_closed}");
    }
}

/// nodes.conf of such a thread, in a directory that is not there yet.
fn file_in_a_missing_dir(root: &std::path::Path) -> (NodesFile, std::path::PathBuf) {
    let dir = root.join("dir");
    std::fs::create_dir(&dir).expect("a directory");
    let (file, _) = NodesFile::open(&dir.join("nodes.conf")).expect("nobody has it");
    std::fs::remove_dir_all(&dir).expect("it is there");
    (file, dir)
}

fn conf(durable: bool) -> NodesConf {
    NodesConf { text: "vars currentEpoch 1 lastVoteEpoch 1\n".to_owned(), durable }
}

#[test]
fn what_could_not_be_written_at_leisure_is_written_later() {
    let temp = tempfile::tempdir().expect("a directory");
    let (file, dir) = file_in_a_missing_dir(temp.path());
    let mut control = control();
    control.file = Some(file);
    assert!(control.save(conf(false)));
    control.save_unsaved(true);
    assert!(control.save_failed);
    // When the disk takes it again, though nothing has changed since.
    std::fs::create_dir(&dir).expect("a directory");
    control.save_unsaved(true);
    assert!(!control.save_failed);
    let text = std::fs::read_to_string(dir.join("nodes.conf")).expect("it is written");
    assert_eq!(text, conf(false).text);
}

#[test]
fn what_must_be_on_disk_first_waits_for_the_disk() {
    let temp = tempfile::tempdir().expect("a directory");
    let (file, dir) = file_in_a_missing_dir(temp.path());
    let mut control = control();
    control.file = Some(file);
    let is_saved = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let save = scope.spawn(|| {
            assert!(control.save(conf(true)));
            is_saved.store(true, Release);
        });
        std::thread::sleep(Duration::from_millis(20));
        assert!(!is_saved.load(Acquire), "there is no disk");
        std::fs::create_dir(&dir).expect("a directory");
        save.join().expect("it ends");
    });
    assert!(dir.join("nodes.conf").exists());
}

#[test]
fn a_server_that_is_to_end_does_not_wait_for_the_disk() {
    let temp = tempfile::tempdir().expect("a directory");
    let (file, _) = file_in_a_missing_dir(temp.path());
    let mut control = control();
    control.file = Some(file);
    control.quit.set();
    assert!(!control.save(conf(true)), "what follows must not be done");
}

#[tokio::test]
async fn strangers_do_not_take_all_descriptors() {
    let mut control = control();
    let cluster = control.server.cluster.clone().expect("it is a cluster's");
    let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let addr = listener.local_addr().expect("it is bound");
    let mut peers = Vec::new();
    for _ in 0..300 {
        let peer = tokio::net::TcpStream::connect(addr).await.expect("it listens");
        let (socket, from) = listener.accept().await.expect("it has connected");
        control.arrive(socket, from, addr);
        peers.push(peer);
    }
    // Then the newest are served.
    assert_eq!(control.links.len(), 100);
    assert!(control.links.contains_key(&LinkId::Accepted(299)));
    assert!(!control.links.contains_key(&LinkId::Accepted(199)));
    // And one that has ended makes room for another.
    let event = Event::LinkDown { link: LinkId::Accepted(250), reason: LinkDownReason::Eof };
    control.pass_on(&cluster, event);
    let peer = tokio::net::TcpStream::connect(addr).await.expect("it listens");
    let (socket, from) = listener.accept().await.expect("it has connected");
    control.arrive(socket, from, addr);
    assert!(control.links.contains_key(&LinkId::Accepted(200)));
    drop(peer);
}
