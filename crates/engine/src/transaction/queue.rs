//! Between MULTI and EXEC: commands are checked and kept.

use super::{Queued, Transaction};
use crate::command::{Command, Flags, Role};
use crate::execute::Prepared;
use crate::{Args, Engine, Fail, Mode, Outcome, Session, Turn};
use std::sync::atomic::Ordering::Relaxed;
use tessera_resp::Reply;
use tessera_store::World;

/// Whether a command can not be part of a transaction: by its own word, or since the rim carries it
/// out after its reply.
fn is_barred(command: &Command) -> bool {
    command.flags.has(Flags::NO_MULTI) || command.role == Role::Replconf
}

impl Session {
    /// How many bytes of commands wait for EXEC.
    pub fn queued_bytes(&self) -> usize {
        self.transaction.as_ref().map_or(0, |transaction| transaction.memory)
    }

    /// Begins a transaction, or ends it without running it.
    pub(crate) fn set_transaction(&mut self, transaction: Option<Box<Transaction>>) {
        self.transaction = transaction;
        self.note_queue();
    }

    /// Lets others see how much is queued.
    fn note_queue(&self) {
        let queued = self.transaction.as_ref().map_or(-1, |queue| queue.queue.len() as i64);
        self.info.multi.store(queued, Relaxed);
        self.info.multi_bytes.store(self.queued_bytes(), Relaxed);
    }
}

impl Engine {
    /// A command between MULTI and EXEC, EXEC and DISCARD included.
    #[cold]
    // the pieces of one turn, all borrowed from different owners
    #[allow(clippy::too_many_arguments)]
    pub(crate) fn in_transaction<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &mut Session,
        prepared: Prepared,
        command: &'static Command,
        args: Args<'_>,
        reply: &mut Reply,
    ) -> Outcome {
        let index = Some(prepared.index);
        match command.role {
            Role::Exec => return self.exec(world, turn, session, prepared.index, reply),
            Role::Discard => {
                session.set_transaction(None);
                self.unwatch_all(
                    world.get_or_insert_with(|| self.keyspace.enter(turn.thread)),
                    session,
                );
                reply.ok();
                return Outcome::Next;
            }
            _ if is_barred(command) => {
                let fail = Fail::text("ERR Command not allowed inside a transaction");
                return self.refuse(session, reply, turn, index, fail);
            }
            _ => {}
        }
        if self.mode().any(Mode::CLUSTER)
            && let Err(fail) = self.check_slots(world, turn, session, prepared, command, args)
        {
            return self.refuse(session, reply, turn, index, fail);
        }
        if let Some(transaction) = &mut session.transaction {
            transaction.push(Queued::new(command, prepared.index, args));
        }
        session.note_queue();
        reply.simple("QUEUED");
        Outcome::Next
    }

    /// In cluster mode: fails if the command's keys are not served here just now. EXEC looks again.
    pub(crate) fn check_slots<'k>(
        &'k self,
        world: &mut Option<World<'k>>,
        turn: &mut Turn<'_>,
        session: &Session,
        prepared: Prepared,
        command: &'static Command,
        args: Args<'_>,
    ) -> Result<(), Fail> {
        if command.keys.positions(args).is_err() {
            // The error itself belongs to the command's own reply.
            return Ok(());
        }
        let locks = self.lock(world, turn, prepared.first, command, args)?;
        let mut db = self.db(turn, session, self.mode(), locks, command.flags);
        self.redirect(&mut db, session, command, args).map_or(Ok(()), Err)
    }
}
