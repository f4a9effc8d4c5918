//! A firewall that refuses, between real processes in network namespaces. It needs root, `ip` and
//! `iptables`; elsewhere the test says that it is skipped.

mod common;

use std::io::Write as _;
use std::net::{Ipv4Addr, SocketAddr};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use common::wire::{Answer, Wire, field_of};
use common::{PATIENCE, TESSERA, eventually, print_tail};
use tempfile::TempDir;

const NODES: u8 = 6;
const PORT: u16 = 7000;
/// `cluster-node-timeout`.
const TIMEOUT: Duration = Duration::from_millis(2000);
/// How long both may take writes: the machine may be busy.
const MOMENT: Duration = Duration::from_millis(400);
/// How long a client waits for an answer.
const ANSWER_LIMIT: Duration = Duration::from_millis(300);

/// Runs a program; its words are of one line.
fn run(line: &str) -> bool {
    let mut words = line.split(' ');
    let mut command = Command::new(words.next().expect("a program"));
    command.args(words).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

/// Nodes 1 to 6, each in a network namespace of its own, on one bridge. The test stands on the
/// bridge, too.
struct Network {
    name: String,
    subnet: u8,
    nodes: Vec<Child>,
    dir: TempDir,
}

impl Network {
    /// `None` where namespaces cannot be made.
    fn new() -> Option<Network> {
        let pid = std::process::id();
        let dir = tempfile::tempdir().expect("a directory");
        let (name, subnet) = (format!("tf{pid}"), (pid % 250) as u8);
        let network = Network { name, subnet, nodes: Vec::new(), dir };
        let is_made = network.make();
        if !is_made {
            let text = "skipped: network namespaces need root, ip and iptables";
            let _ = writeln!(std::io::stderr(), "{text}");
        }
        is_made.then_some(network)
    }

    fn make(&self) -> bool {
        let (name, subnet) = (&self.name, self.subnet);
        let bridge = [
            format!("ip link add {name}b type bridge"),
            format!("ip addr add 10.231.{subnet}.254/24 dev {name}b"),
            format!("ip link set {name}b up"),
        ];
        let node = |node: u8| {
            let inside = format!("ip netns exec {name}n{node}");
            [
                format!("ip netns add {name}n{node}"),
                format!("ip link add {name}v{node} type veth peer name eth0 netns {name}n{node}"),
                format!("ip link set {name}v{node} master {name}b up"),
                format!("{inside} ip addr add 10.231.{subnet}.{node}/24 dev eth0"),
                format!("{inside} ip link set eth0 up"),
                format!("{inside} ip link set lo up"),
                format!("{inside} iptables -L INPUT -n"),
            ]
        };
        bridge.into_iter().chain((1..=NODES).flat_map(node)).all(|line| run(&line))
    }

    fn ip(&self, node: u8) -> Ipv4Addr {
        Ipv4Addr::new(10, 231, self.subnet, node)
    }

    fn address(&self, node: u8) -> SocketAddr {
        (self.ip(node), PORT).into()
    }

    fn start(&mut self) {
        for node in 1..=NODES {
            let dir = self.dir.path().join(node.to_string());
            std::fs::create_dir_all(&dir).expect("writable");
            let log = std::fs::File::create(dir.join("log")).expect("writable");
            let mut command = Command::new("ip");
            command.args(["netns", "exec", &format!("{}n{node}", self.name), TESSERA, "server"]);
            command.args(["--port", "7000", "--bind", "0.0.0.0", "--protected-mode", "no"]);
            command.args(["--save", "", "--cluster-enabled", "yes", "--cluster-node-timeout"]);
            command.arg(TIMEOUT.as_millis().to_string()).current_dir(dir).stdin(Stdio::null());
            command.stderr(log.try_clone().expect("a descriptor")).stdout(log);
            self.nodes.push(command.spawn().expect("it can be started"));
        }
    }

    fn wire(&self, node: u8) -> std::io::Result<Wire> {
        Wire::connect_to(self.address(node), PATIENCE)
    }

    fn say(&self, node: u8, line: &str) -> Answer {
        let mut wire = eventually("the node answers", || {
            self.wire(node).map_err(|error| format!("{node}: {error}"))
        });
        wire.say(line)
    }

    /// Nodes 1 to 3 become primaries, 4 to 6 their replicas.
    fn form(&self) {
        for node in 1..=NODES {
            assert_eq!(self.say(node, &format!("CLUSTER SET-CONFIG-EPOCH {node}")).text(), "OK");
        }
        for (node, slots) in [(1, "0 5460"), (2, "5461 10922"), (3, "10923 16383")] {
            assert_eq!(self.say(node, &format!("CLUSTER ADDSLOTSRANGE {slots}")).text(), "OK");
        }
        for node in 2..=NODES {
            let meet = format!("CLUSTER MEET {} {PORT}", self.ip(node));
            assert_eq!(self.say(1, &meet).text(), "OK");
        }
        for node in 4..=NODES {
            let primary = self.say(node - 3, "CLUSTER MYID").text();
            eventually("the node knows its primary", || {
                match self.say(node, &format!("CLUSTER REPLICATE {primary}")) {
                    Answer::Status(_) => Ok(()),
                    answer => Err(format!("{answer:?}")),
                }
            });
        }
        for node in 1..=NODES {
            eventually("the cluster is well", || {
                let state = field_of(&self.say(node, "CLUSTER INFO").text(), "cluster_state");
                let link =
                    field_of(&self.say(node, "INFO replication").text(), "master_link_status");
                let is_well = state == "ok" && (node <= 3 || link == "up");
                if is_well { Ok(()) } else { Err(format!("{node}: {state}, {link}")) }
            });
        }
    }

    /// A firewall on a node's host refuses, by reset, what comes from the other nodes, or goes to
    /// them.
    fn refuse(&self, node: u8, chain: &str, side: &str) {
        for other in (1..=NODES).filter(|other| *other != node) {
            let rule = format!(
                "ip netns exec {}n{node} iptables -A {chain} -p tcp {side} {} -j REJECT --reject-with tcp-reset",
                self.name,
                self.ip(other)
            );
            assert!(run(&rule), "{rule}");
        }
    }

    fn lift(&self, node: u8) {
        assert!(run(&format!("ip netns exec {}n{node} iptables -F", self.name)));
    }
}

impl Drop for Network {
    fn drop(&mut self) {
        for node in &mut self.nodes {
            // Fails only if it has ended already.
            let _ = node.kill();
            let _ = node.wait();
        }
        for node in 1..=NODES {
            if std::thread::panicking() {
                print_tail(&self.dir.path().join(node.to_string()).join("log"));
            }
            run(&format!("ip netns del {}n{node}", self.name));
        }
        run(&format!("ip link del {}b", self.name));
    }
}

/// A client of one node that writes without end; gives when each write was taken.
struct Client {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Vec<Instant>>,
}

impl Client {
    fn start(address: SocketAddr, key: &'static str) -> Client {
        let stop = Arc::new(AtomicBool::new(false));
        let is_over = Arc::clone(&stop);
        let thread = std::thread::spawn(move || {
            let (mut wire, mut taken) = (None, Vec::new());
            while !is_over.load(Ordering::Relaxed) {
                std::thread::sleep(Duration::from_millis(2));
                if wire.is_none() {
                    wire = Wire::connect_to(address, ANSWER_LIMIT).ok();
                }
                let Some(connected) = &mut wire else { continue };
                match connected.try_ask(&["SET", key, "value"]) {
                    Ok(Answer::Status(_)) => taken.push(Instant::now()),
                    Ok(_) => {}
                    Err(_) => wire = None,
                }
            }
            taken
        });
        Client { stop, thread }
    }

    fn stop(self) -> Vec<Instant> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().expect("no client panics")
    }
}

#[test]
fn a_refused_primary_stops_before_it_is_replaced() {
    let Some(mut network) = Network::new() else { return };
    network.start();
    network.form();
    // A key of the first shard: slot 0 to 5460.
    const KEY: &str = "{t2}:key";
    let (mut primary, mut replica) = (1, 4);
    for (chain, side) in [("INPUT", "-s"), ("OUTPUT", "-d")] {
        // Given: clients on both sides, which the firewall does not know.
        let clients = [primary, replica].map(|node| Client::start(network.address(node), KEY));
        std::thread::sleep(Duration::from_secs(1));

        // When a firewall refuses what goes to a primary, or what comes from it.
        let refused_at = Instant::now();
        network.refuse(primary, chain, side);

        // Then its replica takes over, and when it does, the primary takes no writes any more.
        eventually("the replica takes over", || {
            let role = field_of(&network.say(replica, "INFO replication").text(), "role");
            if role == "master" { Ok(()) } else { Err(role) }
        });
        std::thread::sleep(TIMEOUT);
        let [old, new] = clients.map(Client::stop);
        let (first, last) = (new[0], *old.last().expect("it served before"));
        println!(
            "{chain} refused: the old primary's last write after {:?}, the new one's first after {:?}",
            last - refused_at,
            first - refused_at
        );
        assert!(last > refused_at, "the client reached it");
        let both = last.saturating_duration_since(first);
        assert!(both <= MOMENT, "{chain}: two primaries for {both:?}");

        // And when the firewall is gone, it follows.
        network.lift(primary);
        eventually("the former primary follows", || {
            let text = network.say(primary, "INFO replication").text();
            let seen = ["role", "master_link_status"].map(|name| field_of(&text, name));
            if seen == ["slave", "up"] { Ok(()) } else { Err(format!("{seen:?}")) }
        });
        for node in 1..=NODES {
            eventually("the cluster is well", || {
                let state = field_of(&network.say(node, "CLUSTER INFO").text(), "cluster_state");
                if state == "ok" { Ok(()) } else { Err(format!("{node}: {state}")) }
            });
        }
        (primary, replica) = (replica, primary);
    }
}
