//! The nodes on which a cluster's commands may run: MOVED, ASK, TRYAGAIN, CLUSTERDOWN, and what
//! replicas serve.

mod harness;

use harness::{Client, START};
use std::sync::Arc;
use tessera_cluster::bus::{self, Body, Header, MessageFlags, NodeFlags, Packet, PingKind};
use tessera_cluster::{Cluster, ClusterConfig, Event, LinkId, Now, RoutingView};
use tessera_engine::{Mode, Outcome, Park};
use tessera_slot::{Epoch, Millis, NodeId, Offset, Slot, SlotState};

/// How long a node that has just started waits before it serves, milliseconds, and some more.
const SETTLED: u64 = 3000;

fn id(byte: u8) -> NodeId {
    NodeId([byte; 20])
}

/// The routing of node `me` so long after its start: primaries 1 and 2 with half the slots each but
/// for the last slot, which has no owner, and node 3, a replica of 1. Node n has port 7000 + n.
fn view(me: u8, after: u64) -> Arc<RoutingView> {
    let mut text = String::new();
    for (byte, slots) in [(1, " 0-8191"), (2, " 8192-16382"), (3, "")] {
        let myself = if byte == me { "myself," } else { "" };
        let (role, of) = match byte {
            3 => ("slave", id(1).to_string()),
            _ => ("master", "-".to_owned()),
        };
        let (port, name) = (7000 + u16::from(byte), id(byte));
        let address = format!("127.0.0.1:{port}@{}", port + 10_000);
        text += &format!("{name} {address} {myself}{role} {of} 0 0 {byte} connected{slots}\n");
    }
    text += "vars currentEpoch 3 lastVoteEpoch 0\n";
    let config = ClusterConfig { require_full_coverage: false, ..ClusterConfig::default() };
    let now = |ms| Now { mono: Millis(50_000 + ms), unix: START.plus(ms) };
    let mut cluster = Cluster::new(config, Some(&text), now(0), 1).expect("a sound file");
    for at in (0..after).step_by(100) {
        // A node serves as long as it hears a majority.
        hear_primaries(&mut cluster, me, now(at));
        cluster.handle(now(at), Event::Tick);
    }
    cluster.routing_view().expect("it is published").clone()
}

/// The primaries but for node `me` speak.
fn hear_primaries(cluster: &mut Cluster, me: u8, now: Now) {
    for (byte, slots) in [(1, 0..=8191), (2, 8192..=16_382)] {
        if byte == me {
            continue;
        }
        let header = Header {
            sender: id(byte),
            current_epoch: Epoch(3),
            config_epoch: Epoch(u64::from(byte)),
            offset: Offset(0),
            slots: slots.map(Slot::from_low_bits).collect(),
            primary: None,
            ip: None,
            port: 7000 + u16::from(byte),
            secondary_port: 0,
            bus_port: 17_000 + u16::from(byte),
            flags: NodeFlags::PRIMARY,
            cluster_ok: true,
            message_flags: MessageFlags::default(),
        };
        let body = Body::Ping { kind: PingKind::Pong, gossip: vec![], extensions: vec![] };
        let bytes = bus::encode(&Packet::Full(Box::new(header), body));
        let link = LinkId::Accepted(u64::from(byte));
        let [peer, local] = [([127, 0, 0, 1], 1).into(), ([127, 0, 0, 1], 2).into()];
        cluster.handle(now, Event::LinkAccepted { link, peer, local });
        cluster.handle(now, Event::Packet { link, bytes });
    }
}

/// A client of node `me`, whose slots are as the cluster core would have them.
fn client_of(me: u8, after: u64) -> Client {
    let client = Client::in_cluster();
    let routing = view(me, after);
    let mut world = client.engine.keyspace.enter(1);
    for slot in Slot::all() {
        let state = match routing.is_mine(slot) {
            true => SlotState::Served,
            false => SlotState::Remote { owner: routing.owner(slot).map(|node| node.id) },
        };
        world.lock(slot).set_state(state);
    }
    drop(world);
    *client.host.routing.lock().unwrap() = Some(routing);
    client
}

fn set_state(client: &Client, slot: Slot, state: SlotState) {
    client.engine.keyspace.enter(1).lock(slot).set_state(state);
}

/// A hash tag of a slot in this range.
fn tag(range: std::ops::Range<u16>) -> (Slot, String) {
    let mut tags = (0..).map(|number| format!("{{t{number}}}"));
    let tag = tags.find(|tag| range.contains(&Slot::of_key(tag.as_bytes()).number()));
    let tag = tag.expect("tags reach every slot");
    (Slot::of_key(tag.as_bytes()), tag)
}

#[test]
fn a_node_serves_its_slots_and_redirects_to_the_owners_of_others() {
    let mut client = client_of(1, SETTLED);
    let (_, mine) = tag(0..8192);
    let (slot, theirs) = tag(8192..16_383);
    let (_, nobodys) = tag(16_383..16_384);
    let moved = format!("-MOVED {slot} 127.0.0.1:7002");
    let crossing = "-CROSSSLOT Keys in request don't hash to the same slot";
    client.expect(&[
        (&format!("set {mine} v"), "+OK"),
        (&format!("get {mine}"), "$1|v"),
        (&format!("get {theirs}"), &moved),
        (&format!("mset {theirs}1 a {theirs}2 b"), &moved),
        (&format!("mget {mine} {theirs}"), crossing),
        (&format!("get {nobodys}"), "-CLUSTERDOWN Hash slot not served"),
        ("ping", "+PONG"),
    ]);
    // READONLY is for the slots of a replica's primary.
    client.expect(&[("readonly", "+OK"), (&format!("get {theirs}"), &moved)]);
}

#[test]
fn a_slot_that_migrates_serves_what_it_still_has() {
    let mut client = client_of(1, SETTLED);
    let (slot, tag) = tag(0..8192);
    client.expect(&[(&format!("mset {tag}1 a {tag}2 b"), "+OK")]);
    set_state(&client, slot, SlotState::Migrating { to: id(2) });
    let ask = format!("-ASK {slot} 127.0.0.1:7002");
    let try_again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    client.expect(&[
        (&format!("get {tag}1"), "$1|a"),
        (&format!("mget {tag}1 {tag}2"), "*2|$1|a|$1|b"),
        (&format!("get {tag}3"), &ask),
        (&format!("set {tag}3 new"), &ask),
        (&format!("mget {tag}3 {tag}4"), &ask),
        (&format!("mget {tag}1 {tag}3"), try_again),
        (&format!("del {tag}3 {tag}2"), try_again),
        (&format!("get {tag}2"), "$1|b"),
    ]);
}

#[test]
fn a_slot_that_is_imported_serves_who_was_sent_there() {
    let mut client = client_of(1, SETTLED);
    let (slot, tag) = tag(8192..16_383);
    set_state(&client, slot, SlotState::Importing { from: id(2) });
    let moved = format!("-MOVED {slot} 127.0.0.1:7002");
    let try_again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    client.expect(&[
        (&format!("set {tag}1 a"), &moved),
        ("asking", "+OK"),
        (&format!("set {tag}1 a"), "+OK"),
        // ASKING is for one command.
        (&format!("get {tag}1"), &moved),
        ("asking", "+OK"),
        (&format!("get {tag}1"), "$1|a"),
        ("asking", "+OK"),
        (&format!("mget {tag}1 {tag}2"), try_again),
        ("asking", "+OK"),
        (&format!("set {tag}2 b"), "+OK"),
        ("asking", "+OK"),
        (&format!("mget {tag}1 {tag}2"), "*2|$1|a|$1|b"),
    ]);
}

#[test]
fn a_replica_serves_readers_of_its_primarys_slots_and_nobody_who_writes() {
    let mut client = client_of(3, SETTLED);
    client.engine.set_mode(Mode::REPLICA, true);
    client.engine.set_mode(Mode::READ_ONLY, true);
    let (slot, ours) = tag(0..8192);
    let (other, theirs) = tag(8192..16_383);
    let moved = format!("-MOVED {slot} 127.0.0.1:7001");
    let elsewhere = format!("-MOVED {other} 127.0.0.1:7002");
    let read_only = "-READONLY You can't write against a read only replica.";
    client.expect(&[
        (&format!("get {ours}"), &moved),
        ("readonly", "+OK"),
        (&format!("get {ours}"), "$-1"),
        (&format!("get {theirs}"), &elsewhere),
        (&format!("set {ours} v"), &moved),
        // Without a key there is nowhere to redirect to.
        ("flushall", read_only),
        ("flushdb", read_only),
        ("readwrite", "+OK"),
        (&format!("get {ours}"), &moved),
    ]);
}

#[test]
fn a_cluster_that_is_down_serves_nobody() {
    let mut client = client_of(1, 0);
    client.engine.set_mode(Mode::CLUSTER_DOWN, true);
    let (_, mine) = tag(0..8192);
    let down = "-CLUSTERDOWN The cluster is down";
    client.expect(&[(&format!("get {mine}"), down), (&format!("set {mine} v"), down)]);
    // A node that knows no routes yet says so, too.
    *client.host.routing.lock().unwrap() = None;
    client.expect(&[(&format!("get {mine}"), down)]);
    client.engine.set_mode(Mode::CLUSTER_DOWN, false);
    client.expect(&[(&format!("get {mine}"), "$-1")]);
}

#[test]
fn a_transaction_in_a_slot_that_migrates_goes_as_a_whole_where_its_keys_are() {
    let mut client = client_of(1, SETTLED);
    let (slot, tag) = tag(0..8192);
    let exec = |client: &mut Client, commands: &[String]| {
        set_state(client, slot, SlotState::Served);
        client.expect(&[("multi", "+OK")]);
        for command in commands {
            assert_eq!(client.run(command), "+QUEUED");
        }
        set_state(client, slot, SlotState::Migrating { to: id(2) });
        client.run("exec")
    };
    client.expect(&[(&format!("set {tag}1 a"), "+OK")]);
    let [here, gone] = [1, 2].map(|number| format!("get {tag}{number}"));
    assert_eq!(exec(&mut client, &[here.clone(), here.clone()]), "*2|$1|a|$1|a");
    let ask = format!("-ASK {slot} 127.0.0.1:7002");
    assert_eq!(exec(&mut client, &[gone.clone(), gone.clone()]), ask);
    let try_again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    assert_eq!(exec(&mut client, &[here.clone(), gone.clone()]), try_again);
    assert_eq!(exec(&mut client, &[gone, "ping".to_owned(), here]), try_again);
    // It is over, in each case.
    client.expect(&[("exec", "-ERR EXEC without MULTI")]);
}

#[test]
fn a_transaction_in_a_slot_that_is_imported_needs_all_of_its_keys() {
    let mut client = client_of(1, SETTLED);
    let (slot, tag) = tag(8192..16_383);
    set_state(&client, slot, SlotState::Importing { from: id(2) });
    let [first, second] = [1, 2].map(|number| format!("incr {tag}{number}"));
    let queue = |client: &mut Client, commands: &[&String]| {
        // ASKING is for the whole transaction.
        client.expect(&[("asking", "+OK"), ("multi", "+OK")]);
        commands.iter().for_each(|command| client.expect(&[(command, "+QUEUED")]));
    };
    // One key, which may be new.
    queue(&mut client, &[&first, &first]);
    client.expect(&[("exec", "*2|:1|:2")]);
    // And for no more than that.
    client.expect(&[(&first, &format!("-MOVED {slot} 127.0.0.1:7002"))]);
    // Several, of which one may still be where they come from.
    queue(&mut client, &[&first, &second]);
    let try_again = "-TRYAGAIN Multiple keys request during rehashing of slot";
    client.expect(&[("exec", try_again)]);
}

#[test]
fn clients_that_wait_for_a_slot_go_with_it() {
    let client = client_of(1, SETTLED);
    let ((slot, leaving), (_, staying)) = (tag(0..4000), tag(4000..8192));
    let [mut first, mut second] = [(); 2].map(|()| client.another());
    for (client, tag) in [(&mut first, &leaving), (&mut second, &staying)] {
        assert_eq!(client.run(&format!("blpop {tag} 0")), "");
        assert!(matches!(client.outcome, Outcome::Wait(Park::Blocked { .. })));
    }
    set_state(&client, slot, SlotState::Remote { owner: Some(id(2)) });
    // The routing still says what it said: that the slot is node 1's. The slot's own state counts.
    client.engine.redirect_blocked(1);
    let answers = std::mem::take(&mut *client.host.answers.lock().unwrap());
    let ids: Vec<u64> = answers.iter().map(|(id, _)| *id).collect();
    assert_eq!(ids, [first.session.info.id]);
    let text = String::from_utf8_lossy(&answers[0].1).into_owned();
    assert!(text.starts_with(&format!("-MOVED {slot} ")), "{text}");
    assert_eq!(client.engine.blocked_clients(), 1);
}
