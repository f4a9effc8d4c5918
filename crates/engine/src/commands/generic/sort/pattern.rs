//! BY and GET: keys named after elements.

use crate::Db;
use crate::commands::string::text;
use tessera_collections::{Digits, Hash};
use tessera_slot::{Slot, crc16};

/// The pattern of BY or GET.
pub(super) struct Pattern<'a> {
    text: &'a [u8],
    /// The text around the element's place; `None`: the pattern names no key.
    key: Option<Around<'a>>,
}

struct Around<'a> {
    before: &'a [u8],
    behind: &'a [u8],
    /// A field of the hash that the key holds.
    field: Option<&'a [u8]>,
}

impl<'a> Pattern<'a> {
    /// `#` is the element itself; otherwise the first `*` stands for it, and `->` before a field's
    /// name asks for that field.
    pub(super) fn of(text: &'a [u8]) -> Pattern<'a> {
        let key = text.iter().position(|&byte| byte == b'*').map(|star| {
            let (before, rest) = (&text[..star], &text[star + 1..]);
            let arrow = rest.windows(2).position(|pair| pair == b"->");
            match arrow.filter(|arrow| arrow + 2 < rest.len()) {
                Some(arrow) => {
                    Around { before, behind: &rest[..arrow], field: Some(&rest[arrow + 2..]) }
                }
                None => Around { before, behind: rest, field: None },
            }
        });
        Pattern { text, key }
    }

    /// Whether it stands for the element itself.
    pub(super) fn is_element(&self) -> bool {
        self.text == b"#"
    }

    /// Whether there is a place for the element in it.
    pub(super) fn has_star(&self) -> bool {
        self.key.is_some()
    }

    /// Whether the values of other keys are needed for it.
    pub(super) fn names_keys(&self) -> bool {
        self.has_star()
    }

    /// The slot of all keys that it can name, if it is one: that of the hash tag before the first
    /// character with a meaning.
    pub(super) fn slot(&self) -> Option<Slot> {
        let special = |byte: &u8| matches!(byte, b'*' | b'?' | b'[' | b'\\');
        let end = self.text.iter().position(special).unwrap_or(self.text.len());
        let literal = &self.text[..end];
        let tag = literal.iter().position(|&byte| byte == b'{').and_then(|open| {
            let inside = &literal[open + 1..];
            let close = inside.iter().position(|&byte| byte == b'}')?;
            (close > 0).then(|| &inside[..close])
        });
        match tag {
            Some(tag) => Some(Slot::from_low_bits(crc16(tag))),
            None => (end == self.text.len()).then(|| Slot::of_key(self.text)),
        }
    }

    /// Shows the value that it stands for with this element; `None`: there is no such value. If the
    /// outcome is stored (`is_stored`), a field that has expired is removed first: replicas, which
    /// run the command too, would still see it.
    pub(super) fn value(
        &self,
        db: &mut Db<'_, '_>,
        element: &[u8],
        is_stored: bool,
        show: &mut impl FnMut(Option<&[u8]>),
    ) {
        if self.is_element() {
            return show(Some(element));
        }
        let Some(Around { before, behind, field }) = &self.key else { return show(None) };
        let key = [before, element, behind].concat();
        let as_of = db.field_time();
        let place = db.place(&key);
        if is_stored && let Some(field) = *field {
            db.retire_fields(place, std::iter::once(field));
        }
        let Some(found) = db.read(place) else { return show(None) };
        match field {
            None => match found.string() {
                Some(value) => show(Some(text(value, &mut itoa::Buffer::new()))),
                None => show(None),
            },
            Some(field) => match found.collection::<Hash>() {
                Some(hash) => match hash.get(field, as_of) {
                    Some(value) => show(Some(value.text(&mut Digits::default()))),
                    None => show(None),
                },
                None => show(None),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (text, parts) in [
            ("weight_*", Some(("weight_", "", None))),
            ("w*x->f", Some(("w", "x", Some("f")))),
            ("a->*->", Some(("a->", "->", None))),
            ("*->a->b", Some(("", "", Some("a->b")))),
            ("none", None),
            ("#", None),
        ] {
            let pattern = Pattern::of(text.as_bytes());
            let found = pattern.key.map(|key| {
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("ASCII");
                (text(key.before), text(key.behind), key.field.map(text))
            });
            let parts = parts.map(|(before, behind, field): (&str, &str, Option<&str>)| {
                (before.to_owned(), behind.to_owned(), field.map(str::to_owned))
            });
            assert_eq!(found, parts, "{text}");
        }
    }

    #[test]
    fn slots() {
        let key = |key: &str| Some(Slot::of_key(key.as_bytes()));
        for (pattern, slot) in [
            ("{a}by*", key("a")),
            ("x{a}y", key("a")),
            ("plain", key("plain")),
            ("{}x", key("{}x")),
            ("by*", None),
            ("by*{a}", None),
            ("{a*}", None),
            ("{}{a}*", None),
            ("\\{a}", None),
            ("[{a}", None),
        ] {
            assert_eq!(Pattern::of(pattern.as_bytes()).slot(), slot, "{pattern}");
        }
    }
}
