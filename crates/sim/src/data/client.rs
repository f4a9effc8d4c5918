//! Simulated clients: they ask the node that they believe owns a key, follow MOVED, and give up
//! after a while.
//!
//! A client has a home, which is a host: its packets take that host's ways, so that some clients
//! are on the side of a primary that is cut off. Its process' troubles are not the client's. A
//! client has one request under way. It never sends one again: what it does not know stays unknown.

use super::oracle::{Kind, Outcome};
use super::{DataOptions, encoded};
use crate::Setup;
use crate::net::{CLIENTS, DATA_LINKS, End, HostId, addr_of, host_at};
use crate::rng::Rng;
use crate::world::{Happening, World};
use tessera_cluster::{Event, LinkId};
use tessera_slot::Slot;

/// Keys of each shard: registers, counters, lists of tokens.
const KEYS: [(char, usize); 3] = [('r', 3), ('c', 1), ('a', 2)];
/// How long a client waits for an answer, in milliseconds: at least, and up to so much more.
const PATIENCE: (u64, u64) = (300, 1200);
/// How long a client does nothing between two requests, in milliseconds.
const PAUSE: u64 = 60;
/// WAIT's own time-out, in milliseconds.
const WAIT: &[u8] = b"500";

/// A key that clients use.
#[derive(Clone, Debug)]
struct Key {
    name: Vec<u8>,
    shard: usize,
}

/// A request that is to be sent.
#[derive(Clone, Debug)]
struct Plan {
    key: Key,
    kind: Kind,
    /// A read of whatever node.
    readonly: bool,
}

/// What a client is about.
#[derive(Clone, Debug, Default)]
enum Doing {
    #[default]
    Nothing,
    Connecting(Plan),
    Operation {
        number: usize,
        plan: Plan,
    },
    /// WAIT for the operation with this number.
    Wait {
        number: usize,
    },
}

#[derive(Clone, Debug)]
struct Client {
    number: usize,
    home: HostId,
    /// The connection, and the host that it leads to.
    link: Option<(LinkId, HostId)>,
    is_connected: bool,
    doing: Doing,
    received: Vec<u8>,
    /// Answers that mean nothing.
    skip: usize,
    /// By shard, the host that owns it.
    belief: Vec<HostId>,
    alarm: u64,
    links: u64,
    written: u64,
}

/// All clients.
pub(crate) struct Clients {
    clients: Vec<Client>,
    keys: Vec<Key>,
    setup: Setup,
    value_bytes: usize,
    are_stopped: bool,
}

impl Clients {
    pub(crate) fn new(setup: Setup, options: DataOptions) -> Clients {
        let client = |number| Client {
            number,
            home: number % setup.nodes(),
            link: None,
            is_connected: false,
            doing: Doing::Nothing,
            received: Vec::new(),
            skip: 0,
            belief: (0..setup.shards).collect(),
            alarm: 0,
            links: 0,
            written: 0,
        };
        Clients {
            clients: (0..options.clients).map(client).collect(),
            keys: keys(setup),
            setup,
            value_bytes: options.value_bytes,
            are_stopped: false,
        }
    }

    pub(crate) fn stop(&mut self) {
        self.are_stopped = true;
    }
}

/// The same number of keys for each shard.
fn keys(setup: Setup) -> Vec<Key> {
    let mut all = Vec::new();
    for (family, count) in KEYS {
        let mut missing = vec![count; setup.shards];
        for number in 0.. {
            let name = format!("{family}{number}").into_bytes();
            let slot = Slot::of_key(&name).index();
            let of = |shard: &usize| {
                let (first, last) = setup.slots_of(*shard);
                (first..=last).contains(&slot)
            };
            let shard = (0..setup.shards).find(of).expect("every slot is a shard's");
            if missing[shard] > 0 {
                missing[shard] -= 1;
                all.push(Key { name, shard });
            }
            if missing.iter().all(|missing| *missing == 0) {
                break;
            }
        }
    }
    all
}

/// An answer: a value, or an error's text.
type Answer = Result<Option<Vec<u8>>, String>;

/// The first answer in these bytes, and its length.
fn parse(bytes: &[u8]) -> Option<(Answer, usize)> {
    let end = bytes.windows(2).position(|pair| pair == b"\r\n")?;
    let (line, next) = (&bytes[1..end], end + 2);
    match bytes[0] {
        b'+' => Some((Ok(None), next)),
        b'-' => Some((Err(String::from_utf8_lossy(line).into_owned()), next)),
        b':' => Some((Ok(Some(line.to_vec())), next)),
        b'$' if line == b"-1" => Some((Ok(None), next)),
        b'$' => {
            let len: usize = std::str::from_utf8(line).ok()?.parse().ok()?;
            let value = bytes.get(next..next + len)?.to_vec();
            (bytes.len() >= next + len + 2).then_some((Ok(Some(value)), next + len + 2))
        }
        other => unreachable!("no client asks for {other}"),
    }
}

impl Client {
    fn plan(&mut self, keys: &[Key], value_bytes: usize, rng: &mut Rng) -> Plan {
        let key = keys[rng.below(keys.len() as u64) as usize].clone();
        let chance = rng.below(100);
        let id = format!("{:02}.{:07}", self.number % 100, self.written);
        let kind = match key.name[0] {
            b'r' if chance < 45 => {
                let mut value = id.into_bytes();
                value.resize(value_bytes.max(value.len()), b'.');
                Kind::Set(value)
            }
            b'r' if chance < 55 => Kind::Del,
            b'c' if chance < 60 => Kind::Incr,
            b'a' if chance < 50 => Kind::Append(id.into_bytes()),
            _ => Kind::Get,
        };
        self.written += 1;
        let readonly = kind == Kind::Get && rng.one_in(8);
        Plan { key, kind, readonly }
    }

    /// The connection's end here.
    fn end(&self, link: LinkId) -> End {
        End { host: self.home, generation: CLIENTS, link }
    }
}

impl World {
    fn client(&mut self, number: usize) -> Option<&mut Client> {
        self.data.as_mut()?.clients.clients.get_mut(number)
    }

    /// The client's alarm rings after this time.
    fn set_alarm(&mut self, number: usize, after: u64) {
        let at = self.now + after;
        let Some(client) = self.client(number) else { return };
        client.alarm += 1;
        let (host, alarm) = (client.home, client.alarm);
        self.schedule(at, host, CLIENTS, Happening::Client { number, alarm });
    }

    /// The client rests, and then asks for something else.
    fn rest(&mut self, number: usize) {
        if let Some(client) = self.client(number) {
            client.doing = Doing::Nothing;
        }
        let pause = 1 + self.rng.below(PAUSE);
        self.set_alarm(number, pause);
    }

    pub(crate) fn client_alarm(&mut self, number: usize, alarm: u64) {
        let Some(client) = self.client(number).filter(|client| client.alarm == alarm) else {
            return;
        };
        match std::mem::take(&mut client.doing) {
            Doing::Nothing => return self.begin(number),
            Doing::Connecting(_) | Doing::Wait { .. } => {}
            Doing::Operation { number: operation, plan } => {
                self.settle(operation, Outcome::Unknown, plan.key.shard);
            }
        }
        self.believe_somebody(number);
        self.hang_up_client(number);
        self.rest(number);
    }

    fn settle(&mut self, operation: usize, outcome: Outcome, shard: usize) {
        let now = self.now;
        if let Some(data) = &mut self.data {
            data.oracle.answered(operation, outcome, shard, now);
        }
    }

    /// The client's beliefs have led nowhere.
    fn believe_somebody(&mut self, number: usize) {
        let (hosts, shards) = (
            self.hosts.len() as u64,
            self.data.as_ref().map_or(1, |data| data.clients.setup.shards),
        );
        let (host, shard) = (self.rng.below(hosts) as HostId, self.rng.below(shards as u64));
        if let Some(client) = self.client(number) {
            client.belief[shard as usize] = host;
        }
    }

    fn hang_up_client(&mut self, number: usize) {
        let Some(client) = self.client(number) else { return };
        client.is_connected = false;
        client.received.clear();
        client.skip = 0;
        if let Some((link, _)) = client.link.take() {
            let end = client.end(link);
            self.close(end);
        }
    }

    /// The client asks for something.
    fn begin(&mut self, number: usize) {
        let mut rng = self.rng.clone();
        let hosts = self.hosts.len() as u64;
        let Some(data) = &mut self.data else { return };
        if data.clients.are_stopped {
            return;
        }
        let Clients { clients, keys, value_bytes, .. } = &mut data.clients;
        let client = &mut clients[number];
        let plan = client.plan(keys, *value_bytes, &mut rng);
        let target = match plan.readonly {
            true => rng.below(hosts) as HostId,
            false => client.belief[plan.key.shard],
        };
        let is_there = client.is_connected && !plan.readonly;
        let is_there = is_there && client.link.is_some_and(|(_, host)| host == target);
        let patience = PATIENCE.0 + rng.below(PATIENCE.1);
        self.rng = rng;
        self.set_alarm(number, patience);
        if is_there {
            return self.ask(number, plan);
        }
        self.hang_up_client(number);
        let Some(client) = self.client(number) else { return };
        client.links += 1;
        let link = LinkId::Outgoing(DATA_LINKS + ((number as u64) << 20) + client.links);
        client.link = Some((link, target));
        client.doing = Doing::Connecting(plan);
        let end = client.end(link);
        self.open(end, addr_of(target));
    }

    /// Sends the request over the connection.
    fn ask(&mut self, number: usize, plan: Plan) {
        let Some(client) = self.client(number) else { return };
        let Some((link, _)) = client.link else { return };
        let near = client.end(link);
        client.skip = usize::from(plan.readonly);
        let Some((connection, _)) = self.net.find(near.host, near.generation, link) else {
            return;
        };
        let far = self.net.connections[&connection].ends[1];
        let process = (far.host, far.generation);
        let node = self.hosts[far.host].process.as_ref().and_then(|process| process.data.as_ref());
        let is_primary = self.hosts[far.host].generation == far.generation
            && node.is_some_and(|node| !node.is_replica());
        let now = self.now;
        let Some(data) = &mut self.data else { return };
        let what = (plan.key.name.clone(), plan.kind.clone());
        let operation = data.oracle.asked(what, process, is_primary, now);
        if plan.readonly {
            self.send(near, encoded(&[b"READONLY"]));
        }
        let key = &plan.key.name[..];
        let bytes = match &plan.kind {
            Kind::Set(value) => encoded(&[b"SET", key, value]),
            Kind::Get => encoded(&[b"GET", key]),
            Kind::Del => encoded(&[b"DEL", key]),
            Kind::Incr => encoded(&[b"INCR", key]),
            Kind::Append(token) => encoded(&[b"APPEND", key, token]),
        };
        self.send(near, bytes);
        if let Some(client) = self.client(number) {
            client.doing = Doing::Operation { number: operation, plan };
        }
    }

    /// Something happened to a client's connection.
    pub(crate) fn client_event(&mut self, event: Event) {
        let Some(LinkId::Outgoing(name)) = crate::net::link_of(&event) else { return };
        let number = ((name - DATA_LINKS) >> 20) as usize;
        let is_present =
            |client: &Client| client.link.is_some_and(|(link, _)| link == LinkId::Outgoing(name));
        let Some(client) = self.client(number).filter(|client| is_present(client)) else { return };
        match event {
            Event::LinkConnected { .. } => {
                client.is_connected = true;
                if let Doing::Connecting(plan) = std::mem::take(&mut client.doing) {
                    self.ask(number, plan);
                }
            }
            Event::Packet { bytes, .. } => {
                client.received.extend_from_slice(&bytes);
                self.read_answers(number);
            }
            Event::LinkDown { .. } => {
                client.link = None;
                client.is_connected = false;
                client.received.clear();
                match std::mem::take(&mut client.doing) {
                    Doing::Nothing => return,
                    Doing::Connecting(_) | Doing::Wait { .. } => {}
                    Doing::Operation { number: operation, plan } => {
                        self.settle(operation, Outcome::Unknown, plan.key.shard);
                    }
                }
                self.believe_somebody(number);
                self.rest(number);
            }
            _ => {}
        }
    }

    fn read_answers(&mut self, number: usize) {
        while let Some(client) = self.client(number)
            && !client.received.is_empty()
            && let Some((answer, len)) = parse(&client.received)
        {
            client.received.drain(..len);
            if client.skip > 0 {
                client.skip -= 1;
                continue;
            }
            match std::mem::take(&mut client.doing) {
                Doing::Operation { number: operation, plan } => {
                    self.operation_answered(number, operation, plan, answer);
                }
                Doing::Wait { number: operation } => {
                    if let Ok(Some(count)) = answer {
                        self.wait_answered(number, operation, &count);
                    }
                    self.rest(number);
                }
                Doing::Nothing | Doing::Connecting(_) => {}
            }
        }
    }

    fn operation_answered(&mut self, number: usize, operation: usize, plan: Plan, answer: Answer) {
        let shard = plan.key.shard;
        let error = match answer {
            Ok(value) => {
                self.settle(operation, Outcome::Acknowledged(value), shard);
                None
            }
            Err(error) => {
                self.settle(operation, Outcome::Refused, shard);
                Some(error)
            }
        };
        if let Some(error) = &error {
            self.learn(number, shard, error);
        }
        if plan.readonly {
            self.hang_up_client(number);
        }
        if error.is_none() && plan.kind != Kind::Get && self.rng.one_in(3) {
            return self.ask_wait(number, operation);
        }
        self.rest(number);
    }

    /// An error says who owns the key, or that this node does not know.
    fn learn(&mut self, number: usize, shard: usize, error: &str) {
        let address = error.strip_prefix("MOVED ").and_then(|rest| rest.split(' ').nth(1));
        let ip = address.and_then(|address| address.rsplit_once(':')?.0.parse().ok());
        match ip.and_then(host_at) {
            Some(owner) => {
                if let Some(client) = self.client(number) {
                    client.belief[shard] = owner;
                }
            }
            None => self.believe_somebody(number),
        }
    }

    fn ask_wait(&mut self, number: usize, operation: usize) {
        let Some(data) = &self.data else { return };
        let replicas = data.clients.setup.replicas.to_string();
        let Some(client) = self.client(number) else { return };
        let Some((link, _)) = client.link else { return };
        client.doing = Doing::Wait { number: operation };
        let end = client.end(link);
        self.send(end, encoded(&[b"WAIT", replicas.as_bytes(), WAIT]));
        let patience = PATIENCE.0 + self.rng.below(PATIENCE.1);
        self.set_alarm(number, patience);
    }

    /// WAIT was answered: if the answer means every process that follows the primary, that is a
    /// promise.
    fn wait_answered(&mut self, number: usize, operation: usize, count: &[u8]) {
        let Some(client) = self.client(number) else { return };
        let Some((link, _)) = client.link else { return };
        let near = client.end(link);
        let Some((connection, _)) = self.net.find(near.host, near.generation, link) else {
            return;
        };
        let far = self.net.connections[&connection].ends[1];
        let count = std::str::from_utf8(count).ok().and_then(|count| count.parse().ok());
        let follows = |host: &HostId| {
            let process = self.hosts[*host].process.as_ref();
            process.is_some_and(|process| process.following == Some(far.host))
        };
        let replicas = (0..self.hosts.len()).filter(follows);
        let mut holders: Vec<_> =
            replicas.map(|host| (host, self.hosts[host].generation)).collect();
        let is_all =
            !holders.is_empty() && count.is_some_and(|count: usize| count >= holders.len());
        holders.push((far.host, far.generation));
        let Some(data) = &mut self.data else { return };
        if is_all && let Some(moment) = data.oracle.waited((far.host, far.generation), far.link) {
            data.oracle.promised(operation, moment, holders);
        }
    }
}
