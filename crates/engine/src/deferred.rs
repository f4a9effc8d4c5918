//! Commands that are carried out when nothing is locked, since what they do may block: they read
//! and write files, open sockets, resolve names, or write into the log.
//!
//! A handler leaves such a command as a [`Task`] with [`Cx::defer`]. [`Host::defer`] takes it away,
//! and the client waits. Another thread calls [`Engine::carry_out`], which gives the client's whole
//! answer. A transaction waits as a whole: its answer has a gap for each task, and the tasks are
//! carried out in their order, after all of its other commands.
//!
//! [`Host::defer`]: crate::Host::defer

use crate::commands::server_config as config;
use crate::{Answer, Cx, DebugRequest, Done, Engine, Fail, Outcome, Park};
use std::sync::atomic::Ordering::Relaxed;
use tessera_config::SetContext;
use tessera_resp::{Protocol, Reply};

/// What a command wants to have done.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Task {
    /// CONFIG SET.
    SetConfig { pairs: Vec<(Vec<u8>, Vec<u8>)>, loading: bool, local_client: bool },
    /// CONFIG GET of a transaction, which sees what was set before it there.
    GetConfig { patterns: Vec<Vec<u8>> },
    /// CONFIG REWRITE.
    RewriteConfig,
    /// DEBUG.
    Debug(DebugRequest),
}

/// A task, and where its reply belongs.
#[derive(Debug)]
pub(crate) struct Gap {
    /// The place in the answer, in bytes.
    pub(crate) at: usize,
    /// The command's index in the table, for counters.
    pub(crate) index: usize,
    pub(crate) task: Task,
}

/// The answer of a client whose commands are still to be carried out.
#[derive(Debug)]
pub struct Deferred {
    answer: Answer,
    protocol: Protocol,
    /// In ascending order of their places.
    gaps: Vec<Gap>,
    /// The client is not to be answered before the cluster is as its transaction wants it.
    pub(crate) concerns_cluster: bool,
}

impl Deferred {
    pub(crate) fn new(answer: Answer, protocol: Protocol, gaps: Vec<Gap>) -> Deferred {
        Deferred { answer, protocol, gaps, concerns_cluster: false }
    }

    /// Whether the client is answered only after the cluster is as its transaction wants it: the
    /// answer then goes through [`Host::after_cluster`](crate::Host::after_cluster).
    pub fn concerns_cluster(&self) -> bool {
        self.concerns_cluster
    }
}

impl Task {
    /// Does it, and writes the reply. Called with nothing locked.
    fn run(&self, engine: &Engine, reply: &mut Reply) -> Done {
        match self {
            Task::SetConfig { pairs, loading, local_client } => {
                let context = SetContext { loading: *loading, local_client: *local_client };
                config::change(engine, pairs, context)?;
                reply.ok();
            }
            Task::GetConfig { patterns } => config::show(engine, patterns, reply),
            Task::RewriteConfig => {
                let rewritten = engine.host().rewrite_config();
                rewritten.map_err(|reason| Fail::text(format!("ERR {reason}")))?;
                reply.ok();
            }
            Task::Debug(request) => {
                engine.host().debug(request.clone())?;
                reply.ok();
            }
        }
        Ok(())
    }

    /// As [`Task::run`]; an error is the reply, too.
    fn answer(&self, engine: &Engine, reply: &mut Reply) {
        if let Err(fail) = self.run(engine, reply) {
            reply.error(fail.to_string());
        }
    }
}

impl Cx<'_> {
    /// Leaves a task for when nothing is locked. Its reply is this command's.
    pub(crate) fn defer(&mut self, task: Task) -> Done {
        let index = self.session.info.last_command.load(Relaxed).saturating_sub(1);
        if !self.may_block && !self.session.is_primary {
            let gap = Gap { at: self.reply.buf.len(), index, task };
            self.after.get_or_insert_default().gaps.push(gap);
            return Ok(());
        }
        let offset = self.session.last_write;
        let answer = Answer { bytes: Vec::new(), offset, close: false };
        let gaps = vec![Gap { at: 0, index, task }];
        let deferred = Deferred::new(answer, self.reply.protocol, gaps);
        match self.engine.host().defer(&self.session.info, deferred) {
            // It is counted with this command's own reply.
            Some(deferred) => {
                deferred.gaps.iter().for_each(|gap| gap.task.answer(self.engine, self.reply));
            }
            // Nobody waits for what a primary has sent.
            None if self.session.is_primary => {}
            None => self.outcome = Outcome::Wait(Park::Elsewhere),
        }
        Ok(())
    }
}

impl Engine {
    /// Carries out what commands have left for when nothing is locked, and gives the whole answer.
    /// `thread` is the calling thread's number, for counters.
    ///
    /// Tasks are carried out one at a time: a host has one thread do it.
    pub fn carry_out(&self, thread: usize, deferred: Deferred) -> Answer {
        let Deferred { mut answer, protocol, gaps, .. } = deferred;
        let mut reply = Reply::new(protocol);
        let mut copied = 0;
        for Gap { at, index, task } in gaps {
            reply.buf.extend_from_slice(&answer.bytes[copied..at]);
            copied = at;
            let start = reply.buf.len();
            task.answer(self, &mut reply);
            if reply.buf.get(start) == Some(&b'-') {
                let stats = self.stats.thread(thread);
                self.stats.note_error(stats, &reply.buf[start + 1..]);
                crate::stats::bump(&stats.by_command[index].failed, 1);
            }
        }
        reply.buf.extend_from_slice(&answer.bytes[copied..]);
        answer.bytes = reply.buf;
        answer
    }
}
