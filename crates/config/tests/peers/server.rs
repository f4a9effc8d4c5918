//! A real server for a test, and questions to it.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// A running server; killed when dropped.
pub(crate) struct Server {
    process: Child,
    stream: BufReader<TcpStream>,
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may be gone already; there is nothing else to do about it here.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// A simple reply, or the elements of an array of strings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    Status(String),
    Error(String),
    Words(Vec<Vec<u8>>),
}

impl Server {
    /// Starts the program on a free port of the loopback.
    pub(crate) fn start(program: &Path, config_file: Option<&Path>) -> Server {
        let port = TcpListener::bind("127.0.0.1:0")
            .and_then(|listener| listener.local_addr())
            .expect("a free port")
            .port();
        let process = Command::new(program)
            .args(config_file)
            .args(["--port", &port.to_string(), "--bind", "127.0.0.1", "--save", ""])
            .current_dir(std::env::temp_dir())
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .expect("the program starts");
        Server { process, stream: BufReader::new(connect(port)) }
    }

    /// Sends a command and waits for its answer.
    pub(crate) fn ask<A: AsRef<[u8]>>(&mut self, args: &[A]) -> Answer {
        let mut request = format!("*{}\r\n", args.len()).into_bytes();
        for arg in args {
            request.extend(format!("${}\r\n", arg.as_ref().len()).bytes());
            request.extend(arg.as_ref());
            request.extend(b"\r\n");
        }
        self.stream.get_mut().write_all(&request).expect("the request is sent");
        let (kind, rest) = self.line();
        match kind {
            '+' | ':' => Answer::Status(rest),
            '-' => Answer::Error(rest),
            '*' => {
                let count: usize = rest.parse().expect("a number of elements");
                Answer::Words((0..count).map(|_| self.word()).collect())
            }
            _ => panic!("unexpected reply {kind}{rest}"),
        }
    }

    /// The answer of CONFIG GET to a pattern.
    pub(crate) fn config_get(&mut self, pattern: &str) -> BTreeMap<String, String> {
        let Answer::Words(words) = self.ask(&["CONFIG", "GET", pattern]) else {
            panic!("CONFIG GET answers no list")
        };
        let text = |word: &Vec<u8>| String::from_utf8(word.clone()).expect("values are text");
        words.chunks(2).map(|pair| (text(&pair[0]), text(&pair[1]))).collect()
    }

    fn line(&mut self) -> (char, String) {
        let mut line = String::new();
        self.stream.read_line(&mut line).expect("a line of the reply");
        let kind = line.chars().next().expect("a reply is not empty");
        (kind, line[1..].trim_end().to_owned())
    }

    fn word(&mut self) -> Vec<u8> {
        let (kind, length) = self.line();
        assert_eq!(kind, '$');
        let length: usize = length.parse().expect("no nulls here");
        let mut word = vec![0; length + 2];
        self.stream.read_exact(&mut word).expect("the word is complete");
        word.truncate(length);
        word
    }
}

fn connect(port: u16) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        match TcpStream::connect(("127.0.0.1", port)) {
            Ok(stream) => return stream,
            Err(error) => assert!(Instant::now() < deadline, "no server on {port}: {error}"),
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Redis 7.0, or `None` after saying that the test is skipped.
pub(crate) fn redis() -> Option<Server> {
    redis_program().map(|program| Server::start(&program, None))
}

/// The program of [`redis`].
pub(crate) fn redis_program() -> Option<PathBuf> {
    installed(Some("redis-server".into()), "redis-server")
}

/// Valkey 8.1, or `None` after saying that the test is skipped.
pub(crate) fn valkey() -> Option<Server> {
    let program = std::env::var_os("VALKEY_SERVER").map(PathBuf::from);
    let program = installed(program, "Valkey (variable VALKEY_SERVER)");
    program.map(|program| Server::start(&program, None))
}

fn installed(program: Option<PathBuf>, what: &str) -> Option<PathBuf> {
    let found = program.filter(|path| {
        let version = Command::new(path).arg("--version").stdout(Stdio::null()).status();
        version.is_ok_and(|status| status.success())
    });
    if found.is_none() {
        assert!(std::env::var_os("CI").is_none(), "{what} must be installed under CI");
        let _ = writeln!(std::io::stderr(), "skipped: {what} is not installed");
    }
    found
}
