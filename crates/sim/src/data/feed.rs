//! The primary's side of a replica's connection: the driver of [`ReplicaSession`].
//!
//! A socket takes a limited number of bytes while the network is cut. Then the stream waits in the
//! log, and a replica that is too far behind is disconnected (`client-output-buffer-limit`).

use super::node::Node;
use super::{Bug, Ctx, Output};
use tessera_cluster::LinkId;
use tessera_engine::Args;
use tessera_log::Reader;
use tessera_replication::{Framing, ReplicaSession, SessionEffect, SessionEvent, SyncPermission};
use tessera_slot::Millis;

/// Bytes that a socket takes while nothing of them arrives.
const SOCKET: usize = 4 << 10;
/// Bytes that are kept for a replica at most.
const OUTPUT_LIMIT: u64 = 256 << 10;

/// The data that is sent to the replica next.
pub(crate) enum Stage {
    /// Nothing but answers.
    Talk,
    /// The snapshot has been asked for.
    Wanted,
    /// The payload is being sent; these bytes of it are ready.
    Payload { ready: Vec<u8>, is_whole: bool, reader: Reader },
    /// The payload is out, its acknowledgement is awaited; or the stream may go on from here.
    Loaded(Reader),
    /// The stream.
    Stream(Reader),
}

/// A replica's feed.
pub(crate) struct Feed {
    pub(crate) session: ReplicaSession,
    pub(crate) stage: Stage,
    outbox: Vec<u8>,
}

impl Feed {
    fn new(now: Millis, timeout_ms: u64) -> Feed {
        let session = ReplicaSession::new(now, timeout_ms);
        Feed { session, stage: Stage::Talk, outbox: Vec::new() }
    }

    pub(crate) fn is_replica(&self) -> bool {
        self.session.state().name().is_some()
    }

    fn start_stream(&mut self) {
        self.stage = match std::mem::replace(&mut self.stage, Stage::Talk) {
            Stage::Loaded(reader) => Stage::Stream(reader),
            stage => stage,
        };
    }
}

impl Node {
    /// Runs REPLCONF, PSYNC or SYNC.
    pub(crate) fn replication_command(&mut self, link: LinkId, args: Args<'_>, ctx: &mut Ctx<'_>) {
        let permission = self.permission(ctx);
        let timeout = self.options.repl_timeout;
        let Some(conn) = self.conns.get_mut(&link) else { return };
        conn.feed.get_or_insert_with(|| Feed::new(ctx.now.mono, timeout));
        let words: Vec<&[u8]> = args.from(1).collect();
        let event = if args.is(0, "replconf") {
            SessionEvent::Replconf(&words)
        } else if args.is(0, "psync") {
            SessionEvent::Psync(&words, permission)
        } else {
            SessionEvent::Sync(permission)
        };
        self.session_event(link, event, ctx);
    }

    fn permission(&self, ctx: &Ctx<'_>) -> SyncPermission {
        let is_usable = self.follower.as_ref().is_none_or(|follower| follower.is_up(ctx.now.mono));
        match is_usable && !ctx.withholds {
            true => SyncPermission::Granted,
            false => SyncPermission::OwnLinkDown,
        }
    }

    pub(crate) fn sign_of_life(&mut self, link: LinkId, ctx: &mut Ctx<'_>) {
        self.session_event(link, SessionEvent::Newline, ctx);
    }

    /// Hands an event to a replica's session and carries out what it wants.
    pub(crate) fn session_event(
        &mut self,
        link: LinkId,
        event: SessionEvent<'_>,
        ctx: &mut Ctx<'_>,
    ) {
        let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) else {
            return;
        };
        let mut effects = Vec::new();
        feed.session.handle(ctx.now.mono, event, &mut effects);
        for effect in effects {
            self.session_effect(link, effect, ctx);
        }
        self.note_acknowledged(link);
    }

    fn session_effect(&mut self, link: LinkId, effect: SessionEffect, ctx: &mut Ctx<'_>) {
        let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) else {
            return;
        };
        match effect {
            SessionEffect::Send(bytes) => feed.outbox.extend_from_slice(&bytes),
            SessionEffect::AckRequested => self.request_ack(ctx),
            SessionEffect::TryResume { id, offset } => {
                let mut id = id;
                let own = self.engine.log.identity().id;
                if ctx.bug == Some(Bug::ResumesAnyHistory) {
                    id = own;
                }
                let event = match self.engine.log.open_reader(&id, offset) {
                    Ok(reader) => {
                        ctx.oracle.counts.partial_syncs += 1;
                        feed.stage = Stage::Loaded(reader);
                        SessionEvent::Resumed(own)
                    }
                    Err(_) => SessionEvent::NotResumable,
                };
                self.session_event(link, event, ctx);
            }
            SessionEffect::StartFullSync { .. } => {
                ctx.oracle.counts.full_syncs += 1;
                feed.stage = Stage::Wanted;
                self.waiting.push(link);
            }
            SessionEffect::StartStream => feed.start_stream(),
            SessionEffect::Close(_) => self.close(link, ctx),
        }
    }

    /// Tells WAIT how far the replica is.
    fn note_acknowledged(&self, link: LinkId) {
        let feed = self.conns.get(&link).and_then(|conn| conn.feed.as_ref());
        if let Some(feed) = feed.filter(|feed| feed.session.is_online()) {
            self.rim.noted().acknowledged.insert(link, feed.session.acked());
        }
    }

    /// The snapshot of these replicas has begun, with a reader of the log for each.
    pub(crate) fn snapshot_started(
        &mut self,
        link: LinkId,
        reader: Reader,
        id: tessera_log::ReplId,
        ctx: &mut Ctx<'_>,
    ) {
        let offset = reader.offset();
        self.session_event(link, SessionEvent::SnapshotStarted { id, offset }, ctx);
        let mark = *ctx.random_id().as_bytes();
        self.session_event(link, SessionEvent::PayloadReady(Framing::Mark(mark)), ctx);
        if let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) {
            feed.stage = Stage::Payload { ready: Vec::new(), is_whole: false, reader };
        }
    }

    /// Gives a piece of the payload to a replica; false if it is gone.
    pub(crate) fn push_payload(&mut self, link: LinkId, bytes: &[u8], is_last: bool) -> bool {
        let feed = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut());
        let Some(Stage::Payload { ready, is_whole, .. }) = feed.map(|feed| &mut feed.stage) else {
            return false;
        };
        ready.extend_from_slice(bytes);
        *is_whole = is_last;
        true
    }

    /// Lets the sessions see the time.
    pub(crate) fn pump_feeds(&mut self, ctx: &mut Ctx<'_>) {
        for link in self.feeds() {
            self.session_event(link, SessionEvent::Tick, ctx);
        }
    }

    fn feeds(&self) -> Vec<LinkId> {
        let with_feed = self.conns.iter().filter(|(_, conn)| conn.feed.is_some());
        with_feed.map(|(link, _)| *link).collect()
    }

    /// Sends all replicas what there is.
    pub(crate) fn feed_all(&mut self, ctx: &mut Ctx<'_>) {
        for link in self.feeds() {
            if self.send_feed(link, ctx).is_none() {
                self.close(link, ctx);
            }
        }
    }

    /// Sends one replica what there is; `None` if it is to be disconnected.
    fn send_feed(&mut self, link: LinkId, ctx: &mut Ctx<'_>) -> Option<()> {
        let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) else {
            return Some(());
        };
        if !feed.outbox.is_empty() {
            ctx.out.push(Output::Send { link, bytes: std::mem::take(&mut feed.outbox) });
        }
        let has_room = ctx.stalled(link) < SOCKET;
        match &mut feed.stage {
            Stage::Talk | Stage::Wanted | Stage::Loaded(_) => Some(()),
            Stage::Stream(reader) | Stage::Payload { reader, .. }
                if reader.lag() > OUTPUT_LIMIT =>
            {
                None
            }
            _ if !has_room => Some(()),
            Stage::Stream(reader) => {
                let bytes = reader.peek().ok()?.to_vec();
                if !bytes.is_empty() {
                    reader.advance(bytes.len());
                    ctx.out.push(Output::Send { link, bytes });
                }
                Some(())
            }
            Stage::Payload { ready, is_whole, .. } => {
                let (bytes, is_whole) = (std::mem::take(ready), *is_whole);
                if !bytes.is_empty() {
                    ctx.out.push(Output::Send { link, bytes });
                    self.session_event(link, SessionEvent::PayloadProgress, ctx);
                }
                if is_whole {
                    self.payload_sent(link, ctx);
                }
                Some(())
            }
        }
    }

    fn payload_sent(&mut self, link: LinkId, ctx: &mut Ctx<'_>) {
        if let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) {
            feed.stage = match std::mem::replace(&mut feed.stage, Stage::Talk) {
                Stage::Payload { reader, .. } => Stage::Loaded(reader),
                stage => stage,
            };
        }
        self.session_event(link, SessionEvent::PayloadSent, ctx);
        let Some(feed) = self.conns.get_mut(&link).and_then(|conn| conn.feed.as_mut()) else {
            return;
        };
        if !feed.outbox.is_empty() {
            ctx.out.push(Output::Send { link, bytes: std::mem::take(&mut feed.outbox) });
        }
    }
}
