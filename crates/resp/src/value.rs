//! A reply as a tree: for answers that are built away from the hot path, such as those of the
//! cluster core. Commands on keys write their replies directly instead.

/// One RESP value. It is encoded for RESP2 or RESP3 when it is written, by Redis' own rules: a map
/// becomes a flat array in RESP2, a boolean an integer, a verbatim string a bulk string.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `+text`. Without line breaks.
    Simple(String),
    /// `-text`, with its code word first (`ERR …`). Without line breaks.
    Error(String),
    /// A 64-bit integer.
    Integer(i64),
    /// A floating point number; a bulk string in RESP2.
    Double(f64),
    /// A boolean; an integer in RESP2.
    Boolean(bool),
    /// A binary-safe string.
    Bulk(Vec<u8>),
    /// Text with the three letters of its format (`txt`, `mkd`); a bulk string in RESP2.
    Verbatim(&'static str, String),
    /// No value: a null bulk string in RESP2.
    Null,
    /// No value where an array could be: a null array in RESP2.
    NullArray,
    /// A sequence of values.
    Array(Vec<Value>),
    /// A set; an array in RESP2.
    Set(Vec<Value>),
    /// Pairs of key and value; a flat array in RESP2.
    Map(Vec<(Value, Value)>),
}

impl Value {
    /// `+OK`.
    pub fn ok() -> Value {
        Value::Simple("OK".to_owned())
    }

    /// A bulk string with this text.
    pub fn bulk(text: impl Into<Vec<u8>>) -> Value {
        Value::Bulk(text.into())
    }

    /// An error; `text` begins with the code word.
    pub fn error(text: impl Into<String>) -> Value {
        Value::Error(text.into())
    }
}
