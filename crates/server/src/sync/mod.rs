//! Snapshots for replicas: one thread walks the keyspace and writes RDB into the pipes of all replicas that
//! were waiting when it started. Those that must know the length first read it from a file (`spool.rs`).

mod entries;
mod spool;

use crate::io::Mailbox;
use crate::server::random_id;
use entries::{Batch, Handed, Manner, Scribe};
use parking_lot::{Condvar, Mutex};
use spool::{Spool, Spooled};
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;
use tessera_engine::Engine;
use tessera_log::{Reader, ReplId};
use tessera_rdb::{Checksum, Version, Writer};
use tessera_replication::Contents;
use tessera_store::{Snapshot, SnapshotSink};

/// Bytes that a pipe holds at most before the walk waits for its replica.
const PIPE_BYTES: usize = 8 << 20;
/// A replica that has taken nothing for so long does not hold back the others that share its snapshot.
const STALL: Duration = Duration::from_secs(5);
/// Bytes collected before they are given to the pipes.
const CHUNK: usize = 64 << 10;

/// The beginning of a payload.
pub(crate) struct Start {
    pub(crate) id: ReplId,
    /// Stands at the moment of the snapshot.
    pub(crate) reader: Reader,
    /// The payload's length, where the replica must know it first.
    pub(crate) length: Option<u64>,
}

/// What a pipe gives next.
pub(crate) enum PipeContent {
    /// Nothing yet.
    Empty,
    /// Some bytes.
    Chunk(Arc<Vec<u8>>),
    /// The payload is complete.
    End,
    /// The payload will never be complete.
    Failed,
}

#[derive(Default)]
struct PipeState {
    start: Option<(ReplId, Reader)>,
    chunks: VecDeque<Arc<Vec<u8>>>,
    bytes: usize,
    /// The whole payload, for a replica that must know its length first.
    spooled: Option<Spooled>,
    ended: bool,
    failed: bool,
    closed: bool,
}

/// The way of a payload from the snapshot thread to one replica's connection.
pub(crate) struct Pipe {
    state: Mutex<PipeState>,
    room: Condvar,
    /// The connection's thread.
    mailbox: Arc<Mailbox>,
    /// The replica must know the length first: it gets the payload once that is complete.
    whole: bool,
    /// The newest version of the format that the replica reads for sure.
    version: Version,
    /// Whether the payload has keys. Without them there is nothing in it, since there are no
    /// functions.
    with_keys: bool,
}

impl Pipe {
    /// The payload's start, once it is known; an error if there will be none.
    pub(crate) fn take_start(&self) -> Option<Result<Start, ()>> {
        let mut state = self.state.lock();
        if state.failed {
            return Some(Err(()));
        }
        if self.whole && !state.ended {
            return None;
        }
        let length = state.spooled.as_ref().map(|spooled| spooled.length);
        state.start.take().map(|(id, reader)| Ok(Start { id, reader, length }))
    }

    /// Bytes of the log that are kept for the replica, which has not been told of its start yet.
    pub(crate) fn lag(&self) -> u64 {
        self.state.lock().start.as_ref().map_or(0, |(_, reader)| reader.lag())
    }

    /// The next piece.
    pub(crate) fn next(&self) -> PipeContent {
        let mut state = self.state.lock();
        if let Some(chunk) = state.chunks.pop_front() {
            state.bytes -= chunk.len();
            self.room.notify_one();
            return PipeContent::Chunk(chunk);
        }
        match state.spooled.as_mut().map(Spooled::next) {
            Some(Ok(Some(piece))) => return PipeContent::Chunk(Arc::new(piece)),
            Some(Err(error)) => {
                tracing::error!("The payload for a replica cannot be read back: {error}");
                return PipeContent::Failed;
            }
            Some(Ok(None)) | None => {}
        }
        match (state.failed, state.ended) {
            (true, _) => PipeContent::Failed,
            (false, true) => PipeContent::End,
            (false, false) => PipeContent::Empty,
        }
    }

    /// The replica is gone.
    pub(crate) fn close(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        state.chunks.clear();
        state.spooled = None;
        self.room.notify_one();
    }

    fn is_closed(&self) -> bool {
        self.state.lock().closed
    }

    fn begin(&self, id: ReplId, reader: Reader) {
        self.state.lock().start = Some((id, reader));
        self.mailbox.wake();
    }

    /// Adds a chunk, waiting for room. A replica that has taken nothing for `stall` is given up if somebody else waits
    /// for it, as `others_wait` says. False if the replica is gone, or is given up.
    fn push(&self, chunk: &Arc<Vec<u8>>, stall: Duration, others_wait: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        while !state.closed && state.bytes >= PIPE_BYTES {
            let is_late = self.room.wait_for(&mut state, stall).timed_out();
            if is_late && state.bytes >= PIPE_BYTES && others_wait() {
                tracing::warn!("A replica takes nothing of its payload: it must ask for another");
                state.failed = true;
                state.closed = true;
                state.chunks.clear();
                drop(state);
                self.mailbox.wake();
                return false;
            }
        }
        if state.closed {
            return false;
        }
        state.bytes += chunk.len();
        state.chunks.push_back(Arc::clone(chunk));
        drop(state);
        self.mailbox.wake();
        true
    }

    /// Nothing more comes. `spooled`: the payload of those who wait for its length.
    fn end(&self, complete: bool, spooled: Option<&Spooled>) {
        let mut state = self.state.lock();
        if self.whole {
            state.spooled = spooled.filter(|_| complete && !state.closed).cloned();
            state.failed |= state.spooled.is_none();
        }
        state.failed |= !complete;
        state.ended = !state.failed;
        drop(state);
        self.mailbox.wake();
    }
}

/// The snapshot thread's queue.
#[derive(Default)]
pub(crate) struct SyncService {
    waiting: Mutex<Vec<Arc<Pipe>>>,
    wanted: Condvar,
    quit: AtomicBool,
}

impl SyncService {
    /// Asks for a snapshot. `eof_capable`: the replica needs no length first. `contents`: what is to be in it. `replica`: its version, if it said so.
    pub(crate) fn request(
        &self,
        eof_capable: bool,
        contents: Contents,
        replica: Option<[u8; 3]>,
        mailbox: Arc<Mailbox>,
    ) -> Arc<Pipe> {
        let pipe = Arc::new(Pipe {
            state: Mutex::default(),
            room: Condvar::new(),
            mailbox,
            whole: !eof_capable,
            version: newest_read_by(replica),
            with_keys: contents.data,
        });
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
                let sent = send_without_keys(engine, &pipe);
                pipe.end(sent.is_some(), sent.flatten().as_ref());
            }
            if pipes.is_empty() {
                continue;
            }
            let job = Job::start(engine, pipes.clone(), STALL);
            let others_wait = || !self.waiting.lock().is_empty();
            let (complete, spooled) =
                job.map_or((false, None), |mut job| (job.run(thread, &others_wait), job.spooled()));
            pipes.iter().for_each(|pipe| pipe.end(complete, spooled.as_ref()));
        }
    }
}

/// The newest version of the format that every replica of this version reads: 11, which has the times at which consumers of streams were active,
/// since 7.2. Redis 7.0 does not say its version, and reads no more than 10.
fn newest_read_by(replica: Option<[u8; 3]>) -> Version {
    match replica {
        Some(replica) if replica >= [7, 2, 0] => Version::V11,
        _ => Version::V10,
    }
}

/// A whole payload in which there are no keys; no walk is needed for it. Gives the file for a replica that must know the
/// length first.
fn send_without_keys(engine: &Engine, pipe: &Pipe) -> Option<Option<Spooled>> {
    let world = engine.keyspace.enter_exclusive();
    engine.log.activate(random_id());
    let (id, reader) = engine.log.start_full_sync();
    pipe.begin(id, reader);
    let stream_db = engine.log.stream_db();
    drop(world);
    let payload = begin_payload(engine, pipe.version, stream_db)?.finish().ok()?;
    if pipe.whole {
        let mut spool = Spool::create(Path::new(".")).inspect_err(complain).ok()?;
        spool.write(&payload).inspect_err(complain).ok()?;
        return Some(Some(spool.finish()));
    }
    pipe.push(&Arc::new(payload), STALL, || true).then_some(None)
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
    /// Those whose replicas are still there and read as the walk goes on.
    pipes: Vec<Arc<Pipe>>,
    /// Those whose replicas wait for the length, and are still there.
    whole: Vec<Arc<Pipe>>,
    /// Their payload; `None` if there are none, or it could not be written.
    spool: Option<Spool>,
    /// How long a replica may take nothing while others wait.
    stall: Duration,
    snapshot: Snapshot,
    handed: Arc<Handed>,
    db: Option<usize>,
    /// The version of the format.
    version: Version,
    /// The database in which the stream stands where the snapshot does.
    stream_db: u32,
}

impl Job {
    fn start(engine: &Arc<Engine>, pipes: Vec<Arc<Pipe>>, stall: Duration) -> Option<Job> {
        // What all of them read, as long as the data needs no more: fields that expire are only in Valkey 9's version.
        let common = pipes.iter().map(|pipe| pipe.version).min().unwrap_or_default();
        let manner = Manner::of(engine, common);
        let handed = Arc::new(Handed { entries: Mutex::default(), manner });
        let mut world = engine.keyspace.enter_exclusive();
        let version = if world.has_aging() { Version::V80 } else { common };
        // The history begins, if it did not yet, exactly where the snapshot stands.
        engine.log.activate(random_id());
        let sink: Arc<dyn SnapshotSink> = Arc::clone(&handed) as Arc<dyn SnapshotSink>;
        let snapshot = Snapshot::start(&engine.keyspace, &world, sink).ok()?;
        for pipe in &pipes {
            let (id, reader) = engine.log.start_full_sync();
            pipe.begin(id, reader);
        }
        // A replica that follows a replica cannot know otherwise: SELECT may have come long ago.
        let stream_db = engine.log.stream_db();
        drop(world);
        let (whole, pipes): (Vec<_>, Vec<_>) = pipes.into_iter().partition(|pipe| pipe.whole);
        let spool = (!whole.is_empty()).then(|| Spool::create(Path::new(".")));
        let spool = spool.and_then(|spool| spool.inspect_err(complain).ok());
        Some(Job {
            engine: Arc::clone(engine),
            pipes,
            whole,
            spool,
            stall,
            snapshot,
            handed,
            db: None,
            version,
            stream_db,
        })
    }

    /// Walks and writes; true if the payload is complete.
    fn run(&mut self, thread: usize, others_wait: &dyn Fn() -> bool) -> bool {
        let started = std::time::Instant::now();
        let begun = begin_payload(&self.engine, self.version, self.stream_db);
        let Some(mut writer) = begun else { return false };
        let mut scribe = Scribe::new(self.handed.manner);
        let mut more = true;
        while more {
            let mut batch = Batch::default();
            let mut world = self.engine.keyspace.enter(thread);
            while more && batch.bytes < CHUNK {
                more = self.snapshot.step(&mut world, |shown| scribe.take(&mut batch, shown));
                // A step through a large value takes its time, even one that shows little.
                if self.snapshot.is_within_large() || scribe.has_string() {
                    break;
                }
            }
            drop(world);
            scribe.finish_string(&mut batch);
            if !self.snapshot.is_within_large() {
                batch.entries.append(&mut self.handed.entries.lock());
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
        let rest = std::mem::take(&mut *self.handed.entries.lock());
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

    /// Gives bytes to all pipes, and to the file; false if every replica is gone.
    fn push(&mut self, bytes: Vec<u8>, others_wait: &dyn Fn() -> bool) -> bool {
        self.whole.retain(|pipe| !pipe.is_closed());
        if self.whole.is_empty() {
            self.spool = None;
        }
        if let Some(spool) = &mut self.spool
            && let Err(error) = spool.write(&bytes)
        {
            complain(&error);
            self.spool = None;
        }
        let chunk = Arc::new(bytes);
        // Without others one holds back nobody but itself: that is for its connection's time-out to end.
        let is_shared = self.pipes.len() > 1 || self.spool.is_some();
        let others_wait = || is_shared || others_wait();
        self.pipes.retain(|pipe| pipe.push(&chunk, self.stall, others_wait));
        !self.pipes.is_empty() || self.spool.is_some()
    }

    /// The payload for those who wait for its length.
    fn spooled(self) -> Option<Spooled> {
        self.spool.map(Spool::finish)
    }
}

fn complain(error: &std::io::Error) {
    tracing::error!("The payload for a replica cannot be written to a file: {error}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::Server;

    const ALL: Contents = Contents { data: true, functions: true };

    #[test]
    fn a_stalled_replica_does_not_hold_back_the_others_of_its_snapshot() {
        const CHUNKS: usize = 12;
        const CHUNK_BYTES: usize = 1 << 20;
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
        let [reading, stalled] =
            [(); 2].map(|()| server.sync.request(true, ALL, None, Arc::clone(&mailbox)));
        let pipes = vec![Arc::clone(&reading), Arc::clone(&stalled)];
        let stall = Duration::from_millis(20);
        let mut job = Job::start(&server.engine, pipes.clone(), stall).expect("it starts");

        // When one replica reads all that comes, and the other nothing.
        for _ in 0..CHUNKS {
            assert!(job.push(vec![0; CHUNK_BYTES], &|| false));
            assert!(matches!(reading.next(), PipeContent::Chunk(_)));
        }
        pipes.iter().for_each(|pipe| pipe.end(true, None));

        // Then the first has the whole payload, and the other never will.
        assert!(matches!(reading.next(), PipeContent::End));
        assert!(matches!(stalled.next(), PipeContent::Failed));
    }

    #[test]
    fn a_snapshot_has_the_version_that_all_its_replicas_read() {
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
        for (replicas, version) in [
            (&[Some([8, 1, 0])][..], Version::V11),
            (&[Some([7, 2, 0]), Some([8, 1, 0])], Version::V11),
            (&[Some([8, 1, 0]), None], Version::V10),
            (&[Some([7, 0, 15])], Version::V10),
        ] {
            let request = |&replica| server.sync.request(true, ALL, replica, Arc::clone(&mailbox));
            let pipes = replicas.iter().map(request).collect();
            let job = Job::start(&server.engine, pipes, STALL).expect("it starts");
            assert_eq!(job.version, version, "{replicas:?}");
            assert_eq!(job.handed.manner.options.version, version, "{replicas:?}");
        }
    }

    #[test]
    fn a_replica_that_comes_back_to_reading_in_time_loses_nothing() {
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
        let pipe = server.sync.request(true, ALL, None, mailbox);
        let chunk = Arc::new(vec![0; PIPE_BYTES]);
        assert!(pipe.push(&chunk, Duration::ZERO, || true));
        std::thread::scope(|scope| {
            let pushed = scope.spawn(|| pipe.push(&chunk, Duration::from_secs(60), || true));
            assert!(matches!(pipe.next(), PipeContent::Chunk(_)));
            assert!(pushed.join().expect("no panic"));
        });
        assert!(matches!(pipe.next(), PipeContent::Chunk(_)));
    }

    #[test]
    fn replicas_that_wait_for_the_length_share_one_file_and_take_no_memory() {
        const REPLICAS: usize = 12;
        const PAYLOAD: usize = 40;
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
        let pipes: Vec<Arc<Pipe>> = (0..REPLICAS)
            .map(|_| server.sync.request(false, ALL, None, Arc::clone(&mailbox)))
            .collect();
        let mut job = Job::start(&server.engine, pipes.clone(), STALL).expect("it starts");
        for number in 0..PAYLOAD {
            assert!(job.push(vec![number as u8; 1 << 20], &|| false));
            assert!(pipes.iter().all(|pipe| pipe.take_start().is_none()));
        }
        // What is written meanwhile is kept for them, and counts against their limit.
        server.engine.log.append_control(&["PING"]);
        assert!(pipes.iter().all(|pipe| pipe.lag() > 0));
        // When one of them has gone meanwhile, then the others get all of it.
        pipes[0].close();
        let spooled = job.spooled();
        pipes.iter().for_each(|pipe| pipe.end(true, spooled.as_ref()));
        for pipe in &pipes[1..] {
            let start = pipe.take_start().expect("it is complete").expect("it has not failed");
            assert_eq!(start.length, Some((PAYLOAD << 20) as u64));
            assert!(pipe.state.lock().chunks.is_empty(), "nothing of it is in memory");
            let mut length = 0;
            while let PipeContent::Chunk(chunk) = pipe.next() {
                assert_eq!(usize::from(chunk[0]), length >> 20);
                length += chunk.len();
            }
            assert_eq!(length, PAYLOAD << 20);
            assert!(matches!(pipe.next(), PipeContent::End));
        }
    }

    #[test]
    fn a_stalled_replica_does_not_hold_back_those_that_ask_later() {
        let server = Server::without_threads(tessera_config::Config::default(), None);
        let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
        let pipe = server.sync.request(true, ALL, None, mailbox);
        let stall = Duration::from_millis(20);
        let mut job = Job::start(&server.engine, vec![pipe], stall).expect("it starts");
        // When it takes nothing and nobody else asks, then it is waited for; until somebody does.
        let asked = std::cell::Cell::new(0);
        let later = || asked.replace(asked.get() + 1) >= 3;
        let mut pushed = 0;
        while job.push(vec![0; 1 << 20], &later) {
            pushed += 1;
            assert!(pushed < 100, "it is waited for without end");
        }
        assert_eq!((pushed << 20, asked.get()), (PIPE_BYTES, 4));
    }
}
