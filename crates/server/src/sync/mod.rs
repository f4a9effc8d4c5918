//! Snapshots: one thread walks the keyspace and writes RDB into the sinks of all who were waiting
//! when it started (`sink.rs`). Whoever asks meanwhile shares the next walk.
//!
//! Not here: how values are written (`dataset`), and what a replica's connection does with what it
//! gets (`feed.rs`).

mod pipe;
mod sink;
mod spool;

pub(crate) use pipe::{Pipe, PipeContent};

use crate::io::Mailbox;
use crate::server::random_id;
use parking_lot::{Condvar, Mutex};
use sink::{Patience, Sink, SpoolSink};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tessera_dataset::{EncodedBatch, EntryFormat, PreservedEntries, SnapshotEncoder};
use tessera_engine::Engine;
use tessera_rdb::{Checksum, Version, Writer};
use tessera_replication::Contents;
use tessera_store::{Snapshot, SnapshotSink};

/// A replica that has taken nothing for so long does not hold back the others that share its
/// snapshot.
const STALL: Duration = Duration::from_secs(5);
/// Bytes collected before they are given to the pipes.
const CHUNK: usize = 64 << 10;

/// The snapshot thread's queue.
#[derive(Default)]
pub(crate) struct SyncService {
    waiting: Mutex<Vec<Arc<Pipe>>>,
    wanted: Condvar,
    quit: AtomicBool,
}

impl SyncService {
    /// Asks for a snapshot. `eof_capable`: the replica needs no length first. `contents`: what is
    /// to be in it. `replica`: its version, if it said so.
    pub(crate) fn request(
        &self,
        eof_capable: bool,
        contents: Contents,
        replica: Option<[u8; 3]>,
        mailbox: Arc<Mailbox>,
    ) -> Arc<Pipe> {
        let pipe = Arc::new(Pipe::new(!eof_capable, contents.data, replica, mailbox));
        self.waiting.lock().push(Arc::clone(&pipe));
        self.wanted.notify_one();
        pipe
    }

    /// Ends the thread.
    pub(crate) fn quit(&self) {
        // Under the mutex: the thread is not between its look at the flag and its wait.
        let waiting = self.waiting.lock();
        self.quit.store(true, Ordering::Release);
        drop(waiting);
        self.wanted.notify_one();
    }

    /// The thread. `thread` is its shard of the world lock.
    pub(crate) fn run(&self, engine: &Arc<Engine>, thread: usize) {
        loop {
            let pipes = {
                let mut waiting = self.waiting.lock();
                while waiting.is_empty() && !self.quit.load(Ordering::Acquire) {
                    self.wanted.wait(&mut waiting);
                }
                std::mem::take(&mut *waiting)
            };
            if self.quit.load(Ordering::Acquire) {
                return;
            }
            let (pipes, bare): (Vec<_>, Vec<_>) =
                pipes.into_iter().partition(|pipe| pipe.with_keys);
            for pipe in bare {
                send_without_keys(engine, pipe);
            }
            if pipes.is_empty() {
                continue;
            }
            let others_wait = || !self.waiting.lock().is_empty();
            match Job::start(engine, sinks(pipes), STALL) {
                Ok(job) => job.run(thread, &others_wait),
                Err(mut sinks) => sinks.iter_mut().for_each(|sink| sink.end(false)),
            }
        }
    }
}

/// The sinks of these replicas: a file for all that must know the length first.
fn sinks(pipes: Vec<Arc<Pipe>>) -> Vec<Box<dyn Sink>> {
    let (whole, pipes): (Vec<_>, Vec<_>) = pipes.into_iter().partition(|pipe| pipe.whole);
    let mut sinks: Vec<Box<dyn Sink>> = Vec::new();
    if !whole.is_empty() {
        sinks.push(Box::new(SpoolSink::new(whole, Path::new("."))));
    }
    sinks.extend(pipes.into_iter().map(|pipe| Box::new(pipe) as Box<dyn Sink>));
    sinks
}

/// Sends a whole payload in which there are no keys; no walk is needed for it.
fn send_without_keys(engine: &Engine, pipe: Arc<Pipe>) {
    let version = pipe.version;
    for mut sink in sinks(vec![pipe]) {
        let world = engine.keyspace.enter_exclusive();
        engine.log.activate(random_id());
        sink.begin(engine);
        let stream_db = engine.log.stream_db();
        drop(world);
        let head = begin_payload(engine, version, stream_db);
        let payload = head.and_then(|writer| writer.finish().ok());
        let patience = Patience { stall: STALL, others_wait: &|| true };
        let is_sent = payload.is_some_and(|bytes| sink.push(&Arc::new(bytes), &patience));
        sink.end(is_sent);
    }
}

/// The head of a payload.
fn begin_payload(engine: &Engine, version: Version, stream_db: u32) -> Option<Writer<Vec<u8>>> {
    let checksum = match engine.config().persistence.rdbchecksum {
        true => Checksum::On,
        false => Checksum::Off,
    };
    let mut writer = Writer::new(Vec::new(), version, checksum).ok()?;
    let identity = engine.log.identity();
    let (used, _) = engine.memory();
    for (name, value) in [
        ("redis-ver", crate::server::REDIS_VERSION.to_owned()),
        ("redis-bits", "64".to_owned()),
        ("ctime", (crate::time::unix().0 / 1000).to_string()),
        ("used-mem", used.to_string()),
        ("repl-stream-db", stream_db.to_string()),
        ("repl-id", identity.id.to_string()),
        ("aof-base", "0".to_owned()),
    ] {
        writer.aux(name.as_bytes(), value.as_bytes()).ok()?;
    }
    Some(writer)
}

/// A snapshot on its way.
struct Job {
    engine: Arc<Engine>,
    /// Those that still take bytes.
    sinks: Vec<Box<dyn Sink>>,
    /// How long a sink may take nothing while others wait.
    stall: Duration,
    snapshot: Snapshot,
    preserved: Arc<PreservedEntries>,
    db: Option<usize>,
    /// The version of the format.
    version: Version,
    /// The database in which the stream stands where the snapshot does.
    stream_db: u32,
}

impl Job {
    /// Starts a snapshot. If another one is under way the sinks are given back.
    fn start(
        engine: &Arc<Engine>,
        sinks: Vec<Box<dyn Sink>>,
        stall: Duration,
    ) -> Result<Job, Vec<Box<dyn Sink>>> {
        // What all of them take, as long as the data needs no more: fields that expire are only in
        // Valkey 9's version.
        let common = sinks.iter().map(|sink| sink.version()).min().unwrap_or_default();
        let (config, now) = (engine.config(), crate::time::unix());
        let format = EntryFormat::of(&config, &engine.keyspace, common, now);
        let preserved = Arc::new(PreservedEntries::new(format));
        let mut world = engine.keyspace.enter_exclusive();
        let version = if world.has_aging() { Version::V80 } else { common };
        // The history begins, if it did not yet, exactly where the snapshot stands.
        engine.log.activate(random_id());
        let kept: Arc<dyn SnapshotSink> = Arc::clone(&preserved) as Arc<dyn SnapshotSink>;
        let Ok(snapshot) = Snapshot::start(&engine.keyspace, &world, kept) else {
            return Err(sinks);
        };
        sinks.iter().for_each(|sink| sink.begin(engine));
        // A replica that follows a replica cannot know otherwise: SELECT may have come long ago.
        let stream_db = engine.log.stream_db();
        drop(world);
        let engine = Arc::clone(engine);
        Ok(Job { engine, sinks, stall, snapshot, preserved, db: None, version, stream_db })
    }

    /// Walks and writes, and tells the sinks how it ended.
    fn run(mut self, thread: usize, others_wait: &dyn Fn() -> bool) {
        let complete = self.walk(thread, others_wait);
        self.sinks.iter_mut().for_each(|sink| sink.end(complete));
    }

    /// Walks and writes; true if the payload is complete.
    fn walk(&mut self, thread: usize, others_wait: &dyn Fn() -> bool) -> bool {
        let started = std::time::Instant::now();
        let begun = begin_payload(&self.engine, self.version, self.stream_db);
        let Some(mut writer) = begun else { return false };
        let mut encoder = SnapshotEncoder::new(self.preserved.format());
        let mut more = true;
        while more {
            let mut batch = EncodedBatch::default();
            let mut world = self.engine.keyspace.enter(thread);
            while more && batch.bytes < CHUNK {
                more = self.snapshot.step(&mut world, |shown| encoder.take(&mut batch, shown));
                // A step through a large value takes its time, even one that shows little.
                if self.snapshot.is_within_large() || encoder.has_string() {
                    break;
                }
            }
            drop(world);
            encoder.finish_string(&mut batch);
            if !self.snapshot.is_within_large() {
                batch.entries.append(&mut self.preserved.take());
            }
            if self.write(&mut writer, batch.entries, others_wait).is_none() {
                return false;
            }
        }
        if !self.snapshot.is_complete() {
            tracing::error!("A snapshot for replicas has lost a value, and is given up");
            return false;
        }
        // Nothing is handed over after the last step: every slot has been walked.
        let rest = self.preserved.take();
        let complete = self.write(&mut writer, rest, others_wait).is_some()
            && writer.finish().is_ok_and(|tail| self.push(tail, others_wait));
        tracing::info!("Snapshot for replicas written in {} ms", started.elapsed().as_millis());
        complete
    }

    fn write(
        &mut self,
        writer: &mut Writer<Vec<u8>>,
        batch: Vec<(usize, Vec<u8>)>,
        others_wait: &dyn Fn() -> bool,
    ) -> Option<()> {
        for (db, entries) in batch {
            if self.db != Some(db) {
                writer.select_db(db as u32).ok()?;
                self.db = Some(db);
            }
            writer.entries(&entries).ok()?;
        }
        if writer.get_mut().len() >= CHUNK {
            let bytes = std::mem::take(writer.get_mut());
            return self.push(bytes, others_wait).then_some(());
        }
        Some(())
    }

    /// Gives bytes to all sinks; false if none takes more. One that takes no more is told at once.
    fn push(&mut self, bytes: Vec<u8>, others_wait: &dyn Fn() -> bool) -> bool {
        let chunk = Arc::new(bytes);
        // Without others one holds back nobody but itself: that is for its connection's time-out to
        // end.
        let is_shared = self.sinks.len() > 1;
        let patience = Patience { stall: self.stall, others_wait: &|| is_shared || others_wait() };
        self.sinks.retain_mut(|sink| {
            let takes_more = sink.push(&chunk, &patience);
            if !takes_more {
                sink.end(false);
            }
            takes_more
        });
        !self.sinks.is_empty()
    }
}

#[cfg(test)]
mod tests;
