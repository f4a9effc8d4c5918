//! A real server of another make, for tests: started on a port of its own, stopped when dropped.

#![allow(dead_code, reason = "each test file uses a part of it")]

#[path = "start.rs"]
mod start;

use start::start_on_free_port;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

pub(crate) struct Peer {
    process: Child,
    port: u16,
    dir: tempfile::TempDir,
    client: BufReader<TcpStream>,
}

/// The path of the program, by the PATH. If there is none the test is skipped; a line says so, and
/// under CI that is a failure.
pub(crate) fn installed(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let found =
        std::env::split_paths(&path).map(|dir| dir.join(program)).find(|file| file.is_file());
    if found.is_none() {
        assert!(
            std::env::var_os("CI").is_none(),
            "{program} is not installed, but needed under CI"
        );
        let _ = writeln!(std::io::stderr(), "skipped: {program} is not installed");
    }
    found
}

impl Peer {
    /// Starts the server in an empty directory, with its files as `prepare` leaves them.
    pub(crate) fn start(program: &Path, args: &[&str], prepare: impl FnOnce(&Path)) -> Peer {
        let dir = tempfile::tempdir().expect("a temporary directory");
        prepare(dir.path());
        let command = |port: u16| {
            let mut command = Command::new(program);
            command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
                .args(["--daemonize", "no", "--dir"])
                .arg(dir.path())
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::null());
            command
        };
        let (process, port) = start_on_free_port(command).expect("the server starts");
        let client = BufReader::new(connect(port));
        let mut peer = Peer { process, port, dir, client };
        let begun = Instant::now();
        while peer.try_command(&["PING"]).as_deref() != Ok(b"PONG") {
            assert!(begun.elapsed() < PATIENCE, "the server does not become ready");
            thread::sleep(Duration::from_millis(10));
        }
        peer
    }

    pub(crate) fn address(&self) -> SocketAddr {
        SocketAddr::from((Ipv4Addr::LOCALHOST, self.port))
    }

    pub(crate) fn dir(&self) -> &Path {
        self.dir.path()
    }

    /// Runs a command; panics if the answer is an error.
    pub(crate) fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        match self.try_command(args) {
            Ok(reply) => reply,
            Err(error) => panic!("the server answered: {error}"),
        }
    }

    /// Runs a command. Gives the text of a simple answer, an integer or a bulk string; nothing
    /// for null.
    pub(crate) fn try_command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Result<Vec<u8>, String> {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            let arg = arg.as_ref();
            request.extend_from_slice(format!("${}\r\n", arg.len()).as_bytes());
            request.extend_from_slice(arg);
            request.extend_from_slice(b"\r\n");
        }
        self.client.get_mut().write_all(&request).expect("the server takes a command");
        let mut line = String::new();
        self.client.read_line(&mut line).expect("the server answers");
        let line = line.trim_end();
        match line.split_at(1) {
            ("-", error) => Err(error.to_owned()),
            ("$", "-1") => Ok(Vec::new()),
            ("$", len) => {
                let mut text = vec![0; len.parse::<usize>().expect("a length") + 2];
                self.client.read_exact(&mut text).expect("a bulk string");
                text.truncate(text.len() - 2);
                Ok(text)
            }
            ("+" | ":", text) => Ok(text.as_bytes().to_vec()),
            _ => panic!("an answer of another kind: {line}"),
        }
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        // It may have stopped already; then there is nothing to do.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn connect(port: u16) -> TcpStream {
    let begun = Instant::now();
    loop {
        match TcpStream::connect((Ipv4Addr::LOCALHOST, port)) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket option");
                return stream;
            }
            Err(error) => assert!(begun.elapsed() < PATIENCE, "cannot reach the server: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}
