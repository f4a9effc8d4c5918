//! The arguments of the server's command line: a file, `-` for standard input, `--directive value`.

use crate::Source;
use crate::args::{quote, split_args};

/// A server's command line, taken apart.
///
/// Later sources win: first the file, then standard input, then `options`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    /// Path of the configuration file, if one was given: the first argument, unless it begins
    /// with `-`.
    pub file: Option<String>,
    /// Whether standard input is to be read too: `-` as the first or the last argument.
    pub stdin: bool,
    /// The `--` options, as lines of a configuration.
    pub options: Source,
}

/// Takes a command line apart, without the program's name (and without the subcommand).
///
/// As redis-server does: an option's arguments reach to the next one that begins with `--`, but
/// the first behind an option's name is always its argument; `--save` alone means `save ""`.
pub fn command_line(args: &[Vec<u8>]) -> CommandLine {
    let file = args
        .first()
        .filter(|first| !first.starts_with(b"-"))
        .map(|path| String::from_utf8_lossy(path).into_owned());
    let rest = &args[usize::from(file.is_some())..];
    let mut lines: Vec<u8> = Vec::new();
    let mut stdin = false;
    // Whether the option whose name was last seen has got an argument.
    let mut satisfied = true;
    for (at, arg) in rest.iter().enumerate() {
        let is_last = at + 1 == rest.len();
        if arg == b"-" && (is_last || (at == 0 && file.is_none())) {
            stdin = true;
        } else if satisfied && arg.starts_with(b"--") {
            if !lines.is_empty() {
                lines.push(b'\n');
            }
            lines.extend(&arg[2..]);
            lines.push(b' ');
            // `--port 7000` may come as one argument.
            satisfied = split_args(arg).is_ok_and(|words| words.len() != 1);
            let next_is_option = rest.get(at + 1).is_some_and(|next| next.starts_with(b"--"));
            let is_save = arg.eq_ignore_ascii_case(b"--save");
            if !satisfied && is_save && (is_last || next_is_option) {
                lines.extend(b"\"\"");
                satisfied = true;
            }
        } else {
            lines.extend(quote(arg));
            lines.push(b' ');
            satisfied = true;
        }
    }
    CommandLine { file, stdin, options: Source::new("command line", lines) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken_apart(args: &[&str]) -> (Option<String>, bool, String) {
        let args: Vec<Vec<u8>> = args.iter().map(|arg| arg.as_bytes().to_vec()).collect();
        let line = command_line(&args);
        (line.file, line.stdin, String::from_utf8_lossy(&line.options.text).into_owned())
    }

    #[test]
    fn command_lines() {
        let file = Some("redis.conf".to_owned());
        for (args, expected) in [
            (vec![], (None, false, "")),
            (vec!["redis.conf"], (file.clone(), false, "")),
            (vec!["-"], (None, true, "")),
            (vec!["redis.conf", "-"], (file.clone(), true, "")),
            (vec!["--port", "7000"], (None, false, "port \"7000\" ")),
            (vec!["--port 7000"], (None, false, "port 7000 ")),
            (vec!["-", "--port", "7000"], (None, true, "port \"7000\" ")),
            (
                vec!["redis.conf", "--save", "", "--port", "1"],
                (file, false, "save \"\" \nport \"1\" "),
            ),
            (vec!["--save", "--port", "1"], (None, false, "save \"\"\nport \"1\" ")),
            (vec!["--port", "1", "--save"], (None, false, "port \"1\" \nsave \"\"")),
            (vec!["--requirepass", "--x"], (None, false, "requirepass \"--x\" ")),
            (vec!["--bind", "127.0.0.1", "::1"], (None, false, "bind \"127.0.0.1\" \"::1\" ")),
        ] {
            let (file, stdin, options) = expected;
            assert_eq!(taken_apart(&args), (file, stdin, options.to_owned()), "{args:?}");
        }
    }
}
