//! The state of one client, beside its bytes.

use crate::ClientInfo;
use std::sync::Arc;

/// The choice of CLIENT REPLY.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum ReplyMode {
    /// Every command is answered.
    #[default]
    On,
    /// Nothing is answered.
    Off,
    /// The command after CLIENT REPLY SKIP is not answered.
    SkipNext,
    /// This command is not answered.
    Skipping,
}

/// A client's state as commands see and change it. Owned by the client's connection.
#[derive(Debug)]
pub struct Session {
    /// The selected database.
    pub db: usize,
    /// Whether the client may run commands that need authentication.
    pub authenticated: bool,
    /// READONLY: a replica may answer reads of its primary's slots.
    pub readonly: bool,
    /// ASKING: the next command may use a slot that is being imported.
    pub asking: bool,
    /// What CLIENT REPLY chose.
    pub reply_mode: ReplyMode,
    /// Up to here the reply is settled: EXEC's answer goes out as a whole, whatever its commands
    /// chose.
    kept: usize,
    /// CLIENT NO-TOUCH: reads leave the access clock alone.
    pub no_touch: bool,
    /// The link from the primary: its writes are applied as they are, even where clients may not
    /// write.
    pub is_primary: bool,
    /// The log's offset after this client's last write, for WAIT.
    pub last_write: tessera_slot::Offset,
    /// The commands since MULTI.
    pub(crate) transaction: Option<Box<crate::transaction::Transaction>>,
    /// Keys of WATCH.
    pub(crate) watched: Vec<crate::transaction::Watched>,
    /// The public state of the client.
    pub info: Arc<ClientInfo>,
}

impl Session {
    /// A new client's state.
    pub fn new(info: Arc<ClientInfo>, authenticated: bool) -> Session {
        Session {
            db: 0,
            authenticated,
            readonly: false,
            asking: false,
            reply_mode: ReplyMode::On,
            kept: 0,
            no_touch: false,
            is_primary: false,
            last_write: tessera_slot::Offset(0),
            transaction: None,
            watched: Vec::new(),
            info,
        }
    }

    /// Whether the client's commands wait for EXEC.
    pub fn is_in_transaction(&self) -> bool {
        self.transaction.is_some()
    }

    /// Applies CLIENT REPLY to an answer that begins at `start`. Once for each command, when it is
    /// answered.
    #[inline]
    pub fn settle_reply(&mut self, reply: &mut tessera_resp::Reply, start: usize) {
        if self.reply_mode == ReplyMode::On {
            return;
        }
        let start = start.max(std::mem::take(&mut self.kept));
        match self.reply_mode {
            ReplyMode::On => {}
            ReplyMode::Off => reply.buf.truncate(start),
            ReplyMode::SkipNext => self.reply_mode = ReplyMode::Skipping,
            ReplyMode::Skipping => {
                reply.buf.truncate(start);
                self.reply_mode = ReplyMode::On;
            }
        }
    }

    /// The settled part comes later, wherever it will stand then.
    pub(crate) fn keep_whole_answer(&mut self) {
        if self.kept > 0 {
            self.kept = usize::MAX;
        }
    }

    /// The present reply is settled, and goes out.
    pub(crate) fn keep_reply(&mut self, reply: &tessera_resp::Reply) {
        if self.reply_mode != ReplyMode::On {
            self.kept = reply.buf.len();
        }
    }
}
