//! Glob patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET understand them.
//!
//! `*` any run of bytes, `?` one byte, `[abc]`, `[a-z]`, `[^…]` one byte of a class, `\x` the byte
//! `x` itself.
//!
//! A pattern is compiled into the parts between its stars. Each part takes a fixed number of bytes,
//! so the first belongs to the text's beginning, the last to its end, and each of the others to the
//! first place where it fits: no part is ever tried again, and a match takes at most pattern × text
//! steps.

use memchr::memmem::Finder;

/// A compiled pattern.
#[derive(Debug)]
pub struct Glob {
    /// The text's beginning; all of it if there is no star.
    head: Part,
    /// The parts between stars, in this order. Parts without elements are left out.
    middle: Vec<Search>,
    /// The text's end, behind the last star; `None`: there is no star.
    tail: Option<Part>,
    /// Bytes that a matching text has at least.
    min_len: usize,
}

/// The elements between two stars.
#[derive(Debug, Default)]
struct Part(Vec<Element>);

/// The element that one byte of a text is compared with.
#[derive(Debug)]
enum Element {
    Byte(u8),
    Any,
    /// The bytes that match, one bit each.
    Class(Box<[u64; 4]>),
}

/// A part that is looked for.
#[derive(Debug)]
enum Search {
    /// Literal bytes only.
    Literal(Box<Finder<'static>>),
    Part(Part),
}

impl Glob {
    /// Compiles a pattern; with `nocase`, ASCII letters match in either case.
    ///
    /// As in Redis: an unclosed class reaches to the end of the pattern, a trailing backslash
    /// stands for itself, and nothing but the empty pattern matches the empty text.
    pub fn new(pattern: &[u8], nocase: bool) -> Glob {
        let mut parts = vec![Part::default()];
        let mut at = 0;
        while at < pattern.len() {
            if pattern[at] == b'*' {
                parts.push(Part::default());
                at += 1;
                continue;
            }
            let (element, used) = Element::parse(&pattern[at..], nocase);
            parts.last_mut().expect("there is one").0.push(element);
            at += used;
        }
        let min_len = parts.iter().map(|part| part.0.len()).sum::<usize>();
        let tail = if parts.len() > 1 { parts.pop() } else { None };
        let mut parts = parts.into_iter();
        let head = parts.next().expect("there is one");
        let middle = parts.filter(|part| !part.0.is_empty()).map(Search::of).collect();
        // Stars alone want a byte too.
        let min_len = if tail.is_some() { min_len.max(1) } else { min_len };
        Glob { head, middle, tail, min_len }
    }

    /// Whether all of `text` matches.
    #[inline]
    pub fn matches(&self, text: &[u8]) -> bool {
        if text.len() < self.min_len || !self.head.begins(text) {
            return false;
        }
        let start = self.head.0.len();
        match &self.tail {
            None => text.len() == start,
            Some(tail) => {
                let end = text.len() - tail.0.len();
                tail.begins(&text[end..]) && self.middle_matches(&text[start..end])
            }
        }
    }

    #[inline]
    fn middle_matches(&self, mut text: &[u8]) -> bool {
        for search in &self.middle {
            let Some(end) = search.end_in(text) else { return false };
            text = &text[end..];
        }
        true
    }
}

impl Part {
    /// Whether a text that is long enough begins with it.
    #[inline]
    fn begins(&self, text: &[u8]) -> bool {
        self.0.iter().zip(text).all(|(element, &byte)| element.matches(byte))
    }

    /// The bytes, if there is nothing else.
    fn literal(&self) -> Option<Vec<u8>> {
        let byte = |element: &Element| match element {
            Element::Byte(byte) => Some(*byte),
            Element::Any | Element::Class(_) => None,
        };
        self.0.iter().map(byte).collect()
    }
}

impl Search {
    fn of(part: Part) -> Search {
        match part.literal() {
            Some(bytes) => Search::Literal(Box::new(Finder::new(&bytes).into_owned())),
            None => Search::Part(part),
        }
    }

    /// The end of its first place in a text.
    #[inline]
    fn end_in(&self, text: &[u8]) -> Option<usize> {
        match self {
            Search::Literal(finder) => Some(finder.find(text)? + finder.needle().len()),
            Search::Part(part) => {
                let len = part.0.len();
                Some(text.windows(len).position(|window| part.begins(window))? + len)
            }
        }
    }
}

impl Element {
    /// The first element of a pattern that does not begin with a star, and its length.
    fn parse(pattern: &[u8], nocase: bool) -> (Element, usize) {
        match pattern[0] {
            b'?' => (Element::Any, 1),
            b'[' => {
                let (class, used) = class(&pattern[1..], nocase);
                (Element::Class(Box::new(class)), used + 1)
            }
            b'\\' if pattern.len() >= 2 => (Element::byte(pattern[1], nocase), 2),
            literal => (Element::byte(literal, nocase), 1),
        }
    }

    fn byte(byte: u8, nocase: bool) -> Element {
        if !nocase || !byte.is_ascii_alphabetic() {
            return Element::Byte(byte);
        }
        let mut set = [0; 4];
        add(&mut set, byte.to_ascii_lowercase());
        add(&mut set, byte.to_ascii_uppercase());
        Element::Class(Box::new(set))
    }

    #[inline]
    fn matches(&self, byte: u8) -> bool {
        match self {
            Element::Byte(own) => *own == byte,
            Element::Any => true,
            Element::Class(set) => set[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1,
        }
    }
}

fn add(set: &mut [u64; 4], byte: u8) {
    set[usize::from(byte >> 6)] |= 1 << (byte & 63);
}

/// The bytes of the class whose text (behind its `[`) begins `class`, and the length of that text
/// including its `]`.
fn class(class: &[u8], nocase: bool) -> ([u64; 4], usize) {
    let is_negated = class.first() == Some(&b'^');
    let mut at = usize::from(is_negated);
    let mut set = [0; 4];
    while let Some(&first) = class.get(at) {
        if first == b'\\' && at + 1 < class.len() {
            // In this one place case counts, as in Redis.
            add(&mut set, class[at + 1]);
            at += 2;
        } else if first == b']' {
            at += 1;
            break;
        } else if at + 2 < class.len() && class[at + 1] == b'-' {
            add_range(&mut set, first, class[at + 2], nocase);
            at += 3;
        } else {
            add(&mut set, first);
            if nocase {
                add(&mut set, first.to_ascii_lowercase());
                add(&mut set, first.to_ascii_uppercase());
            }
            at += 1;
        }
    }
    if is_negated {
        set = set.map(|word| !word);
    }
    (set, at)
}

fn add_range(set: &mut [u64; 4], first: u8, last: u8, nocase: bool) {
    let (low, high) = (first.min(last), first.max(last));
    if !nocase {
        return (low..=high).for_each(|byte| add(set, byte));
    }
    let range = low.to_ascii_lowercase()..=high.to_ascii_lowercase();
    (0..=u8::MAX)
        .filter(|byte| range.contains(&byte.to_ascii_lowercase()))
        .for_each(|byte| add(set, byte));
}

/// Whether all of `text` matches `pattern`: as [`Glob`], for a pattern that is used once.
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    Glob::new(pattern, nocase).matches(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", false),
            ("", "a", false),
            ("*", "anything", true),
            ("a*", "a", true),
            ("a**", "a", true),
            ("*a", "banana", true),
            ("*an*a", "banana", true),
            ("*ann*", "banana", false),
            ("h?llo", "hello", true),
            ("h?llo", "hllo", false),
            ("h[ae]llo", "hallo", true),
            ("h[ae]llo", "hillo", false),
            ("h[^e]llo", "hallo", true),
            ("h[^e]llo", "hello", false),
            ("h[a-c]llo", "hbllo", true),
            ("h[c-a]llo", "hbllo", true),
            ("h[a-c]llo", "hdllo", false),
            ("[\\]]", "]", true),
            ("[]]", "]", false),
            ("[^]", "x", true),
            ("[ab", "b", true),
            ("[", "[", false),
            ("[a-]", "b", false),
            ("[a-]", "_", true),
            ("\\*", "*", true),
            ("\\*", "x", false),
            ("\\", "\\", true),
            ("a\\?c", "a?c", true),
            ("user:*:name", "user:1000:name", true),
        ] {
            assert_eq!(
                glob_match(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} against {text}"
            );
        }
    }

    #[test]
    fn case_is_folded_on_request_only() {
        assert!(glob_match(b"MAX*", b"maxmemory", true));
        assert!(!glob_match(b"MAX*", b"maxmemory", false));
        assert!(glob_match(b"[A-C]x", b"bX", true));
        assert!(!glob_match(b"[A-C]x", b"bx", false));
        assert!(glob_match(b"*MEM*Y", b"xmemory", true));
        assert!(glob_match(b"[^a]", b"b", true) && !glob_match(b"[^A]", b"a", true));
        assert!(!glob_match(b"[\\A]", b"a", true), "an escaped letter is itself alone");
    }

    #[test]
    fn parts_do_not_overlap() {
        for (pattern, text, expected) in [
            ("ab*ba", "aba", false),
            ("ab*ba", "abba", true),
            ("*aa*aa*", "aaa", false),
            ("*aa*aa*", "aaaa", true),
            ("*a?*?b", "xaab", false),
            ("*a?*?b", "xaaab", true),
            ("**", "", false),
            ("?*", "a", true),
            ("*?", "a", true),
            ("?*?", "a", false),
        ] {
            assert_eq!(
                glob_match(pattern.as_bytes(), text.as_bytes(), false),
                expected,
                "{pattern} against {text}"
            );
        }
    }

    #[test]
    fn a_pattern_of_many_stars_ends_soon() {
        // Exponential matchers take longer than the age of the universe for this one.
        let pattern = "a*".repeat(500) + "b";
        let text = "a".repeat(5000);
        assert!(!glob_match(pattern.as_bytes(), text.as_bytes(), false));
    }

    /// The plain definition, by recursion.
    fn model(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.first(), text.first()) {
            (None, None) => true,
            (Some(b'*'), _) => {
                model(&pattern[1..], text) || (!text.is_empty() && model(pattern, &text[1..]))
            }
            (Some(b'?'), Some(_)) => model(&pattern[1..], &text[1..]),
            (Some(b'['), Some(&byte)) => {
                let end = pattern.iter().position(|&byte| byte == b']').unwrap_or(pattern.len());
                let is_negated = pattern.get(1) == Some(&b'^');
                let inside = &pattern[1 + usize::from(is_negated)..end];
                inside.contains(&byte) != is_negated
                    && model(&pattern[(end + 1).min(pattern.len())..], &text[1..])
            }
            (Some(left), Some(right)) if left == right => model(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_the_definition(
            pattern in r"([ab*?]|\[\^?[ab]\]){0,8}\[?",
            text in "[ab]{1,10}",
        ) {
            prop_assert_eq!(
                glob_match(pattern.as_bytes(), text.as_bytes(), false),
                model(pattern.as_bytes(), text.as_bytes())
            );
        }

        #[test]
        fn any_bytes_are_harmless(pattern: Vec<u8>, text: Vec<u8>, nocase: bool) {
            glob_match(&pattern, &text, nocase);
        }
    }
}
