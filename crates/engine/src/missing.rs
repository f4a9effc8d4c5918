//! The errors for commands that are not in the table, and for clients that may run none.

use crate::commands::{self, Missing};
use crate::{Args, Engine, Fail, Session};

/// At most so many bytes of a client's text.
fn shown(bytes: &[u8], limit: usize) -> String {
    String::from_utf8_lossy(&bytes[..bytes.len().min(limit)]).into_owned()
}

impl Engine {
    /// The error for a command that is not in the table.
    #[cold]
    pub(crate) fn missing_error(&self, session: &Session, args: Args<'_>) -> Fail {
        match self.missing(args) {
            Missing::Unknown => unknown(args),
            Missing::Absent(_) if !session.authenticated => not_authenticated(),
            Missing::Absent(name) => commands::not_available(name),
            Missing::Subcommand(parent) => Fail::text(format!(
                "ERR unknown subcommand '{}'. Try {} HELP.",
                shown(args.get(1).unwrap_or_default(), 128),
                parent.name.to_ascii_uppercase()
            )),
        }
    }
}

pub(crate) fn not_authenticated() -> Fail {
    Fail::text("NOAUTH Authentication required.")
}

/// The error for a command that nobody knows.
fn unknown(args: Args<'_>) -> Fail {
    let mut rest = String::new();
    for arg in args.from(1) {
        if rest.len() >= 128 {
            break;
        }
        rest.push_str(&format!("'{}' ", shown(arg, 128 - rest.len())));
    }
    Fail::text(format!(
        "ERR unknown command '{}', with args beginning with: {rest}",
        shown(args.at(0), 128)
    ))
}
