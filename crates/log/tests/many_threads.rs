//! Appenders, readers and trimming at once: every reader sees the whole stream in order.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use tessera_log::{CannotServe, Log, Reader, ReplId};
use tessera_slot::Offset;

const APPENDERS: u64 = 4;
const READERS: usize = 3;
const WRITES: u64 = 20_000;
const LAST: &[u8] = b"the last write";

#[test]
fn every_reader_sees_the_same_whole_stream() {
    let name = ReplId::from_random([3; 20]);
    let log = Log::new(name, 0);
    log.activate(name);
    let mut readers: Vec<_> = (0..READERS).map(|_| log.start_full_sync().1).collect();
    let done = AtomicBool::new(false);
    let streams = thread::scope(|scope| {
        let reading: Vec<_> =
            readers.drain(..).map(|reader| scope.spawn(|| read_to_the_last(reader))).collect();
        let late = scope.spawn(|| read_late(&log, &name, &done));
        let trimming = scope.spawn(|| {
            let mut limit = 0;
            while !done.load(Ordering::Relaxed) {
                limit = (limit + 40_000) % 600_000;
                log.set_backlog_limit(limit);
                thread::yield_now();
            }
        });
        let appending: Vec<_> = (0..APPENDERS)
            .map(|who| {
                scope.spawn({
                    let log = &log;
                    move || append(log, who)
                })
            })
            .collect();
        appending.into_iter().for_each(|thread| thread.join().unwrap());
        log.append_command(0, &[LAST]);
        done.store(true, Ordering::Relaxed);
        trimming.join().unwrap();
        late.join().unwrap();
        reading.into_iter().map(|thread| thread.join().unwrap()).collect::<Vec<_>>()
    });
    for stream in &streams {
        assert!(*stream == streams[0], "two readers saw different streams");
    }
    check_order(&streams[0]);
    assert_eq!(log.offset(), Offset(streams[0].len() as u64));
}

/// Numbered writes of every size, some of them transactions.
fn append(log: &Log, who: u64) {
    let filler = vec![b'.'; 100_000];
    for number in 0..WRITES {
        let size = if number % 5000 == 4999 { 100_000 } else { number as usize % 50 };
        let (who_text, number_text) = (who.to_string(), number.to_string());
        let args = [who_text.as_bytes(), number_text.as_bytes(), &filler[..size]];
        if number % 7 == 0 {
            log.append(|to| {
                to.control(&["MULTI"]);
                to.command(who as u32, &args);
                to.control(&["EXEC"]);
            });
        } else {
            log.append_command(who as u32, &args);
        }
    }
}

fn read_to_the_last(mut reader: Reader) -> Vec<u8> {
    let mut stream = Vec::new();
    while !stream.windows(LAST.len()).rev().take(LAST.len()).any(|window| window == LAST) {
        let bytes = reader.peek().unwrap();
        // It does not always take all: a socket takes what it can.
        let count = bytes.len().min(30_000);
        stream.extend_from_slice(&bytes[..count]);
        reader.advance(count);
        if count == 0 {
            thread::yield_now();
        }
    }
    stream
}

/// Opens readers in the middle of the history again and again: either the bytes are there, or the
/// answer says that they are not.
fn read_late(log: &Log, name: &ReplId, done: &AtomicBool) {
    while !done.load(Ordering::Relaxed) {
        let from = Offset(log.offset().0.saturating_sub(100_000));
        match log.open_reader(name, from) {
            Ok(mut reader) => {
                let count = reader.peek().unwrap().len();
                assert!(count > 0 || log.offset() == from);
                reader.advance(count);
            }
            Err(CannotServe::NotInBacklog { first, end }) => assert!(from < first && from < end),
            Err(other) => panic!("{other}"),
        }
        thread::yield_now();
    }
}

/// The writes of each appender come in its order and in its database, transactions unbroken.
fn check_order(stream: &[u8]) {
    let mut next: HashMap<u64, u64> = HashMap::new();
    let mut db = None;
    let mut in_transaction = false;
    let mut rest = stream;
    while !rest.is_empty() {
        let args = take_command(&mut rest);
        match args[0].as_slice() {
            b"SELECT" => db = Some(number(&args[1])),
            b"MULTI" | b"EXEC" => in_transaction = args[0] == b"MULTI",
            LAST => assert!(rest.is_empty()),
            who => {
                assert_eq!(db, Some(number(who)));
                let expected = next.entry(number(who)).or_default();
                assert_eq!(number(&args[1]), *expected);
                assert_eq!(in_transaction, expected.is_multiple_of(7));
                *expected += 1;
            }
        }
    }
    assert!(next.len() as u64 == APPENDERS && next.values().all(|count| *count == WRITES));
}

fn take_command(rest: &mut &[u8]) -> Vec<Vec<u8>> {
    let count = number(take_line(rest).strip_prefix(b"*").unwrap());
    (0..count)
        .map(|_| {
            let len = number(take_line(rest).strip_prefix(b"$").unwrap()) as usize;
            let arg = rest[..len].to_vec();
            *rest = rest[len..].strip_prefix(b"\r\n").unwrap();
            arg
        })
        .collect()
}

fn take_line<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let end = rest.windows(2).position(|window| window == b"\r\n").unwrap();
    let line = &rest[..end];
    *rest = &rest[end + 2..];
    line
}

fn number(text: &[u8]) -> u64 {
    std::str::from_utf8(text).unwrap().parse().unwrap()
}
