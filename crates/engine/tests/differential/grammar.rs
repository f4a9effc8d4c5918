//! The arguments of commands, by COMMAND DOCS.

use crate::harness::reply::Value;
use std::collections::{BTreeMap, BTreeSet};

/// One argument.
#[derive(Debug, Clone)]
pub(crate) struct Argument {
    pub(crate) name: String,
    /// `key`, `string`, `integer`, `double`, `pattern`, `unix-time`, `pure-token`, `oneof`,
    /// `block`.
    pub(crate) kind: String,
    pub(crate) token: Option<String>,
    pub(crate) optional: bool,
    pub(crate) multiple: bool,
    /// The token is repeated too.
    pub(crate) multiple_token: bool,
    pub(crate) parts: Vec<Argument>,
}

/// A command.
#[derive(Debug, Clone)]
pub(crate) struct Form {
    pub(crate) name: String,
    pub(crate) group: String,
    pub(crate) arguments: Vec<Argument>,
}

/// Reads the reply to COMMAND DOCS: the commands without subcommands, by name.
pub(crate) fn read(docs: &Value) -> BTreeMap<String, Form> {
    let mut forms = BTreeMap::new();
    for pair in docs.parts().chunks(2) {
        let (name, doc) = (text(&pair[0]), &pair[1]);
        if doc.get("subcommands").is_none() {
            let group = doc.get("group").map(text).unwrap_or_default();
            forms.insert(name.clone(), Form { name, group, arguments: arguments(doc) });
        }
    }
    forms
}

fn text(value: &Value) -> String {
    String::from_utf8_lossy(value.bytes()).into_owned()
}

fn arguments(doc: &Value) -> Vec<Argument> {
    doc.get("arguments").map_or(&[][..], Value::parts).iter().map(argument).collect()
}

fn argument(doc: &Value) -> Argument {
    let has = |flag: &str| {
        doc.get("flags").is_some_and(|flags| flags.parts().iter().any(|word| text(word) == flag))
    };
    Argument {
        name: doc.get("name").map(text).unwrap_or_default(),
        kind: doc.get("type").map(text).unwrap_or_default(),
        token: doc.get("token").map(text),
        optional: has("optional"),
        multiple: has("multiple"),
        multiple_token: has("multiple_token"),
        parts: arguments(doc),
    }
}

impl Form {
    /// Without the options whose tokens the other form does not know: another server is not asked
    /// for what it does not have.
    pub(crate) fn without_tokens_unknown_to(mut self, other: &Form) -> Form {
        let mut known = BTreeSet::new();
        tokens(&other.arguments, &mut known);
        keep(&mut self.arguments, &known);
        self
    }
}

fn tokens(arguments: &[Argument], into: &mut BTreeSet<String>) {
    for argument in arguments {
        into.extend(argument.token.iter().map(|token| token.to_ascii_uppercase()));
        tokens(&argument.parts, into);
    }
}

fn keep(arguments: &mut Vec<Argument>, known: &BTreeSet<String>) {
    arguments.iter_mut().for_each(|argument| keep(&mut argument.parts, known));
    arguments.retain(|argument| {
        let composed = matches!(argument.kind.as_str(), "oneof" | "block");
        argument.token.as_ref().is_none_or(|token| known.contains(&token.to_ascii_uppercase()))
            && !(composed && argument.parts.is_empty())
    });
}
