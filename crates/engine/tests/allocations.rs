//! The simple commands do not allocate once their key is there.

mod harness;

use harness::Client;
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use tessera_engine::{Args, Stopwatch, Turn};
use tessera_resp::{Protocol, Reply, Span};
use tessera_store::Patience;

thread_local! {
    static COUNT: Cell<usize> = const { Cell::new(0) };
}

/// The system's allocator, which counts what each thread asks of it.
struct Counting;

// SAFETY: every call is passed on unchanged; counting does not allocate.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = COUNT.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promises are the system's.
        unsafe { System.alloc(layout) }
    }
    unsafe fn dealloc(&self, ptr: *mut u8, layout: Layout) {
        // SAFETY: as above.
        unsafe { System.dealloc(ptr, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// How often a second run of the command allocates.
fn allocations(client: &mut Client, line: &str) -> usize {
    let (mut bytes, mut spans) = (Vec::new(), Vec::new());
    for word in line.split(' ') {
        spans.push(Span { start: bytes.len() as u32, len: word.len() as u32 });
        bytes.extend_from_slice(word.as_bytes());
    }
    let args = Args::new(&bytes, &spans);
    let mut reply = Reply::new(Protocol::Resp2);
    reply.buf.reserve(4096);
    let config = client.engine.config();
    let (mut hashes, mut slots) = (Vec::with_capacity(8), Vec::with_capacity(8));
    let mut world = None;
    let mut turn = Turn {
        thread: 0,
        now: client.now,
        config: &config,
        patience: &Patience::for_turn(),
        others: None,
        stopwatch: Stopwatch::STOPPED,
        hashes: &mut hashes,
        slots: &mut slots,
    };
    let before = COUNT.get();
    let prepared = client.engine.prepare(args);
    client.engine.execute(&mut world, &mut turn, &mut client.session, prepared, args, &mut reply);
    COUNT.get() - before
}

#[test]
fn simple_commands_do_not_allocate() {
    let mut client = Client::in_cluster();
    client.run("mset {k}text abc {k}number 5 {k}lives x");
    client.run("expire {k}lives 100");
    client.run("hset {k}small a 1 b two");
    client.run(&format!("hset {{k}}large a 1 b two c {}", "x".repeat(100)));
    let mut reader = client.follow();
    client.run("incr {k}number"); // the history's first piece of memory
    for line in [
        "get {k}text",
        "get {k}number",
        "get {k}none",
        "set {k}text xyz",
        "set {k}number 7",
        "incr {k}number",
        "incrby {k}number 5",
        "mget {k}text {k}number {k}none",
        "exists {k}text {k}none",
        "strlen {k}text",
        "getrange {k}number 0 0",
        "type {k}text",
        "ttl {k}lives",
        "setnx {k}text abc",
        "del {k}none",
        "hset {k}small a 2",
        "hset {k}large a 2",
        "hget {k}small a",
        "hget {k}large b",
        "hmget {k}large a b none",
        "hgetall {k}small",
        "hgetall {k}large",
        "hincrby {k}small a 1",
        "hincrby {k}large a 1",
        "hdel {k}large none",
        "hexists {k}small a",
        "hlen {k}large",
        "ping",
    ] {
        assert_eq!(allocations(&mut client, line), 0, "{line}");
    }
    assert!(allocations(&mut client, "nosuch") > 0, "allocations are counted");
    assert!(!reader.peek().expect("it goes on").is_empty());
}
