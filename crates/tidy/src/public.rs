//! Public items, found by their names.

use std::collections::BTreeSet;

use crate::source::{Source, item_end, line_of, words};

/// A public item of a file: a function, a type, a constant. Fields, modules and re-exports are
/// none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicItem {
    /// Its name.
    pub name: String,
    /// The line on which it begins, from 1.
    pub line: usize,
    /// Whether it is a type or a trait, which others may use without naming it.
    pub is_type: bool,
    /// The part of its text that other crates see: of a function the signature, of a type the
    /// public parts.
    pub declaration: String,
}

impl Source {
    /// Its public items, without those of tests.
    pub fn public_items(&self) -> Vec<PublicItem> {
        let code = self.code_without_tests();
        words(&code, "pub").filter_map(|at| public_item(&code, at)).collect()
    }

    /// The heads of its implementations of traits, and its public fields: they use types of which
    /// callers need not know the names.
    pub fn silent_uses(&self) -> Vec<String> {
        let code = self.code_without_tests();
        let head = |at: usize| code[at..].split('{').next().unwrap_or_default().to_owned();
        let heads = words(&code, "impl").map(head).filter(|head| head.contains(" for "));
        let fields = words(&code, "pub").filter_map(|at| {
            let line = code[at..].lines().next().unwrap_or_default();
            let name = line[3..].trim_start().split(|c: char| !is_part(c)).next()?;
            let rest = line[3..].trim_start().strip_prefix(name)?;
            (rest.starts_with(": ")).then(|| line.to_owned())
        });
        heads.chain(fields).collect()
    }

    /// All words of its code.
    pub fn all_words(&self) -> BTreeSet<&str> {
        self.code.split(|c: char| !is_part(c)).filter(|word| !word.is_empty()).collect()
    }
}

fn is_part(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The item whose `pub` stands at `at`.
fn public_item(code: &str, at: usize) -> Option<PublicItem> {
    const KINDS: [&str; 8] = ["fn", "struct", "enum", "union", "trait", "type", "const", "static"];
    let rest = &code[at + 3..];
    // `pub(crate)` and its like are not public.
    if rest.starts_with('(') {
        return None;
    }
    let mut words = rest.split_whitespace();
    let mut kind = "";
    let mut name = words.next()?;
    while ["const", "async", "unsafe", "extern", "static"].contains(&name) || KINDS.contains(&name)
    {
        kind = name;
        name = words.next()?;
    }
    if !KINDS.contains(&kind) {
        return None;
    }
    let name: String = name.chars().take_while(|&c| is_part(c)).collect();
    // A macro's `$name`, or `_`.
    if name.trim_matches('_').is_empty() {
        return None;
    }
    let text = &code[at..item_end(code, at)];
    let declaration = match kind {
        "fn" => text.split('{').next().unwrap_or_default().to_owned(),
        "const" | "static" => text.split('=').next().unwrap_or_default().to_owned(),
        "struct" => {
            let is_public = |part: &&str| part.contains("pub ");
            text[3..].split([',', ';']).filter(is_public).collect::<Vec<_>>().join(" ")
        }
        _ => text.to_owned(),
    };
    let is_type = !["fn", "const", "static"].contains(&kind);
    Some(PublicItem { name, line: line_of(code, at), is_type, declaration })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn public_items_and_what_they_show() {
        let source = Source::new(
            "crates/a/src/lib.rs",
            "pub struct A {\n    pub b: B,\n    c: C,\n}\npub(crate) fn d() {}\n\
             pub const fn e(f: F) -> G { h() }\npub use i::J;\npub const K: u8 = L;\npub mod m;\n\
             #[cfg(test)]\nmod tests {\n    pub fn n() {}\n}\npub enum O { P(Q) }\n",
        );
        let found: Vec<_> = source
            .public_items()
            .into_iter()
            .map(|item| (item.name, item.line, item.is_type))
            .collect();
        let expected = [("A", 1, true), ("e", 6, false), ("K", 8, false), ("O", 14, true)];
        assert_eq!(found, expected.map(|(name, line, is)| (name.to_owned(), line, is)));
        let shown: String =
            source.public_items().into_iter().map(|item| item.declaration).collect();
        let has = |word: &str| shown.contains(word);
        assert!(["B", "F", "G", "Q"].into_iter().all(has) && !["C", "h", "L"].into_iter().any(has));
        assert_eq!(source.silent_uses(), ["pub b: B,"]);
    }
}
