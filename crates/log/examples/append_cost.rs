//! Measures an append, in nanoseconds per command of about 100 bytes.
//!
//! `cargo run --release -p tessera-log --example append_cost`

use std::hint::black_box;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use tessera_log::{Log, ReplId};

const COMMANDS: u32 = 2_000_000;
const BACKLOG: u64 = 1024 * 1024;
const VALUE: &[u8] = &[b'x'; 58];

fn main() {
    let log = Log::new(ReplId::from_random([1; 20]), BACKLOG);
    println!("inactive                 {:6.1}", append(&log));
    log.activate(ReplId::from_random([2; 20]));
    let before = log.offset().0;
    let active = append(&log);
    let size = (log.offset().0 - before) / u64::from(COMMANDS);
    println!("active, {size} bytes         {active:6.1}");
    println!("beside a reader          {:6.1}", beside_reader(&log));
    println!("two appenders at once    {:6.1}", two_appenders(&log));
    println!("memory kept              {:6} KiB", log.bytes() / 1024);
}

fn append(log: &Log) -> f64 {
    let start = Instant::now();
    for _ in 0..COMMANDS {
        let args: [&[u8]; 3] = [b"SET", b"key:000000012345", VALUE];
        log.append_command(0, black_box(&args));
    }
    start.elapsed().as_nanos() as f64 / f64::from(COMMANDS)
}

fn beside_reader(log: &Log) -> f64 {
    let (_, mut reader) = log.start_full_sync();
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        scope.spawn(|| {
            let mut sum = 0u64;
            while !done.load(Ordering::Relaxed) || reader.lag() > 0 {
                let bytes = reader.peek().expect("the history stays");
                sum += bytes.iter().step_by(64).map(|byte| u64::from(*byte)).sum::<u64>();
                let count = bytes.len();
                reader.advance(count);
            }
            black_box(sum)
        });
        let cost = append(log);
        done.store(true, Ordering::Relaxed);
        cost
    })
}

fn two_appenders(log: &Log) -> f64 {
    thread::scope(|scope| {
        let other = scope.spawn(|| append(log));
        let cost = append(log);
        (cost + other.join().expect("the other thread counts too")) / 2.0
    })
}
