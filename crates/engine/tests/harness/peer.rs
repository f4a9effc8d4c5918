//! A real redis-server, where one is installed.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// A redis-server on a port of its own, stopped when dropped, with a connection to it.
pub struct Peer {
    process: Child,
    stream: TcpStream,
}

/// What ends each reply that is read.
const MARK: &[u8] = b"$9\r\nthe--mark\r\n";

impl Peer {
    /// Starts the server, or the one that the variable TESSERA_PEER names. `None` if none is installed, which is an error where the variable CI is set.
    pub fn start() -> Option<Peer> {
        let free = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let port = free.local_addr().expect("it is bound").port();
        drop(free);
        let program = std::env::var("TESSERA_PEER").unwrap_or("redis-server".to_owned());
        let started = Command::new(program)
            .args([
                "--port",
                &port.to_string(),
                "--bind",
                "127.0.0.1",
                "--save",
                "",
                "--appendonly",
                "no",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
        let process = match started {
            Ok(process) => process,
            Err(error) if std::env::var_os("CI").is_none() => {
                let _ =
                    writeln!(std::io::stderr(), "skipped: redis-server is not installed ({error})");
                return None;
            }
            Err(error) => panic!("redis-server must be installed under CI: {error}"),
        };
        let stream = connect(port);
        stream.set_read_timeout(Some(Duration::from_secs(10))).expect("a time that is not zero");
        Some(Peer { process, stream })
    }

    /// The bytes of the reply to a command.
    pub fn command<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Vec<u8> {
        let mut request = Vec::new();
        tessera_log::encode_command(&mut request, args);
        tessera_log::encode_command(&mut request, &["ECHO", "the--mark"]);
        self.stream.write_all(&request).expect("the server is there");
        let (mut reply, mut chunk) = (Vec::new(), [0; 4096]);
        while !reply.ends_with(MARK) {
            let read = self.stream.read(&mut chunk).expect("the server answers");
            assert!(read > 0, "the server has closed the connection");
            reply.extend_from_slice(&chunk[..read]);
        }
        reply.truncate(reply.len() - MARK.len());
        reply
    }
}

/// Tries until the server listens.
fn connect(port: u16) -> TcpStream {
    for _ in 0..200 {
        if let Ok(stream) = TcpStream::connect(("127.0.0.1", port)) {
            return stream;
        }
        std::thread::sleep(Duration::from_millis(25));
    }
    panic!("redis-server does not listen");
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
