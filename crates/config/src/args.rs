//! A configuration line as arguments, and back.
//!
//! The quoting is that of redis.conf and of redis-cli: words separated by white space; `"…"` with
//! the escapes `\n \r \t \b \a \xHH` and `\` before any other byte; `'…'` with `\'` only. A closing
//! quote ends its word, so white space or the end must follow.

/// A quote that is not closed, or that is closed in the middle of a word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("Unbalanced quotes in configuration line")]
pub struct UnbalancedQuotes;

/// Splits a line into its arguments.
pub(crate) fn split_args(line: &[u8]) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
    let mut words = Vec::new();
    let mut rest = line;
    loop {
        rest = skip_blanks(rest);
        if rest.is_empty() {
            return Ok(words);
        }
        let (word, after) = one_word(rest)?;
        words.push(word);
        rest = after;
    }
}

/// C's `isspace` in the C locale; Rust's counterpart leaves the vertical tab out.
fn is_blank(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0x0b
}

fn skip_blanks(text: &[u8]) -> &[u8] {
    let blanks = text.iter().take_while(|&&byte| is_blank(byte)).count();
    &text[blanks..]
}

/// The first word of a text that does not begin with a blank, and what follows it.
fn one_word(text: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut word = Vec::new();
    let mut at = 0;
    while let Some(&byte) = text.get(at) {
        at += 1;
        match byte {
            b' ' | b'\n' | b'\r' | b'\t' => break,
            // A quote may open in the middle of a word: what stands before it belongs to the word.
            b'"' => return double_quoted(word, &text[at..]),
            b'\'' => return single_quoted(word, &text[at..]),
            other => word.push(other),
        }
    }
    Ok((word, &text[at..]))
}

fn double_quoted(mut word: Vec<u8>, text: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut at = 0;
    loop {
        match text.get(at..).ok_or(UnbalancedQuotes)? {
            [b'"', after @ ..] => return closed(word, after),
            [b'\\', b'x', high, low, ..] if hex(*high).is_some() && hex(*low).is_some() => {
                word.push(hex(*high).unwrap_or(0) << 4 | hex(*low).unwrap_or(0));
                at += 4;
            }
            [b'\\', escaped, ..] => {
                word.push(unescape(*escaped));
                at += 2;
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

fn single_quoted(mut word: Vec<u8>, text: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    let mut at = 0;
    loop {
        match text.get(at..).ok_or(UnbalancedQuotes)? {
            [b'\'', after @ ..] => return closed(word, after),
            [b'\\', b'\'', ..] => {
                word.push(b'\'');
                at += 2;
            }
            [byte, ..] => {
                word.push(*byte);
                at += 1;
            }
            [] => return Err(UnbalancedQuotes),
        }
    }
}

fn closed(word: Vec<u8>, after: &[u8]) -> Result<(Vec<u8>, &[u8]), UnbalancedQuotes> {
    match after.first() {
        Some(&byte) if !is_blank(byte) => Err(UnbalancedQuotes),
        _ => Ok((word, after)),
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

fn unescape(byte: u8) -> u8 {
    match byte {
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'b' => 0x08,
        b'a' => 0x07,
        other => other,
    }
}

/// The value in double quotes, such that [`split_args`] reads it back.
pub fn quote(value: &[u8]) -> Vec<u8> {
    let mut quoted = Vec::with_capacity(value.len() + 2);
    quoted.push(b'"');
    for &byte in value {
        match byte {
            b'\\' | b'"' => quoted.extend([b'\\', byte]),
            b'\n' => quoted.extend(b"\\n"),
            b'\r' => quoted.extend(b"\\r"),
            b'\t' => quoted.extend(b"\\t"),
            0x07 => quoted.extend(b"\\a"),
            0x08 => quoted.extend(b"\\b"),
            b' '..=b'~' => quoted.push(byte),
            _ => quoted.extend(format!("\\x{byte:02x}").bytes()),
        }
    }
    quoted.push(b'"');
    quoted
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn lines() {
        for (line, words) in [
            ("", vec![]),
            ("  \t ", vec![]),
            ("port 7000", vec!["port", "7000"]),
            ("save \"\"", vec!["save", ""]),
            (r#"a "b c" 'd e'"#, vec!["a", "b c", "d e"]),
            (r#""\x41\n\t\"\\" "#, vec!["A\n\t\"\\"]),
            (r#""\xZZ""#, vec!["xZZ"]),
            (r"'it\'s' 'a\n'", vec!["it's", r"a\n"]),
            (r#"pre"fix" x"#, vec!["prefix", "x"]),
        ] {
            let words: Vec<Vec<u8>> =
                words.into_iter().map(|word| word.as_bytes().to_vec()).collect();
            assert_eq!(split_args(line.as_bytes()), Ok(words), "{line}");
        }
    }

    #[test]
    fn unbalanced_quotes_are_refused() {
        for line in [r#""open"#, "'open", r#""a"b"#, "'a'b", r#""\"#, r#""\x4"#] {
            assert_eq!(split_args(line.as_bytes()), Err(UnbalancedQuotes), "{line}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_reads_back(values: Vec<Vec<u8>>) {
            let line: Vec<u8> = values.iter().map(|value| quote(value)).collect::<Vec<_>>().join(&b' ');
            prop_assert_eq!(split_args(&line), Ok(values));
        }

        #[test]
        fn any_line_is_harmless(line: Vec<u8>) {
            let _ = split_args(&line);
        }
    }
}
