//! The log, in the line format that operators and tools of Redis know:
//! `pid:role date time level message`.

use parking_lot::Mutex;
use std::fmt::Write as _;
use std::fs::{File, OpenOptions};
use std::io::Write;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicU8, Ordering};
use tessera_config::table::general::LogLevel;
use tessera_slot::Millis;
use tracing::field::{Field, Visit};
use tracing::subscriber::Interest;
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

/// Writes a line that a stranger can cause as often as they like, but not as often as that: the
/// place in the code where it stands has a [`Limit`].
macro_rules! limited {
    ($level:ident, $($message:tt)+) => {{
        static LIMIT: $crate::logging::Limit = $crate::logging::Limit::USUAL;
        if let Some(left_out) = LIMIT.admit($crate::time::monotonic()) {
            tracing::$level!("{}{left_out}", format_args!($($message)+));
        }
    }};
}
pub(crate) use limited;

/// Limits how many lines of one kind are written, and counts those that are not.
pub(crate) struct Limit {
    /// How many are written in a row.
    burst: u64,
    /// After this long one more is, milliseconds.
    period: u64,
    budget: Mutex<Budget>,
}

struct Budget {
    lines: u64,
    /// Until when lines have been added.
    filled: Millis,
    left_out: u64,
}

/// How many lines of a kind were not written since the last one that was.
pub(crate) struct LeftOut(u64);

impl Limit {
    /// The limit of most lines: twenty in a row, and one each second.
    #[allow(
        clippy::declare_interior_mutable_const,
        reason = "each use is the start of a static of its own"
    )]
    pub(crate) const USUAL: Limit = Limit::new(20, 1000);

    pub(crate) const fn new(burst: u64, period: u64) -> Limit {
        let budget = Mutex::new(Budget { lines: burst, filled: Millis(0), left_out: 0 });
        Limit { burst, period, budget }
    }

    /// Whether a line may be written at this time; what it is to end with.
    pub(crate) fn admit(&self, now: Millis) -> Option<LeftOut> {
        let mut budget = self.budget.lock();
        let more = now.since(budget.filled) / self.period;
        if more > 0 {
            budget.lines = budget.lines.saturating_add(more).min(self.burst);
            budget.filled = now;
        }
        match budget.lines.checked_sub(1) {
            Some(lines) => {
                budget.lines = lines;
                Some(LeftOut(std::mem::take(&mut budget.left_out)))
            }
            None => {
                budget.left_out += 1;
                None
            }
        }
    }
}

impl std::fmt::Display for LeftOut {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.0 {
            0 => Ok(()),
            count => write!(f, " ({count} more lines like this one were left out)"),
        }
    }
}

struct Lines;

impl<S: Subscriber> Layer<S> for Lines {
    /// Has each line ask anew: without this the level at its first time would hold for ever.
    fn register_callsite(&self, metadata: &'static Metadata<'static>) -> Interest {
        match metadata.target().starts_with("tessera") {
            true => Interest::sometimes(),
            false => Interest::never(),
        }
    }

    fn enabled(&self, metadata: &Metadata<'_>, _: Context<'_, S>) -> bool {
        metadata.target().starts_with("tessera")
            && importance(metadata.level()).0 >= LEAST.load(Ordering::Relaxed)
    }

    fn on_event(&self, event: &Event<'_>, _: Context<'_, S>) {
        tessera_store::assert_unlocked("a line in the log");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_of_lines_is_one_line_a_second_and_counted() {
        let limit = Limit::USUAL;
        let admitted = |from: u64, to: u64| -> Vec<String> {
            let lines = (from..to).filter_map(|ms| limit.admit(Millis(ms)));
            lines.map(|left_out| left_out.to_string()).collect()
        };
        // A line each millisecond.
        let first = admitted(5000, 6000);
        assert_eq!(first, vec![String::new(); 20]);
        let later = admitted(6000, 16_000);
        assert_eq!(later.len(), 10);
        assert_eq!(later[0], " (980 more lines like this one were left out)");
        assert_eq!(later[1], " (999 more lines like this one were left out)");
        // Once it is over a few may follow each other again.
        assert_eq!(admitted(100_000, 100_010).len(), 10);
    }
}
