//! nodes.conf: files of Redis and Valkey are read, what is written is read back, what is malformed
//! is refused with its line.

mod common;

use common::{at, config, id, three_shards};
use tessera_cluster::{Cluster, ClusterConfig, Snapshot, ViewRole};
use tessera_slot::{Epoch, Slot};

fn load(text: &str) -> Result<Snapshot, String> {
    let cluster = Cluster::new(config(), Some(text), at(1000), 1);
    cluster.map(|cluster| cluster.snapshot()).map_err(|error| error.to_string())
}

fn written(cluster: &mut Cluster) -> String {
    let saves = std::iter::from_fn(|| cluster.poll_batch()).filter_map(|batch| batch.save);
    saves.last().expect("a start saves the file").text
}

#[test]
fn a_file_of_redis_7_0_is_read() {
    // Written by redis-server 7.0.15: no auxiliary fields.
    let text = "\
19a7ea7c8c9f64ee5a20ae2ffed0cf3cd1eaa4b0 127.0.0.1:7001@17001, master - 0 1700000000500 2 connected 5461-10922
07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:7000@17000,host-a myself,master - 0 1700000000000 1 connected 0-5460 [93->-19a7ea7c8c9f64ee5a20ae2ffed0cf3cd1eaa4b0]
e7d1eecce10fd6bb5eb35b9f99a514335d9ba9ca 127.0.0.1:7003@17003, slave,fail? 19a7ea7c8c9f64ee5a20ae2ffed0cf3cd1eaa4b0 1700000000100 1700000000000 2 disconnected
vars currentEpoch 6 lastVoteEpoch 5
";
    let snapshot = load(text).unwrap();
    assert_eq!(snapshot.id.to_string(), "07c37dfeb235213a872192d90877d0cd55635b91");
    assert_eq!((snapshot.current_epoch, snapshot.last_vote_epoch), (Epoch(6), Epoch(5)));
    assert_eq!(snapshot.members.len(), 3);
    assert!(snapshot.myself().slots.contains(Slot::MIN));
    let replica = &snapshot.members[2];
    assert_eq!(replica.role, ViewRole::Replica(Some(snapshot.members[1].id)));
}

#[test]
fn a_file_of_valkey_8_is_read() {
    // Written by valkey-server 8.1 with an announced hostname and node name.
    let text = "\
07c37dfeb235213a872192d90877d0cd55635b91 127.0.0.1:7000@17000,host-a,client-ipv4=10.1.1.1,tls-port=0,nodename=a,shard-id=69bc080733d1355567173199cff4a6a039a2f024 myself,master - 0 0 1 connected 0-16383
vars currentEpoch 1 lastVoteEpoch 0
";
    let mut cluster = Cluster::new(config(), Some(text), at(1000), 1).unwrap();
    let file = written(&mut cluster);
    assert!(file.contains("shard-id=69bc080733d1355567173199cff4a6a039a2f024"), "{file}");
}

#[test]
fn what_is_written_is_read_back() {
    for me in 1..=4 {
        let mut first = Cluster::new(config(), Some(&three_shards(me)), at(1000), 1).unwrap();
        let file = written(&mut first);
        let mut second = Cluster::new(config(), Some(&file), at(99_000), 2).unwrap();
        assert_eq!(first.snapshot(), second.snapshot());
        assert_eq!(file, written(&mut second));
    }
}

#[test]
fn a_tls_port_survives() {
    let tls = ClusterConfig { tls_port: 7443, tls_cluster: true, ..config() };
    let mut first = Cluster::new(tls.clone(), None, at(1000), 1).unwrap();
    let file = written(&mut first);
    assert!(file.contains(":7000@17443,,tls-port=7443"), "{file}");
    let mut second = Cluster::new(tls, Some(&file), at(1000), 2).unwrap();
    assert_eq!(file, written(&mut second));
}

#[test]
fn a_malformed_file_names_the_line() {
    let name = id(7);
    let other = id(8);
    let sound = format!("{other} 127.0.0.1:7001@17001 master - 0 0 1 connected 0-99\n");
    for (line, problem) in [
        ("nonsense".to_owned(), "1 fields where at least 8 are expected"),
        (format!("{name} 127.0.0.1:7000@17000 myself,master - 0 0"), "6 fields"),
        (format!("{name}0 127.0.0.1:7000@17000 myself,master - 0 0 1 connected"), "node name"),
        (format!("{name} 127.0.0.1 myself,master - 0 0 1 connected"), "no port"),
        (format!("{name} 127.0.0.1:x@17000 myself,master - 0 0 1 connected"), "not a port"),
        (format!("{name} 127.0.0.1:1@2,,junk myself,master - 0 0 1 connected"), "name=value"),
        (format!("{name} 127.0.0.1:1@2 myself,king - 0 0 1 connected"), "unknown flag 'king'"),
        (format!("{name} 127.0.0.1:1@2 myself,master zz 0 0 1 connected"), "node name"),
        (format!("{name} 127.0.0.1:1@2 myself,slave {name} 0 0 1 connected"), "replicates itself"),
        (format!("{name} 127.0.0.1:1@2 myself,master - 0 0 one connected"), "config epoch"),
        (format!("{name} 127.0.0.1:1@2 myself,master - 0 0 1 connected 16384"), "not a slot"),
        (format!("{name} 127.0.0.1:1@2 myself,master - 0 0 1 connected 9-3"), "ends before"),
        (format!("{name} 127.0.0.1:1@2 myself,master - 0 0 1 connected 50-120"), "two nodes"),
        (format!("{name} 127.0.0.1:1@2 myself,master - 0 0 1 connected [7->{other}]"), "open slot"),
        ("vars currentEpoch".to_owned(), "without a value"),
        (format!("{name} 127.0.0.1:1@2 master - 0 0 1 connected"), "no node is flagged as myself"),
    ] {
        let error = load(&format!("{sound}{line}\n")).unwrap_err();
        assert!(error.starts_with("nodes.conf, line 2: "), "{line}: {error}");
        assert!(error.contains(problem), "{line}: {error}");
    }
}

#[test]
fn an_empty_file_is_a_new_node() {
    assert_eq!(load("").unwrap().members.len(), 1);
}

/// A node with one other, and the variables.
fn sound() -> String {
    format!(
        "{} 127.0.0.1:7000@17000 myself,master - 0 0 3 connected 0-100\n\
         {} 127.0.0.1:7001@17001,h\u{fffd}llo master - 0 0 2 connected 200-300\n\
         vars currentEpoch 5 lastVoteEpoch 4\n",
        id(1),
        id(2)
    )
}

/// The lines of its nodes, and the one of its variables.
fn parts() -> (String, String) {
    let text = sound();
    let (lines, vars) = text.split_at(text.find("vars").expect("it has variables"));
    (lines.to_owned(), vars.to_owned())
}

#[test]
fn zero_bytes_end_a_line_as_they_do_for_redis_and_valkey() {
    let plain = load(&sound()).unwrap();
    let zeros = "\0".repeat(300);
    let (lines, vars) = parts();
    for text in [
        format!("{}{zeros}", sound()),
        format!("{}{zeros}\n", sound()),
        format!("{lines}\0\0\n{vars}"),
        format!("{lines}\0{} no line\n{vars}", id(3)),
        format!("{lines}{}\0 and more\n", vars.trim_end()),
        format!("\n\n{lines}\n{vars}\n"),
        sound().replace('\n', "\r\n"),
        sound().trim_end().to_owned(),
        format!("{lines}{}", vars.replace("vars", "VARS").to_ascii_uppercase()),
        sound().replace("myself,master", "MYSELF,Master"),
    ] {
        assert_eq!(load(&text).as_ref(), Ok(&plain), "{text:?}");
    }
}

#[test]
fn a_file_that_may_have_lost_a_vote_is_refused() {
    let (lines, vars) = parts();
    for (text, problem) in [
        (lines.clone(), "the line of variables is missing"),
        (format!("{lines}{}", "\0".repeat(40)), "the line of variables is missing"),
        ("\0".repeat(4096), "no node is flagged as myself"),
        ("\n\n".to_owned(), "no node is flagged as myself"),
        (vars, "no node is flagged as myself"),
    ] {
        let error = load(&text).unwrap_err();
        assert!(error.contains(problem), "{text:?}: {error}");
    }
}

#[test]
fn epochs_near_the_end_of_the_range_are_refused() {
    let highest = Epoch::HIGHEST.0;
    let file = |vars: u64, vote: u64, config: u64| {
        format!(
            "{} 127.0.0.1:7000@17000 myself,master - 0 0 {config} connected\n\
             vars currentEpoch {vars} lastVoteEpoch {vote}\n",
            id(1)
        )
    };
    assert_eq!(load(&file(highest, 1, 1)).unwrap().current_epoch, Epoch::HIGHEST);
    for text in [
        file(u64::MAX, 1, 1),
        file(1, u64::MAX, 1),
        file(1, 1, u64::MAX),
        file(highest + 1, 1, 1),
        file(1, 1, highest + 1),
    ] {
        let error = load(&text).unwrap_err();
        assert!(error.contains("is too high for a"), "{text}: {error}");
    }
}
