//! Fields by chance: each as likely as any other.

use super::fields::{is_expired, seen};
use super::{FieldRef, Hash, pairs};
use std::collections::BTreeSet;

/// How often a field is drawn again when it had expired, before all are looked through.
const PATIENCE: usize = 100;
/// A sample is drawn field by field if the hash has so many times as many; else all fields are
/// passed once.
const SPARSE: usize = 3;

impl Hash {
    /// Some field. `random` gives numbers all of whose bits are random.
    pub fn pick(&self, as_of: u64, mut random: impl FnMut() -> u64) -> Option<FieldRef<'_>> {
        match self {
            Hash::Packed(listpack) => {
                let index = (random() >> 16).checked_rem(listpack.len() as u64 / 2)?;
                let at = listpack.seek(index as i64 * 2)?;
                let mut elements = listpack.iter_from(at);
                Some(FieldRef { name: elements.next()?, value: elements.next()?, expiry: None })
            }
            Hash::Table(fields) => {
                for _ in 0..PATIENCE {
                    let field = fields.table().draw_item(&mut random)?;
                    if !is_expired(&field, as_of) {
                        return Some(seen(field));
                    }
                }
                // Nearly all have expired: the first of the others will do.
                fields.first(as_of)
            }
        }
    }

    /// Shows `count` fields drawn one by one, so that one may come again. It shows none if all have
    /// expired.
    pub fn pick_many(
        &self,
        count: u64,
        as_of: u64,
        mut random: impl FnMut() -> u64,
        mut see: impl FnMut(FieldRef<'_>) -> bool,
    ) {
        if let Hash::Packed(listpack) = self {
            // A listpack must be walked through to a field: once for all.
            let fields: Vec<FieldRef<'_>> = pairs(listpack).collect();
            for _ in 0..count {
                let Some(index) = (random() >> 16).checked_rem(fields.len() as u64) else { return };
                if !see(fields[index as usize]) {
                    return;
                }
            }
            return;
        }
        for _ in 0..count {
            match self.pick(as_of, &mut random) {
                Some(field) if see(field) => {}
                _ => return,
            }
        }
    }

    /// Shows `count` different fields, or all if there are not that many. Every choice of them is
    /// equally likely; their order is not.
    pub fn sample(
        &self,
        count: usize,
        as_of: u64,
        mut random: impl FnMut() -> u64,
        mut see: impl FnMut(FieldRef<'_>),
    ) {
        let mut left = self.live_len(as_of);
        let mut wanted = count.min(left);
        if let Hash::Table(fields) = self
            && wanted.saturating_mul(SPARSE) < left
            && !fields.may_be_due(as_of)
        {
            let mut drawn = BTreeSet::new();
            while drawn.len() < wanted {
                let Some(field) = fields.table().draw_item(&mut random) else { return };
                let field = seen(field);
                if drawn.insert(field.address()) {
                    see(field);
                }
            }
            return;
        }
        // Each field in turn is taken with the probability that it must have, given how many are
        // still wanted.
        self.for_each(as_of, |field| {
            let drawn = (random() >> 16) % left.max(1) as u64;
            if drawn < wanted as u64 {
                wanted -= 1;
                see(field);
            }
            left = left.saturating_sub(1);
        });
    }
}
