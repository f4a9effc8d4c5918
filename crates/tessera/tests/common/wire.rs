//! A small client whose every byte a test can see: RESP2 and RESP3 replies as text, pipelines, half
//! commands.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use super::PATIENCE;

/// An answer of a server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// A simple string.
    Status(String),
    /// An error, with its code.
    Error(String),
    /// An integer.
    Integer(i64),
    /// A string of bytes.
    Bulk(Vec<u8>),
    /// No value.
    Null,
    /// Answers in order; a map's keys and values alternate.
    Array(Vec<Answer>),
}

impl Answer {
    /// The text of a status, an error or a string; of an integer, its digits.
    #[track_caller]
    pub(crate) fn text(&self) -> String {
        match self {
            Answer::Status(text) | Answer::Error(text) => text.clone(),
            Answer::Bulk(bytes) => String::from_utf8_lossy(bytes).into_owned(),
            Answer::Integer(number) => number.to_string(),
            Answer::Null | Answer::Array(_) => panic!("not a text: {self:?}"),
        }
    }

    /// The elements of an array.
    #[track_caller]
    pub(crate) fn array(&self) -> &[Answer] {
        let Answer::Array(items) = self else { panic!("not an array: {self:?}") };
        items
    }

    /// The number of an integer.
    #[track_caller]
    pub(crate) fn integer(&self) -> i64 {
        let Answer::Integer(number) = self else { panic!("not an integer: {self:?}") };
        *number
    }

    /// Whether it is an error that begins so.
    pub(crate) fn is_error(&self, beginning: &str) -> bool {
        matches!(self, Answer::Error(text) if text.starts_with(beginning))
    }
}

enum Socket {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.read(buffer),
            Socket::Unix(socket) => socket.read(buffer),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        match self {
            Socket::Tcp(socket) => socket.write(bytes),
            Socket::Unix(socket) => socket.write(bytes),
        }
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// A connection.
pub(crate) struct Wire(BufReader<Socket>);

impl Wire {
    /// Connects to a port of this machine.
    pub(crate) fn connect(port: u16) -> std::io::Result<Wire> {
        Wire::connect_within(port, PATIENCE)
    }

    /// Connects; no read or write may take longer than `limit`.
    pub(crate) fn connect_within(port: u16, limit: Duration) -> std::io::Result<Wire> {
        Wire::connect_to(([127, 0, 0, 1], port).into(), limit)
    }

    /// Connects to any address.
    pub(crate) fn connect_to(address: SocketAddr, limit: Duration) -> std::io::Result<Wire> {
        let socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))?;
        Ok(Wire(BufReader::new(Socket::Tcp(socket))))
    }

    /// Connects to a Unix socket.
    pub(crate) fn connect_unix(path: &Path) -> std::io::Result<Wire> {
        let socket = UnixStream::connect(path)?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(Wire(BufReader::new(Socket::Unix(socket))))
    }

    /// Sends bytes as they are.
    pub(crate) fn send(&mut self, bytes: &[u8]) -> std::io::Result<()> {
        self.0.get_mut().write_all(bytes)
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn try_ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> std::io::Result<Answer> {
        self.send(&command(args))?;
        self.answer()
    }

    /// Sends a command and gives its answer, which must come.
    #[track_caller]
    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer {
        let name = args.first().map(|arg| String::from_utf8_lossy(arg.as_ref()).into_owned());
        match self.try_ask(args) {
            Ok(answer) => answer,
            Err(error) => panic!("no answer to {name:?}: {error}"),
        }
    }

    /// As [`Wire::ask`], with the words of one line.
    #[track_caller]
    pub(crate) fn say(&mut self, line: &str) -> Answer {
        self.ask(&line.split(' ').collect::<Vec<_>>())
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self) -> std::io::Result<Answer> {
        let line = self.line()?;
        let (kind, rest) = line.split_at_checked(1).ok_or(ErrorKind::InvalidData)?;
        let count = || rest.parse::<i64>().map_err(|_| ErrorKind::InvalidData);
        Ok(match kind {
            "+" | "," | "#" | "(" => Answer::Status(rest.to_owned()),
            "-" => Answer::Error(rest.to_owned()),
            ":" => Answer::Integer(count()?),
            "_" => Answer::Null,
            "$" | "=" => match usize::try_from(count()?) {
                Ok(length) => Answer::Bulk(self.bulk(length)?),
                Err(_) => Answer::Null,
            },
            "*" | "~" | ">" => self.array(count()?)?,
            "%" => self.array(count()? * 2)?,
            _ => return Err(ErrorKind::InvalidData.into()),
        })
    }

    /// Reads the payload of a full synchronisation, which an answer of this kind has no end for.
    /// Empty lines before it are signs of life.
    pub(crate) fn payload(&mut self) -> std::io::Result<Answer> {
        loop {
            let mut line = Vec::new();
            self.0.read_until(b'\n', &mut line)?;
            let line = String::from_utf8_lossy(line.trim_ascii()).into_owned();
            if line.is_empty() {
                continue;
            }
            let length = line.strip_prefix('$').and_then(|length| length.parse().ok());
            let mut bytes = vec![0; length.ok_or(ErrorKind::InvalidData)?];
            self.0.read_exact(&mut bytes)?;
            return Ok(Answer::Bulk(bytes));
        }
    }

    fn array(&mut self, count: i64) -> std::io::Result<Answer> {
        if count < 0 {
            return Ok(Answer::Null);
        }
        (0..count).map(|_| self.answer()).collect::<Result<_, _>>().map(Answer::Array)
    }

    fn bulk(&mut self, length: usize) -> std::io::Result<Vec<u8>> {
        let mut bytes = vec![0; length + 2];
        self.0.read_exact(&mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    fn line(&mut self) -> std::io::Result<String> {
        let mut line = Vec::new();
        self.0.read_until(b'\n', &mut line)?;
        match line.strip_suffix(b"\r\n") {
            Some(line) => Ok(String::from_utf8_lossy(line).into_owned()),
            None => Err(ErrorKind::UnexpectedEof.into()),
        }
    }

    /// Whether the server closes the connection, without another answer.
    pub(crate) fn is_closed_by_peer(&mut self) -> bool {
        let gone = [ErrorKind::ConnectionReset, ErrorKind::BrokenPipe, ErrorKind::UnexpectedEof];
        match self.answer() {
            Ok(_) => false,
            Err(error) => gone.contains(&error.kind()),
        }
    }

    /// A field of INFO; empty if it is not there.
    #[track_caller]
    pub(crate) fn info(&mut self, section: &str, field: &str) -> String {
        let text = self.ask(&["INFO", section]).text();
        field_of(&text, field)
    }
}

/// The value of a field in text of lines `field:value`; empty if it is not there.
pub(crate) fn field_of(text: &str, field: &str) -> String {
    let mut fields = text.lines().filter_map(|line| line.split_once(':'));
    let value = fields.find(|(name, _)| *name == field).map(|(_, value)| value.trim());
    value.unwrap_or_default().to_owned()
}

/// A command as it goes over the wire.
pub(crate) fn command<A: AsRef<[u8]>>(args: &[A]) -> Vec<u8> {
    let mut bytes = format!("*{}\r\n", args.len()).into_bytes();
    for arg in args {
        let arg = arg.as_ref();
        bytes.extend(format!("${}\r\n", arg.len()).bytes());
        bytes.extend(arg);
        bytes.extend(b"\r\n");
    }
    bytes
}
