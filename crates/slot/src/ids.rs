//! Newtypes for numbers and names that must not be mixed up.

use std::fmt;
use std::str::FromStr;

/// A node's name: 160 bits, written as 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct NodeId(pub [u8; 20]);

/// The text is not 40 lower-case hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct ParseNodeIdError;

impl fmt::Display for ParseNodeIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a node name is 40 lower-case hexadecimal digits")
    }
}

impl std::error::Error for ParseNodeIdError {}

impl NodeId {
    /// Reads 40 lower-case hexadecimal digits, as they stand in bus packets and nodes.conf.
    pub fn from_hex(text: &[u8]) -> Result<NodeId, ParseNodeIdError> {
        fn digit(byte: u8) -> Result<u8, ParseNodeIdError> {
            match byte {
                b'0'..=b'9' => Ok(byte - b'0'),
                b'a'..=b'f' => Ok(byte - b'a' + 10),
                _ => Err(ParseNodeIdError),
            }
        }
        if text.len() != 40 {
            return Err(ParseNodeIdError);
        }
        let mut id = [0; 20];
        for (byte, pair) in id.iter_mut().zip(text.chunks_exact(2)) {
            *byte = digit(pair[0])? << 4 | digit(pair[1])?;
        }
        Ok(NodeId(id))
    }

    /// The 40 hexadecimal digits.
    pub fn to_hex(self) -> [u8; 40] {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 40];
        for (pair, byte) in text.chunks_exact_mut(2).zip(self.0) {
            pair[0] = DIGITS[usize::from(byte >> 4)];
            pair[1] = DIGITS[usize::from(byte & 15)];
        }
        text
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_hex()).expect("hexadecimal digits are ASCII"))
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for NodeId {
    type Err = ParseNodeIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        NodeId::from_hex(text.as_bytes())
    }
}

macro_rules! number {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
        pub struct $name(pub u64);

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!(stringify!($name), "({})"), self.0)
            }
        }
    };
}

number!(
    /// A configuration epoch or the cluster's current epoch: a logical clock that only grows.
    Epoch
);
number!(
    /// A position in the replication history, in bytes since the history began.
    Offset
);
number!(
    /// A time in milliseconds: since 1970 (UTC) where it is compared with expiry times, since any
    /// fixed moment where only differences count. The owner of the value says which.
    Millis
);

impl Epoch {
    /// The highest epoch that a node takes over or reaches. It lies far below the end of the
    /// number's range, so that no calculation with epochs ever wraps around.
    pub const HIGHEST: Epoch = Epoch(i64::MAX as u64);

    /// The epoch after this one, at most the highest one.
    pub fn next(self) -> Epoch {
        Epoch(self.0.saturating_add(1).min(Epoch::HIGHEST.0))
    }
}

impl Millis {
    /// `ms` later, at the latest the end of time.
    pub fn plus(self, ms: u64) -> Millis {
        Millis(self.0.saturating_add(ms))
    }

    /// Milliseconds from `earlier` until this moment; 0 if it is not earlier.
    pub fn since(self, earlier: Millis) -> u64 {
        self.0.saturating_sub(earlier.0)
    }
}

impl Offset {
    /// `bytes` further on.
    pub fn plus(self, bytes: u64) -> Offset {
        Offset(self.0 + bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn node_id_round_trip_and_rejects() {
        let text = "07c37dfeb235213a872192d90877d0cd55635b91";
        assert_eq!(text.parse::<NodeId>().unwrap().to_string(), text);
        for bad in ["", "07c3", &text.to_uppercase(), &format!("{text}0"), &text.replace('7', "g")]
        {
            assert_eq!(bad.parse::<NodeId>(), Err(ParseNodeIdError), "{bad}");
        }
    }
}
