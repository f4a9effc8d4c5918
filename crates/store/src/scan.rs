//! The cursor of SCAN: a slot, and a position in that slot's table.

use crate::entry::Entry;
use crate::keyspace::World;
use crate::patience::{Busy, Patience};
use crate::slot::FIRST_BUCKETS;
use std::cell::Cell;
use tessera_collections::table::{Table, prefetch};
use tessera_slot::{SLOT_COUNT, Slot};

/// Bits of a cursor that hold the slot; the rest is the position in its table.
const SLOT_BITS: u32 = 14;
const _: () = assert!(1 << SLOT_BITS == SLOT_COUNT);
/// Buckets after which a scan lets go of the slot for a moment, so that others come to it: a tenth
/// of a millisecond or so.
const BREATH: usize = 512;
/// Entries from which on a scan is worth to be prepared slots ahead.
const LONG: usize = 1000;
/// How many slots ahead a scan prefetches a slot, its buckets, and their entries.
const SLOTS_AHEAD: u16 = 4;
const BUCKETS_AHEAD: u16 = 3;
const ENTRIES_AHEAD: u16 = 1;

/// The position at which a scan of a database goes on. 0 is the start, and the end.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct ScanCursor(pub u64);

impl ScanCursor {
    fn parts(self) -> (Slot, u64) {
        (Slot::from_low_bits(self.0 as u16), self.0 >> SLOT_BITS)
    }

    fn of(slot: Slot, position: u64) -> ScanCursor {
        ScanCursor(position << SLOT_BITS | u64::from(slot.number()))
    }
}

/// Whether most of a table is prefetched when a long walk comes to it.
fn is_prefetched(table: &Table<Entry>) -> bool {
    table.bucket_count() <= FIRST_BUCKETS
}

impl World<'_> {
    /// Scans on from `cursor`, slot by slot, until about `count` entries were shown, or ten times
    /// as many buckets were passed. An entry that is there from the first to the last step is shown
    /// at least once, within one call just once, though a slot with many buckets is not locked all
    /// the while. `one_slot`: stop at the end of the cursor's slot (for a scan of that slot alone).
    ///
    /// # Errors
    /// If somebody has a slot locked for longer than the thread waits. What was shown counts for
    /// nothing then.
    pub fn scan(
        &mut self,
        db: usize,
        cursor: ScanCursor,
        count: usize,
        one_slot: bool,
        patience: &Patience,
        mut see: impl FnMut(&Entry),
    ) -> Result<ScanCursor, Busy> {
        let (mut slot, mut position) = cursor.parts();
        let (shown, mut steps, limit) = (Cell::new(0), 0, count.saturating_mul(10));
        // A short scan would not come to what lies ahead.
        let is_long = !one_slot && count >= LONG;
        let mut is_resumed = false;
        loop {
            if db != 0 || position != 0 || !self.keyspace().seems_empty(slot) {
                if db == 0 && is_long {
                    self.prefetch_ahead(slot);
                }
                let keyspace = self.keyspace();
                let guard = self.lock_within(slot, patience)?;
                let (start, breath) = (position, steps + BREATH);
                // Buckets may have merged meanwhile: only the first can have been shown before.
                let is_shown = |entry: &Entry| {
                    let code = keyspace.locate(entry.key()).code;
                    Table::<Entry>::is_behind(start, code)
                };
                let is_first = Cell::new(is_resumed);
                let table = guard.data.table(db).filter(|table| !table.is_empty());
                position = match table {
                    Some(table) if is_long && start == 0 && is_prefetched(table) => {
                        table.fetch();
                        table.for_each(|entry| {
                            shown.set(shown.get() + 1);
                            see(entry);
                        });
                        steps += table.bucket_count();
                        0
                    }
                    Some(table) => table.scan_on(
                        position,
                        |entry| {
                            if !is_first.get() || !is_shown(entry) {
                                shown.set(shown.get() + 1);
                                see(entry);
                            }
                        },
                        || {
                            steps += 1;
                            is_first.set(false);
                            shown.get() < count && steps < limit && steps < breath
                        },
                    ),
                    // Emptied since, or a cursor that was never given out.
                    None => 0,
                };
                is_resumed = position != 0;
            }
            if position == 0 {
                is_resumed = false;
                if one_slot || slot == Slot::MAX {
                    return Ok(ScanCursor(0));
                }
                slot = Slot::new(slot.number() + 1).expect("below the last slot");
            }
            if shown.get() >= count || steps >= limit {
                return Ok(ScanCursor::of(slot, position));
            }
        }
    }

    /// Prefetches what a walk through database 0 is going to need behind this slot.
    fn prefetch_ahead(&self, slot: Slot) {
        let ahead = |slots: u16| Slot::new(slot.number() + slots);
        if let Some(slot) = ahead(SLOTS_AHEAD) {
            prefetch(std::ptr::from_ref(self.keyspace().cell(slot)).cast());
        }
        if let Some(slot) = ahead(BUCKETS_AHEAD) {
            self.keyspace().hint(slot).prefetch_buckets();
        }
        if let Some(slot) = ahead(ENTRIES_AHEAD) {
            self.keyspace().cell(slot).prefetch_first();
        }
    }
}
