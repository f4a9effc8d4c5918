//! The log, in the line format that operators and tools of Redis know:
//! `pid:role date time level message`.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tessera_config::table::general::LogLevel;
use tracing::field::{Field, Visit};
use tracing::{Event, Level, Metadata, Subscriber};
use tracing_subscriber::layer::{Context, Layer};
use tracing_subscriber::prelude::*;

/// The least important level that is written: 0 is debug, 4 is nothing.
static LEAST: AtomicU8 = AtomicU8::new(2);
static IS_REPLICA: AtomicBool = AtomicBool::new(false);
static FILE: OnceLock<Mutex<File>> = OnceLock::new();

/// Changes the level (`loglevel`).
pub(crate) fn set_level(level: LogLevel) {
    LEAST.store(level as u8, Ordering::Relaxed);
}

/// Changes the letter before the time: `M` for a primary, `S` for a replica.
pub(crate) fn set_role(is_replica: bool) {
    IS_REPLICA.store(is_replica, Ordering::Relaxed);
}

/// Starts logging; into `path`, or to standard output where it is empty.
///
/// # Errors
/// If the file cannot be opened.
pub(crate) fn start(path: &str, level: LogLevel) -> std::io::Result<()> {
    set_level(level);
    if !path.is_empty() {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let _ = FILE.set(Mutex::new(file));
    }
    // A second server in one process (in tests) shares the first one's log.
    let _ = tracing_subscriber::registry().with(Lines).try_init();
    Ok(())
}

/// Redis' levels, from those of tracing.
fn importance(level: &Level) -> (u8, char) {
    match *level {
        Level::TRACE => (0, '.'),
        Level::DEBUG => (1, '-'),
        Level::INFO => (2, '*'),
        Level::WARN | Level::ERROR => (3, '#'),
    }
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("tessera")
            && importance(metadata.level()).0 >= LEAST.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        let (_, mark) = importance(event.metadata().level());
        let role = if IS_REPLICA.load(Ordering::Relaxed) { 'S' } else { 'M' };
        let time = chrono::Local::now().format("%d %b %Y %H:%M:%S%.3f");
        let mut line = format!("{}:{role} {time} {mark} ", std::process::id());
        event.record(&mut Message(&mut line));
        line.push('\n');
        // A log that cannot be written has nobody to complain to.
        let _ = match FILE.get() {
            Some(file) => file.lock().write_all(line.as_bytes()),
            None => std::io::stdout().write_all(line.as_bytes()),
        };
    }
}

/// Collects an event's message; line breaks would make two lines of it.
struct Message<'a>(&'a mut String);

impl Visit for Message<'_> {
    fn record_debug(&mut self, field: &Field, value: &dyn std::fmt::Debug) {
        if field.name() == "message" {
            let start = self.0.len();
            let _ = write!(self.0, "{value:?}");
            if self.0[start..].contains('\n') {
                let clean = self.0[start..].replace('\n', " ");
                self.0.truncate(start);
                self.0.push_str(&clean);
            }
        }
    }
}
