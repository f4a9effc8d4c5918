//! Starts a server on a port that is free, and makes sure that the server which answers there is
//! that one: between the choice of a port and the moment when the server listens, another test's
//! server may have taken it.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::process::{Child, Command};
use std::thread;
use std::time::{Duration, Instant};

const ATTEMPTS: u32 = 10;
/// How long a server may take until it answers.
const PATIENCE: Duration = Duration::from_secs(20);
/// How long a single answer may take.
const ANSWER: Duration = Duration::from_secs(1);

/// Starts what `command` says for a port; gives the process and its port, where it answers.
///
/// # Errors
/// If the program cannot be started at all.
///
/// # Panics
/// If no attempt has led to a server that answers.
pub(crate) fn start_on_free_port(command: impl Fn(u16) -> Command) -> io::Result<(Child, u16)> {
    for _ in 0..ATTEMPTS {
        let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let port = free.local_addr().expect("a bound socket has an address").port();
        drop(free);
        let mut process = command(port).spawn()?;
        if answers(&mut process, port) {
            return Ok((process, port));
        }
        // It may have ended already.
        let _ = process.kill();
        let _ = process.wait();
    }
    panic!("{ATTEMPTS} servers, of which none answers on its port");
}

/// Waits for this process to answer on the port. False: it has ended, or another one answers.
fn answers(process: &mut Child, port: u16) -> bool {
    let begun = Instant::now();
    while begun.elapsed() < PATIENCE && matches!(process.try_wait(), Ok(None)) {
        match process_id(port) {
            Ok(Some(id)) => return id == process.id(),
            // No process answers yet, or one that is just ending.
            Ok(None) | Err(_) => thread::sleep(Duration::from_millis(10)),
        }
    }
    false
}

/// The process that answers on a port, if it says which it is.
fn process_id(port: u16) -> io::Result<Option<u32>> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(ANSWER))?;
    stream.write_all(b"*2\r\n$4\r\nINFO\r\n$6\r\nserver\r\n")?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line)?;
    let Some(len) = line.strip_prefix('$').and_then(|len| len.trim_end().parse().ok()) else {
        return Ok(None);
    };
    let mut text = String::new();
    reader.take(len).read_to_string(&mut text)?;
    let id = text.lines().find_map(|line| line.strip_prefix("process_id:"));
    Ok(id.and_then(|id| id.parse().ok()))
}
