//! A Markdown file, as far as the rules look into it.

use std::fs;
use std::io;
use std::path::Path;

/// A Markdown file of the workspace.
#[derive(Clone, Debug)]
pub struct Document {
    /// Its path from the workspace's root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// Something that a document names, on a line counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// The line.
    pub line: usize,
    /// The target of a link, or the text between backticks.
    pub name: String,
}

impl Document {
    /// Its lines outside of code fences, with their numbers from 1.
    fn prose(&self) -> impl Iterator<Item = (usize, &str)> {
        let mut in_fence = false;
        self.text.lines().enumerate().filter_map(move |(index, line)| {
            let is_fence = line.trim_start().starts_with("```");
            in_fence ^= is_fence;
            (!in_fence && !is_fence).then_some((index + 1, line))
        })
    }

    /// The lines with more than `limit` characters, and how many they have. Tables, code fences and
    /// the targets of links do not count.
    pub fn long_lines(&self, limit: usize) -> Vec<(usize, usize)> {
        let length = |line: &str| without_targets(line).chars().count();
        self.prose()
            .filter(|(_, line)| !line.trim_start().starts_with('|'))
            .map(|(number, line)| (number, length(line)))
            .filter(|&(_, length)| length > limit)
            .collect()
    }

    /// The targets of its relative links, without the part behind `#`.
    pub fn links(&self) -> Vec<Named> {
        let mut links = Vec::new();
        for (line, text) in self.prose() {
            for (at, _) in text.match_indices("](") {
                let rest = &text[at + 2..];
                let target = &rest[..rest.find(')').unwrap_or(rest.len())];
                let target = target.split('#').next().unwrap_or_default();
                if !target.is_empty() && !target.contains(':') {
                    links.push(Named { line, name: target.to_owned() });
                }
            }
        }
        links
    }

    /// The files and folders that it names between backticks: paths with a `/`, and names of Rust
    /// files.
    pub fn named_files(&self) -> Vec<Named> {
        let mut named = Vec::new();
        for (line, text) in self.prose() {
            let quoted = text.split('`').skip(1).step_by(2);
            let files = quoted.filter(|name| looks_like_a_file(name));
            named.extend(files.map(|name| Named { line, name: name.to_owned() }));
        }
        named
    }
}

/// The line with `](target)` cut down to `]()`.
fn without_targets(line: &str) -> String {
    let mut parts = line.split("](");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        kept.push_str("](");
        kept.push_str(part.find(')').map_or("", |end| &part[end..]));
    }
    kept
}

/// Whether the text between two backticks is a path of this workspace. Programs that are built,
/// options and patterns are not.
fn looks_like_a_file(name: &str) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "/_-.".contains(c);
    let is_path = name.contains('/') || name.ends_with(".rs");
    let is_elsewhere = ["/", "./", "../", "target/"].iter().any(|begin| name.starts_with(begin));
    is_path && !is_elsewhere && name.chars().all(is_plain)
}

/// The Markdown files of the workspace, among these paths from its root.
///
/// # Errors
/// If one cannot be read.
pub fn documents(root: &Path, files: &[String]) -> io::Result<Vec<Document>> {
    let paths = files.iter().filter(|path| path.ends_with(".md"));
    paths
        .map(|path| Ok(Document { path: path.clone(), text: fs::read_to_string(root.join(path))? }))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn document(text: &str) -> Document {
        Document { path: "x.md".to_owned(), text: text.to_owned() }
    }

    fn names(named: Vec<Named>) -> Vec<(usize, String)> {
        named.into_iter().map(|named| (named.line, named.name)).collect()
    }

    #[test]
    fn tables_fences_and_targets_do_not_count() {
        let text = "12345 é\n| 1234567890 |\n```\n1234567890\n```\n[12](https://x.y/z)\n12345678";
        assert_eq!(document(text).long_lines(7), [(7, 8)]);
    }

    #[test]
    fn links_are_relative() {
        let text = "[a](b/c.md#d) [e](https://f) [g](#h)\n```\n[i](j)\n```\n[k](l/)";
        let expected = [(1, "b/c.md".to_owned()), (5, "l/".to_owned())];
        assert_eq!(names(document(text).links()), expected);
    }

    #[test]
    fn files_stand_between_backticks() {
        let text = "`a/b.rs` a/c.rs `d.rs` `e` `SET / GET`\n`/tmp/x` `f/g` `target/release/x`";
        let expected = [(1, "a/b.rs"), (1, "d.rs"), (2, "f/g")];
        let expected = expected.map(|(line, name)| (line, name.to_owned()));
        assert_eq!(names(document(text).named_files()), expected);
    }
}
