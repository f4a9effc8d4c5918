//! Glob patterns as KEYS, SCAN, PSUBSCRIBE and CONFIG GET understand them.
//!
//! `*` any run of bytes, `?` one byte, `[abc]`, `[a-z]`, `[^…]` one byte of a class, `\x` the byte
//! `x` itself. The match remembers only the last `*`, so it takes at most pattern × text steps.

/// Whether all of `text` matches `pattern`; with `nocase`, ASCII letters match in either case.
///
/// As in Redis: an unclosed class reaches to the end of the pattern, a trailing backslash
/// stands for itself, and nothing but the empty pattern matches the empty text.
pub fn glob_match(pattern: &[u8], text: &[u8], nocase: bool) -> bool {
    if text.is_empty() {
        return pattern.is_empty();
    }
    let (mut at_pattern, mut at_text) = (0, 0);
    // Where to resume when a match fails: just after the last `*`, and the text it has not eaten.
    let mut resume: Option<(usize, usize)> = None;
    while at_text < text.len() {
        if pattern.get(at_pattern) == Some(&b'*') {
            at_pattern += 1;
            resume = Some((at_pattern, at_text));
            continue;
        }
        match match_one(&pattern[at_pattern..], text[at_text], nocase) {
            Some(used) => {
                at_pattern += used;
                at_text += 1;
            }
            None => {
                let Some((after_star, eaten)) = resume else { return false };
                at_pattern = after_star;
                at_text = eaten + 1;
                resume = Some((after_star, at_text));
            }
        }
    }
    pattern[at_pattern..].iter().all(|&byte| byte == b'*')
}

/// The length of the pattern's first element if it matches `byte`.
fn match_one(pattern: &[u8], byte: u8, nocase: bool) -> Option<usize> {
    match *pattern.first()? {
        b'?' => Some(1),
        b'[' => {
            let (matched, used) = match_class(&pattern[1..], byte, nocase);
            matched.then_some(used + 1)
        }
        b'\\' if pattern.len() >= 2 => same(pattern[1], byte, nocase).then_some(2),
        literal => same(literal, byte, nocase).then_some(1),
    }
}

/// Whether `byte` is in the class whose text (behind its `[`) begins `class`, and the length of that
/// text including its `]`.
fn match_class(class: &[u8], byte: u8, nocase: bool) -> (bool, usize) {
    let negated = class.first() == Some(&b'^');
    let mut at = usize::from(negated);
    let mut matched = false;
    while let Some(&first) = class.get(at) {
        if first == b'\\' && at + 1 < class.len() {
            matched |= class[at + 1] == byte;
            at += 2;
        } else if first == b']' {
            at += 1;
            break;
        } else if at + 2 < class.len() && class[at + 1] == b'-' {
            matched |= in_range(first, class[at + 2], byte, nocase);
            at += 3;
        } else {
            matched |= same(first, byte, nocase);
            at += 1;
        }
    }
    (matched != negated, at)
}

fn in_range(first: u8, last: u8, byte: u8, nocase: bool) -> bool {
    let (low, high) = (first.min(last), first.max(last));
    if nocase {
        let byte = byte.to_ascii_lowercase();
        byte >= low.to_ascii_lowercase() && byte <= high.to_ascii_lowercase()
    } else {
        byte >= low && byte <= high
    }
}

fn same(left: u8, right: u8, nocase: bool) -> bool {
    left == right || (nocase && left.eq_ignore_ascii_case(&right))
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
            (Some(left), Some(right)) if left == right => model(&pattern[1..], &text[1..]),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn stars_agree_with_the_definition(pattern in "[ab*?]{0,8}", text in "[ab]{1,10}") {
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
