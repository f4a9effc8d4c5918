//! From a request to its reply: what is common to all commands.

use crate::blocking::{After, Left};
use crate::command::{Command, Flags, Keys, Role, Touches, range_end};
use crate::cx::{Cx, Outcome, Park, Propagate};
use crate::db::{Db, ExpiredKeys, Key, Locks, Told};
use crate::notify::Notifier;
use crate::unit::Unit;
use crate::{Args, ClientKind, Engine, Fail, Mode, Session, ThreadStats, commands};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::Config;
use tessera_resp::{Protocol, Reply};
use tessera_slot::{Millis, Offset, Slot, SlotState};
use tessera_store::{AllSlots, KeyHash, MemberHash, Patience, World, WorldExclusive};

/// Commands that replicas may be told of: they are held back while writes are paused.
pub(crate) const TOLD: Flags = Flags::WRITE.or(Flags::MAY_REPLICATE);

/// A request that has been looked up.
#[derive(Clone, Copy)]
pub struct Prepared {
    /// Its entry in the command table; `None`: unknown.
    pub command: Option<&'static Command>,
    /// The entry's index, of no meaning where there is no entry: see [`ThreadStats::of`].
    pub index: u32,
    /// The place of its first key, if it has one that is always at the same position.
    pub first: Option<KeyHash>,
    /// The member of the first key's value that it will look for, by its hash; of no meaning for
    /// those that only touch the value, and `None` for those that do not.
    pub member: Option<MemberHash>,
}

impl Prepared {
    /// Whether the command may run for long and lets others run meanwhile.
    #[inline]
    pub fn yields(&self) -> bool {
        self.command.is_some_and(|command| command.flags.has(Flags::YIELDS))
    }
}

/// The state that a thread keeps from batch to batch.
pub struct Turn<'a> {
    /// The thread's number.
    pub thread: usize,
    /// The time, Unix ms.
    pub now: Millis,
    /// The configuration.
    pub config: &'a Arc<Config>,
    /// How long the thread still waits for what others have locked.
    pub patience: &'a Patience,
    /// Serves the thread's other clients, while a command with [`Flags::YIELDS`] runs.
    pub others: Option<&'a dyn Fn()>,
    /// Tells the commands of a transaction apart.
    pub stopwatch: Stopwatch,
    /// Room for the places of a command's keys.
    pub hashes: &'a mut Vec<KeyHash>,
    /// Room for the slots of a command's keys.
    pub slots: &'a mut Vec<Slot>,
}

impl<'a> Turn<'a> {
    /// For what runs apart from a thread's clients. It serves nobody meanwhile, and is not timed.
    pub fn apart(
        thread: usize,
        now: Millis,
        config: &'a Arc<Config>,
        patience: &'a Patience,
        hashes: &'a mut Vec<KeyHash>,
        slots: &'a mut Vec<Slot>,
    ) -> Turn<'a> {
        let stopwatch = Stopwatch::STOPPED;
        Turn { thread, now, config, patience, others: None, stopwatch, hashes, slots }
    }
}

/// A counter by which the time of a transaction's commands is measured.
#[derive(Clone, Copy, Debug)]
pub struct Stopwatch {
    /// The counter, in ticks of a constant rate.
    pub ticks: fn() -> u64,
    /// The length of a tick in nanoseconds.
    pub nanos_per_tick: f64,
}

impl Stopwatch {
    /// Measures nothing: no client is told how long these commands take.
    pub const STOPPED: Stopwatch = Stopwatch { ticks: || 0, nanos_per_tick: 0.0 };

    /// The nanoseconds between two readings of the counter.
    pub(crate) fn nanos(&self, from: u64, to: u64) -> u64 {
        (to.wrapping_sub(from) as f64 * self.nanos_per_tick) as u64
    }
}

impl Engine {
    /// Finds a request's entry in the command table, and where its first key belongs.
    #[inline]
    pub fn prepare(&self, args: Args<'_>) -> Prepared {
        self.prepare_found(self.find(args), args)
    }

    /// As [`Engine::prepare`], for a command that a primary has sent: it is found by its name in
    /// the table too, whatever that is called here.
    pub fn prepare_replicated(&self, args: Args<'_>) -> Prepared {
        self.prepare_found(self.find(args).or_else(|| commands::find(args)), args)
    }

    #[inline]
    fn prepare_found(&self, found: Option<(&'static Command, u32)>, args: Args<'_>) -> Prepared {
        let Some((command, index)) = found else {
            return Prepared { command: None, index: 0, first: None, member: None };
        };
        let first = match command.keys.first() {
            Some(first) if args.len() > first => Some(self.keyspace.locate(args.at(first))),
            _ => None,
        };
        let member = match command.touches {
            Touches::Key => None,
            Touches::Value => Some(MemberHash::NONE),
            Touches::Member(at) => args.get(at.into()).map(MemberHash::of),
        };
        Prepared { command: Some(command), index, first, member }
    }

    /// Runs a request. `world` is entered; a command that needs the world alone leaves and enters
    /// it again.
    pub fn execute<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        prepared: Prepared,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let start = reply.buf.len();
        let outcome = self.dispatch(world, turn, session, prepared, args, reply);
        if !matches!(outcome, Outcome::Wait(_)) {
            session.settle_reply(reply, start);
        }
        if !matches!(outcome, Outcome::Wait(park) if park.runs_again()) {
            let is_asking = |command: &Command| command.role == Role::Asking;
            // ASKING is for one command, or for one transaction.
            session.asking &=
                session.transaction.is_some() || prepared.command.is_some_and(is_asking);
        }
        outcome
    }

    /// Refuses a request, keeps it for EXEC, or runs it.
    #[inline]
    fn dispatch<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        prepared: Prepared,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let Some(command) = prepared.command else {
            if crate::foreign::is_http(args) {
                return Outcome::Foreign;
            }
            return self.refuse(session, reply, turn, None, self.missing_error(session, args));
        };
        if let Err(refusal) = self.check(session, command, args, turn) {
            if !command.takes(args.len()) && crate::foreign::is_http(args) {
                return Outcome::Foreign;
            }
            return match self.give_up_exec(world, turn, session, command, refusal) {
                Refusal::Fail(fail) => {
                    self.refuse(session, reply, turn, Some(prepared.index), fail)
                }
                Refusal::Wait(park) => Outcome::Wait(park),
            };
        }
        if turn.config.memory.maxmemory.0 != 0
            && !self.may_take_memory(world, turn, session, command)
        {
            return self.deny_memory(world, turn, session, prepared, command, args, reply);
        }
        if session.transaction.is_some() && command.role != Role::AtOnce {
            return self.in_transaction(world, turn, session, prepared, command, args, reply);
        }
        self.run(world, turn, session, prepared, command, args, reply)
    }

    // the pieces of one turn, all borrowed from different owners
    #[allow(clippy::too_many_arguments)]
    fn run<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        prepared: Prepared,
        command: &'static Command,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let locks = match self.locks_of(world, turn, session, prepared, command, args) {
            Ok(locks) => locks,
            Err(Refusal::Wait(park)) => return Outcome::Wait(park),
            Err(Refusal::Fail(fail)) => {
                return self.refuse(session, reply, turn, Some(prepared.index), fail);
            }
        };
        let mode = self.mode();
        let mut db = self.db(turn, session, mode, locks, command.flags);
        if mode.any(Mode::CLUSTER)
            && let Some(redirect) = self.redirect(&mut db, session, command, args)
        {
            drop(db);
            return self.refuse(session, reply, turn, Some(prepared.index), redirect);
        }
        let may_block = !session.is_primary;
        let called =
            self.call(&mut db, turn, session, (command, prepared.index), args, reply, may_block);
        if called.has_changed && mode.any(Mode::REPLICA) && !session.is_primary {
            self.note_replica_keys(&mut db, command, args);
        }
        let left = self.serve_after(
            &mut db,
            turn,
            session,
            reply.protocol,
            called.has_changed,
            called.after,
        );
        if self.log.is_active() {
            // WAIT covers what this client was told, which others may have written.
            session.last_write = self.log.offset();
        }
        if let Some(alone) = db.unlock() {
            // No other thread has it alone before the next steps, such as the log of a replica, are
            // done.
            *world = Some(alone.share(turn.thread));
        }
        if let Some(left) = left {
            let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
            self.serve_left(world, turn, left);
        }
        called.outcome
    }

    /// Locks what a command needs.
    #[inline]
    fn locks_of<'w, 'k>(
        &'k self,
        world: &'w mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &Session,
        prepared: Prepared,
        command: &Command,
        args: Args<'_>,
    ) -> Result<Locks<'w, 'k>, Refusal> {
        if !command.runs_alone(args, self.mode().any(Mode::CLUSTER)) {
            return Ok(self.lock(world, turn, prepared.first, command, args)?);
        }
        let alone = self.be_alone(world, turn, session, (command.keys, command.flags, false))?;
        turn.hashes.clear();
        Ok(Locks::All(AllSlots::new(alone)))
    }

    /// The world alone, if a command with these keys and flags may still run then; the last says
    /// that it is EXEC.
    pub(crate) fn be_alone<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &Turn<'_>,
        session: &Session,
        (keys, flags, is_exec): (Keys, Flags, bool),
    ) -> Result<WorldExclusive<'k>, Refusal> {
        *world = None;
        let alone = self.keyspace.enter_exclusive_within(turn.patience).map_err(Fail::from)?;
        // The role may have changed while this command waited to be alone.
        if !session.is_primary
            && let Err(refusal) = self.check_mode(keys, flags, is_exec, self.mode(), turn, session)
        {
            *world = Some(alone.share(turn.thread));
            return Err(refusal);
        }
        Ok(alone)
    }

    /// The database of a client, with these locks, for commands with these flags.
    #[inline]
    pub(crate) fn db<'w, 'k: 'w>(
        &'k self,
        turn: &'w Turn<'_>,
        session: &Session,
        mode: Mode,
        locks: Locks<'w, 'k>,
        flags: Flags,
    ) -> Db<'w, 'k> {
        // A write that has come so far came before the pause: what it removes, replicas must be
        // told.
        let is_paused = || !flags.any(TOLD) && self.pause_end(turn.now).is_some();
        Db {
            locks,
            keyspace: &self.keyspace,
            index: session.db,
            now: turn.now,
            hashes: turn.hashes,
            patience: turn.patience,
            access: self.keyspace.fresh_access(turn.now),
            touch: !session.no_touch,
            expired: expired_keys(session.is_primary, mode, is_paused),
            told: self.told(self.stats.thread(turn.thread), turn.config),
            unit: None,
        }
    }

    /// The receivers of events that no command has asked for.
    #[inline]
    pub(crate) fn told<'w>(&'w self, stats: &'w ThreadStats, config: &Config) -> Told<'w> {
        Told {
            log: &self.log,
            stats,
            notifier: Notifier::new(config.observe.notify_keyspace_events, &self.events),
            lazy_expire: config.memory.lazyfree_lazy_expire,
        }
    }

    /// Runs a command's handler, and has the log get what it has changed.
    #[inline]
    #[allow(clippy::too_many_arguments)] // as above
    pub(crate) fn call(
        &self,
        db: &mut Db<'_, '_>,
        turn: &Turn<'_>,
        session: &mut Session,
        (command, index): (&'static Command, u32),
        args: Args<'_>,
        reply: &mut Reply,
        may_block: bool,
    ) -> Called {
        let stats = self.stats.thread(turn.thread);
        let start = reply.buf.len();
        // Before it runs: CLIENT LIST shows itself.
        session.info.last_command.store(index as usize + 1, Relaxed);
        let mut cx = Cx {
            engine: self,
            session,
            reply,
            config: turn.config,
            now: turn.now,
            others: turn.others,
            stats,
            outcome: Outcome::Next,
            may_block,
            dirty: 0,
            propagate: Propagate::AsIs,
            after: None,
        };
        let done = (command.handler)(db, &mut cx, args);
        if let Err(Fail::Locked(busy)) = done
            && may_block
        {
            debug_assert!(cx.dirty == 0, "{} has changed something", command.name);
            reply.buf.truncate(start);
            let outcome = Outcome::Wait(Park::Locked(busy));
            return Called { outcome, has_changed: false, after: None };
        }
        let has_changed = cx.dirty > 0;
        if has_changed {
            self.record(&mut cx, db, args);
        }
        let Cx { outcome, after, .. } = cx;
        let counters = &stats.by_command[index as usize];
        crate::stats::bump(&counters.calls, 1);
        // One that waits is counted by the rim, when it is through.
        if !matches!(outcome, Outcome::Wait(_)) {
            crate::stats::bump(&session.info.commands, 1);
        }
        if let Err(fail) = done {
            reply.buf.truncate(start);
            reply.error(fail.to_string());
        }
        if reply.buf.get(start) == Some(&b'-') {
            self.stats.count_error(turn.thread, &reply.buf[start + 1..]);
            crate::stats::bump(&counters.failed, 1);
        }
        Called { outcome, has_changed, after }
    }

    /// The steps after a command, or a transaction, under its locks: its client begins to wait, and
    /// clients that wait for changed keys are served.
    #[inline]
    pub(crate) fn serve_after(
        &self,
        db: &mut Db<'_, '_>,
        turn: &Turn<'_>,
        session: &mut Session,
        protocol: Protocol,
        has_changed: bool,
        mut after: Option<Box<After>>,
    ) -> Option<Left> {
        let is_marked =
            db.is_marked() || matches!(db.locks, Locks::All(_)) && self.blocking.has_clients();
        if let Some(request) = after.as_mut().and_then(|after| after.request.take()) {
            self.blocking.register(db, session, protocol, request);
        }
        if !is_marked && after.is_none() {
            return None;
        }
        let left = self.serve_waiters(db, turn.config, has_changed, *after.unwrap_or_default());
        (!left.is_empty()).then_some(left)
    }

    /// Locks what the command needs: the slots of its keys, or the world.
    #[inline]
    pub(crate) fn lock<'w, 'k>(
        &'k self,
        world: &'w mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        first: Option<KeyHash>,
        command: &Command,
        args: Args<'_>,
    ) -> Result<Locks<'w, 'k>, Fail> {
        turn.hashes.clear();
        let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
        match (first, command.keys) {
            (Some(hash), keys) if keys.is_one() => {
                turn.hashes.push(hash);
                Ok(Locks::One(world.lock_within(hash.slot(), turn.patience)?))
            }
            (_, Keys::None) => Ok(Locks::World(world)),
            (first, keys) => self.lock_keys(world, turn, command, keys, first, args),
        }
    }

    /// Appends a write to the log, under the locks of its slots; in a transaction it is kept for
    /// later.
    fn record(&self, cx: &mut Cx<'_>, db: &mut Db<'_, '_>, args: Args<'_>) {
        cx.stats.bump(|stats| &stats.dirty, cx.dirty);
        // A replica's history is its primary's: what clients write to a writable replica stays
        // there.
        if !self.log.is_active() || cx.session.is_primary || self.mode().any(Mode::REPLICA) {
            return;
        }
        let index = db.index;
        let propagate = std::mem::take(&mut cx.propagate);
        if db.unit.is_none() {
            match propagate {
                Propagate::AsIs => {
                    self.append(index as u32, args);
                }
                Propagate::Instead(command) => {
                    self.log.append_command(index as u32, &command);
                }
                Propagate::Many(commands) => {
                    let mut unit = Unit::default();
                    commands.into_iter().for_each(|command| unit.push(index, command));
                    unit.append_to(&self.log);
                }
            }
            return;
        }
        let unit = db.unit.as_mut().expect("just looked at");
        match propagate {
            Propagate::AsIs => unit.push(index, args.from(0).map(<[u8]>::to_vec).collect()),
            Propagate::Instead(command) => unit.push(index, command),
            Propagate::Many(commands) => {
                commands.into_iter().for_each(|command| unit.push(index, command));
            }
        }
    }

    /// Appends what serving a waiting client has changed.
    pub(crate) fn record_served(&self, cx: &mut Cx<'_>, db: &mut Db<'_, '_>) {
        debug_assert!(
            !self.log.is_active()
                || cx.propagate != Propagate::AsIs
                || self.mode().any(Mode::REPLICA),
            "the form of a blocking command that does not block is propagated instead"
        );
        self.record(cx, db, Args::new(&[], &[]));
    }

    /// Appends a command as it came. Short ones, which are nearly all, without an allocation.
    fn append(&self, db: u32, args: Args<'_>) -> Offset {
        const FEW: usize = 8;
        let mut few: [&[u8]; FEW] = [&[]; FEW];
        match few.get_mut(..args.len()) {
            Some(few) => {
                few.iter_mut().zip(args.from(0)).for_each(|(place, arg)| *place = arg);
                self.log.append_command(db, few)
            }
            None => self.log.append_command(db, &args.to_vec()),
        }
    }

    /// Locks the slots of several keys.
    fn lock_keys<'w, 'k>(
        &'k self,
        world: &'w mut World<'k>,
        turn: &mut Turn<'_>,
        command: &Command,
        keys: Keys,
        first: Option<KeyHash>,
        args: Args<'_>,
    ) -> Result<Locks<'w, 'k>, Fail> {
        let place = |at: usize| self.keyspace.locate(args.at(at));
        match keys {
            Keys::Range { first: from, last, step } => {
                let end = range_end(last, args.len());
                turn.hashes.extend(first);
                let skip = usize::from(first.is_some());
                turn.hashes.extend((from..=end).step_by(step).skip(skip).map(place));
            }
            keys => turn.hashes.extend(keys.positions(args)?.into_iter().map(place)),
        }
        let Some(&one) = turn.hashes.first() else {
            return Ok(Locks::World(world));
        };
        self.keyspace.prefetch_keys(turn.hashes);
        if turn.hashes.iter().all(|hash| hash.slot() == one.slot()) {
            return Ok(Locks::One(world.lock_within(one.slot(), turn.patience)?));
        }
        if self.mode().any(Mode::CLUSTER) {
            debug_assert!(!command.flags.has(Flags::EXCLUSIVE));
            return Err(Fail::text("CROSSSLOT Keys in request don't hash to the same slot"));
        }
        turn.slots.clear();
        turn.slots.extend(turn.hashes.iter().map(|hash| hash.slot()));
        Ok(Locks::Many(world.lock_many_within(turn.slots, turn.patience)?))
    }

    /// The checks before a command may run, apart from that of its slot.
    #[inline]
    fn check(
        &self,
        session: &Session,
        command: &'static Command,
        args: Args<'_>,
        turn: &Turn<'_>,
    ) -> Result<(), Refusal> {
        if !command.takes(args.len()) {
            return Err(Fail::Arity(commands::full_name(command).into()).into());
        }
        if !session.authenticated && !command.flags.has(Flags::NO_AUTH) {
            return Err(crate::missing::not_authenticated().into());
        }
        let mode = self.mode();
        if mode.is_plain() || session.is_primary {
            return Ok(());
        }
        match &session.transaction {
            Some(transaction) if command.role == Role::Exec => {
                self.check_mode(command.keys, transaction.flags(), true, mode, turn, session)
            }
            _ => self.check_mode(command.keys, command.flags, false, mode, turn, session),
        }
    }

    /// The part of [`Engine::check`] that depends on the mode of the node. For EXEC, `flags` are
    /// those of its commands.
    #[cold]
    pub(crate) fn check_mode(
        &self,
        keys: Keys,
        flags: Flags,
        is_exec: bool,
        mode: Mode,
        turn: &Turn<'_>,
        session: &Session,
    ) -> Result<(), Refusal> {
        let text = if mode.any(Mode::LOADING) && !flags.has(Flags::LOADING) {
            "LOADING Redis is loading the dataset in memory"
        } else if mode.any(Mode::STALE)
            && !turn.config.replication.replica_serve_stale_data
            && !flags.has(Flags::STALE)
        {
            "MASTERDOWN Link with MASTER is down and replica-serve-stale-data is set to 'no'."
        } else if flags.any(TOLD) && mode.any(Mode::WRITES_PAUSED) {
            return Err(Refusal::Wait(Park::WritesPaused));
        } else if flags.has(Flags::WRITE)
            && mode.any(Mode::READ_ONLY)
            && (!mode.any(Mode::CLUSTER) || matches!(keys, Keys::None) && !is_exec)
        {
            // In a cluster a command with keys is redirected to the primary instead.
            "READONLY You can't write against a read only replica."
        } else if flags.has(Flags::WRITE)
            && mode.any(Mode::FEW_REPLICAS)
            && !mode.any(Mode::REPLICA)
        {
            "NOREPLICAS Not enough good replicas to write."
        } else if mode.any(Mode::PAUSED)
            && session.info.kind() != ClientKind::Replica
            && self.is_held_back(flags.any(TOLD), turn.now)
        {
            return Err(Refusal::Wait(Park::WritesPaused));
        } else {
            return Ok(());
        };
        Err(Fail::text(text).into())
    }

    /// In cluster mode: the redirection or refusal for a command whose slot is not simply served
    /// here. Called under the slot's lock, so the answer is never stale.
    pub(crate) fn redirect(
        &self,
        db: &mut Db<'_, '_>,
        session: &Session,
        command: &Command,
        args: Args<'_>,
    ) -> Option<Fail> {
        let call = Call { command, args, hashes: db.hashes };
        self.redirect_all(db, session, command.flags, &[call])
    }

    /// The same for commands that run together: they are served, or sent elsewhere, together.
    /// `flags` are those of any of them.
    pub(crate) fn redirect_all(
        &self,
        db: &mut Db<'_, '_>,
        session: &Session,
        flags: Flags,
        calls: &[Call<'_>],
    ) -> Option<Fail> {
        // All keys are in one slot.
        let slot = calls.iter().find_map(|call| call.hashes.first())?.slot();
        let state = db.locks.guard(slot).state();
        let down = self.mode().any(Mode::CLUSTER_DOWN);
        if (state == SlotState::Served && !down) || session.is_primary {
            return None;
        }
        let Some(routing) = self.host().routing() else {
            return Some(Fail::text("CLUSTERDOWN The cluster is down"));
        };
        if let Some(refusal) = routing.refusal(slot, flags.has(Flags::WRITE)) {
            return Some(Fail::text(refusal));
        }
        let moved = || routing.moved(slot, false).map(Fail::text);
        match state {
            SlotState::Served => None,
            SlotState::Migrating { to } => match presence(db, calls) {
                Presence { missing: 0, .. } => None,
                Presence { found: 0, .. } => routing.ask(slot, to, false).map(Fail::text),
                _ => Some(try_again()),
            },
            SlotState::Importing { .. } => {
                if !session.asking && !flags.has(Flags::ASKING) {
                    return moved();
                }
                let presence = presence(db, calls);
                (presence.are_several && presence.missing > 0).then(try_again)
            }
            SlotState::Remote { .. } => {
                let may_read = session.readonly
                    && !flags.has(Flags::WRITE)
                    && routing.is_replicated_here(slot);
                if may_read { None } else { moved() }
            }
        }
    }

    /// Refuses a command for want of memory, unless its keys belong to another node.
    #[cold]
    #[allow(clippy::too_many_arguments)] // as above
    fn deny_memory<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        prepared: Prepared,
        command: &'static Command,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let mut fail = Fail::text("OOM command not allowed when used memory > 'maxmemory'.");
        if self.mode().any(Mode::CLUSTER)
            && let Err(other) = self.check_slots(world, turn, session, prepared, command, args)
        {
            fail = other;
        }
        match self.give_up_exec(world, turn, session, command, fail.into()) {
            Refusal::Fail(fail) => self.refuse(session, reply, turn, Some(prepared.index), fail),
            Refusal::Wait(park) => Outcome::Wait(park),
        }
    }

    /// The answer to a command that is refused. EXEC says that the transaction is over, and why.
    #[cold]
    fn give_up_exec<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &Turn<'_>,
        session: &mut Session,
        command: &Command,
        refusal: Refusal,
    ) -> Refusal {
        if session.transaction.is_none()
            || command.role != Role::Exec
            || matches!(refusal, Refusal::Wait(_))
        {
            return refusal;
        }
        session.set_transaction(None);
        self.unwatch_all(world.get_or_insert_with(|| self.keyspace.enter(turn.thread)), session);
        crate::transaction::aborted(refusal)
    }

    /// Answers an error without running the command. A transaction which it should have been part
    /// of is spoiled, but not that of a primary, which has run it.
    pub(crate) fn refuse(
        &self,
        session: &mut Session,
        reply: &mut Reply,
        turn: &Turn<'_>,
        index: Option<u32>,
        fail: Fail,
    ) -> Outcome {
        let stats = self.stats.thread(turn.thread);
        if let Some(index) = index {
            crate::stats::bump(&stats.by_command[index as usize].rejected, 1);
        }
        let text = fail.to_string();
        self.stats.count_error(turn.thread, text.as_bytes());
        reply.error(text);
        if let Some(transaction) = &mut session.transaction
            && !session.is_primary
        {
            transaction.spoil();
        }
        Outcome::Next
    }
}

/// The results of a handler.
pub(crate) struct Called {
    pub(crate) outcome: Outcome,
    pub(crate) has_changed: bool,
    pub(crate) after: Option<Box<After>>,
}

/// Why a command does not run now.
pub(crate) enum Refusal {
    /// It is answered with this.
    Fail(Fail),
    /// It waits, and runs again then.
    Wait(Park),
}

impl From<Fail> for Refusal {
    fn from(fail: Fail) -> Refusal {
        match fail {
            Fail::Locked(busy) => Refusal::Wait(Park::Locked(busy)),
            fail => Refusal::Fail(fail),
        }
    }
}

/// A command that is about to run, and the places of its keys.
pub(crate) struct Call<'a> {
    pub(crate) command: &'a Command,
    pub(crate) args: Args<'a>,
    pub(crate) hashes: &'a [KeyHash],
}

/// How many of the keys of some commands are here.
#[derive(Default)]
struct Presence {
    found: usize,
    missing: usize,
    /// They are not all the same key.
    are_several: bool,
}

fn presence(db: &mut Db<'_, '_>, calls: &[Call<'_>]) -> Presence {
    let (mut presence, mut first) = (Presence::default(), None);
    for &Call { command, args, hashes } in calls {
        let positions = command.keys.positions(args).unwrap_or_default();
        for (at, &hash) in positions.into_iter().zip(hashes) {
            let bytes = args.at(at);
            presence.are_several |= *first.get_or_insert(bytes) != bytes;
            match db.peek(Key { bytes, hash }) {
                Some(_) => presence.found += 1,
                None => presence.missing += 1,
            }
        }
    }
    presence
}

fn try_again() -> Fail {
    Fail::text("TRYAGAIN Multiple keys request during rehashing of slot")
}

fn expired_keys(is_primary: bool, mode: Mode, is_paused: impl FnOnce() -> bool) -> ExpiredKeys {
    if is_primary {
        ExpiredKeys::Show
    } else if mode.any(Mode::REPLICA) || mode.any(Mode::WRITES_PAUSED) || is_paused() {
        ExpiredKeys::Hide
    } else {
        ExpiredKeys::Remove
    }
}
