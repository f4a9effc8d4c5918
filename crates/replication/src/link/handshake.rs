//! The words of the handshake: what is sent, and what the answers mean.

use tessera_log::{ReplId, encode_command};
use tessera_slot::Offset;

use super::mark::{MARK_LEN, MarkScanner};
use super::{Ending, LinkConfig, LinkFault, Position};

/// The answer that comes next. After PING's the announcements are sent all at once.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Awaited {
    Ping,
    Auth,
    ListeningPort,
    IpAddress,
    Capabilities,
    Version,
}

impl Awaited {
    /// The answer after this one; `None` if PSYNC is next.
    pub(crate) fn next(self, config: &LinkConfig) -> Option<Awaited> {
        match self {
            Awaited::Ping if config.password.is_some() => Some(Awaited::Auth),
            Awaited::Ping | Awaited::Auth => Some(Awaited::ListeningPort),
            Awaited::ListeningPort if config.announce_ip.is_some() => Some(Awaited::IpAddress),
            Awaited::ListeningPort | Awaited::IpAddress => Some(Awaited::Capabilities),
            Awaited::Capabilities => Some(Awaited::Version),
            Awaited::Version => None,
        }
    }

    /// Whether one can go on after this answer.
    pub(crate) fn check(self, line: &[u8]) -> Result<(), LinkFault> {
        match self {
            // AUTH follows, so a primary that asks for it is not wrong yet.
            Awaited::Ping if line.starts_with(b"-NOAUTH") || line.starts_with(b"-NOPERM") => Ok(()),
            Awaited::Ping if line.starts_with(b"-ERR operation not permitted") => Ok(()),
            Awaited::Ping if line.starts_with(b"-LOADING") => Err(LinkFault::NotNow(text(line))),
            Awaited::Ping if !line.starts_with(b"+") => Err(LinkFault::Ping(text(line))),
            Awaited::Auth if line.starts_with(b"-") => Err(LinkFault::Auth(text(line))),
            // Primaries differ in the options that they know; none of them is needed.
            _ => Ok(()),
        }
    }
}

/// AUTH and all REPLCONF commands of the handshake.
pub(crate) fn announce(config: &LinkConfig) -> Vec<u8> {
    let mut out = Vec::new();
    if let Some(password) = &config.password {
        let user = config.user.as_ref().map(String::as_bytes);
        let args: Vec<&[u8]> =
            [&b"AUTH"[..]].into_iter().chain(user).chain([&password[..]]).collect();
        encode_command(&mut out, &args);
    }
    let port = config.listening_port.to_string();
    encode_command(&mut out, &[b"REPLCONF", &b"listening-port"[..], port.as_bytes()]);
    if let Some(ip) = &config.announce_ip {
        encode_command(&mut out, &[b"REPLCONF", &b"ip-address"[..], ip.as_bytes()]);
    }
    encode_command(&mut out, &["REPLCONF", "capa", "eof", "capa", "psync2"]);
    encode_command(&mut out, &["REPLCONF", "version", &config.version]);
    out
}

/// PSYNC names the first byte that is wanted, hence one more than what was applied.
pub(crate) fn psync(position: Option<Position>) -> Vec<u8> {
    let (id, first_wanted) = match position {
        Some(Position { id, offset }) => (id.to_string(), (offset.0 + 1).to_string()),
        None => ("?".to_owned(), "-1".to_owned()),
    };
    let mut out = Vec::new();
    encode_command(&mut out, &["PSYNC", &id, &first_wanted]);
    out
}

/// REPLCONF ACK, with FACK if there is an append-only file.
pub(crate) fn ack(applied: Offset, fsynced: Option<Offset>) -> Vec<u8> {
    let mut out = Vec::new();
    let applied = applied.to_string();
    match fsynced {
        Some(fsynced) => {
            let fsynced = fsynced.to_string();
            encode_command(&mut out, &["REPLCONF", "ACK", &applied, "FACK", &fsynced]);
        }
        None => encode_command(&mut out, &["REPLCONF", "ACK", &applied]),
    }
    out
}

/// A good answer to PSYNC.
#[derive(PartialEq, Eq, Debug)]
pub(crate) enum PsyncReply {
    FullResync(Position),
    /// With the history's new name, if the primary gave one.
    Continue(Option<ReplId>),
}

pub(crate) fn parse_psync_reply(line: &[u8]) -> Result<PsyncReply, LinkFault> {
    let mut words = line.split(|byte| *byte == b' ');
    match words.next().unwrap_or_default() {
        b"+FULLRESYNC" => {
            let id = words.next().and_then(|word| ReplId::parse(word).ok());
            let offset = words.next().and_then(parse_number);
            let (Some(id), Some(offset)) = (id, offset) else {
                return Err(LinkFault::Protocol(text(line)));
            };
            Ok(PsyncReply::FullResync(Position { id, offset: Offset(offset) }))
        }
        b"+CONTINUE" => match words.next() {
            None | Some(b"") => Ok(PsyncReply::Continue(None)),
            Some(word) => match ReplId::parse(word) {
                Ok(id) => Ok(PsyncReply::Continue(Some(id))),
                Err(_) => Err(LinkFault::Protocol(text(line))),
            },
        },
        b"-NOMASTERLINK" | b"-LOADING" => Err(LinkFault::NotNow(text(line))),
        _ if line.starts_with(b"-") => Err(LinkFault::Psync(text(line))),
        _ => Err(LinkFault::Protocol(text(line))),
    }
}

/// `$<length>` or `$EOF:<mark>`.
pub(crate) fn parse_payload_header(line: &[u8]) -> Result<Ending, LinkFault> {
    if line.starts_with(b"-") {
        return Err(LinkFault::Aborted(text(line)));
    }
    let wrong = || LinkFault::Protocol(text(line));
    let announced = line.strip_prefix(b"$").ok_or_else(wrong)?;
    if let Some(mark) = announced.strip_prefix(b"EOF:") {
        let mark: [u8; MARK_LEN] = mark.try_into().map_err(|_| wrong())?;
        return Ok(Ending::Mark { scanner: Box::new(MarkScanner::new(mark)), read: 0 });
    }
    let total = parse_number(announced).ok_or_else(wrong)?;
    Ok(Ending::Length { left: total, total })
}

/// A decimal number without sign that fits in 63 bits, as offsets and lengths of the protocol do.
fn parse_number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let value: i64 = std::str::from_utf8(digits).ok()?.parse().ok()?;
    u64::try_from(value).ok()
}

fn text(line: &[u8]) -> String {
    String::from_utf8_lossy(line.strip_prefix(b"-").unwrap_or(line)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_to_psync() {
        let id = ReplId::from_random([7; 20]);
        let full = format!("+FULLRESYNC {id} 1234");
        let granted = PsyncReply::FullResync(Position { id, offset: Offset(1234) });
        assert_eq!(parse_psync_reply(full.as_bytes()), Ok(granted));
        let renamed = format!("+CONTINUE {id}");
        assert_eq!(parse_psync_reply(renamed.as_bytes()), Ok(PsyncReply::Continue(Some(id))));
        assert_eq!(parse_psync_reply(b"+CONTINUE"), Ok(PsyncReply::Continue(None)));
        for bad in [
            "",
            "+OK",
            "+DUALCHANNELSYNC",
            "+FULLRESYNC",
            "+FULLRESYNC ? 1",
            &format!("+FULLRESYNC {id} -1"),
            &format!("+FULLRESYNC {id} 9223372036854775808"),
            "+CONTINUE abc",
        ] {
            let answer = parse_psync_reply(bad.as_bytes());
            assert!(matches!(answer, Err(LinkFault::Protocol(_))), "{bad}: {answer:?}");
        }
    }

    #[test]
    fn payload_headers() {
        assert!(matches!(
            parse_payload_header(b"$123"),
            Ok(Ending::Length { left: 123, total: 123 })
        ));
        let marked = [&b"$EOF:"[..], &[b'x'; MARK_LEN]].concat();
        assert!(matches!(parse_payload_header(&marked), Ok(Ending::Mark { .. })));
        assert!(matches!(parse_payload_header(b"-ERR no"), Err(LinkFault::Aborted(_))));
        for bad in [&b"$"[..], b"$-1", b"123", b"$12x", b"$EOF:short"] {
            assert!(matches!(parse_payload_header(bad), Err(LinkFault::Protocol(_))));
        }
    }
}
