//! A real redis-server, where one is installed.

#[path = "../../../rdb/tests/peer/start.rs"]
mod start;

use super::reply::Value;
use start::start_on_free_port;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A server on a port of its own, stopped when dropped, with a connection to it, and another one
/// that unblocks the first.
pub struct Peer {
    process: Child,
    stream: TcpStream,
    helper: TcpStream,
    id: String,
}

impl Peer {
    /// Starts the server, or the one that the variable TESSERA_PEER names. `None` if none is
    /// installed, which is an error where the variable CI is set.
    pub fn start() -> Option<Peer> {
        let program = std::env::var("TESSERA_PEER").unwrap_or("redis-server".to_owned());
        Peer::start_program(&program, &[])
    }

    /// Starts this program with further options. `None` if it is not installed, which is an error
    /// where the variable CI is set.
    pub fn start_program(program: &str, options: &[&str]) -> Option<Peer> {
        let started = start_on_free_port(|port| {
            let mut command = Command::new(program);
            command
                .args(["--port", &port.to_string(), "--bind", "127.0.0.1"])
                .args(["--save", "", "--appendonly", "no"])
                .args(options)
                .stdout(Stdio::null())
                .stderr(Stdio::null());
            command
        });
        let (process, port) = match started {
            Ok(started) => started,
            Err(error) if std::env::var_os("CI").is_none() => {
                let _ =
                    writeln!(std::io::stderr(), "skipped: {program} is not installed ({error})");
                return None;
            }
            Err(error) => panic!("{program} must be installed under CI: {error}"),
        };
        let (mut stream, helper) = (connect(port), connect(port));
        for stream in [&stream, &helper] {
            stream.set_read_timeout(Some(PATIENCE)).expect("a time that is not zero");
        }
        let id = exchange(&mut stream, &["CLIENT", "ID"], patient);
        let id = String::from_utf8_lossy(&id[1..]).trim().to_owned();
        Some(Peer { process, stream, helper, id })
    }

    /// The bytes of the reply to a command.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        exchange(&mut self.stream, args, |silent| {
            let command = || args.iter().map(|arg| arg.as_ref().escape_ascii().to_string());
            assert!(silent < LONG, "no answer to {:?}", command().collect::<Vec<_>>());
        })
    }

    /// The bytes of the reply to a command that may make its client wait, which is then ended; and
    /// whether it did, if that can be told: on a slow machine its time may be up before it is
    /// looked at.
    pub fn may_block<A: AsRef<[u8]>>(&mut self, args: &[A]) -> (Vec<u8>, Option<bool>) {
        let (helper, id) = (&mut self.helper, self.id.as_str());
        let (mut waited, begun) = (false, Instant::now());
        let reply = exchange(&mut self.stream, args, |silent| {
            patient(silent);
            let unblock = ["CLIENT", "UNBLOCK", id];
            let unblocked = exchange(helper, &unblock, patient);
            waited |= unblocked == b":1\r\n";
        });
        (reply, (waited || begun.elapsed() < PATIENCE).then_some(waited))
    }
}

/// How long a server may take for an answer before it is asked whether it waits.
const PATIENCE: Duration = Duration::from_millis(15);

/// How long it may take in any case.
const LONG: Duration = Duration::from_secs(20);

fn patient(silent: Duration) {
    assert!(silent < LONG, "the server does not answer");
}

/// Sends a command and reads its reply. `silent` is called while there is none, with the time since
/// the command was sent.
fn exchange<A: AsRef<[u8]>>(
    stream: &mut TcpStream,
    args: &[A],
    mut silent: impl FnMut(Duration),
) -> Vec<u8> {
    let mut request = Vec::new();
    tessera_log::encode_command(&mut request, args);
    stream.write_all(&request).expect("the server is there");
    let sent = Instant::now();
    let (mut reply, mut chunk) = (Vec::new(), [0; 65_536]);
    while !Value::is_whole(&reply) {
        match stream.read(&mut chunk) {
            Ok(0) => panic!("the server has closed the connection"),
            Ok(read) => reply.extend_from_slice(&chunk[..read]),
            // A process that was stopped and goes on finds its waiting interrupted.
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() != ErrorKind::WouldBlock => panic!("the server: {error}"),
            Err(_) => silent(sent.elapsed()),
        }
    }
    reply
}

/// Tries until the server listens.
fn connect(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("the server does not listen");
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
