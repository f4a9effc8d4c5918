//! An entry, seen where it lies.

use super::id::StreamId;
use crate::listpack::{Element, Iter};

/// An entry of a stream, seen.
#[derive(Clone)]
pub struct StreamEntry<'a> {
    /// Its id.
    pub id: StreamId,
    /// The number of fields.
    pub(super) len: usize,
    /// The fields, if they do not stand among the values.
    pub(super) fields: Option<Iter<'a>>,
    /// From the first value, or the first field, on.
    pub(super) values: Iter<'a>,
}

impl<'a> StreamEntry<'a> {
    /// The number of fields.
    #[inline]
    pub fn len(&self) -> usize {
        self.len
    }

    /// Whether there are no fields. XADD makes no such entry.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Fields with their values, in the order in which they were given.
    #[inline]
    pub fn pairs(&self) -> impl Iterator<Item = (Element<'a>, Element<'a>)> + use<'a> {
        let (mut fields, mut values) = (self.fields.clone(), self.values.clone());
        (0..self.len).map_while(move |_| {
            let field = fields.as_mut().unwrap_or(&mut values).next()?;
            Some((field, values.next()?))
        })
    }
}
