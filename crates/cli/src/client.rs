//! A small blocking RESP2 client, for the tools' own questions to a server.
//!
//! It is not a client library: no pooling, no redirections, no reconnecting.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

/// The longest string that is accepted, in bytes; as `proto-max-bulk-len`'s default.
const BULK_MAX: u64 = 512 << 20;

/// The longest line of a reply, in bytes.
const LINE_MAX: u64 = 64 << 10;

/// How deep arrays of a reply may nest.
const DEPTH_MAX: usize = 16;

/// A server's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// A simple string, such as `OK`.
    Status(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// No value.
    Null,
    /// Replies, in order.
    Array(Vec<Reply>),
    /// An error inside an array; at the top it is a [`ClientError::Refused`].
    Error(String),
}

impl Reply {
    /// The text of a status or bulk string; what is not UTF-8 is replaced.
    pub fn text(&self) -> Option<String> {
        match self {
            Reply::Status(text) => Some(text.clone()),
            Reply::Bulk(bytes) => Some(String::from_utf8_lossy(bytes).into_owned()),
            _ => None,
        }
    }

    /// The number of an integer reply.
    pub fn integer(&self) -> Option<i64> {
        if let Reply::Integer(number) = self { Some(*number) } else { None }
    }

    /// The elements of an array.
    pub fn array(&self) -> Option<&[Reply]> {
        if let Reply::Array(items) = self { Some(items) } else { None }
    }
}

/// Why a command has no answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The connection cannot be made, broke, or took too long.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// The server answered with an error; the connection is good.
    #[error("{0}")]
    Refused(String),
    /// The server does not speak RESP.
    #[error("not a RESP reply: {0}")]
    Protocol(&'static str),
}

/// A connection to a server.
#[derive(Debug)]
pub struct Client {
    stream: BufReader<TcpStream>,
}

impl Client {
    /// Connects; `timeout` holds for this and for each read and write later.
    pub fn connect(address: impl ToSocketAddrs, timeout: Duration) -> Result<Client, ClientError> {
        let mut last_error = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
        for address in address.to_socket_addrs()? {
            match Client::connect_to(address, timeout) {
                Ok(client) => return Ok(client),
                Err(error) => last_error = error,
            }
        }
        Err(last_error.into())
    }

    fn connect_to(address: SocketAddr, timeout: Duration) -> io::Result<Client> {
        let stream = TcpStream::connect_timeout(&address, timeout)?;
        stream.set_read_timeout(Some(timeout))?;
        stream.set_write_timeout(Some(timeout))?;
        stream.set_nodelay(true)?;
        Ok(Client { stream: BufReader::new(stream) })
    }

    /// Sends a command and waits for its answer.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Reply, ClientError> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            request.extend(format!("${}\r\n", arg.len()).bytes());
            request.extend(arg);
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request)?;
        match read_reply(&mut self.stream)? {
            Reply::Error(text) => Err(ClientError::Refused(text)),
            reply => Ok(reply),
        }
    }

    /// A field of INFO, such as `used_memory` of section `memory`; `None` if it is not there.
    pub fn info_field(
        &mut self,
        section: &str,
        field: &str,
    ) -> Result<Option<String>, ClientError> {
        let text = self.command(&["INFO", section])?.text().unwrap_or_default();
        let mut fields = text.lines().filter_map(|line| line.split_once(':'));
        Ok(fields.find(|(name, _)| *name == field).map(|(_, value)| value.trim().to_owned()))
    }
}

/// Reads one whole reply.
fn read_reply(stream: &mut impl BufRead) -> Result<Reply, ClientError> {
    // Arrays that are not complete: the elements that they have, and how many are missing.
    let mut open: Vec<(Vec<Reply>, u64)> = Vec::new();
    loop {
        let mut reply = match read_element(stream)? {
            Element::Whole(reply) => reply,
            Element::ArrayOf(0) => Reply::Array(Vec::new()),
            Element::ArrayOf(_) if open.len() == DEPTH_MAX => {
                return Err(ClientError::Protocol("arrays nest too deep"));
            }
            Element::ArrayOf(count) => {
                open.push((Vec::new(), count));
                continue;
            }
        };
        loop {
            let Some((mut items, missing)) = open.pop() else { return Ok(reply) };
            items.push(reply);
            if missing > 1 {
                open.push((items, missing - 1));
                break;
            }
            reply = Reply::Array(items);
        }
    }
}

enum Element {
    Whole(Reply),
    ArrayOf(u64),
}

fn read_element(stream: &mut impl BufRead) -> Result<Element, ClientError> {
    let line = read_line(stream)?;
    let (kind, rest) = line.split_at_checked(1).ok_or(ClientError::Protocol("an empty line"))?;
    let number = || rest.parse::<i64>().map_err(|_| ClientError::Protocol("not a number"));
    let whole = match kind {
        "+" => Reply::Status(rest.to_owned()),
        "-" => Reply::Error(rest.to_owned()),
        ":" => Reply::Integer(number()?),
        "$" => match u64::try_from(number()?) {
            Ok(length) => Reply::Bulk(read_bulk(stream, length)?),
            Err(_) => Reply::Null,
        },
        "*" => match u64::try_from(number()?) {
            Ok(count) => return Ok(Element::ArrayOf(count)),
            Err(_) => Reply::Null,
        },
        _ => return Err(ClientError::Protocol("an unknown type")),
    };
    Ok(Element::Whole(whole))
}

fn read_line(stream: &mut impl BufRead) -> Result<String, ClientError> {
    let mut line = Vec::new();
    stream.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)?;
    if line.is_empty() {
        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
    }
    let line = line.strip_suffix(b"\r\n").ok_or(ClientError::Protocol("a line without end"))?;
    Ok(String::from_utf8_lossy(line).into_owned())
}

fn read_bulk(stream: &mut impl BufRead, length: u64) -> Result<Vec<u8>, ClientError> {
    if length > BULK_MAX {
        return Err(ClientError::Protocol("a string too long"));
    }
    let mut bytes = Vec::new();
    // Grows with what arrives, not with what is promised.
    stream.by_ref().take(length + 2).read_to_end(&mut bytes)?;
    match bytes.strip_suffix(b"\r\n") {
        Some(_) if bytes.len() as u64 == length + 2 => {
            bytes.truncate(bytes.len() - 2);
            Ok(bytes)
        }
        _ => Err(ClientError::Protocol("a string without end")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Reply, ClientError> {
        read_reply(&mut text.as_bytes())
    }

    #[test]
    fn replies() {
        let bulk = |text: &str| Reply::Bulk(text.into());
        for (text, expected) in [
            ("+OK\r\n", Reply::Status("OK".into())),
            (":-7\r\n", Reply::Integer(-7)),
            ("$-1\r\n", Reply::Null),
            ("*-1\r\n", Reply::Null),
            ("$3\r\na\r\n\r\n", bulk("a\r\n")),
            ("*0\r\n", Reply::Array(vec![])),
            (
                "*3\r\n*2\r\n:1\r\n*0\r\n$1\r\nx\r\n-ERR y\r\n",
                Reply::Array(vec![
                    Reply::Array(vec![Reply::Integer(1), Reply::Array(vec![])]),
                    bulk("x"),
                    Reply::Error("ERR y".into()),
                ]),
            ),
        ] {
            assert_eq!(read(text).expect(text), expected, "{text:?}");
        }
    }

    #[test]
    fn what_is_no_reply_is_an_error() {
        let nested = "*1\r\n".repeat(1000);
        for text in ["", "hello\r\n", ":x\r\n", "$5\r\nab\r\n", "$1\r\nabc", "+OK", &nested] {
            assert!(read(text).is_err(), "{text:?}");
        }
        // A promised gigabyte is refused before it is awaited.
        assert!(read("$1073741824\r\n").is_err());
    }
}
