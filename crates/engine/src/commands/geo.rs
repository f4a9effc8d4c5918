//! Positions on the earth: sorted sets whose scores are geohashes of 52 bits.

mod add;
mod grid;
mod options;
mod read;
mod search;

use crate::command::{Command, Flags, Group};
use crate::{Args, Fail};
use grid::Position;
use tessera_collections::parse_double;
use tessera_resp::Reply;

const GEO: Group = Group::Geo;
const READ: Flags = Flags::READONLY;
const WRITE: Flags = Flags::WRITE.or(Flags::DENYOOM);

pub(super) const COMMANDS: &[Command] = &[
    add::GEOADD,
    read::GEOPOS,
    read::GEODIST,
    read::GEOHASH,
    search::GEOSEARCH,
    search::GEOSEARCHSTORE,
    search::GEORADIUS,
    search::GEORADIUS_RO,
    search::GEORADIUSBYMEMBER,
    search::GEORADIUSBYMEMBER_RO,
];

/// Longitude and latitude at argument `at` and behind it, in degrees.
fn position(args: Args<'_>, at: usize) -> Result<Position, Fail> {
    let degrees = |at| parse_double(args.at(at)).ok_or(Fail::NotFloat);
    let position = Position { longitude: degrees(at)?, latitude: degrees(at + 1)? };
    if position.is_on_map() {
        return Ok(position);
    }
    let Position { longitude, latitude } = position;
    Err(Fail::text(format!("ERR invalid longitude,latitude pair {longitude:.6},{latitude:.6}")))
}

/// Metres in a unit.
fn unit(arg: &[u8]) -> Result<f64, Fail> {
    const UNITS: [(&[u8], f64); 4] =
        [(b"m", 1.0), (b"km", 1000.0), (b"ft", 0.3048), (b"mi", 1609.34)];
    let known = UNITS.iter().find(|(name, _)| name.eq_ignore_ascii_case(arg));
    known
        .map(|&(_, metres)| metres)
        .ok_or(Fail::text("ERR unsupported unit provided. please use M, KM, FT, MI"))
}

/// Answers a distance with four digits behind the point, as text in both protocols.
fn reply_distance(reply: &mut Reply, distance: f64) {
    const PARTS: f64 = 10_000.0;
    // Rounded as Redis rounds: the scaled number to an integer, halves to even.
    let scaled = (distance * PARTS).round_ties_even() as i64;
    let (sign, scaled) = (if scaled < 0 { "-" } else { "" }, scaled.unsigned_abs());
    reply.bulk(format!("{sign}{}.{:04}", scaled / 10_000, scaled % 10_000).as_bytes());
}

/// Answers longitude and latitude with up to 17 digits behind the point.
fn reply_position(reply: &mut Reply, position: Position) {
    reply.array(2);
    for degrees in [position.longitude, position.latitude] {
        let text = format!("{degrees:.17}");
        let text = text.trim_end_matches('0').trim_end_matches('.');
        reply.double_text(if text == "-0" { "0" } else { text });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tessera_resp::Protocol;

    #[test]
    fn distances_have_four_digits() {
        for (distance, text) in [
            (0.0, "$6\r\n0.0000\r\n"),
            (0.775, "$6\r\n0.7750\r\n"),
            (166274.15156960033, "$11\r\n166274.1516\r\n"),
            (0.00004, "$6\r\n0.0000\r\n"),
            (12345.0, "$10\r\n12345.0000\r\n"),
        ] {
            let mut reply = Reply::new(Protocol::Resp3);
            reply_distance(&mut reply, distance);
            assert_eq!(String::from_utf8_lossy(&reply.buf), text);
        }
    }
}
