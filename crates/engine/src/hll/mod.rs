//! HyperLogLog: an estimate of how many different elements were added, in at most 12 KiB, with a
//! standard error of 0.81 %.
//!
//! How it works: an element's hash (`hash.rs`) chooses one of 16,384 registers and gives a rank:
//! the number of its trailing zeros, plus 1. A register keeps the largest rank it has seen. The
//! estimate (`estimate.rs`) follows from how many registers have which rank. Registers are kept in
//! a string, byte by byte as Redis keeps them:
//!
//! | offset | size | what |
//! | --- | --- | --- |
//! | 0 | 4 | `HYLL` |
//! | 4 | 1 | encoding: 0 dense, 1 sparse |
//! | 5 | 3 | unused, 0 |
//! | 8 | 8 | the last estimate, little-endian; the highest bit says that it is out of date |
//! | 16 | | dense: 6 bits for each register (`dense.rs`); sparse: runs of equal registers (`sparse.rs`) |
//!
//! A new one is sparse; it becomes dense, for good, when a rank is too large for a run or the
//! string would grow beyond `hll-sparse-max-bytes`.
//!
//! Such strings come from anywhere (SET, RESTORE, a primary): [`Hll::open`] checks the header,
//! everything else the registers as it meets them. Deliberately not here: keys, commands, replies.

mod dense;
mod estimate;
mod hash;
mod sparse;
#[cfg(test)]
mod tests;

pub use hash::Place;
pub use sparse::Run;

use dense::DENSE_BYTES;
use sparse::Cursor;

/// The number of registers.
pub const REGISTERS: usize = 1 << 14;
const MAGIC: &[u8; 4] = b"HYLL";
const ENCODING: usize = MAGIC.len();
const CARDINALITY: usize = ENCODING + 4;
const HEADER: usize = CARDINALITY + 8;
/// Set in the last byte of the header: the estimate is out of date.
const OUT_OF_DATE: u8 = 0x80;

/// Why a string cannot be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum HllError {
    /// It is no HyperLogLog at all.
    #[error("WRONGTYPE Key is not a valid HyperLogLog string value.")]
    NotHll,
    /// Its runs do not add up to the number of registers.
    #[error("INVALIDOBJ Corrupted HLL object detected")]
    Corrupt,
}

/// How registers are kept.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Encoding {
    /// 6 bits each.
    Dense,
    /// Runs.
    Sparse,
}

/// A string whose header is that of a HyperLogLog.
#[derive(Clone, Copy)]
pub struct Hll<'a> {
    encoding: Encoding,
    bytes: &'a [u8],
}

impl<'a> Hll<'a> {
    /// Checks the header, and the length if it is dense.
    ///
    /// # Errors
    /// [`HllError::NotHll`].
    pub fn open(bytes: &'a [u8]) -> Result<Hll<'a>, HllError> {
        if bytes.len() < HEADER || !bytes.starts_with(MAGIC) {
            return Err(HllError::NotHll);
        }
        let encoding = match bytes[ENCODING] {
            0 if bytes.len() == HEADER + DENSE_BYTES => Encoding::Dense,
            1 => Encoding::Sparse,
            _ => return Err(HllError::NotHll),
        };
        Ok(Hll { encoding, bytes })
    }

    /// How the registers are kept.
    pub fn encoding(self) -> Encoding {
        self.encoding
    }

    fn body(self) -> &'a [u8] {
        &self.bytes[HEADER..]
    }

    /// The estimate in the header, if it is up to date.
    pub(crate) fn cached(self) -> Option<u64> {
        let bytes = self.bytes[CARDINALITY..HEADER].try_into().expect("eight bytes");
        (self.bytes[HEADER - 1] & OUT_OF_DATE == 0).then(|| u64::from_le_bytes(bytes))
    }

    /// The estimate, counted anew.
    ///
    /// # Errors
    /// [`HllError::Corrupt`].
    pub fn count(self) -> Result<u64, HllError> {
        let histogram = match self.encoding {
            Encoding::Dense => dense::histogram(self.body()),
            Encoding::Sparse => sparse::histogram(self.body())?,
        };
        Ok(estimate::cardinality(&histogram))
    }

    /// The runs of a sparse one, in order.
    ///
    /// # Errors
    /// Each item may be [`HllError::Corrupt`], the last one then.
    pub fn runs(self) -> impl Iterator<Item = Result<Run, HllError>> + 'a {
        let body = if self.encoding == Encoding::Sparse { self.body() } else { &[] };
        sparse::runs(body)
    }
}

/// All registers, a byte each.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Registers([u8; REGISTERS]);

impl Registers {
    /// Registers that have seen nothing.
    pub fn new() -> Registers {
        Registers([0; REGISTERS])
    }

    /// Takes in what another one has seen.
    ///
    /// # Errors
    /// [`HllError::Corrupt`].
    pub fn merge(&mut self, other: Hll<'_>) -> Result<(), HllError> {
        match other.encoding {
            Encoding::Dense => dense::merge(other.body(), &mut self.0),
            Encoding::Sparse => sparse::merge(other.body(), &mut self.0)?,
        }
        Ok(())
    }

    /// Takes one element in.
    pub fn add(&mut self, element: &[u8]) {
        let Place { register, rank } = Place::of(element);
        self.0[register] = self.0[register].max(rank);
    }

    /// The estimate.
    pub fn count(&self) -> u64 {
        estimate::cardinality(&estimate::Histogram::of(&self.0))
    }

    /// The largest rank that each register has seen.
    pub fn ranks(&self) -> &[u8; REGISTERS] {
        &self.0
    }
}

impl Default for Registers {
    fn default() -> Registers {
        Registers::new()
    }
}

/// A string that is a HyperLogLog, to be changed.
pub struct HllMut<'a> {
    encoding: Encoding,
    bytes: &'a mut Vec<u8>,
}

/// The string of a new HyperLogLog.
pub fn empty() -> Vec<u8> {
    let mut bytes = vec![0; HEADER];
    bytes[..MAGIC.len()].copy_from_slice(MAGIC);
    bytes[ENCODING] = 1;
    bytes.extend_from_slice(&sparse::EMPTY);
    bytes
}

impl<'a> HllMut<'a> {
    /// Checks what [`Hll::open`] checks.
    ///
    /// # Errors
    /// [`HllError::NotHll`].
    pub fn open(bytes: &'a mut Vec<u8>) -> Result<HllMut<'a>, HllError> {
        let encoding = Hll::open(bytes)?.encoding;
        Ok(HllMut { encoding, bytes })
    }

    fn as_ref(&self) -> Hll<'_> {
        Hll { encoding: self.encoding, bytes: self.bytes }
    }

    /// Adds an element; says whether that has changed a register. `limit`: bytes up to which the
    /// string stays sparse.
    ///
    /// # Errors
    /// [`HllError::Corrupt`], if that is found out on the way; nothing has been changed then.
    pub fn add(&mut self, element: &[u8], limit: usize) -> Result<bool, HllError> {
        let mut cursor = Cursor::START;
        self.raise(Place::of(element), &mut cursor, limit)
    }

    fn raise(&mut self, place: Place, cursor: &mut Cursor, limit: usize) -> Result<bool, HllError> {
        if self.encoding == Encoding::Sparse {
            match sparse::raise(self.bytes, HEADER, cursor, place, limit)? {
                sparse::Raised::Done(changed) => return Ok(changed),
                sparse::Raised::DoesNotFit => self.make_dense()?,
            };
        }
        Ok(dense::raise(&mut self.bytes[HEADER..], place))
    }

    /// Makes it dense; says whether it was not.
    ///
    /// # Errors
    /// [`HllError::Corrupt`]; nothing has been changed then.
    pub fn make_dense(&mut self) -> Result<bool, HllError> {
        if self.encoding == Encoding::Dense {
            return Ok(false);
        }
        let mut registers = Registers::new();
        registers.merge(self.as_ref())?;
        let mut bytes = vec![0; HEADER + DENSE_BYTES];
        bytes[..HEADER].copy_from_slice(&self.bytes[..HEADER]);
        bytes[ENCODING] = 0;
        dense::pack(&registers.0, &mut bytes[HEADER..]);
        *self.bytes = bytes;
        self.encoding = Encoding::Dense;
        Ok(true)
    }

    /// Raises its registers to these, which have taken it in before: none of them is lower.
    ///
    /// # Errors
    /// [`HllError::Corrupt`].
    pub(crate) fn raise_all(
        &mut self,
        registers: &Registers,
        limit: usize,
    ) -> Result<(), HllError> {
        let mut cursor = Cursor::START;
        for (register, &rank) in registers.0.iter().enumerate().filter(|(_, rank)| **rank > 0) {
            if self.encoding == Encoding::Dense {
                break;
            }
            self.raise(Place { register, rank }, &mut cursor, limit)?;
        }
        if self.encoding == Encoding::Dense {
            debug_assert!({
                let mut all = registers.clone();
                all.merge(self.as_ref()).is_ok() && all == *registers
            });
            dense::pack(&registers.0, &mut self.bytes[HEADER..]);
        }
        Ok(())
    }

    /// Marks the estimate in the header as out of date.
    pub(crate) fn expire_cache(&mut self) {
        self.bytes[HEADER - 1] |= OUT_OF_DATE;
    }

    /// Puts an estimate into the header.
    pub(crate) fn set_cache(&mut self, cardinality: u64) {
        self.bytes[CARDINALITY..HEADER].copy_from_slice(&cardinality.to_le_bytes());
    }
}
