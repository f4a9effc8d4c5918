//! Requests of another protocol: HTTP.
//!
//! A web page can have its visitor's browser send a request to any port of the visitor's own
//! machine, and choose the body. Read as inline commands, the lines of the header would be errors
//! and those of the body would run. Protected mode does not help, since the browser connects from
//! loopback. So the first line that only HTTP has ends the connection, before anything behind it is
//! read.
//!
//! TLS is told by its first bytes (`tessera_resp::ProtocolError::Tls`): a server that resumes a
//! session can make its client send bytes of the server's choice too.

use crate::Args;

/// Whether a request that is no valid command is a line of HTTP: `POST …`, `Host: …`, or a request
/// line of any method (`PUT / HTTP/1.1`). `POST` and `host:` count in any case and form, as in
/// Redis.
#[cold]
pub(crate) fn is_http(args: Args<'_>) -> bool {
    let version =
        |arg: &[u8]| arg.get(..5).is_some_and(|start| start.eq_ignore_ascii_case(b"http/"));
    args.is(0, "post") || args.is(0, "host:") || args.len() == 3 && version(args.at(2))
}
