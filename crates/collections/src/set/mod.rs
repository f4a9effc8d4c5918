//! The set.
//!
//! | form | when | encoding |
//! | --- | --- | --- |
//! | [`IntSet`] | all members are integers | `intset` |
//! | [`Listpack`] | few short members, some of them no integers | `listpack` |
//! | [`Members`] | all others | `hashtable` |
//!
//! How many are few, and how short is short, say the [`Limits`]. A set goes down this list as it
//! grows, and never up; only the result of an intersection is made an intset again where it can be
//! ([`Set::settle`]).

pub mod algebra;
mod int_set;
mod members;
mod probe;
mod random;

pub use int_set::{IntSet, Iter as IntSetIter};
pub use members::{Iter as MembersIter, Member, Members};
pub use probe::Probe;

use crate::capture::{Part, Remains};
use crate::collection::{Collection, Kind};
use crate::hasher::{HashCode, hasher};
use crate::listpack::{self, Corrupt, Element, Listpack};
use std::ptr::NonNull;

/// A set.
#[derive(Clone)]
pub enum Set {
    /// Integers.
    Ints(IntSet),
    /// Few small members.
    Packed(Listpack),
    /// Any others.
    Table(Box<Members>),
}

/// Up to where a set keeps a compact form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Members of an intset: `set-max-intset-entries`.
    pub intset_entries: usize,
    /// Members of a listpack: `set-max-listpack-entries`.
    pub listpack_entries: usize,
    /// Bytes of a member of a listpack: `set-max-listpack-value`.
    pub listpack_value: usize,
}

impl Limits {
    /// Members of an intset, which has a limit of its own too, as in Redis.
    fn intset_max(&self) -> usize {
        self.intset_entries.min(1 << 30)
    }
}

impl Set {
    /// An empty set in the form that suits the first member, where about `count` are expected.
    pub fn for_members(first: &mut Probe<'_>, count: usize, limits: &Limits) -> Set {
        if count <= limits.intset_entries && first.integer().is_some() {
            Set::Ints(IntSet::new())
        } else if count <= limits.listpack_entries {
            Set::Packed(Listpack::new())
        } else {
            Set::Table(Box::default())
        }
    }

    /// A table with these members, of which none comes twice.
    ///
    /// # Errors
    /// [`Corrupt`] if one comes twice.
    pub fn table_of<'t>(members: impl Iterator<Item = &'t [u8]>) -> Result<Set, Corrupt> {
        let mut table = Members::default();
        for text in members {
            let hash = hasher().hash(text);
            if table.contains(text, hash) {
                return Err(Corrupt);
            }
            table.insert_new(text, hash);
        }
        Ok(Set::Table(Box::new(table)))
    }

    /// Whether [`Set::make_room`] would change the form.
    pub fn lacks_room(&self, count: usize, limits: &Limits) -> bool {
        match self {
            Set::Ints(_) => count > limits.intset_entries,
            Set::Packed(_) => count > limits.listpack_entries,
            Set::Table(_) => false,
        }
    }

    /// Changes to a table at once if this many members are going to be added that it will come to
    /// that.
    pub fn make_room(&mut self, count: usize, limits: &Limits) {
        if self.lacks_room(count, limits) {
            self.become_table();
        }
    }

    /// Whether this is a member.
    #[inline]
    pub fn contains(&self, probe: &mut Probe<'_>) -> bool {
        match self {
            Set::Ints(ints) => probe.integer().is_some_and(|number| ints.contains(number)),
            Set::Packed(listpack) => listpack.find(listpack.first(), probe.text(), 0).is_some(),
            Set::Table(members) => {
                let hash = probe.hash();
                members.contains(probe.text(), hash)
            }
        }
    }

    /// Adds a member; whether it is new.
    pub fn insert(&mut self, probe: &mut Probe<'_>, limits: &Limits) -> bool {
        let is_new = !self.contains(probe);
        if is_new {
            self.insert_new(probe, limits);
        }
        is_new
    }

    /// Adds what is no member yet.
    pub fn insert_new(&mut self, probe: &mut Probe<'_>, limits: &Limits) {
        match self {
            Set::Ints(ints) => match probe.integer() {
                Some(number) => {
                    ints.insert(number);
                    if ints.len() > limits.intset_max() {
                        self.become_table();
                    }
                    return;
                }
                None if fits_beside(ints, probe.text().len(), limits) => self.become_listpack(),
                None => self.become_table(),
            },
            Set::Packed(listpack) => {
                let len = probe.text().len();
                let fits = listpack.len() < limits.listpack_entries
                    && len <= limits.listpack_value
                    && listpack.has_room(len);
                if !fits {
                    self.become_table();
                }
            }
            Set::Table(_) => {}
        }
        match self {
            Set::Ints(_) => unreachable!("it was changed to another form"),
            Set::Packed(listpack) => listpack.push(probe.text()),
            Set::Table(members) => {
                let hash = probe.hash();
                members.insert_new(probe.text(), hash);
            }
        }
    }

    /// Removes a member; whether it was one.
    pub fn remove(&mut self, probe: &mut Probe<'_>) -> bool {
        match self {
            Set::Ints(ints) => probe.integer().is_some_and(|number| ints.remove(number)),
            Set::Packed(listpack) => match listpack.find(listpack.first(), probe.text(), 0) {
                Some(at) => {
                    listpack.remove(at);
                    true
                }
                None => false,
            },
            Set::Table(members) => {
                let hash = probe.hash();
                members.remove(probe.text(), hash)
            }
        }
    }

    /// All members. A table gives all of them as texts, also those which are integers.
    pub fn iter(&self) -> Iter<'_> {
        match self {
            Set::Ints(ints) => Iter::Ints(ints.iter()),
            Set::Packed(listpack) => Iter::Packed(listpack.iter()),
            Set::Table(members) => Iter::Table(members.iter()),
        }
    }

    /// Changes to an intset if there are only integers, and few enough.
    pub fn settle(&mut self, limits: &Limits) {
        let is_captured = matches!(self, Set::Table(members) if members.is_captured());
        if matches!(self, Set::Ints(_)) || is_captured || self.len() > limits.intset_max() {
            return;
        }
        let integers = self.iter().map(|member| Probe::of(member).integer());
        if let Some(mut integers) = integers.collect::<Option<Vec<i64>>>() {
            integers.sort_unstable();
            *self = Set::Ints(integers.into_iter().collect());
        }
    }

    fn become_table(&mut self) {
        let mut members = Members::default();
        for member in self.iter() {
            let mut probe = Probe::of(member);
            let hash = probe.hash();
            members.insert_new(probe.text(), hash);
        }
        *self = Set::Table(Box::new(members));
    }

    fn become_listpack(&mut self) {
        let mut listpack = Listpack::new();
        for member in self.iter() {
            match member {
                Element::Integer(number) => listpack.push_integer(number),
                Element::Bytes(text) => listpack.push(text),
            }
        }
        *self = Set::Packed(listpack);
    }
}

/// Whether the integers fit a listpack together with a text of this length.
fn fits_beside(ints: &IntSet, len: usize, limits: &Limits) -> bool {
    /// Bytes of the longest integer in a listpack.
    const INTEGER: usize = 10;
    // The longest of ascending integers is the first or the last.
    let ends = ints.iter().next().into_iter().chain(ints.iter().next_back());
    let longest = ends.map(|number| Element::Integer(number).text_len()).max().unwrap_or(0);
    ints.len() < limits.listpack_entries
        && len.max(longest) <= limits.listpack_value
        && Listpack::new().has_room((ints.len() * INTEGER).saturating_add(len))
}

/// All members of a set.
#[derive(Clone)]
pub enum Iter<'a> {
    /// The members of an intset.
    Ints(IntSetIter<'a>),
    /// The members of a listpack.
    Packed(listpack::Iter<'a>),
    /// The members of a table.
    Table(MembersIter<'a>),
}

impl<'a> Iterator for Iter<'a> {
    type Item = Element<'a>;

    #[inline]
    fn next(&mut self) -> Option<Element<'a>> {
        match self {
            Iter::Ints(ints) => ints.next().map(Element::Integer),
            Iter::Packed(listpack) => listpack.next(),
            Iter::Table(members) => members.next().map(Element::Bytes),
        }
    }
}

impl<'a> IntoIterator for &'a Set {
    type Item = Element<'a>;
    type IntoIter = Iter<'a>;
    fn into_iter(self) -> Iter<'a> {
        self.iter()
    }
}

impl std::fmt::Debug for Set {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// The numbers of the forms in an entry.
const PACKED: u8 = 0;
const INTS: u8 = 1;
const TABLE: u8 = 2;

// SAFETY: both directions agree on the numbers of the forms.
unsafe impl Collection for Set {
    const KIND: Kind = Kind::Set;

    #[inline]
    fn into_parts(self) -> (u8, NonNull<u8>) {
        match self {
            Set::Ints(ints) => (INTS, ints.into_raw()),
            Set::Packed(listpack) => (PACKED, listpack.into_raw()),
            Set::Table(members) => (TABLE, NonNull::from(Box::leak(members)).cast()),
        }
    }

    #[inline]
    unsafe fn from_parts(form: u8, pointer: NonNull<u8>) -> Set {
        // SAFETY: by the caller's promise the pointer is what `into_parts` gave for this form.
        unsafe {
            match form {
                INTS => Set::Ints(IntSet::from_raw(pointer)),
                PACKED => Set::Packed(Listpack::from_raw(pointer)),
                _ => Set::Table(Box::from_raw(pointer.cast().as_ptr())),
            }
        }
    }

    #[inline]
    fn len(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.len(),
            Set::Packed(listpack) => listpack.len(),
            Set::Table(members) => members.len(),
        }
    }

    fn memory(&self, samples: usize) -> usize {
        match self {
            Set::Ints(ints) => ints.memory(),
            Set::Packed(listpack) => listpack.memory(),
            Set::Table(members) => members.memory(samples),
        }
    }

    fn free_effort(&self) -> usize {
        match self {
            Set::Ints(_) | Set::Packed(_) => 1,
            Set::Table(members) => members.len(),
        }
    }

    fn extent(&self) -> usize {
        match self {
            Set::Ints(ints) => ints.byte_len(),
            Set::Packed(listpack) => listpack.byte_len(),
            Set::Table(members) => members.len(),
        }
    }

    fn fit(&mut self) {
        match self {
            Set::Ints(ints) => ints.fit(),
            Set::Packed(listpack) => listpack.fit(),
            Set::Table(_) => {}
        }
    }

    fn is_capturable(&self) -> bool {
        matches!(self, Set::Table(_))
    }

    fn begin_capture(&mut self) {
        let Set::Table(members) = self else { panic!("a set that can be captured") };
        members.begin_capture();
    }

    fn capture_step(&mut self, budget: usize, see: &mut dyn FnMut(Part<'_>)) -> bool {
        let Set::Table(members) = self else { panic!("a set that is captured") };
        members.capture_step(budget, see)
    }

    fn end_capture(&mut self) -> Remains {
        match self {
            Set::Table(members) => members.end_capture(),
            Set::Ints(_) | Set::Packed(_) => Remains::none(),
        }
    }

    fn encoding(&self) -> &'static str {
        match self {
            Set::Ints(_) => "intset",
            Set::Packed(_) => "listpack",
            Set::Table(_) => "hashtable",
        }
    }

    #[inline]
    fn prefetch(&self, step: u8, member: HashCode) -> bool {
        match self {
            Set::Ints(ints) => ints.prefetch(),
            Set::Packed(listpack) => listpack.prefetch(),
            Set::Table(members) => return members.prefetch(step, member),
        }
        false
    }
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod int_set_tests;
