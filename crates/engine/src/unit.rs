//! Writes that replicas must apply as one.

use tessera_log::Log;

/// From this size on (bytes) a unit is encoded before the log is locked: other writers must not
/// wait while it is copied.
const ENCODE_BEFOREHAND: usize = 64 << 10;

/// The writes of a transaction, or of a command that becomes several, in their order.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Unit {
    /// Each with the number of its database.
    writes: Vec<(u32, Vec<Vec<u8>>)>,
}

impl Unit {
    /// Adds a write.
    pub(crate) fn push(&mut self, db: usize, command: Vec<Vec<u8>>) {
        self.writes.push((db as u32, command));
    }

    /// Appends the writes to the log in one step: between MULTI and EXEC if there are several.
    pub(crate) fn append_to(self, log: &Log) {
        match self.writes.len() {
            0 => return,
            1 => {
                let (db, command) = &self.writes[0];
                log.append_command(*db, command);
                return;
            }
            _ => {}
        }
        // MULTI comes before the SELECT of the first write, as in Redis' own stream.
        let bytes: usize = self.writes.iter().flat_map(|(_, command)| command).map(Vec::len).sum();
        if bytes < ENCODE_BEFOREHAND {
            log.append(|to| {
                to.control(&["MULTI"]);
                self.writes.iter().for_each(|(db, command)| to.command(*db, command));
                to.control(&["EXEC"]);
            });
            return;
        }
        let runs: Vec<(u32, Vec<u8>)> = self
            .writes
            .chunk_by(|a, b| a.0 == b.0)
            .map(|run| {
                let mut bytes = Vec::new();
                run.iter()
                    .for_each(|(_, command)| tessera_log::encode_command(&mut bytes, command));
                (run[0].0, bytes)
            })
            .collect();
        log.append(|to| {
            to.control(&["MULTI"]);
            runs.into_iter().for_each(|(db, bytes)| to.encoded(db, bytes));
            to.control(&["EXEC"]);
        });
    }
}
