//! Splitting a line into arguments with quotes and escapes, as inline commands need it.

use crate::request::Span;

/// A quote is not closed, or something follows a closing quote directly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct UnbalancedQuotes;

/// Splits `line` at white space and appends where the arguments stand, relative to the line's
/// start. Quotes are resolved inside the line itself, whose text only gets shorter by it:
/// `"…"` knows `\n \r \t \b \a \xHH` and `\` before any other byte; `'…'` knows `\'`.
///
/// # Errors
/// [`UnbalancedQuotes`]; the line's text is then unspecified.
pub(crate) fn split_args_in_place(
    line: &mut [u8],
    args: &mut Vec<Span>,
) -> Result<(), UnbalancedQuotes> {
    let (mut read, mut write) = (0, 0);
    loop {
        while read < line.len() && (line[read].is_ascii_whitespace() || line[read] == 0x0b) {
            read += 1;
        }
        if read == line.len() {
            return Ok(());
        }
        let start = write;
        while read < line.len() && !(line[read].is_ascii_whitespace() || line[read] == 0x0b) {
            match line[read] {
                quote @ (b'"' | b'\'') => {
                    read = unquote(line, read + 1, &mut write, quote)?;
                    if read < line.len() && !line[read].is_ascii_whitespace() {
                        return Err(UnbalancedQuotes);
                    }
                }
                byte => {
                    line[write] = byte;
                    write += 1;
                    read += 1;
                }
            }
        }
        args.push(Span { start: start as u32, len: (write - start) as u32 });
    }
}

/// Resolves the quoted text that begins at `read`; gives the position after the closing quote.
fn unquote(
    line: &mut [u8],
    mut read: usize,
    write: &mut usize,
    quote: u8,
) -> Result<usize, UnbalancedQuotes> {
    loop {
        let (byte, taken) = match (line.get(read), line.get(read + 1)) {
            (None, _) => return Err(UnbalancedQuotes),
            (Some(&byte), _) if byte == quote => return Ok(read + 1),
            (Some(b'\\'), Some(b'\'')) if quote == b'\'' => (b'\'', 2),
            (Some(b'\\'), Some(&escaped)) if quote == b'"' => match escaped {
                b'x' if line.len() > read + 3 => match (hex(line[read + 2]), hex(line[read + 3])) {
                    (Some(high), Some(low)) => (high << 4 | low, 4),
                    _ => (b'x', 2),
                },
                b'n' => (b'\n', 2),
                b'r' => (b'\r', 2),
                b't' => (b'\t', 2),
                b'b' => (8, 2),
                b'a' => (7, 2),
                other => (other, 2),
            },
            (Some(&byte), _) => (byte, 1),
        };
        line[*write] = byte;
        *write += 1;
        read += taken;
    }
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).map(|value| value as u8)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn split(line: &str) -> Result<Vec<Vec<u8>>, UnbalancedQuotes> {
        let mut line = line.as_bytes().to_vec();
        let mut spans = Vec::new();
        split_args_in_place(&mut line, &mut spans)?;
        Ok(spans.into_iter().map(|span| span.of(&line).to_vec()).collect())
    }

    #[test]
    fn quotes_and_escapes() {
        for (line, args) in [
            ("", vec![]),
            ("  set a  b ", vec![b"set".to_vec(), b"a".to_vec(), b"b".to_vec()]),
            (
                r#"set "a b" '' "\x00\n\"\q""#,
                vec![b"set".to_vec(), b"a b".to_vec(), vec![], b"\0\n\"q".to_vec()],
            ),
            (r"'it\'s' '\n'", vec![b"it's".to_vec(), b"\\n".to_vec()]),
            (r#"a"b c""#, vec![b"ab c".to_vec()]),
        ] {
            assert_eq!(split(line), Ok(args), "{line}");
        }
        for bad in [r#"""#, r#""a"b"#, "'a", r#""\"#] {
            assert_eq!(split(bad), Err(UnbalancedQuotes), "{bad}");
        }
    }
}
