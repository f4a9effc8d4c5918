//! Writers that go on through a failover, and remember what they were promised.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::wire::{Answer, Wire};
use super::{PATIENCE, eventually};

/// How long a writer waits for an answer before it turns to another node.
const ANSWER_LIMIT: Duration = Duration::from_millis(400);
/// WAIT's time limit, milliseconds.
const WAIT_LIMIT: &str = "100";

/// A write that a node answered with OK.
#[derive(Clone, Debug)]
pub(crate) struct Write {
    /// The key; its value is its number.
    pub(crate) key: String,
    /// The value.
    pub(crate) value: String,
    /// When the answer came.
    pub(crate) at: Instant,
    /// The node that answered.
    pub(crate) port: u16,
    /// How many replicas had it, by WAIT on the same connection.
    pub(crate) replicas: i64,
}

/// A thread that writes keys of one hash tag one after the other, each followed by WAIT 1 on the
/// same connection.
pub(crate) struct Writer {
    stop: Arc<AtomicBool>,
    writes: Arc<Mutex<Vec<Write>>>,
    thread: Option<JoinHandle<()>>,
}

impl Writer {
    /// Starts to write keys with this hash tag to whoever of these nodes serves it.
    pub(crate) fn start(tag: &str, ports: &[u16]) -> Writer {
        let stop = Arc::new(AtomicBool::new(false));
        let writes = Arc::new(Mutex::new(Vec::new()));
        let mut run = Run {
            tag: tag.to_owned(),
            ports: ports.to_vec(),
            at: 0,
            wire: None,
            stop: Arc::clone(&stop),
            writes: Arc::clone(&writes),
        };
        let thread = std::thread::spawn(move || run.run());
        Writer { stop, writes, thread: Some(thread) }
    }

    /// The writes so far.
    pub(crate) fn writes(&self) -> Vec<Write> {
        self.writes.lock().expect("no writer panics").clone()
    }

    /// Waits until so many writes more were acknowledged by a replica.
    #[track_caller]
    pub(crate) fn await_acknowledged(&self, more: usize) {
        let count = || self.writes().iter().filter(|write| write.replicas >= 1).count();
        let before = count();
        eventually("writes are acknowledged by a replica", || {
            let now = count();
            if now >= before + more { Ok(()) } else { Err(format!("{} of {more}", now - before)) }
        });
    }

    /// Waits for the first write that another node than this one has answered; gives when.
    #[track_caller]
    pub(crate) fn await_write_elsewhere(&self, than: u16, after: Instant) -> Instant {
        eventually("another node takes writes", || {
            let writes = self.writes();
            let first = writes.iter().find(|write| write.at > after && write.port != than);
            first.map(|write| write.at).ok_or_else(|| format!("{:?}", writes.last()))
        })
    }

    /// Ends the writing; gives all writes.
    pub(crate) fn stop(mut self) -> Vec<Write> {
        self.end();
        self.writes()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let ended = thread.join();
            assert!(ended.is_ok() || std::thread::panicking(), "a writer panicked");
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.end();
    }
}

struct Run {
    tag: String,
    ports: Vec<u16>,
    /// The node that is asked, by its place in `ports`.
    at: usize,
    wire: Option<Wire>,
    stop: Arc<AtomicBool>,
    writes: Arc<Mutex<Vec<Write>>>,
}

impl Run {
    fn run(&mut self) {
        let mut number = 0;
        while !self.stop.load(Ordering::Relaxed) {
            let key = format!("{{{}}}:{number}", self.tag);
            match self.write(&key, &number.to_string()) {
                Ok(Some(write)) => {
                    self.writes.lock().expect("no reader panics").push(write);
                    number += 1;
                }
                // Redirected: at once.
                Ok(None) => {}
                Err(()) => {
                    self.wire = None;
                    self.at = (self.at + 1) % self.ports.len();
                    std::thread::sleep(Duration::from_millis(5));
                }
            }
        }
    }

    /// One write. `None` after a redirection; an error means another node.
    fn write(&mut self, key: &str, value: &str) -> Result<Option<Write>, ()> {
        let port = self.ports[self.at];
        if self.wire.is_none() {
            self.wire = Some(Wire::connect_within(port, ANSWER_LIMIT).map_err(drop)?);
        }
        let wire = self.wire.as_mut().expect("just made");
        match wire.try_ask(&["SET", key, value]).map_err(drop)? {
            Answer::Status(_) => {}
            Answer::Error(text) if text.starts_with("MOVED") => {
                let target = text.rsplit(':').next().and_then(|port| port.parse().ok());
                self.at = self.ports.iter().position(|&port| Some(port) == target).ok_or(())?;
                self.wire = None;
                return Ok(None);
            }
            _ => return Err(()),
        }
        let at = Instant::now();
        // If the node goes away now, the write was answered all the same, and nobody promised more.
        let replicas = match wire.try_ask(&["WAIT", "1", WAIT_LIMIT]) {
            Ok(Answer::Integer(replicas)) => replicas,
            _ => {
                self.wire = None;
                0
            }
        };
        let (key, value) = (key.to_owned(), value.to_owned());
        Ok(Some(Write { key, value, at, port, replicas }))
    }
}

/// Every one of these writes can be read from the node, be it the primary or a replica.
#[track_caller]
pub(crate) fn assert_holds<'a>(port: u16, writes: impl IntoIterator<Item = &'a Write>) {
    let mut wire = Wire::connect_within(port, PATIENCE).expect("the node is there");
    wire.say("READONLY");
    let mut lost = Vec::new();
    for write in writes {
        let found = wire.ask(&["GET", &write.key]);
        if found != Answer::Bulk(write.value.clone().into_bytes()) {
            lost.push(format!("{write:?} is {found:?}"));
        }
    }
    assert!(
        lost.is_empty(),
        "{port} lost {} writes: {:#?}",
        lost.len(),
        &lost[..lost.len().min(5)]
    );
}

/// The writes that a replica had.
pub(crate) fn acknowledged(writes: &[Write]) -> Vec<Write> {
    writes.iter().filter(|write| write.replicas >= 1).cloned().collect()
}
