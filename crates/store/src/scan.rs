//! The cursor of SCAN: a slot, and a position in that slot's table.

use crate::entry::Entry;
use crate::keyspace::World;
use tessera_slot::{SLOT_COUNT, Slot};

/// Bits of a cursor that hold the slot; the rest is the position in its table.
const SLOT_BITS: u32 = 14;
const _: () = assert!(1 << SLOT_BITS == SLOT_COUNT);

/// Where a scan of a database goes on. 0 is the start, and the end.
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

impl World<'_> {
    /// Scans on from `cursor`, slot by slot, until about `count` entries were shown, or ten times as many
    /// buckets were passed. An entry that is there from the first to the last step is shown at least once.
    /// `one_slot`: stop at the end of the cursor's slot (for a scan of that slot alone).
    pub fn scan(
        &mut self,
        db: usize,
        cursor: ScanCursor,
        count: usize,
        one_slot: bool,
        mut see: impl FnMut(&Entry),
    ) -> ScanCursor {
        let (mut slot, mut position) = cursor.parts();
        let (mut shown, mut steps) = (0, 0);
        loop {
            if db != 0 || position != 0 || !self.keyspace().seems_empty(slot) {
                let guard = self.lock(slot);
                match guard.data.table(db).filter(|table| !table.is_empty()) {
                    Some(table) => loop {
                        position = table.scan(position, |entry| {
                            shown += 1;
                            see(entry);
                        });
                        steps += 1;
                        if position == 0 || shown >= count || steps >= count.saturating_mul(10) {
                            break;
                        }
                    },
                    // Emptied since, or a cursor that was never given out.
                    None => position = 0,
                }
            }
            if position == 0 {
                if one_slot || slot == Slot::MAX {
                    return ScanCursor(0);
                }
                slot = Slot::new(slot.number() + 1).expect("below the last slot");
            }
            if shown >= count || steps >= count.saturating_mul(10) {
                return ScanCursor::of(slot, position);
            }
        }
    }
}
