//! EXEC.

use super::{Queued, Transaction};
use crate::blocking::After;
use crate::command::{Group, Keys};
use crate::db::{Db, Locks};
use crate::deferred::{Deferred, Gap};
use crate::execute::{Call, Refusal};
use crate::{Answer, Engine, Fail, Mode, Outcome, Park, ReplyMode, Session, Turn};
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;
use tessera_resp::Reply;
use tessera_store::{AllSlots, KeyHash, World};

/// A queued command with the range of its keys' places; an error is its reply.
type Planned<'q> = (&'q Queued, Result<Range<usize>, Fail>);

/// What a transaction that has run leaves behind.
#[derive(Default)]
struct Ran {
    outcome: Outcome,
    /// What is to be carried out when nothing is locked, and where its replies belong.
    gaps: Vec<Gap>,
}

/// The locks that a transaction needs.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Reach {
    /// The slots of its keys.
    Keys,
    /// Everything: a command walks the keyspace, or runs alone.
    Everything,
}

impl Engine {
    /// Runs the client's transaction.
    pub(crate) fn exec<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        index: u32,
        reply: &mut Reply,
    ) -> Outcome {
        let Some(transaction) = session.transaction.take() else { return Outcome::Next };
        let start = reply.buf.len();
        session.set_transaction(None);
        let ran = match transaction.is_broken {
            true => {
                self.fail_broken(turn, index, reply);
                Ok(Ran::default())
            }
            false => self.try_exec(world, turn, session, &transaction, reply),
        };
        if !matches!(ran, Err(Refusal::Wait(_))) && !session.watched.is_empty() {
            let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
            self.unwatch_all(world, session);
        }
        // The queued commands have left their own names there.
        session.info.last_command.store(index as usize + 1, Relaxed);
        let counters = &self.stats.thread(turn.thread).by_command[index as usize];
        match ran {
            Ok(ran) => {
                crate::stats::bump(&counters.calls, 1);
                let concerns_cluster = transaction.concerns_cluster() && !session.is_primary;
                self.answer_exec(turn, session, reply, start, ran, concerns_cluster)
            }
            Err(Refusal::Fail(fail)) => self.refuse(session, reply, turn, Some(index), fail),
            Err(Refusal::Wait(park)) => {
                session.set_transaction(Some(transaction));
                Outcome::Wait(park)
            }
        }
    }

    /// Answers EXEC, if all that its commands want is done by now. A change of slots or epochs is
    /// told to its client when it is on disk, as outside of transactions; and what its commands
    /// have left for when nothing is locked is still to be carried out.
    fn answer_exec(
        &self,
        turn: &Turn<'_>,
        session: &mut Session,
        reply: &mut Reply,
        start: usize,
        Ran { outcome, gaps }: Ran,
        concerns_cluster: bool,
    ) -> Outcome {
        if gaps.is_empty() && !concerns_cluster {
            return outcome;
        }
        let answer = Answer {
            bytes: reply.buf.split_off(start),
            offset: session.last_write,
            close: outcome == Outcome::Close,
        };
        let answer = if gaps.is_empty() {
            self.host().after_cluster(&session.info, answer)
        } else {
            let gaps = gaps.into_iter().map(|gap| Gap { at: gap.at - start, ..gap }).collect();
            let mut deferred = Deferred::new(answer, reply.protocol, gaps);
            deferred.concerns_cluster = concerns_cluster;
            let given_back = self.host().defer(&session.info, deferred);
            given_back.map(|deferred| self.carry_out(turn.thread, deferred))
        };
        let Some(answer) = answer else {
            session.keep_whole_answer();
            return Outcome::Wait(Park::Elsewhere);
        };
        reply.buf.extend_from_slice(&answer.bytes);
        outcome
    }

    /// EXEC of a transaction with a command that was refused: it has run, and failed.
    fn fail_broken(&self, turn: &Turn<'_>, index: u32, reply: &mut Reply) {
        let text = "EXECABORT Transaction discarded because of previous errors.";
        self.stats.count_error(turn.thread, text.as_bytes());
        crate::stats::bump(&self.stats.thread(turn.thread).by_command[index as usize].failed, 1);
        reply.error(text);
    }

    fn try_exec<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        transaction: &Transaction,
        reply: &mut Reply,
    ) -> Result<Ran, Refusal> {
        let (plan, reach) = self.plan(turn.hashes, &transaction.queue);
        let is_cluster = self.mode().any(Mode::CLUSTER) && !session.is_primary;
        if is_cluster && turn.hashes.windows(2).any(|pair| pair[0].slot() != pair[1].slot()) {
            let text = "CROSSSLOT Keys in request don't hash to the same slot";
            return Err(Fail::text(text).into());
        }
        self.keyspace.prefetch_keys(turn.hashes);
        let locks = if reach == Reach::Everything {
            let needs = (Keys::None, transaction.flags(), true);
            let alone = self.be_alone(world, turn, session, needs).map_err(aborted)?;
            Locks::All(AllSlots::new(alone))
        } else {
            let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
            lock_slots(world, turn, session)?
        };
        let mode = self.mode();
        let mut db = self.db(turn, session, mode, locks, transaction.flags());
        if is_cluster
            && let Some(fail) = self.redirect_plan(&mut db, turn, session, transaction, &plan)
        {
            return Err(fail.into());
        }
        let has_changed = db.has_watched_change(session);
        db.unwatch_all(session);
        if has_changed {
            reply.null_array();
            *world = give_back(db, turn).or(world.take());
            return Ok(Ran::default());
        }
        let (outcome, has_changed, mut after) =
            self.run_plan(&mut db, turn, session, plan, reply, mode);
        if let Some(unit) = db.unit.take() {
            unit.append_to(&self.log);
        }
        db.index = session.db;
        let gaps = std::mem::take(&mut after.gaps);
        let left = self.serve_after(
            &mut db,
            turn,
            session,
            reply.protocol,
            has_changed,
            Some(Box::new(after)),
        );
        if self.log.is_active() {
            session.last_write = self.log.offset();
        }
        if let Some(alone) = db.unlock() {
            *world = Some(alone.share(turn.thread));
        }
        if let Some(left) = left {
            let world = world.get_or_insert_with(|| self.keyspace.enter(turn.thread));
            self.serve_left(world, turn, left);
        }
        Ok(Ran { outcome, gaps })
    }

    /// In cluster mode: the redirection or refusal of a transaction whose slot is not served here.
    fn redirect_plan(
        &self,
        db: &mut Db<'_, '_>,
        turn: &Turn<'_>,
        session: &Session,
        transaction: &Transaction,
        plan: &[Planned<'_>],
    ) -> Option<Fail> {
        let calls: Vec<Call<'_>> = plan
            .iter()
            .map(|(queued, keys)| Call {
                command: queued.command,
                args: queued.args(),
                hashes: keys.clone().map_or(&[], |keys| &turn.hashes[keys]),
            })
            .collect();
        self.redirect_all(db, session, transaction.flags(), &calls)
    }

    /// Finds the places of all keys, and what has to be locked for all commands together.
    fn plan<'q>(
        &self,
        hashes: &mut Vec<KeyHash>,
        queue: &'q [Queued],
    ) -> (Vec<Planned<'q>>, Reach) {
        hashes.clear();
        let mut reach = Reach::Keys;
        let plan = queue
            .iter()
            .map(|queued| {
                let args = queued.args();
                let start = hashes.len();
                let keys = queued.command.keys.positions(args).map(|positions| {
                    hashes
                        .extend(positions.into_iter().map(|at| self.keyspace.locate(args.at(at))));
                    start..hashes.len()
                });
                let is_keyless = keys.as_ref().is_ok_and(Range::is_empty);
                let command = queued.command;
                if command.runs_alone(args, self.mode().any(Mode::CLUSTER))
                    || is_keyless && command.group != Group::Connection
                {
                    reach = Reach::Everything;
                }
                (queued, keys)
            })
            .collect();
        (plan, reach)
    }

    /// Runs the commands one after another under the locks of all of them.
    fn run_plan<'w>(
        &self,
        db: &mut Db<'w, '_>,
        turn: &'w Turn<'_>,
        session: &mut Session,
        plan: Vec<Planned<'_>>,
        reply: &mut Reply,
        mode: Mode,
    ) -> (Outcome, bool, After) {
        let (mut outcome, mut has_changed, mut all) = (Outcome::Next, false, After::default());
        db.unit = Some(Box::default());
        let is_heard = session.reply_mode == ReplyMode::On;
        reply.array(plan.len());
        let mut before = (turn.stopwatch.ticks)();
        for (queued, keys) in plan {
            let start = reply.buf.len();
            let keys = match keys {
                Ok(keys) => keys,
                Err(fail) => {
                    let text = fail.to_string();
                    self.stats.count_error(turn.thread, text.as_bytes());
                    reply.error(text);
                    continue;
                }
            };
            (db.index, db.hashes, db.touch) = (session.db, &turn.hashes[keys], !session.no_touch);
            if let Locks::All(slots) = &mut db.locks {
                // A command without keys may want to lock any.
                slots.world();
            }
            let entry = (queued.command, queued.index);
            let called = self.call(db, turn, session, entry, queued.args(), reply, false);
            let now = (turn.stopwatch.ticks)();
            let counters = &self.stats.thread(turn.thread).by_command[queued.index as usize];
            counters.took(turn.stopwatch.nanos(before, now));
            before = now;
            match called.outcome {
                Outcome::Close => outcome = Outcome::Close,
                Outcome::Wait(_) | Outcome::Rim | Outcome::Next => {}
                Outcome::Foreign => unreachable!("no such command is queued"),
            }
            let is_deferred = called.after.as_ref().is_some_and(|after| !after.gaps.is_empty());
            if reply.buf.len() == start && !is_deferred {
                // It goes on elsewhere and nobody waits for it, or it has switched replies off.
                // EXEC has announced an answer of each.
                reply.ok();
            }
            if called.has_changed && mode.any(Mode::REPLICA) && !session.is_primary {
                self.note_replica_keys(db, queued.command, queued.args());
            }
            has_changed |= called.has_changed;
            if let Some(after) = called.after {
                all.ready.extend(after.ready);
                all.leaving.extend(after.leaving);
                all.gaps.extend(after.gaps);
            }
            let hashes = db.hashes;
            for hash in hashes {
                self.settle_slot(db, hash.slot(), called.has_changed, &mut all.ready);
            }
        }
        if is_heard {
            // CLIENT REPLY OFF or SKIP holds for what follows EXEC.
            session.keep_reply(reply);
        }
        (outcome, has_changed, all)
    }
}

/// Locks the slots of all keys, and of those that the client watches.
fn lock_slots<'w, 'k>(
    world: &'w mut World<'k>,
    turn: &mut Turn<'_>,
    session: &Session,
) -> Result<Locks<'w, 'k>, Fail> {
    turn.slots.clear();
    turn.slots.extend(turn.hashes.iter().map(|hash| hash.slot()));
    turn.slots.extend(session.watched.iter().map(|watched| watched.slot()));
    turn.slots.sort_unstable();
    turn.slots.dedup();
    Ok(match turn.slots[..] {
        [] => Locks::World(world),
        [slot] => Locks::One(world.lock_within(slot, turn.patience)?),
        _ => Locks::Many(world.lock_many_within(turn.slots, turn.patience)?),
    })
}

/// Lets go of the slots. Gives the world back if it was held alone.
fn give_back<'k>(db: Db<'_, 'k>, turn: &Turn<'_>) -> Option<World<'k>> {
    db.unlock().map(|alone| alone.share(turn.thread))
}

/// The refusal of EXEC by what holds for one of its commands.
pub(crate) fn aborted(refusal: Refusal) -> Refusal {
    match refusal {
        Refusal::Fail(fail) => {
            Refusal::Fail(Fail::text(format!("EXECABORT Transaction discarded because of: {fail}")))
        }
        Refusal::Wait(park) => Refusal::Wait(park),
    }
}
