//! Tests that cannot fail.

use std::collections::{BTreeMap, BTreeSet};

use tessera_tidy::Source;

use crate::{crate_of, none, sources};

/// Tests without assertion, by path and name, and the reason.
const WITHOUT_ASSERTION: &[(&str, &str, &str)] = &[
    ("crates/cluster/src/bus/tests.rs", "arbitrary_bytes_never_panic", "fails by a panic"),
    ("crates/cluster/src/bus/tests.rs", "damaged_packets_never_panic", "fails by a panic"),
    ("crates/config/src/glob.rs", "any_bytes_are_harmless", "fails by a panic"),
    ("crates/config/src/parse.rs", "any_text_is_harmless", "fails by a panic"),
    ("crates/config/src/rewrite.rs", "any_file_is_harmless", "fails by a panic"),
    ("crates/config/src/rewrite.rs", "any_directive_lines_are_harmless", "fails by a panic"),
];

/// The beginnings of what can fail in a test.
const CAN_FAIL: &[&str] = &["assert", "panic", "unreachable", "expect", "unwrap", "check", "prop_"];

/// The words of a text.
fn words(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_alphanumeric() && c != '_').filter(|word| !word.is_empty()).collect()
}

fn can_fail(words: &BTreeSet<&str>) -> bool {
    words.iter().any(|word| CAN_FAIL.iter().any(|begin| word.starts_with(begin)))
}

/// The helper functions of each crate's tests which can fail, themselves or by what they call.
fn failing_helpers(sources: &[Source]) -> BTreeMap<&str, BTreeSet<String>> {
    let mut helpers: BTreeMap<&str, Vec<(String, BTreeSet<&str>)>> = BTreeMap::new();
    for source in sources {
        let program = source.code_without_tests();
        for function in source.functions() {
            let is_program = !source.is_test() && !program[function.at.clone()].trim().is_empty();
            if !is_program {
                let text = &source.code[function.at];
                let body = words(text.split_once('{').map_or("", |(_, body)| body));
                helpers.entry(crate_of(&source.path)).or_default().push((function.name, body));
            }
        }
    }
    let failing = |functions: Vec<(String, BTreeSet<&str>)>| {
        let mut found = BTreeSet::new();
        loop {
            let calls = |body: &BTreeSet<&str>| body.iter().any(|word| found.contains(*word));
            let more: Vec<String> = functions
                .iter()
                .filter(|(name, body)| !found.contains(name) && (can_fail(body) || calls(body)))
                .map(|(name, _)| name.clone())
                .collect();
            if more.is_empty() {
                return found;
            }
            found.extend(more);
        }
    };
    helpers.into_iter().map(|(name, functions)| (name, failing(functions))).collect()
}

#[test]
fn tests_assert_something() {
    let sources = sources();
    let helpers = failing_helpers(&sources);
    let none_of_them = BTreeSet::new();
    let mut complaints = Vec::new();
    let mut count = 0;
    for source in &sources {
        let helpers = helpers.get(crate_of(&source.path)).unwrap_or(&none_of_them);
        let functions = source.functions();
        for test in functions.iter().filter(|function| source.is_test_function(function)) {
            count += 1;
            let body = source.code[test.at.clone()].split_once('{').map_or("", |(_, body)| body);
            let body = words(body);
            let allowed = WITHOUT_ASSERTION
                .iter()
                .any(|(path, name, _)| *path == source.path && *name == test.name);
            if !allowed && !can_fail(&body) && !body.iter().any(|word| helpers.contains(*word)) {
                let place = format!("{}:{}", source.path, test.line);
                complaints.push(format!("{place}: {} asserts nothing", test.name));
            }
        }
    }
    assert!(count > 500, "only {count} tests: are they found?");
    none(complaints);
}
