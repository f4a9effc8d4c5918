//! Writing replies.

use crate::Value;

/// The protocol version of a connection; `HELLO 3` changes it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Protocol {
    /// RESP2, where every connection starts.
    #[default]
    Resp2,
    /// RESP3.
    Resp3,
}

/// A connection's replies which have not been sent yet. The methods that announce a collection
/// (`array`, `map` …) must be followed by as many values as they say.
#[derive(Debug, Default)]
pub struct Reply {
    /// The encoded bytes.
    pub buf: Vec<u8>,
    /// The version in which the methods write.
    pub protocol: Protocol,
}

impl Reply {
    /// An empty buffer for this protocol version.
    pub fn new(protocol: Protocol) -> Reply {
        Reply { buf: Vec::new(), protocol }
    }

    fn is_resp3(&self) -> bool {
        self.protocol == Protocol::Resp3
    }

    /// `+OK`.
    #[inline]
    pub fn ok(&mut self) {
        self.buf.extend_from_slice(b"+OK\r\n");
    }

    /// `+text`; the text has no line breaks.
    pub fn simple(&mut self, text: &str) {
        self.buf.push(b'+');
        self.line(text.as_bytes());
    }

    /// `-text`; the text begins with its code word. Line breaks become spaces.
    pub fn error(&mut self, text: impl AsRef<[u8]>) {
        self.buf.push(b'-');
        let start = self.buf.len();
        self.buf.extend_from_slice(text.as_ref());
        for byte in &mut self.buf[start..] {
            if matches!(byte, b'\r' | b'\n') {
                *byte = b' ';
            }
        }
        self.buf.extend_from_slice(b"\r\n");
    }

    /// `:number`.
    #[inline]
    pub fn integer(&mut self, number: i64) {
        self.header(b':', number);
    }

    /// A bulk string.
    #[inline]
    pub fn bulk(&mut self, bytes: &[u8]) {
        self.buf.reserve(bytes.len() + 16);
        self.header(b'$', bytes.len() as i64);
        self.buf.extend_from_slice(bytes);
        self.buf.extend_from_slice(b"\r\n");
    }

    /// An integer as a bulk string.
    pub fn bulk_integer(&mut self, number: i64) {
        self.bulk(itoa::Buffer::new().format(number).as_bytes());
    }

    /// No value.
    #[inline]
    pub fn null(&mut self) {
        self.buf.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"$-1\r\n" });
    }

    /// No value where an array could be.
    pub fn null_array(&mut self) {
        self.buf.extend_from_slice(if self.is_resp3() { b"_\r\n" } else { b"*-1\r\n" });
    }

    /// An array of `len` values follows.
    pub fn array(&mut self, len: usize) {
        self.header(b'*', len as i64);
    }

    /// A set of `len` values follows (an array in RESP2).
    pub fn set(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'~' } else { b'*' }, len as i64);
    }

    /// A map of `len` pairs follows (an array of twice as many values in RESP2).
    pub fn map(&mut self, len: usize) {
        if self.is_resp3() {
            self.header(b'%', len as i64);
        } else {
            self.header(b'*', len as i64 * 2);
        }
    }

    /// A push message of `len` values follows (an array in RESP2).
    pub fn push(&mut self, len: usize) {
        self.header(if self.is_resp3() { b'>' } else { b'*' }, len as i64);
    }

    /// A boolean (an integer in RESP2).
    pub fn boolean(&mut self, value: bool) {
        self.buf.extend_from_slice(match (self.protocol, value) {
            (Protocol::Resp3, true) => b"#t\r\n",
            (Protocol::Resp3, false) => b"#f\r\n",
            (Protocol::Resp2, true) => b":1\r\n",
            (Protocol::Resp2, false) => b":0\r\n",
        });
    }

    /// A floating point number, already formatted by Redis' rules (a bulk string in RESP2).
    pub fn double_text(&mut self, text: &str) {
        if self.is_resp3() {
            self.buf.push(b',');
            self.line(text.as_bytes());
        } else {
            self.bulk(text.as_bytes());
        }
    }

    /// Text with the three letters of its format (a bulk string in RESP2).
    pub fn verbatim(&mut self, format: &str, text: &[u8]) {
        debug_assert_eq!(format.len(), 3);
        if self.is_resp3() {
            self.header(b'=', text.len() as i64 + 4);
            self.buf.extend_from_slice(format.as_bytes());
            self.buf.push(b':');
            self.line(text);
        } else {
            self.bulk(text);
        }
    }

    /// A whole reply tree.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Simple(text) => self.simple(text),
            Value::Error(text) => self.error(text),
            Value::Integer(number) => self.integer(*number),
            Value::Double(number) => self.double_text(&double_text(*number)),
            Value::Boolean(value) => self.boolean(*value),
            Value::Bulk(bytes) => self.bulk(bytes),
            Value::Verbatim(format, text) => self.verbatim(format, text.as_bytes()),
            Value::Null => self.null(),
            Value::NullArray => self.null_array(),
            Value::Array(values) => {
                self.array(values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Set(values) => {
                self.set(values.len());
                values.iter().for_each(|value| self.value(value));
            }
            Value::Map(pairs) => {
                self.map(pairs.len());
                for (key, value) in pairs {
                    self.value(key);
                    self.value(value);
                }
            }
        }
    }

    #[inline]
    fn header(&mut self, kind: u8, number: i64) {
        // Lengths and small integers: two digits at the most, without a detour.
        if (0..100).contains(&number) {
            let (tens, ones) = (number as u8 / 10, number as u8 % 10);
            if tens == 0 {
                self.buf.extend_from_slice(&[kind, b'0' + ones, b'\r', b'\n']);
            } else {
                self.buf.extend_from_slice(&[kind, b'0' + tens, b'0' + ones, b'\r', b'\n']);
            }
            return;
        }
        self.buf.push(kind);
        self.line(itoa::Buffer::new().format(number).as_bytes());
    }

    fn line(&mut self, text: &[u8]) {
        self.buf.extend_from_slice(text);
        self.buf.extend_from_slice(b"\r\n");
    }
}

/// The shortest text that reads back as the same number, as RESP3 doubles are written.
fn double_text(number: f64) -> String {
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    if number.is_nan() {
        return "nan".to_owned();
    }
    format!("{number}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn both(write: impl Fn(&mut Reply)) -> (String, String) {
        let text = |protocol| {
            let mut reply = Reply::new(protocol);
            write(&mut reply);
            String::from_utf8(reply.buf).unwrap()
        };
        (text(Protocol::Resp2), text(Protocol::Resp3))
    }

    #[test]
    fn shapes_in_both_versions() {
        let cases: [(Value, &str, &str); 10] = [
            (Value::Null, "$-1\r\n", "_\r\n"),
            (Value::NullArray, "*-1\r\n", "_\r\n"),
            (Value::Boolean(true), ":1\r\n", "#t\r\n"),
            (Value::Integer(-100), ":-100\r\n", ":-100\r\n"),
            (Value::bulk("x".repeat(12)), "$12\r\nxxxxxxxxxxxx\r\n", "$12\r\nxxxxxxxxxxxx\r\n"),
            (Value::Double(1.5), "$3\r\n1.5\r\n", ",1.5\r\n"),
            (Value::Verbatim("txt", "a".into()), "$1\r\na\r\n", "=5\r\ntxt:a\r\n"),
            (
                Value::Map(vec![(Value::Integer(1), Value::ok())]),
                "*2\r\n:1\r\n+OK\r\n",
                "%1\r\n:1\r\n+OK\r\n",
            ),
            (Value::Set(vec![Value::Integer(1)]), "*1\r\n:1\r\n", "~1\r\n:1\r\n"),
            (Value::error("ERR a\r\nb"), "-ERR a  b\r\n", "-ERR a  b\r\n"),
        ];
        for (value, resp2, resp3) in cases {
            let (two, three) = both(|reply| reply.value(&value));
            assert_eq!((two.as_str(), three.as_str()), (resp2, resp3), "{value:?}");
        }
    }
}
