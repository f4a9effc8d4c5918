//! Sinks that stall, are gone, come later, or need other versions.

use super::pipe::PIPE_BYTES;
use super::*;
use crate::server::Server;

const ALL: Contents = Contents { data: true, functions: true };

fn start(server: &Server, pipes: Vec<Arc<Pipe>>, stall: Duration) -> Job {
    let Ok(job) = Job::start(&server.engine, sinks(pipes), stall) else { panic!("it starts") };
    job
}

/// All has come.
fn end(mut job: Job) {
    job.sinks.iter_mut().for_each(|sink| sink.end(true));
}

/// A sink that keeps what it gets.
struct Memory(Arc<parking_lot::Mutex<(Vec<u8>, Option<bool>)>>);

impl Sink for Memory {
    fn version(&self) -> Version {
        Version::V11
    }

    fn begin(&self, _: &Engine) {}

    fn push(&mut self, chunk: &Arc<Vec<u8>>, _: &Patience<'_>) -> bool {
        self.0.lock().0.extend_from_slice(chunk);
        true
    }

    fn end(&mut self, complete: bool) {
        self.0.lock().1 = Some(complete);
    }
}

#[test]
fn sinks_of_several_kinds_share_one_walk_and_get_the_same() {
    let server = Server::without_threads(tessera_config::Config::default(), None);
    for key in 0..100 {
        server.put(format!("key:{key}").as_bytes());
    }
    let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
    let [reading, waiting] =
        [true, false].map(|eof| server.sync.request(eof, ALL, None, Arc::clone(&mailbox)));
    let kept = Arc::default();
    let mut all = sinks(vec![Arc::clone(&reading), Arc::clone(&waiting)]);
    all.push(Box::new(Memory(Arc::clone(&kept))));
    let Ok(job) = Job::start(&server.engine, all, STALL) else { panic!("it starts") };
    job.run(0, &|| false);

    let (file, ended) = kept.lock().clone();
    assert_eq!(ended, Some(true));
    assert_eq!(&file[..9], b"REDIS0010", "the oldest version that one of them needs");
    let payload = |pipe: &Pipe| {
        assert!(pipe.take_start().is_some_and(|start| start.is_ok()));
        let mut bytes = Vec::new();
        while let PipeContent::Chunk(chunk) = pipe.next() {
            bytes.extend_from_slice(&chunk);
        }
        assert!(matches!(pipe.next(), PipeContent::End));
        bytes
    };
    assert!(payload(&reading) == file && payload(&waiting) == file);
    let keyspace =
        &Server::without_threads(tessera_config::Config::default(), None).engine.keyspace;
    let options = tessera_dataset::LoadOptions::of(&server.engine.config(), crate::time::unix());
    let mut target = tessera_dataset::Target::Shared { keyspace, thread: 0 };
    let loaded = tessera_dataset::load(&*file, &mut target, &options, |_| {});
    assert_eq!(loaded.expect("it is whole").keys, 100);
}

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
    let mut job = start(&server, pipes.clone(), stall);

    // When one replica reads all that comes, and the other nothing.
    for _ in 0..CHUNKS {
        assert!(job.push(vec![0; CHUNK_BYTES], &|| false));
        assert!(matches!(reading.next(), PipeContent::Chunk(_)));
    }
    end(job);

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
        let job = start(&server, pipes, STALL);
        assert_eq!(job.version, version, "{replicas:?}");
        assert_eq!(job.preserved.format().options.version, version, "{replicas:?}");
    }
}

#[test]
fn a_replica_that_comes_back_to_reading_in_time_loses_nothing() {
    let server = Server::without_threads(tessera_config::Config::default(), None);
    let mailbox = Arc::new(Mailbox::new().expect("an event descriptor"));
    let pipe = server.sync.request(true, ALL, None, mailbox);
    let chunk = Arc::new(vec![0; PIPE_BYTES]);
    assert!(pipe.add(&chunk, &Patience { stall: Duration::ZERO, others_wait: &|| true }));
    std::thread::scope(|scope| {
        let pushed = scope.spawn(|| {
            pipe.add(&chunk, &Patience { stall: Duration::from_secs(60), others_wait: &|| true })
        });
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
    let mut job = start(&server, pipes.clone(), STALL);
    for number in 0..PAYLOAD {
        assert!(job.push(vec![number as u8; 1 << 20], &|| false));
        assert!(pipes.iter().all(|pipe| pipe.take_start().is_none()));
    }
    // What is written meanwhile is kept for them, and counts against their limit.
    server.engine.log.append_control(&["PING"]);
    assert!(pipes.iter().all(|pipe| pipe.lag() > 0));
    // When one of them has gone meanwhile, then the others get all of it.
    pipes[0].close();
    end(job);
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
    let mut job = start(&server, vec![pipe], stall);
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
