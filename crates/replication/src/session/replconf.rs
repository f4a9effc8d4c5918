//! REPLCONF: pairs of option and value.

use tessera_slot::{Millis, Offset};

use super::{Contents, ReplicaSession, SessionEffect, SessionState, send, wrong};

/// An announced address is shorter than this (bytes).
const ADDRESS_LIMIT: usize = 256;

const NOT_AN_INTEGER: &str = "value is not an integer or out of range";

/// An option that answers nothing, or an error text.
enum Outcome {
    Next,
    Silent,
    Wrong(String),
}

impl ReplicaSession {
    pub(super) fn on_replconf(
        &mut self,
        now: Millis,
        args: &[&[u8]],
        effects: &mut Vec<SessionEffect>,
    ) {
        if !args.len().is_multiple_of(2) {
            return send(effects, wrong("syntax error"));
        }
        for at in (0..args.len()).step_by(2) {
            match self.on_option(now, &args[at..], effects) {
                Outcome::Next => {}
                Outcome::Silent => return,
                Outcome::Wrong(text) => return send(effects, wrong(&text)),
            }
        }
        send(effects, "+OK\r\n".to_owned());
    }

    /// `args` begins with the option and its value.
    fn on_option(
        &mut self,
        now: Millis,
        args: &[&[u8]],
        effects: &mut Vec<SessionEffect>,
    ) -> Outcome {
        let (option, value) = (args[0], args[1]);
        match option.to_ascii_lowercase().as_slice() {
            b"listening-port" => self.on_listening_port(value),
            b"ip-address" => self.on_ip_address(value),
            b"capa" => {
                match value.to_ascii_lowercase().as_slice() {
                    b"eof" => self.announced.eof = true,
                    b"psync2" => self.announced.psync2 = true,
                    _ => {}
                }
                Outcome::Next
            }
            b"ack" => {
                self.on_ack_option(now, args, effects);
                Outcome::Silent
            }
            b"getack" => {
                effects.push(SessionEffect::AckRequested);
                Outcome::Silent
            }
            b"rdb-only" => self.on_rdb_only(value),
            b"rdb-filter-only" => self.on_rdb_filter(value),
            b"version" => self.on_version(value),
            _ => Outcome::Wrong(format!("Unrecognized REPLCONF option: {}", shown(option))),
        }
    }

    fn on_listening_port(&mut self, value: &[u8]) -> Outcome {
        match parse_integer(value).map(u16::try_from) {
            Some(Ok(port)) => {
                self.announced.port = port;
                Outcome::Next
            }
            _ => Outcome::Wrong(NOT_AN_INTEGER.to_owned()),
        }
    }

    fn on_ip_address(&mut self, value: &[u8]) -> Outcome {
        if value.len() >= ADDRESS_LIMIT {
            let len = value.len();
            return Outcome::Wrong(format!(
                "REPLCONF ip-address provided by replica instance is too long: {len} bytes"
            ));
        }
        self.announced.ip = (!value.is_empty()).then(|| shown(value));
        Outcome::Next
    }

    fn on_ack_option(&mut self, now: Millis, args: &[&[u8]], effects: &mut Vec<SessionEffect>) {
        if matches!(self.state, SessionState::Configuring | SessionState::Deciding) {
            return;
        }
        let Some(offset) = parse_offset(args[1]) else { return };
        let fsynced = match args {
            [_, _, word, fsynced, ..] if word.eq_ignore_ascii_case(b"fack") => {
                parse_offset(fsynced)
            }
            _ => None,
        };
        self.on_ack(now, offset, fsynced, effects);
    }

    fn on_rdb_only(&mut self, value: &[u8]) -> Outcome {
        match parse_integer(value) {
            Some(flag @ 0..=1) => {
                self.announced.rdb_only = flag == 1;
                Outcome::Next
            }
            Some(_) => {
                let text = "value is out of range, value must between 0 and 1";
                Outcome::Wrong(text.to_owned())
            }
            None => Outcome::Wrong(NOT_AN_INTEGER.to_owned()),
        }
    }

    fn on_rdb_filter(&mut self, value: &[u8]) -> Outcome {
        let mut contents = Contents { data: false, functions: false };
        for word in value.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()) {
            if !word.eq_ignore_ascii_case(b"functions") {
                let word = shown(word);
                return Outcome::Wrong(format!("Unsupported rdb-filter-only option: {word}"));
            }
            contents.functions = true;
        }
        self.announced.contents = contents;
        Outcome::Next
    }

    fn on_version(&mut self, value: &[u8]) -> Outcome {
        self.announced.version = parse_version(value);
        match self.announced.version {
            Some(_) => Outcome::Next,
            None => Outcome::Wrong(format!("Unrecognized version format: {}", shown(value))),
        }
    }
}

/// A 64-bit integer in its one canonical spelling.
pub(super) fn parse_integer(text: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(text).ok()?;
    let digits = text.strip_prefix('-').unwrap_or(text);
    let canonical =
        digits == "0" && digits == text || digits.starts_with(|c| matches!(c, '1'..='9'));
    if canonical { text.parse().ok() } else { None }
}

fn parse_offset(text: &[u8]) -> Option<Offset> {
    parse_integer(text).and_then(|value| u64::try_from(value).ok()).map(Offset)
}

/// Three numbers from 0 to 255 with dots between them.
fn parse_version(text: &[u8]) -> Option<[u8; 3]> {
    let mut parts = text.split(|byte| *byte == b'.');
    let mut version = [0; 3];
    for number in &mut version {
        let digits = parts.next().filter(|part| part.iter().all(u8::is_ascii_digit))?;
        *number = std::str::from_utf8(digits).ok()?.parse().ok()?;
    }
    parts.next().is_none().then_some(version)
}

/// Text for an error line: without line breaks.
fn shown(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).replace(['\r', '\n'], " ")
}
