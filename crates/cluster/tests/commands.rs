//! CLUSTER subcommands: replies, error texts and effects.

mod common;

use common::{Node, config, header, id, sent, three_shards};
use tessera_cluster::bus::{Body, Extension, Header, MessageFlags, Packet, PingKind};
use tessera_cluster::{ClusterConfig, Effect, Event, LinkId};
use tessera_resp::Value;
use tessera_slot::{Slot, SlotRange, SlotSet, SlotState};

fn text(value: Value) -> String {
    match value {
        Value::Verbatim(_, text) | Value::Simple(text) => text,
        Value::Bulk(bytes) => String::from_utf8(bytes).unwrap(),
        other => panic!("not a text: {other:?}"),
    }
}

fn range(start: u16, end: u16) -> SlotRange {
    SlotRange { start: Slot::from_low_bits(start), end: Slot::from_low_bits(end) }
}

fn slot_changes(node: &mut Node) -> Vec<(SlotRange, SlotState)> {
    let effects = node.effects().into_iter();
    effects
        .filter_map(|effect| if let Effect::SetSlots(list) = effect { Some(list) } else { None })
        .flatten()
        .collect()
}

#[test]
fn errors_are_those_of_redis() {
    let stranger = id(9);
    let (me, other, replica) = (id(1), id(2), id(4));
    let table = [
        ("nonsense", "ERR unknown subcommand 'nonsense'. Try CLUSTER HELP.".to_owned()),
        ("info x", "ERR wrong number of arguments for 'cluster|info' command".to_owned()),
        ("meet 127.0.0.1 x", "ERR Invalid base port specified: x".to_owned()),
        ("meet 127.0.0.1 1 x", "ERR Invalid bus port specified: x".to_owned()),
        ("meet nowhere 7000", "ERR Invalid node address specified: nowhere:7000".to_owned()),
        ("meet 127.0.0.1 70000", "ERR Invalid node address specified: 127.0.0.1:70000".to_owned()),
        ("addslots 1", "ERR Slot 1 is already busy".to_owned()),
        ("addslots 16384", "ERR Invalid or out of range slot".to_owned()),
        ("addslots -1", "ERR Invalid or out of range slot".to_owned()),
        ("delslots 1 1", "ERR Slot 1 specified multiple times".to_owned()),
        ("addslotsrange 5 1", "ERR start slot number 5 is greater than end slot number 1".to_owned()),
        ("addslotsrange 1 2 3", "ERR wrong number of arguments for 'cluster|addslotsrange' command".to_owned()),
        ("setslot 6000 migrating X", "ERR I'm not the owner of hash slot 6000".to_owned()),
        ("setslot 1 importing X", "ERR I'm already the owner of hash slot 1".to_owned()),
        ("setslot 1 migrating X", "ERR I don't know about node X".to_owned()),
        ("setslot 1 node X", "ERR Unknown node X".to_owned()),
        ("setslot 1 nonsense", "ERR Invalid CLUSTER SETSLOT action or number of arguments. Try CLUSTER HELP".to_owned()),
        ("failover", "ERR You should send CLUSTER FAILOVER to a replica".to_owned()),
        ("failover now", "ERR syntax error".to_owned()),
        ("reset now", "ERR syntax error".to_owned()),
        ("set-config-epoch x", "ERR value is not an integer or out of range".to_owned()),
        ("set-config-epoch 9", "ERR The user can assign a config epoch only when the node does not know any other node.".to_owned()),
    ];
    let mut node = Node::from_conf(&three_shards(1));
    for (line, error) in table {
        assert_eq!(node.error(line), error, "{line}");
    }
    for (line, error) in [
        (format!("forget {stranger}"), format!("ERR Unknown node {stranger}")),
        (format!("forget {me}"), "ERR I tried hard but I can't forget myself...".to_owned()),
        (format!("replicate {me}"), "ERR Can't replicate myself".to_owned()),
        (
            format!("replicate {replica}"),
            "ERR I can only replicate a master, not a replica.".to_owned(),
        ),
        (
            format!("replicate {other}"),
            "ERR To set a master the node must be empty and without assigned slots.".to_owned(),
        ),
        (format!("replicas {replica}"), "ERR The specified node is not a master".to_owned()),
        (format!("setslot 1 migrating {replica}"), "ERR Target node is not a master".to_owned()),
    ] {
        assert_eq!(node.error(&line), error, "{line}");
    }
    node.keys = 3;
    assert_eq!(
        node.error("reset"),
        "ERR CLUSTER RESET can't be called with master nodes containing keys"
    );
    assert_eq!(node.error("flushslots"), "ERR DB must be empty to perform CLUSTER FLUSHSLOTS.");
    assert_eq!(
        node.error(&format!("setslot 1 node {other}")),
        "ERR Can't assign hashslot 1 to a different node while I still hold keys for this hash slot."
    );
}

#[test]
fn errors_of_a_replica() {
    let mut node = Node::from_conf(&three_shards(4));
    let primary = id(1);
    assert_eq!(node.error("setslot 1 stable"), "ERR Please use SETSLOT only with masters.");
    assert_eq!(node.error(&format!("forget {primary}")), "ERR Can't forget my master!");
    assert_eq!(
        node.error("failover"),
        "ERR Master is down or failed, please use CLUSTER FAILOVER FORCE"
    );
}

#[test]
fn a_start_tells_the_driver_its_slots() {
    let mut node = Node::fresh();
    assert_eq!(node.command("addslotsrange 0 5460"), Value::ok());
    assert_eq!(slot_changes(&mut node), [(range(0, 5460), SlotState::Served)]);
    assert_eq!(node.command("delslots 7"), Value::ok());
    assert_eq!(slot_changes(&mut node), [(range(7, 7), SlotState::Remote { owner: None })]);
}

#[test]
fn a_new_node_serves_at_once_and_a_restarted_primary_after_two_seconds() {
    let mut node = Node::fresh();
    node.command("addslotsrange 0 16383");
    assert!(text(node.command("info")).starts_with("cluster_state:ok"));
    let save = node.batches().into_iter().filter_map(|batch| batch.save).last().unwrap();
    let mut restarted = Node::from_conf(&save.text);
    restarted.pass(1900);
    assert!(text(restarted.command("info")).starts_with("cluster_state:fail"));
    restarted.pass(200);
    assert!(text(restarted.command("info")).starts_with("cluster_state:ok"));
}

#[test]
fn a_slot_moves_out_and_in() {
    let (me, other) = (id(1), id(2));
    let mut node = Node::from_conf(&three_shards(1));
    node.command(&format!("setslot 5 migrating {other}"));
    assert_eq!(slot_changes(&mut node), [(range(5, 5), SlotState::Migrating { to: other })]);
    node.command("setslot 5 stable");
    assert_eq!(slot_changes(&mut node), [(range(5, 5), SlotState::Served)]);
    node.command(&format!("setslot 6000 importing {other}"));
    assert_eq!(
        slot_changes(&mut node),
        [(range(6000, 6000), SlotState::Importing { from: other })]
    );
    let nodes = text(node.command("nodes"));
    assert!(nodes.contains(&format!("0-5460 [6000-<-{other}]")), "{nodes}");
    let before = node.cluster.claims().config_epoch;
    node.command(&format!("setslot 6000 node {me}"));
    assert_eq!(slot_changes(&mut node), [(range(6000, 6000), SlotState::Served)]);
    assert!(node.cluster.claims().config_epoch > before, "the new owner must win");
}

#[test]
fn nodes_info_and_slots_have_their_shape() {
    let mut node = Node::from_conf(&three_shards(1));
    let nodes = text(node.command("nodes"));
    let first = format!("{} 127.0.0.1:7000@17000 myself,master - 0 0 1 connected 0-5460", id(1));
    assert_eq!(nodes.lines().next(), Some(first.as_str()));
    let info = text(node.command("info"));
    for line in [
        "cluster_state:fail",
        "cluster_slots_assigned:16384",
        "cluster_known_nodes:4",
        "cluster_size:3",
        "cluster_current_epoch:4",
        "cluster_my_epoch:1",
    ] {
        assert!(info.contains(&format!("{line}\r\n")), "{info}");
    }
    let Value::Array(slots) = node.command("slots") else { panic!("not an array") };
    assert_eq!(slots.len(), 3);
    let Value::Array(first) = &slots[0] else { panic!("not an array") };
    assert_eq!(first[..2], [Value::Integer(0), Value::Integer(5460)]);
    let owner = Value::Array(vec![
        Value::bulk("127.0.0.1"),
        Value::Integer(7000),
        Value::bulk(id(1).to_hex()),
        Value::Map(vec![]),
    ]);
    assert_eq!(first[2], owner);
    let Value::Array(shards) = node.command("shards") else { panic!("not an array") };
    assert_eq!(shards.len(), 3);
}

#[test]
fn a_replica_is_told_whom_to_follow_and_a_reset_ends_it() {
    let mut node = Node::fresh();
    let host = "127.0.0.1".parse().unwrap();
    let mut replica = Node::from_conf(&three_shards(4));
    assert_eq!(replica.command("reset hard"), Value::ok());
    let effects = replica.effects();
    assert!(effects.contains(&Effect::Promote) && effects.contains(&Effect::DropAllKeys));
    assert_ne!(replica.cluster.id(), id(4));
    assert_eq!(text(node.command("bumpepoch")), "BUMPED 1");
    assert_eq!(text(node.command("bumpepoch")), "STILL 1");
    let text_of_file = three_shards(4);
    let mut cluster =
        tessera_cluster::Cluster::new(common::config(), Some(&text_of_file), common::at(0), 1)
            .unwrap();
    let follow = Effect::Follow { primary: id(1), host, port: 7001 };
    let batch = cluster.poll_batch().unwrap();
    assert!(batch.then.contains(&follow), "{:?}", batch.then);
}

#[test]
fn meeting_oneself_leaves_no_trace() {
    let mut node = Node::fresh();
    assert_eq!(node.command("meet 127.0.0.1 7000"), Value::ok());
    assert!(matches!(node.effects().as_slice(), [.., Effect::OpenLink { .. }]));
    assert!(text(node.command("nodes")).contains("handshake"));
    node.pass(2500);
    assert_eq!(text(node.command("nodes")).lines().count(), 1, "handshakes end");
    node.handle(Event::Tick);
}

/// The slots that the node claims in the pongs of these effects, by link.
fn claims_told(effects: &[Effect]) -> Vec<(LinkId, SlotSet)> {
    let pongs = sent(effects).into_iter().filter_map(|(link, packet)| match packet {
        Packet::Full(header, Body::Ping { kind: PingKind::Pong, .. }) => Some((link, header.slots)),
        _ => None,
    });
    pongs.collect()
}

#[test]
fn slots_changed_by_command_are_told_to_all_at_once() {
    let other = id(2);
    for (line, numbers) in [
        ("delslots 7".to_owned(), 7..=7),
        ("delslotsrange 10 20".to_owned(), 10..=20),
        (format!("setslot 30 node {other}"), 30..=30),
        ("flushslots".to_owned(), 0..=5460),
    ] {
        let mut node = Node::from_conf(&three_shards(1));
        let links: Vec<LinkId> = node.connect_all().into_iter().map(|(link, _)| link).collect();
        assert_eq!(links.len(), 3);
        node.effects();
        assert_eq!(node.command(&line), Value::ok());
        let told = claims_told(&node.effects());
        let gone = |slots: &SlotSet| {
            numbers.clone().all(|number| !slots.contains(Slot::from_low_bits(number)))
        };
        assert_eq!(told.iter().map(|(link, _)| *link).collect::<Vec<_>>(), links, "{line}");
        assert!(told.iter().all(|(_, slots)| gone(slots)), "{line}");
    }
}

#[test]
fn many_changes_by_command_are_told_once_in_a_tick() {
    let mut node = Node::from_conf(&three_shards(1));
    node.connect_all();
    node.effects();
    assert_eq!(node.command("delslots 1"), Value::ok());
    assert_eq!(claims_told(&node.effects()).len(), 3);

    // If more of them follow before the tick, the others learn of all at once, at the tick.
    for line in ["delslots 2", "delslots 3", "addslots 1", "addslots 2"] {
        assert_eq!(node.command(line), Value::ok());
        assert_eq!(claims_told(&node.effects()), [], "{line}");
    }
    node.pass(100);
    let told = claims_told(&node.effects());
    assert_eq!(told.len(), 3);
    for (_, slots) in told {
        let [one, two, three] = [1, 2, 3].map(|number| slots.contains(Slot::from_low_bits(number)));
        assert!(one && two && !three);
    }
}

/// The names of the nodes of each shard.
fn shards_of(node: &mut Node) -> Vec<Vec<String>> {
    let Value::Array(shards) = node.command("shards") else { panic!("not an array") };
    let field = |map: &Value, name: &str| {
        let Value::Map(fields) = map else { panic!("not a map: {map:?}") };
        let found = fields.iter().find(|(key, _)| *key == Value::bulk(name));
        found.map(|(_, value)| value.clone()).expect("the field is there")
    };
    let names = |shard: &Value| {
        let Value::Array(nodes) = field(shard, "nodes") else { panic!("not an array") };
        nodes.iter().map(|node| text(field(node, "id"))).collect()
    };
    shards.iter().map(names).collect()
}

#[test]
fn a_replica_is_in_its_primarys_shard_before_it_has_said_so() {
    // Given: a node that has just become a replica of another one, and has told its role but not
    // its shard.
    let conf = three_shards(1).replace(
        &format!("shard-id={} slave {}", id(0xA1), id(1)),
        &format!("shard-id={} master -", id(0xA4)),
    );
    let mut node = Node::from_conf(&conf);
    assert_eq!(shards_of(&mut node).len(), 4, "it has been an empty primary");
    node.connect_all();
    let link = node.accept();
    let replica = Header {
        primary: Some(id(2)),
        slots: SlotSet::EMPTY,
        message_flags: MessageFlags::EXT_DATA,
        ..header(4)
    };
    let extensions = vec![Extension::ShardId(id(0xA4))];
    let body = Body::Ping { kind: PingKind::Ping, gossip: Vec::new(), extensions };
    node.receive(link, replica, body);

    // Then it is shown with its primary all the same.
    let mut shards = shards_of(&mut node);
    shards.sort();
    let name = |byte| id(byte).to_string();
    assert_eq!(shards, [vec![name(1)], vec![name(2), name(4)], vec![name(3)]]);
}

#[test]
fn a_forgotten_node_is_banned_for_as_long_as_is_configured() {
    for ttl in [1000, 3000] {
        let mut node = Node::from_conf(&three_shards(1));
        let config = ClusterConfig { blacklist_ttl: ttl, ..config() };
        node.handle(Event::ConfigChanged(Box::new(config)));
        let forget = format!("forget {}", id(2));
        assert_eq!(node.command(&forget), Value::ok());
        node.pass(ttl - 100);
        assert_eq!(node.command(&forget), Value::ok(), "it is still banned");
        node.pass(200);
        assert_eq!(node.error(&forget), format!("ERR Unknown node {}", id(2)));
    }
}

#[test]
fn a_manual_failover_is_given_up_after_as_long_as_is_configured() {
    for timeout in [1000, 3000] {
        let mut node = Node::from_conf(&three_shards(4));
        let config = ClusterConfig { manual_failover_timeout: timeout, ..config() };
        node.handle(Event::ConfigChanged(Box::new(config)));
        assert_eq!(node.command("failover force"), Value::ok());
        let gives_up = |node: &mut Node| {
            node.effects().iter().any(|effect| {
                matches!(effect, Effect::Log { text, .. } if text == "Manual failover timed out.")
            })
        };
        node.pass(timeout);
        assert!(!gives_up(&mut node), "{timeout}");
        node.pass(200);
        assert!(gives_up(&mut node), "{timeout}");
    }
}

#[test]
fn the_name_for_people_is_told_to_other_nodes() {
    let mut node = Node::from_conf(&three_shards(1));
    let config = ClusterConfig { announce_human_nodename: "first".to_owned(), ..config() };
    node.handle(Event::ConfigChanged(Box::new(config)));
    node.connect_all();
    let link = node.accept();
    // A peer that understands it.
    let peer = Header { message_flags: MessageFlags::EXT_DATA, ..header(2) };
    let (kind, gossip, extensions) = (PingKind::Ping, Vec::new(), Vec::new());
    node.receive(link, peer, Body::Ping { kind, gossip, extensions });

    let packets = sent(&node.effects());
    let told = Extension::HumanNodename("first".to_owned());
    let tells = |packet: &Packet| match packet {
        Packet::Full(_, Body::Ping { extensions, .. }) => extensions.contains(&told),
        _ => false,
    };
    let to_peer = packets.iter().filter(|(to, _)| *to == link);
    assert!(to_peer.clone().any(|(_, packet)| tells(packet)), "{packets:?}");
}
