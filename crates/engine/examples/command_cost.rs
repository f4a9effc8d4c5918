//! Measures a command inside the engine, without any socket: nanoseconds for each, one thread, a
//! million keys of 16 bytes with 64-byte values, in random order and without prefetching.

use std::sync::Arc;
use std::time::Instant;
use tessera_config::Config;
use tessera_engine::{Args, ClientInfo, Engine, EngineOptions, Session, Stopwatch, Turn};
use tessera_log::ReplId;
use tessera_resp::{Protocol, Reply, Span};
use tessera_slot::Millis;
use tessera_store::Patience;

const KEYS: u64 = 1_000_000;
const RUNS: u64 = 2_000_000;

#[global_allocator]
static ALLOCATOR: tessera_store::CountingAlloc = tessera_store::CountingAlloc;

struct Driver {
    engine: Engine,
    session: Session,
    reply: Reply,
}

/// A request as it is being built.
#[derive(Default)]
struct Request {
    bytes: Vec<u8>,
    spans: Vec<Span>,
}

impl Request {
    fn arg(&mut self, arg: &[u8]) {
        self.spans.push(Span { start: self.bytes.len() as u32, len: arg.len() as u32 });
        self.bytes.extend_from_slice(arg);
    }
}

impl Driver {
    fn new() -> Driver {
        let engine = Engine::new(EngineOptions {
            config: Config::default(),
            threads: 1,
            seed: 7,
            replication_id: ReplId::from_random([7; 20]),
            now: Millis(0),
        });
        let info = ClientInfo::new(1, String::new(), String::new(), 0, 0, 0);
        Driver {
            engine,
            session: Session::new(Arc::new(info), true),
            reply: Reply::new(Protocol::Resp2),
        }
    }

    /// Nanoseconds for each run of the command that `build` makes of a number.
    fn measure(&mut self, runs: u64, mut build: impl FnMut(&mut Request, u64)) -> f64 {
        let config = self.engine.config();
        let (mut hashes, mut slots) = (Vec::new(), Vec::new());
        let mut request = Request::default();
        let begin = Instant::now();
        for batch in 0..runs / 32 {
            let mut world = None;
            self.reply.buf.clear();
            for number in batch * 32..batch * 32 + 32 {
                request.bytes.clear();
                request.spans.clear();
                build(&mut request, number.wrapping_mul(0x9E37_79B9_7F4A_7C15) % KEYS);
                let args = Args::new(&request.bytes, &request.spans);
                let prepared = self.engine.prepare(args);
                let mut turn = Turn {
                    thread: 0,
                    now: Millis(0),
                    config: &config,
                    patience: &Patience::for_turn(),
                    others: None,
                    stopwatch: Stopwatch::STOPPED,
                    hashes: &mut hashes,
                    slots: &mut slots,
                };
                self.engine.execute(
                    &mut world,
                    &mut turn,
                    &mut self.session,
                    prepared,
                    args,
                    &mut self.reply,
                );
            }
        }
        begin.elapsed().as_nanos() as f64 / runs as f64
    }
}

fn key(number: u64) -> [u8; 16] {
    let mut key = *b"key:000000000000";
    let mut rest = number;
    for place in key[4..].iter_mut().rev() {
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    key
}

fn main() {
    let mut driver = Driver::new();
    let one = |name: &'static [u8]| {
        move |request: &mut Request, number: u64| {
            request.arg(name);
            request.arg(&key(number));
        }
    };
    let set = |request: &mut Request, number: u64| {
        request.arg(b"SET");
        request.arg(&key(number));
        request.arg(&[b'v'; 64]);
    };
    driver.measure(4 * KEYS, set);
    println!("PING    {:6.1} ns", driver.measure(RUNS, |request, _| request.arg(b"PING")));
    println!("SET     {:6.1} ns", driver.measure(RUNS, set));
    println!("GET     {:6.1} ns", driver.measure(RUNS, one(b"GET")));
    println!("EXISTS  {:6.1} ns", driver.measure(RUNS, one(b"EXISTS")));
    println!("TTL     {:6.1} ns", driver.measure(RUNS, one(b"TTL")));
    let mget = |request: &mut Request, number: u64| {
        request.arg(b"MGET");
        (0..10).for_each(|more| request.arg(&key((number + more * 7) % KEYS)));
    };
    println!("MGET 10 {:6.1} ns", driver.measure(RUNS / 8, mget));
    driver.measure(2 * KEYS, one(b"DEL"));
    println!("INCR    {:6.1} ns", driver.measure(RUNS, one(b"INCR")));
    let float = |request: &mut Request, number: u64| {
        request.arg(b"INCRBYFLOAT");
        request.arg(&key(number));
        request.arg(b"0.1");
    };
    println!("INCRBYFLOAT {:6.1} ns", driver.measure(RUNS / 8, float));
}
