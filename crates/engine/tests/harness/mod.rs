//! An engine with a client, without any socket.

#![allow(dead_code, unreachable_pub)] // each test file uses its part of what is here

pub mod peer;
pub mod reply;

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use tessera_cluster::RoutingView;
use tessera_config::special::{PrimaryAddress, ReplicaOf};
use tessera_config::{Config, Directive};
use tessera_engine::{
    Answer, Args, ClientInfo, Command, ConfigChange, Deferred, Engine, EngineOptions, Facts, Fail,
    Host, Outcome, Prepared, Rates, Replication, Session, ShutdownMode, Stopwatch, Turn,
};
use tessera_log::ReplId;
use tessera_resp::{Protocol, Reply, Span};
use tessera_slot::{Millis, Offset};
use tessera_store::{Flushed, Patience};

/// A rim that notes what it is asked to do.
#[derive(Default)]
pub struct FakeHost {
    /// The requests, in words.
    pub calls: Mutex<Vec<String>>,
    /// How many replicas have acknowledged everything.
    pub replicas: AtomicUsize,
    /// Answers for clients that waited: the client's id, and its reply.
    pub answers: Mutex<Vec<(u64, Vec<u8>)>>,
    /// The offsets whose acknowledgement was asked for.
    pub awaited: Mutex<Vec<Offset>>,
    /// The view by which commands are routed.
    pub routing: Mutex<Option<Arc<RoutingView>>>,
    /// The node has not done yet what CLUSTER commands want, and has a thread for what is deferred.
    pub busy: AtomicBool,
    /// The directive that cannot take effect.
    pub stubborn: Mutex<Option<&'static str>>,
    /// What is to be carried out when nothing is locked; only while the node is busy.
    pub deferred: Mutex<Vec<Deferred>>,
}

/// A change of the configuration, which is noted when it is carried out.
struct FakeChange<'h>(&'h FakeHost);

impl ConfigChange for FakeChange<'_> {
    fn commit(self: Box<Self>) {
        self.0.note("commit");
    }
}

impl FakeHost {
    fn note(&self, call: impl Into<String>) {
        self.calls.lock().unwrap().push(call.into());
    }
}

impl Host for FakeHost {
    fn cluster(
        &self,
        _: &Arc<ClientInfo>,
        args: Args<'_>,
        may_wait: bool,
        reply: &mut Reply,
    ) -> Outcome {
        if !may_wait {
            self.note("at once");
        }
        self.note(String::from_utf8_lossy(args.at(1)).to_ascii_lowercase());
        reply.simple("CORE");
        Outcome::Next
    }
    fn after_cluster(&self, client: &Arc<ClientInfo>, answer: Answer) -> Option<Answer> {
        if !self.busy.load(Relaxed) {
            return Some(answer);
        }
        self.answer(client, answer);
        None
    }
    fn routing(&self) -> Option<Arc<RoutingView>> {
        self.routing.lock().unwrap().clone()
    }
    fn shutdown(&self, mode: ShutdownMode) -> Result<(), Fail> {
        self.note(format!("shutdown {mode:?}"));
        Ok(())
    }
    fn disconnect(&self, client: &ClientInfo) {
        self.note(format!("disconnect {}", client.id));
    }
    fn answer(&self, client: &ClientInfo, answer: Answer) {
        self.answers.lock().unwrap().push((client.id, answer.bytes));
    }
    fn replicate(
        &self,
        _: &Arc<ClientInfo>,
        primary: Option<(&str, u16)>,
        _: bool,
    ) -> Result<Outcome, Fail> {
        self.note(format!("replicate {primary:?}"));
        Ok(Outcome::Next)
    }
    fn replication(&self) -> Replication {
        Replication::default()
    }
    fn end_wait(&self, client: &ClientInfo) {
        self.note(format!("end wait {}", client.id));
    }
    fn acknowledged(&self, offset: Offset, _: usize) -> usize {
        self.awaited.lock().unwrap().push(offset);
        self.replicas.load(Relaxed)
    }
    fn rewrite_config(&self) -> Result<(), String> {
        Err("The server is running without a config file".to_owned())
    }
    fn prepare_config(
        &self,
        changed: &[&'static Directive],
        _: &mut Config,
    ) -> Result<Box<dyn ConfigChange + '_>, (&'static str, String)> {
        let names: Vec<&str> = changed.iter().map(|directive| directive.name).collect();
        self.note(format!("prepare {names:?}"));
        match *self.stubborn.lock().unwrap() {
            Some(name) if names.contains(&name) => Err((name, "it will not".to_owned())),
            _ => Ok(Box::new(FakeChange(self))),
        }
    }
    fn followed(&self) -> ReplicaOf {
        ReplicaOf(Some(PrimaryAddress { host: "h".to_owned(), port: 7 }))
    }
    fn defer(&self, _: &Arc<ClientInfo>, deferred: Deferred) -> Option<Deferred> {
        if !self.busy.load(Relaxed) {
            return Some(deferred);
        }
        self.deferred.lock().unwrap().push(deferred);
        None
    }
    fn facts(&self) -> Facts {
        let rates = Rates { commands: 12.4, bytes_in: 2048.0, ..Rates::default() };
        Facts { config_file: "/etc/x.conf".to_owned(), rates, ..Facts::default() }
    }
    fn stall(&self, time: std::time::Duration) -> Result<(), Fail> {
        self.note(format!("stall {time:?}"));
        Ok(())
    }
    fn free_later(&self, flushed: Flushed) {
        drop(flushed);
    }
}

/// A configuration that disconnects clients whose output reaches 1,000 bytes.
pub fn limited_output() -> Config {
    let mut config = Config::default();
    config.network.client_output_buffer_limit.normal.hard_bytes = 1000;
    config
}

/// An engine with one client.
pub struct Client {
    /// The engine.
    pub engine: Arc<Engine>,
    /// Its rim.
    pub host: Arc<FakeHost>,
    /// The client.
    pub session: Session,
    /// The protocol that the client speaks.
    pub protocol: Protocol,
    /// The time, Unix ms.
    pub now: Millis,
    /// The number of the client's thread.
    pub thread: usize,
    /// The next step after the last command.
    pub outcome: Outcome,
    /// Whether its thread waits for slots that others hold, however long.
    pub is_patient: bool,
}

/// When tests begin: 1.7 × 10^12 ms since 1970.
pub const START: Millis = Millis(1_700_000_000_000);

impl Client {
    /// A client of a new server with the default configuration.
    pub fn new() -> Client {
        Client::with(Config::default())
    }

    /// A client of a new server.
    pub fn with(config: Config) -> Client {
        let open = config.general.requirepass.reveal().is_none();
        let engine = Arc::new(Engine::new(EngineOptions {
            config,
            threads: 2,
            seed: 7,
            replication_id: ReplId::from_random([7; 20]),
            now: START,
        }));
        let host = Arc::new(FakeHost::default());
        engine.set_host(host.clone());
        Client::of(engine, host, open)
    }

    /// A client of a new server in cluster mode.
    pub fn in_cluster() -> Client {
        let mut config = Config::default();
        config.cluster.enabled = true;
        Client::with(config)
    }

    fn of(engine: Arc<Engine>, host: Arc<FakeHost>, authenticated: bool) -> Client {
        let id = engine.clients.next_id();
        let addr = format!("127.0.0.1:{}", 50_000 + id);
        let mut info = ClientInfo::new(id, addr, "127.0.0.1:6379".into(), id as i32, 0, START.0);
        info.local = true;
        let info = Arc::new(info);
        engine.clients.add(info.clone());
        Client {
            engine,
            host,
            session: Session::new(info, authenticated),
            protocol: Protocol::Resp2,
            now: START,
            thread: 0,
            outcome: Outcome::Next,
            is_patient: true,
        }
    }

    /// Another client of the same server.
    pub fn another(&self) -> Client {
        Client::of(self.engine.clone(), self.host.clone(), true)
    }

    /// Runs a command and gives the bytes of its reply.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        self.call(None, args)
    }

    /// As [`Client::command`] with a command that is not in the table.
    pub fn call<A: AsRef<[u8]>>(
        &mut self,
        command: Option<&'static Command>,
        args: &[A],
    ) -> Vec<u8> {
        let (mut bytes, mut spans) = (Vec::new(), Vec::new());
        for arg in args {
            spans.push(Span { start: bytes.len() as u32, len: arg.as_ref().len() as u32 });
            bytes.extend_from_slice(arg.as_ref());
        }
        let args = Args::new(&bytes, &spans);
        let mut reply = Reply::new(self.protocol);
        let (mut world, impatient) = (None, Patience::for_turn());
        let unlimited = Patience::unlimited();
        let mut turn = Turn {
            thread: self.thread,
            now: self.now,
            config: &self.engine.config(),
            patience: if self.is_patient { &unlimited } else { &impatient },
            others: None,
            stopwatch: Stopwatch::STOPPED,
            hashes: &mut Vec::new(),
            slots: &mut Vec::new(),
        };
        let prepared = match command {
            None => self.engine.prepare(args),
            Some(command) => {
                Prepared { command: Some(command), index: 0, first: None, member: None }
            }
        };
        self.outcome = self.engine.execute(
            &mut world,
            &mut turn,
            &mut self.session,
            prepared,
            args,
            &mut reply,
        );
        self.protocol = reply.protocol;
        reply.buf
    }

    /// Runs a command of words and gives its reply with `|` for line breaks.
    pub fn run(&mut self, line: &str) -> String {
        self.run_as(None, line)
    }

    /// As [`Client::run`] with a command that is not in the table.
    pub fn run_as(&mut self, command: Option<&'static Command>, line: &str) -> String {
        let words: Vec<String> = line.split(' ').map(|word| word.replace("''", "")).collect();
        let reply = String::from_utf8_lossy(&self.call(command, &words)).replace("\r\n", "|");
        reply.strip_suffix('|').map(str::to_owned).unwrap_or(reply)
    }

    /// Runs each line and checks its reply: `(line, reply)`.
    pub fn expect(&mut self, story: &[(&str, &str)]) {
        for (line, reply) in story {
            assert_eq!(self.run(line), *reply, "{line}");
        }
    }

    /// Has the history kept from now on, and gives a reader of it.
    pub fn follow(&self) -> tessera_log::Reader {
        let _alone = self.engine.keyspace.enter_exclusive();
        self.engine.log.activate(ReplId::from_random([8; 20]));
        self.engine.log.start_full_sync().1
    }
}

/// The history since the reader was placed, or was last asked: commands, with spaces between their
/// arguments.
pub fn told(reader: &mut tessera_log::Reader) -> Vec<String> {
    let text = |arg: &Vec<u8>| String::from_utf8(arg.clone()).expect("text");
    let line = |command: &Vec<Vec<u8>>| command.iter().map(text).collect::<Vec<_>>().join(" ");
    told_commands(reader).iter().map(|command| line(command).trim().to_owned()).collect()
}

/// As [`told`], with the arguments of each command apart.
pub fn told_commands(reader: &mut tessera_log::Reader) -> Vec<Vec<Vec<u8>>> {
    let mut bytes = Vec::new();
    loop {
        let chunk = reader.peek().expect("the history goes on").to_vec();
        if chunk.is_empty() {
            break;
        }
        bytes.extend_from_slice(&chunk);
        reader.advance(chunk.len());
    }
    let mut rest = &bytes[..];
    let number = |rest: &mut &[u8], mark: u8| -> usize {
        let end = rest.windows(2).position(|pair| pair == b"\r\n").expect("whole lines");
        let (line, behind) = (&rest[..end], &rest[end + 2..]);
        assert_eq!(line[0], mark);
        *rest = behind;
        std::str::from_utf8(&line[1..]).expect("text").parse().expect("a number")
    };
    let mut commands = Vec::new();
    while !rest.is_empty() {
        let args = number(&mut rest, b'*');
        let mut command = Vec::with_capacity(args);
        for _ in 0..args {
            let len = number(&mut rest, b'$');
            command.push(rest[..len].to_vec());
            rest = &rest[len + 2..];
        }
        commands.push(command);
    }
    commands
}
