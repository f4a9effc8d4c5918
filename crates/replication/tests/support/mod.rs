//! Helpers of the tests with real servers.

#[path = "../../../rdb/tests/peer/mod.rs"]
pub(crate) mod peer;

use std::path::PathBuf;

use peer::{Peer, installed};

/// The first command of `bytes` and its length, if it is there completely.
pub(crate) fn parse_command(bytes: &[u8]) -> Option<(Vec<Vec<u8>>, usize)> {
    let mut at = 0;
    let count = parse_line(bytes, &mut at, "*")?;
    let mut args = Vec::new();
    for _ in 0..count {
        let len = parse_line(bytes, &mut at, "$")?;
        let end = at + len + 2;
        args.push(bytes.get(at..end)?[..len].to_vec());
        at = end;
    }
    Some((args, at))
}

fn parse_line(bytes: &[u8], at: &mut usize, mark: &str) -> Option<usize> {
    let len = bytes[*at..].windows(2).position(|window| window == b"\r\n")?;
    let line = std::str::from_utf8(&bytes[*at..*at + len]).unwrap();
    *at += len + 2;
    Some(line.strip_prefix(mark).unwrap().parse().unwrap())
}

/// The real servers to test with.
pub(crate) fn servers() -> Vec<PathBuf> {
    let valkey = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
    installed("redis-server").into_iter().chain(valkey).collect()
}

/// A field of INFO replication.
pub(crate) fn info(server: &mut Peer, field: &str) -> String {
    let text = String::from_utf8(server.command(&["INFO", "replication"])).unwrap();
    let value = text.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
    value.unwrap_or_else(|| panic!("no {field} in {text}")).to_owned()
}
