//! The fields of a large hash: a table, and what is known of when its fields expire.
//!
//! The fields are in no order of expiry, which would cost memory for each. Instead a sweep goes
//! through the buckets of a hash that may have due fields, a few at a time, touches only the fields
//! that are marked, and learns on its way when the next one is due. A hash whose next field is due
//! later is left alone until then.

use super::field::Field;
use super::{Expiry, FieldRef};
use crate::Element;
use crate::capture::{Part, Remains};
use crate::hasher::{HashCode, hasher};
use crate::table::{Elements, Ref, Table};

/// The fields of a large hash.
pub struct Fields {
    table: Elements<Field>,
    /// No field expires before this, Unix ms.
    earliest: u64,
    /// The same of the fields that the sweep under way has passed, and of those that got their
    /// expiry since it began.
    passed: u64,
    /// The bucket that the sweep looks at next; 0: none is under way.
    sweep: u32,
}

impl Default for Fields {
    fn default() -> Fields {
        Fields { table: Elements::default(), earliest: u64::MAX, passed: u64::MAX, sweep: 0 }
    }
}

impl<'a> FieldRef<'a> {
    pub(super) fn of(field: &'a Field) -> FieldRef<'a> {
        FieldRef {
            name: Element::Bytes(field.name()),
            value: Element::Bytes(field.value()),
            expiry: field.expiry(),
        }
    }
}

/// A field of a table, seen for as long as the table is borrowed.
#[inline]
pub(super) fn seen(field: Ref<'_, Field>) -> FieldRef<'_> {
    // SAFETY: what the field owns lives, and does not change, as long as its table is borrowed; the
    // reference says that for how long.
    unsafe { std::mem::transmute::<FieldRef<'_>, FieldRef<'_>>(FieldRef::of(&field)) }
}

#[inline]
pub(super) fn is_expired(field: &Field, as_of: u64) -> bool {
    field.expiry().is_some_and(|at| at <= as_of)
}

impl Fields {
    pub(super) fn table(&self) -> &Table<Field> {
        &self.table
    }

    /// As [`Table::prefetch_step`].
    #[inline]
    pub(super) fn prefetch(&self, step: u8, hash: HashCode) -> bool {
        self.table.prefetch_step(step, hash)
    }

    /// Whether some fields expire.
    #[inline]
    pub(super) fn is_aging(&self) -> bool {
        self.table.marked() > 0
    }

    /// Whether some field may have expired.
    #[inline]
    pub(super) fn may_be_due(&self, as_of: u64) -> bool {
        self.earliest <= as_of && self.is_aging()
    }

    /// The field with this name, unless it has expired.
    #[inline]
    pub(super) fn get(&self, name: &[u8], as_of: u64) -> Option<FieldRef<'_>> {
        let field = self.table.get(name, hasher().hash(name))?;
        (!is_expired(&field, as_of)).then(|| seen(field))
    }

    /// The first field that has not expired.
    pub(super) fn first(&self, as_of: u64) -> Option<FieldRef<'_>> {
        (0..self.table.bucket_count())
            .find_map(|bucket| self.table.find_in(bucket, |field| !is_expired(field, as_of)))
            .map(seen)
    }

    /// Adds a field, or changes it. Whether it was not there.
    pub(super) fn set(&mut self, name: &[u8], value: &[u8], expiry: Expiry, as_of: u64) -> bool {
        let hash = hasher().hash(name);
        let Some(mut field) = self.table.get_mut(name, hash) else {
            self.insert(hash, Field::new(name, value, expiry.or_kept(None)));
            return true;
        };
        let is_expired = is_expired(&field, as_of);
        let kept = if is_expired { None } else { field.expiry() };
        let expiry = expiry.or_kept(kept);
        field.set(value, expiry);
        drop(field);
        self.note(expiry);
        is_expired
    }

    fn insert(&mut self, hash: HashCode, field: Field) {
        let expiry = field.expiry();
        self.table.insert(hash, field);
        self.note(expiry);
    }

    /// Adds a field that is not there.
    pub(super) fn push(&mut self, name: &[u8], value: &[u8], expiry: Option<u64>) {
        self.insert(hasher().hash(name), Field::new(name, value, expiry));
    }

    /// Sets or removes the expiry of a field that is there.
    pub(super) fn set_expiry(&mut self, name: &[u8], expiry: Option<u64>) {
        if let Some(mut field) = self.table.get_mut(name, hasher().hash(name)) {
            field.set_expiry(expiry);
        }
        self.note(expiry);
    }

    fn note(&mut self, expiry: Option<u64>) {
        if let Some(at) = expiry {
            self.earliest = self.earliest.min(at);
            self.passed = self.passed.min(at);
        }
    }

    /// Removes a field for which `goes` holds. Whether there was one.
    pub(super) fn remove_if(&mut self, name: &[u8], goes: impl FnOnce(&Field) -> bool) -> bool {
        let hash = hasher().hash(name);
        let Some(place) = self.table.find(name, hash) else { return false };
        let buckets = self.table.bucket_count();
        // SAFETY: the place was just found, with this hash.
        unsafe {
            if !goes(&self.table.item(place)) {
                return false;
            }
            self.table.remove(place, hash, |_| ());
        }
        if self.table.bucket_count() < buckets {
            // Fields may have moved to a bucket that the sweep has passed: it knows no more than
            // before.
            self.passed = self.passed.min(self.earliest);
        }
        true
    }

    /// Removes the expired fields of the next `buckets` buckets, and shows their names. Whether
    /// there may be more.
    pub(super) fn sweep(&mut self, as_of: u64, buckets: usize, mut see: impl FnMut(&[u8])) -> bool {
        if self.sweep == 0 {
            self.passed = u64::MAX;
        }
        let (start, count) = (self.sweep as usize, self.table.bucket_count());
        let end = start.saturating_add(buckets).min(count);
        let (mut due, mut passed) = (Vec::new(), self.passed);
        for bucket in start..end {
            self.table.for_marked(bucket, |field| match field.expiry() {
                Some(at) if at <= as_of => due.push(field.name().to_vec()),
                Some(at) => passed = passed.min(at),
                None => {}
            });
        }
        (self.passed, self.sweep) = (passed, end as u32);
        for name in due {
            self.remove_if(&name, |_| true);
            see(&name);
        }
        if self.sweep as usize >= self.table.bucket_count() {
            self.earliest = self.passed;
            self.sweep = 0;
        }
        self.may_be_due(as_of)
    }

    /// As [`crate::Collection::begin_capture`].
    pub(super) fn begin_capture(&mut self) {
        self.table.begin_capture();
    }

    /// As [`crate::Collection::capture_step`].
    pub(super) fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        if let Some(length) = self.table.length_of_capture() {
            see(Part::Length(length));
        }
        self.table.capture_step(budget, |field| {
            let FieldRef { name, value, expiry } = FieldRef::of(field);
            Part::Field { name, value, expiry }.show(see)
        })
    }

    /// As [`crate::Collection::end_capture`].
    pub(super) fn end_capture(&mut self) -> Remains {
        self.table.end_capture()
    }

    /// How many fields have not expired.
    pub(super) fn live_len(&self, as_of: u64) -> usize {
        if !self.may_be_due(as_of) {
            return self.table.len();
        }
        let mut expired = 0;
        for bucket in 0..self.table.bucket_count() {
            self.table.for_marked(bucket, |field| expired += usize::from(is_expired(field, as_of)));
        }
        self.table.len() - expired
    }

    /// Bytes of memory, estimated from about `samples` fields; 0: of all.
    pub(super) fn memory(&self, samples: usize) -> usize {
        let (mut seen, mut bytes) = (0usize, 0usize);
        for bucket in 0..self.table.bucket_count() {
            self.table.for_bucket(bucket, |field| {
                seen += 1;
                bytes += field.memory();
            });
            if samples > 0 && seen >= samples {
                break;
            }
        }
        let all = (bytes as u128 * self.table.len() as u128).checked_div(seen as u128).unwrap_or(0);
        size_of::<Fields>() + self.table.memory() + all as usize
    }
}

impl Clone for Fields {
    fn clone(&self) -> Fields {
        let mut copy = Fields::default();
        self.table.for_each(|field| copy.push(field.name(), field.value(), field.expiry()));
        copy
    }
}
