//! Replies as trees, to compare parts of them.

/// A reply of RESP2 or RESP3.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Value {
    /// The content of one line, with the sign before it: `+`, `-`, `:`, `,`, `#`, `(`, `_`.
    Line(u8, Vec<u8>),
    /// Bytes with a length before them, with their sign: `$`, `=`.
    Bulk(u8, Vec<u8>),
    /// `$-1` or `*-1`, with its sign.
    Null(u8),
    /// Several values, with the sign before them: `*`, `~`, `>`, and `%`, whose keys and values
    /// follow each other.
    Many(u8, Vec<Value>),
}

impl Value {
    /// Reads replies until the bytes end: one, unless a server has answered too much.
    pub fn read_all(bytes: &[u8]) -> Vec<Value> {
        let mut reader = Reader { rest: bytes };
        let mut values = Vec::new();
        while !reader.rest.is_empty() {
            match reader.value() {
                Some(value) => values.push(value),
                None => {
                    values.push(Value::Bulk(b'?', reader.rest.to_vec()));
                    break;
                }
            }
        }
        values
    }

    /// Whether the bytes are one reply, or several, to the end.
    pub fn is_whole(bytes: &[u8]) -> bool {
        let mut reader = Reader { rest: bytes };
        while !reader.rest.is_empty() {
            if reader.value().is_none() {
                return false;
            }
        }
        !bytes.is_empty()
    }

    /// The first reply.
    pub fn read(bytes: &[u8]) -> Value {
        Value::read_all(bytes).into_iter().next().unwrap_or(Value::Null(b'?'))
    }

    /// The values within, if there are any.
    pub fn parts(&self) -> &[Value] {
        match self {
            Value::Many(_, parts) => parts,
            _ => &[],
        }
    }

    /// The values within, to be changed.
    pub fn parts_mut(&mut self) -> Option<&mut Vec<Value>> {
        match self {
            Value::Many(_, parts) => Some(parts),
            _ => None,
        }
    }

    /// The bytes of a line or of a bulk string; nothing of the others.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Value::Line(_, bytes) | Value::Bulk(_, bytes) => bytes,
            _ => &[],
        }
    }

    /// An integer, or a text that is one.
    pub fn integer(&self) -> Option<i64> {
        std::str::from_utf8(self.bytes()).ok()?.parse().ok()
    }

    /// Whether it is an error.
    pub fn is_error(&self) -> bool {
        matches!(self, Value::Line(b'-', _))
    }

    /// The value of a name in a map, or in the flat list that RESP2 makes of it.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let parts = self.parts();
        let at = parts.iter().step_by(2).position(|key| key.bytes() == name.as_bytes())?;
        parts.get(2 * at + 1)
    }

    /// Sorts the parts, `size` of which belong together each time.
    pub fn sort_by_chunks(&mut self, size: usize) {
        if let Some(parts) = self.parts_mut() {
            let mut chunks: Vec<Vec<Value>> = parts.chunks(size).map(<[Value]>::to_vec).collect();
            chunks.sort();
            *parts = chunks.concat();
        }
    }

    /// Sorts the parts, and theirs, at all depths.
    pub fn sort_deeply(&mut self) {
        if let Some(parts) = self.parts_mut() {
            parts.iter_mut().for_each(Value::sort_deeply);
            parts.sort();
        }
    }
}

struct Reader<'a> {
    rest: &'a [u8],
}

impl Reader<'_> {
    fn line(&mut self) -> Option<Vec<u8>> {
        let end = self.rest.windows(2).position(|pair| pair == b"\r\n")?;
        let line = self.rest[..end].to_vec();
        self.rest = &self.rest[end + 2..];
        Some(line)
    }

    fn value(&mut self) -> Option<Value> {
        let (&sign, rest) = self.rest.split_first()?;
        self.rest = rest;
        let line = self.line()?;
        match sign {
            b'$' | b'=' | b'*' | b'~' | b'>' | b'%' if line == b"-1" => Some(Value::Null(sign)),
            b'$' | b'=' => {
                let len: usize = std::str::from_utf8(&line).ok()?.parse().ok()?;
                let bytes = self.rest.get(..len)?.to_vec();
                self.rest = self.rest.get(len + 2..)?;
                Some(Value::Bulk(sign, bytes))
            }
            b'*' | b'~' | b'>' | b'%' => {
                let len: usize = std::str::from_utf8(&line).ok()?.parse().ok()?;
                let len = if sign == b'%' { len * 2 } else { len };
                let parts: Option<Vec<Value>> = (0..len).map(|_| self.value()).collect();
                Some(Value::Many(sign, parts?))
            }
            _ => Some(Value::Line(sign, line)),
        }
    }
}
