//! The identity of a history: PSYNC's replication ids.

use std::fmt;

use tessera_slot::Offset;

/// The name of a replication history: 40 hexadecimal digits, kept in lower case.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplId([u8; 40]);

/// The text is not 40 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
#[error("a replication id is 40 hexadecimal digits")]
pub struct ParseReplIdError;

impl ReplId {
    /// Reads 40 hexadecimal digits.
    pub fn parse(text: &[u8]) -> Result<ReplId, ParseReplIdError> {
        let digits: [u8; 40] = text.try_into().map_err(|_| ParseReplIdError)?;
        if !digits.iter().all(u8::is_ascii_hexdigit) {
            return Err(ParseReplIdError);
        }
        Ok(ReplId(digits.map(|digit| digit.to_ascii_lowercase())))
    }

    /// The id made of these random bytes.
    pub fn from_random(bytes: [u8; 20]) -> ReplId {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut digits = [0; 40];
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        ReplId(digits)
    }

    /// The 40 digits.
    pub fn as_bytes(&self) -> &[u8; 40] {
        &self.0
    }

    /// The 40 digits as text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("hexadecimal digits are ASCII")
    }
}

impl fmt::Display for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for ReplId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// The name that a history had until a failover, and how far it is the same history.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct SecondId {
    /// The former name.
    pub id: ReplId,
    /// Up to this offset, and including it, both names mean the same bytes. INFO shows the number
    /// of the byte after it (`second_repl_offset`).
    pub until: Offset,
}

/// Under which names the history is known.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Identity {
    /// The current name (`master_replid`).
    pub id: ReplId,
    /// The former one (`master_replid2`), if there is one.
    pub second: Option<SecondId>,
}

impl Identity {
    /// A history without a past.
    pub fn new(id: ReplId) -> Identity {
        Identity { id, second: None }
    }

    /// The history goes on under a new name from `at` on.
    pub(crate) fn shift(&mut self, new: ReplId, at: Offset) {
        self.second = Some(SecondId { id: self.id, until: at });
        self.id = new;
    }

    /// Whether `offset` of the history called `id` is the same moment in this one.
    pub(crate) fn covers(&self, id: &ReplId, offset: Offset) -> Result<(), CannotServe> {
        if *id == self.id {
            return Ok(());
        }
        match self.second {
            Some(second) if second.id == *id && offset <= second.until => Ok(()),
            Some(second) if second.id == *id => {
                Err(CannotServe::BeyondSecondId { until: second.until })
            }
            _ => Err(CannotServe::OtherHistory),
        }
    }
}

/// Why a replica cannot continue from where it is, and needs a full resync.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub enum CannotServe {
    /// No history is kept.
    #[error("there is no backlog")]
    Inactive,
    /// The id is neither the current nor the former one.
    #[error("the replication id belongs to another history")]
    OtherHistory,
    /// The former id, but the histories had parted before that offset.
    #[error("the former replication id is valid up to offset {until} only")]
    BeyondSecondId {
        /// The last offset in common.
        until: Offset,
    },
    /// The offset is older than what is kept, or not reached yet.
    #[error("offset is not in the backlog, which goes from {first} to {end}")]
    NotInBacklog {
        /// The oldest offset that can be served.
        first: Offset,
        /// The end of the history.
        end: Offset,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_forty_digits() {
        let id = ReplId::from_random(*b"\x00\x01\x9f\xff----------------");
        assert_eq!(&id.as_str()[..8], "00019fff");
        assert_eq!(ReplId::parse(id.as_str().to_uppercase().as_bytes()), Ok(id));
        for bad in [&b"?"[..], b"", &[b'g'; 40], &[b'0'; 41], &[b'0'; 39]] {
            assert_eq!(ReplId::parse(bad), Err(ParseReplIdError));
        }
    }

    #[test]
    fn a_former_name_is_good_up_to_the_failover() {
        let (old, new, other) = (ReplId([b'a'; 40]), ReplId([b'b'; 40]), ReplId([b'c'; 40]));
        let mut identity = Identity::new(old);
        identity.shift(new, Offset(50));
        assert_eq!(identity.covers(&new, Offset(90)), Ok(()));
        assert_eq!(identity.covers(&old, Offset(50)), Ok(()));
        let beyond = CannotServe::BeyondSecondId { until: Offset(50) };
        assert_eq!(identity.covers(&old, Offset(51)), Err(beyond));
        assert_eq!(identity.covers(&other, Offset(1)), Err(CannotServe::OtherHistory));
    }
}
