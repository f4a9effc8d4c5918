//! Requests: the same commands and the same error however the stream is cut, in bounded memory.

use crate::Vary;
use std::sync::LazyLock;
use tessera_resp::{Limits, ProtocolError, RequestParser, Span, Step};

static VALID: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let mut many = b"*20\r\n".to_vec();
    (0..20).for_each(|n| many.extend_from_slice(format!("$2\r\n{n:02}\r\n").as_bytes()));
    vec![
        b"*3\r\n$3\r\nSET\r\n$5\r\nhello\r\n$5\r\nworld\r\n*1\r\n$4\r\nPING\r\n".to_vec(),
        b"*2\r\n$3\r\nGET\r\n$0\r\n\r\n*0\r\n*-1\r\n\r\n".to_vec(),
        b"PING\r\nset a 'b \\' c'\nget \"\\x41\\n\\\"\" \r\n   \r\necho \"\" ''\r\n".to_vec(),
        b"*2\r\n$4\r\nECHO\r\n$12\r\n*1\r\n$4\r\nPING\r\nPING\r\n".to_vec(),
        many,
    ]
});

/// The requests that a stream was read as.
#[derive(Debug, PartialEq, Eq, Default)]
struct Read {
    commands: Vec<Vec<Vec<u8>>>,
    error: Option<ProtocolError>,
    left: usize,
}

/// Requests, read whole and in pieces.
pub fn requests(bytes: &[u8]) {
    let mut vary = Vary::new(bytes);
    let authenticated = !vary.byte().is_multiple_of(4);
    let max_bulk = if vary.flag() { 512 << 20 } else { 64 };
    let limits = Limits { max_bulk, authenticated };
    let input = vary.input(&VALID);
    let whole = read(&[&input], limits);
    let pieces = read(&vary.cut(&input), limits);
    assert_eq!(whole, pieces, "cut differently, read differently: {input:?}");
}

fn read(pieces: &[&[u8]], limits: Limits) -> Read {
    let (mut parser, mut buffer) = (RequestParser::new(), Vec::new());
    let mut read = Read::default();
    let mut missing = 0usize;
    for piece in pieces {
        buffer.extend_from_slice(piece);
        missing = missing.saturating_sub(piece.len());
        while !buffer.is_empty() {
            let mut spans = vec![Span { start: 7, len: 7 }];
            match parser.next(&mut buffer, limits, &mut spans) {
                Ok(Step::Command { len, args }) => {
                    assert_eq!(missing, 0, "a command is whole before what was missing has come");
                    assert!(len > 0 && len <= buffer.len());
                    let args = args.of(&spans).iter().map(|span| span.of(&buffer[..len]).to_vec());
                    read.commands.push(args.collect());
                    buffer.drain(..len);
                }
                Ok(Step::Incomplete { missing: more }) => {
                    assert!(more > 0 && spans.len() == 1);
                    missing = more;
                    break;
                }
                Err(error) => {
                    assert!(error.to_string().is_ascii());
                    assert_eq!(spans.len(), 1, "a refused request leaves nothing behind");
                    read.error = Some(error);
                    return read;
                }
            }
        }
        // An argument takes at least five bytes of the stream, and eight of memory; a list doubles.
        assert!(parser.memory() <= 64 + 4 * buffer.len(), "memory beyond what has come");
    }
    read.left = buffer.len();
    read
}
