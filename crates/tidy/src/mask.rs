//! Rust text without its comments and literals.

use std::ops::Range;

/// The text with every comment, string and character blanked, so that words found in it are code.
/// Lines and columns stay where they are; doc comments are comments.
pub fn mask(text: &str) -> String {
    let bytes = text.as_bytes();
    let mut masked = bytes.to_vec();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if end == at {
            at += 1;
            continue;
        }
        for byte in &mut masked[at..end] {
            if *byte != b'\n' {
                *byte = b' ';
            }
        }
        at = end;
    }
    String::from_utf8(masked).expect("whole characters are blanked, since literals end at ASCII")
}

/// The places of the comments in a text, doc comments among them.
pub(crate) fn comments(text: &str) -> Vec<Range<usize>> {
    let bytes = text.as_bytes();
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let end = literal_or_comment(bytes, at);
        if end > at && bytes[at] == b'/' {
            found.push(at..end);
        }
        at = end.max(at + 1);
    }
    found
}

/// The end of the comment or literal that begins at `at`; `at` itself if none begins there.
fn literal_or_comment(bytes: &[u8], at: usize) -> usize {
    let rest = &bytes[at..];
    match rest {
        [b'/', b'/', ..] => at + length_until(rest, b'\n'),
        [b'/', b'*', ..] => at + block_comment(rest),
        [b'"', ..] => at + quoted(rest),
        [b'r' | b'b' | b'c', ..] if !is_word_before(bytes, at) => at + prefixed(rest),
        [b'\'', ..] => at + character(rest),
        _ => at,
    }
}

fn is_word_before(bytes: &[u8], at: usize) -> bool {
    at > 0 && (bytes[at - 1].is_ascii_alphanumeric() || bytes[at - 1] == b'_')
}

fn length_until(bytes: &[u8], end: u8) -> usize {
    bytes.iter().position(|&byte| byte == end).unwrap_or(bytes.len())
}

/// The length of a block comment; they nest.
fn block_comment(bytes: &[u8]) -> usize {
    let (mut depth, mut at) = (0_usize, 0);
    while at < bytes.len() {
        match &bytes[at..] {
            [b'/', b'*', ..] => {
                depth += 1;
                at += 2;
            }
            [b'*', b'/', ..] => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return at;
                }
            }
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a string from its quote on.
fn quoted(bytes: &[u8]) -> usize {
    let mut at = 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 2,
            b'"' => return at + 1,
            _ => at += 1,
        }
    }
    bytes.len()
}

/// The length of a literal like `r"…"`, `br#"…"#`, `b"…"`, `b'…'`; 0 if it is none.
fn prefixed(bytes: &[u8]) -> usize {
    let letters = bytes.iter().take_while(|byte| byte.is_ascii_lowercase()).count();
    let prefix = &bytes[..letters];
    if ![b"r".as_slice(), b"b", b"c", b"br", b"cr"].contains(&prefix) {
        return 0;
    }
    let rest = &bytes[letters..];
    if !prefix.ends_with(b"r") {
        return match rest.first() {
            Some(b'"') => letters + quoted(rest),
            Some(b'\'') if prefix == b"b" => letters + character(rest),
            _ => 0,
        };
    }
    let hashes = rest.iter().take_while(|&&byte| byte == b'#').count();
    if rest.get(hashes) != Some(&b'"') {
        return 0;
    }
    let end: Vec<u8> = std::iter::once(b'"').chain(std::iter::repeat_n(b'#', hashes)).collect();
    let body = &rest[hashes + 1..];
    let closed = body.windows(end.len()).position(|window| window == end);
    letters + hashes + 1 + closed.map_or(body.len(), |closed| closed + end.len())
}

/// The length of a character literal; 0 for a lifetime.
fn character(bytes: &[u8]) -> usize {
    if bytes.get(1) == Some(&b'\\') {
        let closed = bytes.iter().skip(3).position(|&byte| byte == b'\'');
        return closed.map_or(0, |closed| closed + 4);
    }
    // One character, of up to four bytes, then the closing quote.
    let first = match bytes.get(1) {
        Some(0..=0x7f) => 1,
        Some(0xc0..=0xdf) => 2,
        Some(0xe0..=0xef) => 3,
        Some(_) => 4,
        None => return 0,
    };
    if bytes.get(1 + first) == Some(&b'\'') { first + 2 } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_code_is_left() {
        for (text, expected) in [
            ("a // b\nc", "a     \nc"),
            ("a /* b /* c */ d */ e", "a                   e"),
            (r#"f("x\"y", 1)"#, "f(      , 1)"),
            (r###"f(r#"a"b"#)"###, "f(        )"),
            (r#"b"x" br"y" b'z' c"w""#, "                    "),
            ("'a' '\\'' '\\n' '\\u{e9}'", "                      "),
            ("fn f<'a>(x: &'a str)", "fn f<'a>(x: &'a str)"),
            ("'é' + '→'", "     +      "),
            ("for r in b { var\"\" }", "for r in b { var   }"),
        ] {
            let masked = mask(text);
            assert_eq!(masked.len(), text.len(), "{text}");
            assert_eq!(masked.trim_end(), expected.trim_end(), "{text}");
        }
    }

    #[test]
    fn comments_are_found_and_strings_are_not() {
        let text = "a // b\n\"// c\" /* d */ '/' /// e";
        let found: Vec<_> = comments(text).into_iter().map(|at| &text[at]).collect();
        assert_eq!(found, ["// b", "/* d */", "/// e"]);
    }
}
