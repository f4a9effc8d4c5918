//! The history as its users see it.

use tessera_log::{CannotServe, HistoryReplaced, Log, Reader, ReplId, encode_command};
use tessera_slot::Offset;

const KIB: u64 = 1024;
const CHUNK: u64 = 64 * KIB;

fn id(n: u8) -> ReplId {
    ReplId::from_random([n; 20])
}

fn active_log(limit: u64) -> Log {
    let log = Log::new(id(0), limit);
    assert!(log.activate(id(1)));
    log
}

/// Everything up to the end.
fn drain(reader: &mut Reader) -> Vec<u8> {
    let mut all = Vec::new();
    loop {
        let bytes = reader.peek().expect("the history stays");
        if bytes.is_empty() {
            return all;
        }
        all.extend_from_slice(bytes);
        let count = bytes.len();
        reader.advance(count);
    }
}

fn stream(commands: &[&str]) -> Vec<u8> {
    let mut out = Vec::new();
    for command in commands {
        encode_command(&mut out, &command.split(' ').collect::<Vec<_>>());
    }
    out
}

/// Whether a replica at this offset of this history can continue from there.
fn can_serve(log: &Log, id: &ReplId, offset: Offset) -> Result<(), CannotServe> {
    log.open_reader(id, offset).map(drop)
}

#[test]
fn an_inactive_history_keeps_nothing() {
    let log = Log::new(id(0), KIB);
    assert_eq!(log.append_command(0, &["SET", "a", "1"]), Offset(0));
    assert_eq!((log.offset(), log.bytes(), log.is_active()), (Offset(0), 0, false));
    assert_eq!(can_serve(&log, &id(0), Offset(0)).err(), Some(CannotServe::Inactive));
}

#[test]
fn commands_come_with_their_database() {
    let log = active_log(KIB);
    let (_, mut reader) = log.start_full_sync();
    log.append_command(0, &["SET", "a", "1"]);
    log.append_command(0, &["SET", "b", "2"]);
    log.append_control(&["PING"]);
    let end = log.append_command(12, &["DEL", "a"]);
    let text = drain(&mut reader);
    assert_eq!(
        text,
        stream(&["SELECT 0", "SET a 1", "SET b 2", "PING", "SELECT 12", "DEL a"]),
        "{}",
        text.escape_ascii()
    );
    assert_eq!((end, reader.offset(), reader.lag()), (log.offset(), end, 0));

    // A transaction is one append; its database is selected before it.
    log.append(|to| {
        for args in [&["MULTI"][..], &["INCR", "n"], &["INCR", "m"], &["EXEC"]] {
            to.command(3, args);
        }
    });
    log.append_command(3, &["INCR", "o"]);
    let expected = ["SELECT 3", "MULTI", "INCR n", "INCR m", "EXEC", "INCR o"];
    assert_eq!(drain(&mut reader), stream(&expected));

    // Another replica does not know in which database the stream is.
    let (_, mut second) = log.start_full_sync();
    log.append_command(3, &["INCR", "p"]);
    assert_eq!(drain(&mut second), stream(&["SELECT 3", "INCR p"]));
}

#[test]
fn a_proxied_stream_is_kept_as_it_is_and_selects_after_promotion() {
    let log = Log::new(id(0), KIB);
    log.adopt(id(7), Offset(1000), 5);
    assert_eq!(log.stream_db(), 5);
    let (name, mut reader) = log.start_full_sync();
    assert_eq!((name, reader.offset()), (id(7), Offset(1000)));
    log.append_raw(5, b"*1\r\n$4\r\nPI");
    assert_eq!(log.append_raw(5, b"NG\r\n"), Offset(1014));
    log.shift_replication_id(id(8));
    assert_eq!(log.stream_db(), 5);
    log.append_command(5, &["SET", "a", "1"]);
    log.append_command(0, &["SET", "a", "1"]);
    assert_eq!(log.stream_db(), 0);
    let written = stream(&["SELECT 5", "SET a 1", "SELECT 0", "SET a 1"]);
    let expected = [&b"*1\r\n$4\r\nPING\r\n"[..], &written].concat();
    assert_eq!(drain(&mut reader), expected);
    assert_eq!(can_serve(&log, &id(7), Offset(1014)), Ok(()));
    let beyond = CannotServe::BeyondSecondId { until: Offset(1014) };
    assert_eq!(can_serve(&log, &id(7), Offset(1015)), Err(beyond));
    assert_eq!(can_serve(&log, &id(8), Offset(1015)), Ok(()));
}

#[test]
fn an_append_is_seen_whole_or_not_at_all() {
    let log = active_log(KIB);
    let (_, mut reader) = log.start_full_sync();
    log.append_control(&["PING"]);
    let before = reader.peek().unwrap().len();
    log.append(|to| {
        to.control(&["PING"]);
        assert_eq!(reader.peek().unwrap().len(), before);
        to.control(&["PING"]);
    });
    assert_eq!(drain(&mut reader), stream(&["PING", "PING", "PING"]));
}

#[test]
fn large_values_cross_chunks() {
    let log = active_log(KIB);
    let (_, mut reader) = log.start_full_sync();
    let mut expected = stream(&["SELECT 0"]);
    for size in [1, 65_000, 1000, 65_536, 200_000, 40_000_000, 3] {
        let value = vec![b'v'; size];
        let args = [&b"SET"[..], b"k", &value];
        encode_command(&mut expected, &args);
        log.append_command(0, &args);
    }
    let large = vec![b'w'; 300_000];
    for (db, value) in [(0, &large[..]), (5, &large), (5, b"small")] {
        if db == 5 && value.len() > 5 {
            expected.extend_from_slice(&stream(&["SELECT 5"]));
        }
        let mut transaction = stream(&["MULTI"]);
        encode_command(&mut transaction, &[b"SET", &b"k"[..], value]);
        encode_command(&mut transaction, &[b"DEL", &b"l"[..]]);
        transaction.extend_from_slice(&stream(&["EXEC"]));
        expected.extend_from_slice(&transaction);
        log.append(|to| to.encoded(db, transaction));
    }
    assert_eq!(log.offset().0, expected.len() as u64);
    assert!(drain(&mut reader) == expected, "the bytes differ");
}

#[test]
fn the_backlog_is_trimmed_to_its_size_but_not_under_a_reader() {
    let log = active_log(4 * CHUNK);
    let (name, mut slow) = log.start_full_sync();
    let block = vec![b'x'; CHUNK as usize];
    for _ in 0..20 {
        log.append_raw(0, &block);
    }
    assert_eq!((log.first_offset(), slow.lag()), (Offset(0), 20 * CHUNK));
    assert_eq!(log.bytes(), 20 * CHUNK);

    // The reader catches up by half, then entirely: the chunks behind it go.
    for _ in 0..10 {
        assert_eq!(slow.peek().unwrap().len() as u64, CHUNK);
        slow.advance(CHUNK as usize);
    }
    log.set_backlog_limit(4 * CHUNK);
    assert_eq!(log.first_offset(), Offset(10 * CHUNK));
    drop(slow);
    assert_eq!(log.first_offset(), Offset(16 * CHUNK));
    assert_eq!((log.bytes(), log.reader_count()), (4 * CHUNK, 0));

    let gone = CannotServe::NotInBacklog { first: Offset(16 * CHUNK), end: Offset(20 * CHUNK) };
    assert_eq!(log.open_reader(&name, Offset(16 * CHUNK - 1)).err(), Some(gone));
    assert_eq!(log.open_reader(&name, Offset(20 * CHUNK + 1)).err(), Some(gone));
    let mut resumed = log.open_reader(&name, Offset(16 * CHUNK)).unwrap();
    assert_eq!(drain(&mut resumed).len() as u64, 4 * CHUNK);

    log.set_backlog_limit(CHUNK);
    assert_eq!((log.bytes(), log.backlog_limit()), (CHUNK, CHUNK));
}

#[test]
fn a_replaced_history_cuts_its_readers_off() {
    let log = active_log(KIB);
    let (name, mut reader) = log.start_full_sync();
    log.append_control(&["PING"]);
    log.adopt(id(9), Offset(5000), 0);
    assert_eq!(reader.peek(), Err(HistoryReplaced));
    assert_eq!(can_serve(&log, &name, Offset(0)), Err(CannotServe::OtherHistory));
    assert_eq!(can_serve(&log, &id(9), Offset(5000)), Ok(()));
    assert_eq!((log.offset(), log.first_offset()), (Offset(5000), Offset(5000)));
    assert_eq!(log.identity().second, None);

    let mut reader = log.open_reader(&id(9), Offset(5000)).unwrap();
    log.deactivate();
    assert_eq!(reader.peek(), Err(HistoryReplaced));
    assert_eq!((log.bytes(), log.offset()), (0, Offset(5000)));
    assert_eq!(log.append_control(&["PING"]), Offset(5000));
    // A new beginning has a new name: what happened in between is not known.
    assert!(log.activate(id(10)));
    assert!(!log.activate(id(11)));
    assert_eq!(log.identity().id, id(10));
}
