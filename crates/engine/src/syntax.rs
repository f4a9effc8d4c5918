//! The arguments of a command, from the notation in its table entry to the tree that COMMAND DOCS
//! shows.
//!
//! Notation: words are separated by spaces. A word in capitals is a token, one in small letters a
//! value. A token directly before a value belongs to it (`EX seconds`). `[…]` is optional, `<…>`
//! groups, `a|b` chooses one, and `…` behind a word or group means it may be repeated (`key [key
//! ...]` and `key...` are the same). A value's type follows from its name: `key` and `…key` are
//! keys, `pattern`, `index`, `count`, `seconds` and such are what they are called.

/// One argument of a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Argument {
    /// Its name, in lower case.
    pub(crate) name: String,
    /// `key`, `string`, `integer`, `double`, `pattern`, `unix-time`, `pure-token`, `oneof`,
    /// `block`.
    pub(crate) kind: &'static str,
    /// The token before it.
    pub(crate) token: Option<String>,
    /// May be left out.
    pub(crate) optional: bool,
    /// May be repeated.
    pub(crate) multiple: bool,
    /// The parts of a `oneof` or `block`.
    pub(crate) parts: Vec<Argument>,
}

/// Reads the notation.
///
/// # Errors
/// Where brackets do not match, or nothing stands where something must.
pub(crate) fn parse(syntax: &str) -> Result<Vec<Argument>, String> {
    let mut reader = Reader { tokens: tokens(syntax), at: 0 };
    let arguments = reader.sequence(None)?;
    if reader.at < reader.tokens.len() {
        return Err(format!("unexpected '{}' in '{syntax}'", reader.tokens[reader.at]));
    }
    Ok(arguments)
}

fn tokens(syntax: &str) -> Vec<String> {
    let mut spaced = syntax.replace("...", " ... ");
    for mark in ["[", "]", "<", ">", "|"] {
        spaced = spaced.replace(mark, &format!(" {mark} "));
    }
    spaced.split_whitespace().map(str::to_owned).collect()
}

struct Reader {
    tokens: Vec<String>,
    at: usize,
}

impl Reader {
    fn peek(&self) -> Option<&str> {
        self.tokens.get(self.at).map(String::as_str)
    }

    /// Alternatives up to the closing mark: a `oneof` if there are several.
    fn choice(&mut self, close: &str) -> Result<Argument, String> {
        let mut alternatives = Vec::new();
        loop {
            let parts = self.sequence(Some(close))?;
            alternatives.push(single(parts)?);
            match self.peek() {
                Some("|") => self.at += 1,
                Some(mark) if mark == close => {
                    self.at += 1;
                    break;
                }
                _ => return Err(format!("'{close}' is missing")),
            }
        }
        if alternatives.len() == 1 {
            return Ok(alternatives.remove(0));
        }
        let name = alternatives[0].name.clone();
        Ok(Argument { kind: "oneof", parts: alternatives, ..value(&name) })
    }

    fn sequence(&mut self, close: Option<&str>) -> Result<Vec<Argument>, String> {
        let mut arguments: Vec<Argument> = Vec::new();
        while let Some(token) = self.peek().map(str::to_owned) {
            if Some(token.as_str()) == close || token == "|" && close.is_some() {
                break;
            }
            self.at += 1;
            match token.as_str() {
                "[" => {
                    let mut argument = self.choice("]")?;
                    // `key [key ...]`: the argument before may be repeated.
                    match arguments.last_mut() {
                        Some(last) if argument.multiple && same_names(last, &argument) => {
                            last.multiple = true;
                        }
                        _ => {
                            argument.optional = true;
                            arguments.push(argument);
                        }
                    }
                }
                "<" => {
                    let argument = self.choice(">")?;
                    arguments.push(argument);
                }
                "..." => {
                    arguments.last_mut().ok_or("'...' repeats nothing")?.multiple = true;
                    if arguments.len() > 1 && close.is_some() {
                        let mut block = single(std::mem::take(&mut arguments))?;
                        block.multiple = true;
                        arguments.push(block);
                    }
                }
                "]" | ">" | "|" => return Err(format!("unexpected '{token}'")),
                word => arguments.push(self.word(word)?),
            }
        }
        Ok(arguments)
    }

    fn word(&mut self, word: &str) -> Result<Argument, String> {
        let is_token = |word: &str| {
            word.chars().any(|c| c.is_ascii_uppercase()) || !word.starts_with(char::is_alphabetic)
        };
        if !is_token(word) {
            return Ok(value(word));
        }
        // A token owns the value behind it; what it owns more than that is a block of its own.
        let owned = self.peek().filter(|next| {
            !is_token(next) && !matches!(*next, "[" | "]" | "<" | ">" | "|" | "...")
        });
        match owned.map(str::to_owned) {
            Some(next) => {
                self.at += 1;
                Ok(Argument { token: Some(word.to_owned()), ..value(&next) })
            }
            None => Ok(Argument {
                kind: "pure-token",
                token: Some(word.to_owned()),
                ..value(&word.to_ascii_lowercase())
            }),
        }
    }
}

fn same_names(a: &Argument, b: &Argument) -> bool {
    a.name == b.name && a.parts.len() == b.parts.len()
}

/// One argument as it is, several as a block.
fn single(mut parts: Vec<Argument>) -> Result<Argument, String> {
    match parts.len() {
        0 => Err("an alternative is empty".to_owned()),
        1 => Ok(parts.remove(0)),
        _ => {
            let name = parts[0].name.clone();
            Ok(Argument { kind: "block", parts, ..value(&name) })
        }
    }
}

fn value(name: &str) -> Argument {
    let kind = match name {
        name if name == "key"
            || name.ends_with("key")
            || name == "source"
            || name == "destination" =>
        {
            "key"
        }
        "pattern" => "pattern",
        name if name.starts_with("unix-time") => "unix-time",
        "increment-float" => "double",
        "index" | "count" | "seconds" | "milliseconds" | "cursor" | "offset" | "start" | "end"
        | "increment" | "decrement" | "db" | "port" | "slot" | "epoch" | "numreplicas"
        | "timeout" | "len" | "client-id" | "bus-port" | "start-slot" | "end-slot" | "protover"
        | "maxage" => "integer",
        _ => "string",
    };
    Argument {
        name: name.to_owned(),
        kind,
        token: None,
        optional: false,
        multiple: false,
        parts: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A short form for tests: `name:kind`, `+token`, `?` optional, `*` multiple, parts in
    /// parentheses.
    fn show(arguments: &[Argument]) -> String {
        let one = |a: &Argument| {
            let token = a.token.as_ref().map(|t| format!("+{t}")).unwrap_or_default();
            let marks = format!(
                "{}{}",
                if a.optional { "?" } else { "" },
                if a.multiple { "*" } else { "" }
            );
            let parts =
                if a.parts.is_empty() { String::new() } else { format!("({})", show(&a.parts)) };
            format!("{}:{}{token}{marks}{parts}", a.name, a.kind)
        };
        arguments.iter().map(one).collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn notation() {
        for (syntax, tree) in [
            ("", ""),
            ("key", "key:key"),
            ("key [key ...]", "key:key*"),
            (
                "key value [NX|XX] [GET] [EX seconds|KEEPTTL]",
                "key:key value:string nx:oneof?(nx:pure-token+NX xx:pure-token+XX) get:pure-token+GET? \
              seconds:oneof?(seconds:integer+EX keepttl:pure-token+KEEPTTL)",
            ),
            ("<key value>...", "key:block*(key:key value:string)"),
            ("[MATCH pattern] [COUNT count]", "pattern:pattern+MATCH? count:integer+COUNT?"),
        ] {
            assert_eq!(show(&parse(syntax).unwrap()), tree.replace("  ", " "), "{syntax}");
        }
        for bad in ["[", "a]", "...", "[a|]", "<a"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }
}
