//! Snapshots for replicas: the real walk over the keyspace, some slots with every tick.
//!
//! All replicas that wait when a walk begins share it. In between, clients write, and hand over
//! what they change. How long a walk takes is chance's.

use super::Ctx;
use super::node::Node;
use std::sync::Arc;
use tessera_cluster::LinkId;
use tessera_dataset::{EncodedBatch, EntryFormat, PreservedEntries, SnapshotEncoder};
use tessera_rdb::{Checksum, Version, Writer};
use tessera_slot::SLOT_COUNT;
use tessera_store::{Snapshot, SnapshotSink};

/// The longest walk, in ticks.
const LONGEST_WALK: u64 = 60;

/// A snapshot under way.
pub(crate) struct Job {
    snapshot: Snapshot,
    preserved: Arc<PreservedEntries>,
    encoder: SnapshotEncoder,
    writer: Writer<Vec<u8>>,
    has_selected: bool,
    replicas: Vec<LinkId>,
    /// How many slots are walked in a tick.
    pace: usize,
}

impl Node {
    /// Takes the walk on, or begins one if somebody waits.
    pub(crate) fn walk(&mut self, ctx: &mut Ctx<'_>) {
        let Some(mut job) = self.job.take() else {
            if !self.waiting.is_empty() {
                self.begin_walk(ctx);
            }
            return;
        };
        let mut batch = EncodedBatch::default();
        let mut world = self.engine.keyspace.enter(0);
        let mut more = true;
        for _ in 0..job.pace {
            more =
                more && job.snapshot.step(&mut world, |shown| job.encoder.take(&mut batch, shown));
        }
        drop(world);
        batch.entries.append(&mut job.preserved.take());
        for (_, entries) in batch.entries {
            if !std::mem::replace(&mut job.has_selected, true) {
                job.writer.select_db(0).expect("memory takes all");
            }
            job.writer.entries(&entries).expect("memory takes all");
        }
        if more {
            let bytes = std::mem::take(job.writer.get_mut());
            self.share(&mut job.replicas, &bytes, false);
            self.job = (!job.replicas.is_empty()).then_some(job);
        } else {
            let bytes = job.writer.finish().expect("memory takes all");
            self.share(&mut job.replicas, &bytes, true);
        }
    }

    fn share(&mut self, replicas: &mut Vec<LinkId>, bytes: &[u8], is_last: bool) {
        replicas.retain(|link| self.push_payload(*link, bytes, is_last));
    }

    fn begin_walk(&mut self, ctx: &mut Ctx<'_>) {
        let engine = Arc::clone(&self.engine);
        let (version, now) = (Version::V11, ctx.now.unix);
        let format = EntryFormat::of(&engine.config(), &engine.keyspace, version, now);
        let preserved = Arc::new(PreservedEntries::new(format));
        let world = engine.keyspace.enter_exclusive();
        engine.log.activate(ctx.random_id());
        let sink: Arc<dyn SnapshotSink> = preserved.clone();
        let snapshot = Snapshot::start(&engine.keyspace, &world, sink);
        let snapshot = snapshot.expect("there is one job at a time");
        let replicas: Vec<LinkId> = std::mem::take(&mut self.waiting);
        let readers = replicas.iter().map(|link| (*link, engine.log.start_full_sync()));
        let readers: Vec<_> = readers.collect();
        let stream_db = engine.log.stream_db();
        drop(world);
        let mut writer = Writer::new(Vec::new(), version, Checksum::On).expect("memory takes all");
        writer.aux(b"repl-stream-db", stream_db.to_string().as_bytes()).expect("memory takes all");
        for (link, (id, reader)) in readers {
            self.snapshot_started(link, reader, id, ctx);
        }
        let ticks = 1 + ctx.rng.below(LONGEST_WALK);
        self.job = Some(Job {
            snapshot,
            encoder: SnapshotEncoder::new(preserved.format()),
            preserved,
            writer,
            has_selected: false,
            replicas,
            pace: (2 * SLOT_COUNT).div_ceil(ticks as usize),
        });
        self.note_moment(ctx);
    }
}
