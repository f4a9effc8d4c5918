//! A Rust file, as far as the rules look into it.

use std::fs;
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

use crate::mask::{comments, mask};

/// A Rust file of the workspace.
#[derive(Clone, Debug)]
pub struct Source {
    /// Its path from the workspace's root, with `/`.
    pub path: String,
    /// Its text.
    pub text: String,
    /// Its text without comments and literals.
    pub code: String,
}

/// A function in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Its name.
    pub name: String,
    /// The line of its `fn`, from 1.
    pub line: usize,
    /// Lines from its `fn` to its closing brace.
    pub lines: usize,
    /// Its place in the text, from its `fn` to its closing brace.
    pub at: Range<usize>,
}

impl Source {
    /// A file with this text.
    pub fn new(path: impl Into<String>, text: impl Into<String>) -> Source {
        let text = text.into();
        Source { path: path.into(), code: mask(&text), text }
    }

    /// How many lines it has.
    pub fn line_count(&self) -> usize {
        self.text.lines().count()
    }

    /// Whether it belongs to no program: in a `tests`, `benches`, `examples` or `fuzz` folder, or
    /// a `tests.rs`.
    pub fn is_test(&self) -> bool {
        let mut folders = self.path.split('/').rev();
        folders.next() == Some("tests.rs")
            || folders.any(|folder| matches!(folder, "tests" | "benches" | "examples" | "fuzz"))
    }

    /// Its code without modules and items marked `#[cfg(test)]`.
    pub fn code_without_tests(&self) -> String {
        if self.is_test() {
            return String::new();
        }
        let mut code = self.code.clone();
        let mut from = 0;
        while let Some(found) = code[from..].find("#[cfg(test)]") {
            let start = from + found;
            let end = item_end(&code, start);
            let blank: String =
                code[start..end].chars().map(|c| if c == '\n' { '\n' } else { ' ' }).collect();
            code.replace_range(start..end, &blank);
            from = start + blank.len();
        }
        code
    }

    /// Its functions that have a body.
    pub fn functions(&self) -> Vec<Function> {
        words(&self.code, "fn").filter_map(|at| self.function_at(at)).collect()
    }

    fn function_at(&self, at: usize) -> Option<Function> {
        let rest = self.code[at + 2..].trim_start();
        let is_name = |c: char| c.is_alphanumeric() || c == '_';
        let name: String = rest.chars().take_while(|c| is_name(*c)).collect();
        // `fn(…)` is a type.
        if name.is_empty() {
            return None;
        }
        let end = item_end(&self.code, at);
        if self.code.as_bytes().get(end - 1) != Some(&b'}') {
            return None;
        }
        let lines = self.code[at..end].lines().count();
        Some(Function { name, line: line_of(&self.code, at), lines, at: at..end })
    }

    /// Whether a function of this file is a test that is expected to end well.
    pub fn is_test_function(&self, function: &Function) -> bool {
        let before = &self.code[..function.at.start];
        let from = before.rfind([';', '{', '}']).map_or(0, |at| at + 1);
        let attributes = &before[from..];
        ["#[test]", "::test]", "::test("].iter().any(|test| attributes.contains(test))
            && !attributes.contains("should_panic")
    }

    /// The lines with a comment, or a part of one, that have more than `limit` characters, and how
    /// many they have. Rows of tables, code in doc comments and lines without a blank to break at
    /// do not count.
    pub fn long_comments(&self, limit: usize) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        let mut in_fence = false;
        for comment in comments(&self.text) {
            let first = line_of(&self.text, comment.start);
            let count = self.text[comment.clone()].lines().count();
            for (number, line) in self.text.lines().enumerate().skip(first - 1).take(count) {
                let words = line.trim_start().trim_start_matches(['/', '!', ' ']);
                in_fence ^= words.starts_with("```");
                let is_free = in_fence || words.starts_with('|') || !words.contains(' ');
                let length = line.chars().count();
                if length > limit && !is_free {
                    found.push((number + 1, length));
                }
            }
        }
        found
    }

    /// The lines, from 1, on which this word or path stands in the given code of this file.
    pub fn lines_with(&self, code: &str, word: &str) -> Vec<usize> {
        words(code, word).map(|at| line_of(code, at)).collect()
    }

    /// The lines, from 1, of `unsafe` blocks, functions and impls without a reason: no comment with
    /// `SAFETY:` or `# Safety` on the same line or in the comment and attributes above. The
    /// functions of an `unsafe impl` need none: their contract is the trait's.
    pub fn unsafe_without_reason(&self) -> Vec<usize> {
        let lines: Vec<&str> = self.text.lines().collect();
        let vouched = |line: usize| {
            let said = |text: &str| text.contains("SAFETY:") || text.contains("# Safety");
            let comment_above = lines[..line - 1].iter().rev().take_while(|above| {
                let above = above.trim_start();
                above.starts_with("//") || above.starts_with("#[")
            });
            said(lines[line - 1]) || comment_above.into_iter().any(|above| said(above))
        };
        let mut missing = self.lines_with(&self.code, "unsafe");
        let of_impl = self.functions_of_unsafe_impls();
        missing.retain(|line| !of_impl.contains(line));
        missing.retain(|&line| !self.is_statement_vouched(&lines, line, &vouched));
        missing.dedup();
        missing
    }

    /// The lines of `unsafe fn` within `unsafe impl`.
    fn functions_of_unsafe_impls(&self) -> Vec<usize> {
        let mut lines = Vec::new();
        for start in words(&self.code, "unsafe impl") {
            let end = item_end(&self.code, start);
            let functions = words(&self.code[start..end], "unsafe fn");
            lines.extend(functions.map(|at| line_of(&self.code, start + at)));
        }
        lines
    }

    /// The comment may stand above the statement of which the `unsafe` is a later line.
    fn is_statement_vouched(
        &self,
        lines: &[&str],
        line: usize,
        vouched: &dyn Fn(usize) -> bool,
    ) -> bool {
        let mut at = line;
        while !vouched(at) {
            // Up to the line behind which a statement or block begins.
            let Some(above) = at.checked_sub(2).map(|index| lines[index].trim_end()) else {
                return false;
            };
            let begins_anew = above.trim().is_empty() || above.ends_with([';', '{', '}']);
            if begins_anew || line - at > 10 {
                return false;
            }
            at -= 1;
        }
        true
    }
}

/// The positions at which a word stands on its own; a path such as `std::fs` counts as a word.
pub(crate) fn words<'a>(code: &'a str, word: &'a str) -> impl Iterator<Item = usize> + 'a {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    code.match_indices(word).map(|(at, _)| at).filter(move |&at| {
        let before = code[..at].chars().next_back();
        let after = code[at + word.len()..].chars().next();
        let open_end = word.ends_with(|c: char| !is_part(c));
        !before.is_some_and(is_part) && (open_end || !after.is_some_and(is_part))
    })
}

pub(crate) fn line_of(code: &str, at: usize) -> usize {
    code[..at].matches('\n').count() + 1
}

/// The end of the item that begins at `start`: behind its `;`, or behind the brace that closes its
/// body.
pub(crate) fn item_end(code: &str, start: usize) -> usize {
    let (mut parentheses, mut braces) = (0_usize, 0_usize);
    for (at, byte) in code.bytes().enumerate().skip(start) {
        match byte {
            b'(' | b'[' => parentheses += 1,
            b')' | b']' => parentheses = parentheses.saturating_sub(1),
            b'{' => braces += 1,
            b'}' => {
                braces = braces.saturating_sub(1);
                if braces == 0 && parentheses == 0 {
                    return at + 1;
                }
            }
            b';' if braces == 0 && parentheses == 0 => return at + 1,
            _ => {}
        }
    }
    code.len()
}

/// The Rust files of the workspace at `root`, by path: those of its crates, of `bench`, `fuzz` and
/// `examples`.
///
/// # Errors
/// If one cannot be read.
pub fn rust_files(root: &Path) -> io::Result<Vec<Source>> {
    let files = all_files(root)?;
    let is_ours = |path: &&String| {
        let folder = path.split('/').next().unwrap_or_default();
        ["crates", "bench", "fuzz", "examples"].contains(&folder) && path.ends_with(".rs")
    };
    files
        .iter()
        .filter(is_ours)
        .map(|path| Ok(Source::new(path.as_str(), fs::read_to_string(root.join(path))?)))
        .collect()
}

/// The paths of all files of the workspace from its root, with `/`, in order. What is built,
/// downloaded or kept by git is left out.
///
/// # Errors
/// If a folder cannot be read.
pub fn all_files(root: &Path) -> io::Result<Vec<String>> {
    const OTHERS: [&str; 5] = ["target", ".git", "node_modules", ".venv", "tessera-data"];
    let mut files = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.to_owned()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder)? {
            let path = entry?.path();
            let name = path.file_name().unwrap_or_default();
            if OTHERS.iter().any(|other| name == *other) {
                continue;
            }
            if path.is_dir() {
                folders.push(path);
            } else {
                let from_root = path.strip_prefix(root).unwrap_or(&path);
                files.push(from_root.to_string_lossy().into_owned());
            }
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn functions_and_their_lengths() {
        let source = Source::new(
            "x.rs",
            "fn one() {}\npub fn two(\n    a: [u8; 3],\n) -> fn() {\n    if a { \"}\"; }\n}\n\
             trait T { fn three(); fn four() { } }\n",
        );
        let found: Vec<_> =
            source.functions().into_iter().map(|f| (f.name, f.line, f.lines)).collect();
        let expected =
            [("one", 1, 1), ("two", 2, 5), ("four", 7, 1)].map(|(n, at, l)| (n.to_owned(), at, l));
        assert_eq!(found, expected);
    }

    #[test]
    fn tests_are_known_by_their_attribute() {
        let source = Source::new(
            "x.rs",
            "#[test]\nfn a() {}\nfn b() {}\n#[test]\n#[should_panic]\nfn c() {}\n\
             m! { #[test] fn d(x in 0..3) {} }\n#[tokio::test]\nasync fn e() {}\n",
        );
        let tests = source.functions();
        let tests = tests.iter().filter(|function| source.is_test_function(function));
        assert_eq!(tests.map(|test| test.name.as_str()).collect::<Vec<_>>(), ["a", "d", "e"]);
    }

    #[test]
    fn long_comments_are_prose() {
        let source = Source::new(
            "x.rs",
            "//! a long line\n//! | a long row |\n//! ```\n//! long code\n//! ```\n\
             //! https://long\nlet a = \"// a long text\";\nlet b; // too long\n/* a\nlong one */\n",
        );
        assert_eq!(source.long_comments(10), [(1, 15), (8, 18), (10, 11)]);
    }

    #[test]
    fn tests_are_no_code() {
        let source = Source::new(
            "crates/a/src/b.rs",
            "use std::fs;\n#[cfg(test)]\nmod tests {\n    use std::net;\n}\nfn f() { std::net::x() }\n",
        );
        let code = source.code_without_tests();
        assert_eq!(source.lines_with(&code, "std::net"), [6]);
        assert_eq!(source.lines_with(&code, "std::fs"), [1]);
        assert!(Source::new("crates/a/tests/b.rs", "").is_test());
        assert!(Source::new("crates/a/src/b/tests.rs", "").is_test());
        assert!(!Source::new("crates/a/src/latest.rs", "").is_test());
    }

    #[test]
    fn words_stand_alone() {
        let source =
            Source::new("x.rs", "Instant\nInstantly\nInstant::now()\nmy_Instant\n// Instant");
        assert_eq!(source.lines_with(&source.code, "Instant"), [1, 3]);
    }

    #[test]
    fn unsafe_needs_a_reason() {
        let source = Source::new(
            "x.rs",
            "// SAFETY: it is.\nunsafe { a() }\n\nunsafe { b() }\n/// # Safety\n/// Never.\n\
             #[inline]\nunsafe fn c() {}\n// SAFETY: both.\nlet d =\n    unsafe { d() };\n\
             let e = unsafe { e() }; // SAFETY: here.\n// unsafe words\nlet f = \"unsafe\";\n\
             // SAFETY: passed on.\nunsafe impl A for B {\n    unsafe fn g() {\n        unsafe { h() }\n    }\n}\n",
        );
        assert_eq!(source.unsafe_without_reason(), [4, 18]);
    }
}
