//! Where the bytes of a snapshot go.
//!
//! A snapshot has any number of sinks, which share its walk. One that is slow holds the others back
//! for a bounded time; one that is gone leaves them alone. Here are those of full synchronisations:
//! a pipe to each replica that reads as the walk goes on, and one file for all replicas that must
//! know the length first.

use super::pipe::Pipe;
use super::spool::Spool;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tessera_engine::Engine;
use tessera_rdb::Version;

/// How long a sink may hold a snapshot back.
pub(super) struct Patience<'a> {
    /// How long it may take nothing while others wait.
    pub(super) stall: Duration,
    /// Whether others wait: other sinks, or other snapshots.
    pub(super) others_wait: &'a dyn Fn() -> bool,
}

/// Where the bytes of a snapshot go.
pub(super) trait Sink {
    /// The newest version of the format that it takes for sure.
    fn version(&self) -> Version;

    /// The snapshot stands at this moment. The caller has the world alone.
    fn begin(&self, engine: &Engine);

    /// Takes the next bytes. False: it takes no more.
    fn push(&mut self, chunk: &Arc<Vec<u8>>, patience: &Patience<'_>) -> bool;

    /// Nothing more comes. `complete`: all has come, and was taken.
    fn end(&mut self, complete: bool);
}

/// A replica that reads as the walk goes on.
impl Sink for Arc<Pipe> {
    fn version(&self) -> Version {
        self.version
    }

    fn begin(&self, engine: &Engine) {
        let (id, reader) = engine.log.start_full_sync();
        self.start_at(id, reader);
    }

    fn push(&mut self, chunk: &Arc<Vec<u8>>, patience: &Patience<'_>) -> bool {
        self.add(chunk, patience)
    }

    fn end(&mut self, complete: bool) {
        self.finish(complete, None);
    }
}

/// Replicas that must know the length first. They share one file.
pub(super) struct SpoolSink {
    /// Those that are still there.
    pipes: Vec<Arc<Pipe>>,
    /// `None`: it could not be written.
    spool: Option<Spool>,
}

impl SpoolSink {
    /// For these replicas, of which there is at least one; the file is in the directory `dir`.
    pub(super) fn new(pipes: Vec<Arc<Pipe>>, dir: &Path) -> SpoolSink {
        let spool = Spool::create(dir).inspect_err(complain).ok();
        SpoolSink { pipes, spool }
    }
}

impl Sink for SpoolSink {
    fn version(&self) -> Version {
        self.pipes.iter().map(|pipe| pipe.version).min().unwrap_or_default()
    }

    fn begin(&self, engine: &Engine) {
        self.pipes.iter().for_each(|pipe| Sink::begin(pipe, engine));
    }

    fn push(&mut self, chunk: &Arc<Vec<u8>>, _: &Patience<'_>) -> bool {
        self.pipes.retain(|pipe| !pipe.is_closed());
        let Some(spool) = &mut self.spool else { return false };
        if let Err(error) = spool.write(chunk) {
            complain(&error);
            self.spool = None;
        }
        !self.pipes.is_empty() && self.spool.is_some()
    }

    fn end(&mut self, complete: bool) {
        let spooled = self.spool.take().filter(|_| complete).map(Spool::finish);
        self.pipes.iter().for_each(|pipe| pipe.finish(complete, spooled.as_ref()));
    }
}

fn complain(error: &std::io::Error) {
    tracing::error!("The payload for a replica cannot be written to a file: {error}");
}
