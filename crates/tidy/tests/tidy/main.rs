//! The house rules. Each is a test; each exception stands here with its reason.
//!
//! Ratchets: what is over a limit today is listed with its size and may not grow; once it is within
//! the limit, its entry must go.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use tessera_tidy::{Source, all_files, rust_files};

mod assertions;
mod documents;
mod public_items;

/// Lines of a file: past this it is two ideas.
const FILE_LINES_MAX: usize = 800;

/// Lines of a function.
const FUNCTION_LINES_MAX: usize = 70;

/// Columns of a comment, and of a line in a document.
const COLUMNS_MAX: usize = 100;

/// Files over the limit: path and present lines.
const LONG_FILES: &[(&str, usize)] = &[];

/// Functions over the limit: path, name, present lines, and the reason. Only a long declarative
/// table is a good one; the others are to be split.
const LONG_FUNCTIONS: &[(&str, &str, usize, &str)] = &[
    ("crates/server/src/io/tests/interleaved.rs", "words", 93, "a table of requests"),
    ("crates/server/src/start.rs", "start", 89, "to be split"),
];

/// The crates of the workspace that each may use. Arrows point downwards only (ARCHITECTURE.md); a
/// crate that is not here has no place yet: decide it, then add it.
const MAY_USE: &[(&str, &[&str])] = &[
    ("slot", &[]),
    ("resp", &[]),
    ("config", &[]),
    ("tidy", &[]),
    ("collections", &[]),
    ("store", &["slot", "collections"]),
    ("rdb", &["slot", "collections"]),
    ("dataset", &["slot", "config", "collections", "store", "rdb"]),
    ("log", &["slot"]),
    ("cluster", &["slot", "resp"]),
    ("replication", &["slot", "resp", "log"]),
    ("script", &["slot", "resp"]),
    (
        "engine",
        &[
            "slot",
            "resp",
            "config",
            "collections",
            "store",
            "rdb",
            "dataset",
            "log",
            "script",
            "cluster",
            "replication",
        ],
    ),
    (
        "server",
        &[
            "slot",
            "resp",
            "config",
            "collections",
            "store",
            "rdb",
            "dataset",
            "log",
            "cluster",
            "replication",
            "script",
            "engine",
        ],
    ),
    (
        "sim",
        &[
            "slot",
            "resp",
            "config",
            "store",
            "rdb",
            "dataset",
            "log",
            "cluster",
            "replication",
            "engine",
        ],
    ),
    ("cli", &["slot", "resp"]),
    ("tessera", &["server", "cli", "config", "store"]),
    ("bench", &["slot", "cli"]),
    (
        "fuzz",
        &["slot", "resp", "config", "collections", "store", "rdb", "dataset", "cluster", "engine"],
    ),
];

/// Crates without I/O: time, randomness, files, sockets and threads are arguments, or the business
/// of the crates above.
const WITHOUT_IO: &[&str] = &[
    "slot",
    "resp",
    "config",
    "collections",
    "store",
    "rdb",
    "dataset",
    "log",
    "cluster",
    "replication",
    "script",
    "engine",
    "sim",
];

/// The words that they may not name, and why. Addresses of `std::net` are plain data and allowed.
const AMBIENT: &[(&str, &str)] = &[
    ("TcpStream", "no sockets in crates without I/O"),
    ("TcpListener", "no sockets in crates without I/O"),
    ("UdpSocket", "no sockets in crates without I/O"),
    ("UnixStream", "no sockets in crates without I/O"),
    ("UnixListener", "no sockets in crates without I/O"),
    ("ToSocketAddrs", "no name resolution in crates without I/O"),
    ("std::fs", "no files in crates without I/O"),
    ("std::process", "no processes in crates without I/O"),
    ("std::env", "the environment is not an argument"),
    ("SystemTime", "time is an argument"),
    ("Instant", "time is an argument"),
    ("std::thread", "no threads in crates without I/O"),
    ("thread::spawn", "no threads in crates without I/O"),
    ("thread::sleep", "no threads in crates without I/O"),
    ("thread_rng", "seeds are arguments"),
    ("getrandom", "seeds are arguments"),
    ("tokio", "no runtime in crates without I/O"),
];

/// The places where they may all the same: path, word, and the reason.
const AMBIENT_ALLOWED: &[(&str, &str, &str)] = &[(
    "crates/engine/src/evict/mod.rs",
    "std::thread",
    "gives way for a moment while memory is freed in the background; starts no thread",
)];

/// The places where `unsafe` may stand: the beginning of a path, and the reason.
const UNSAFE_ALLOWED: &[(&str, &str)] = &[
    ("crates/store/", "entries are laid out by hand (docs/decisions.md)"),
    ("crates/collections/", "buckets, listpacks and their like are laid out by hand, for memory"),
    (
        "crates/engine/tests/allocations.rs",
        "an allocator that counts, to show that nothing is allocated",
    ),
    ("crates/engine/src/wide.rs", "instructions that not every processor has; measured there"),
    ("crates/server/src/io/ticks.rs", "reads the processor's counter, which changes nothing"),
    ("crates/log/src/chunk.rs", "readers copy from a chunk while the writer appends behind them"),
    ("fuzz/src/memory.rs", "an allocator that measures what the code under test takes"),
];

/// The words that no source may hold, and why.
const UNFINISHED: &[(&str, &str)] = &[
    ("todo!", "finish it or leave it out"),
    ("unimplemented!", "finish it or leave it out"),
    ("dbg!", "a trace left behind"),
];

/// The workspace's root. Asked for when the test runs, not when it is built: a build may be shared
/// by several checkouts.
fn root() -> PathBuf {
    let here = std::env::var_os("CARGO_MANIFEST_DIR");
    let here = here.map_or_else(|| PathBuf::from(env!("CARGO_MANIFEST_DIR")), PathBuf::from);
    here.join("../..").canonicalize().expect("the workspace is there")
}

fn sources() -> Vec<Source> {
    let files = rust_files(&root()).expect("the workspace can be read");
    assert!(files.len() > 20, "only {} files: is this the workspace?", files.len());
    files
}

/// The paths of all files of the workspace.
fn files() -> Vec<String> {
    all_files(&root()).expect("the workspace can be read")
}

/// Fails with all complaints at once.
fn none(complaints: Vec<String>) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

/// The crate that a path belongs to.
fn crate_of(path: &str) -> &str {
    let mut folders = path.split('/');
    match folders.next() {
        Some("crates") => folders.next().unwrap_or_default(),
        first => first.unwrap_or_default(),
    }
}

/// Each crate of the workspace with those that it uses, without development dependencies.
fn dependencies() -> BTreeMap<String, Vec<String>> {
    let output = Command::new(env!("CARGO"))
        .args(["metadata", "--no-deps", "--format-version", "1", "--offline"])
        .current_dir(root())
        .output()
        .expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).expect("it is JSON");
    let list = |value: &serde_json::Value| value.as_array().expect("a list").clone();
    let short = |name: &serde_json::Value| {
        let name = name.as_str().expect("names are text");
        name.strip_prefix("tessera-").unwrap_or(name).to_owned()
    };
    let is_ours = |dependency: &serde_json::Value| {
        dependency["path"].is_string() && dependency["kind"] != "dev"
    };
    let uses = |package: &serde_json::Value| {
        let used = list(&package["dependencies"]);
        used.iter().filter(|used| is_ours(used)).map(|used| short(&used["name"])).collect()
    };
    list(&metadata["packages"])
        .iter()
        .map(|package| (short(&package["name"]), uses(package)))
        .collect()
}

#[test]
fn arrows_point_downwards() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_USE.iter().copied().collect();
    let mut complaints = Vec::new();
    for (user, used) in dependencies() {
        let Some(allowed) = allowed.get(user.as_str()) else {
            complaints.push(format!("{user} is not in MAY_USE"));
            continue;
        };
        for used in used.iter().filter(|used| !allowed.contains(&used.as_str())) {
            complaints.push(format!("{user} may not use {used}"));
        }
    }
    none(complaints);
}

/// `cargo build --release` by the README makes what users run, and nothing else.
#[test]
fn the_first_build_has_no_crate_for_developers() {
    let manifest = std::fs::read_to_string(root().join("Cargo.toml")).expect("it is there");
    assert!(manifest.contains("\ndefault-members = [\"crates/tessera\"]\n"));
    let uses = dependencies();
    let mut built = vec!["tessera"];
    let mut at = 0;
    while let Some(user) = built.get(at) {
        let more: Vec<&str> = uses[*user].iter().map(String::as_str).collect();
        built.extend(more.into_iter().filter(|used| !built.contains(used)).collect::<Vec<_>>());
        at += 1;
    }
    assert!(built.len() > 8, "{built:?}");
    for dev in ["sim", "tidy", "bench", "fuzz"] {
        assert!(uses.contains_key(dev) && !built.contains(&dev), "{dev} in {built:?}");
    }
}

#[test]
fn the_allowed_arrows_have_no_cycle() {
    // Each crate of the table may use only those that stand above it there.
    for (at, (user, used)) in MAY_USE.iter().enumerate() {
        for used in *used {
            let place = MAY_USE.iter().position(|(name, _)| name == used);
            assert!(place.is_some_and(|place| place < at), "{user} uses {used}");
        }
    }
}

#[test]
fn files_are_one_idea() {
    let mut complaints = Vec::new();
    for source in sources() {
        let listed =
            LONG_FILES.iter().find(|(path, _)| *path == source.path).map(|(_, lines)| *lines);
        complaints.extend(ratchet(&source.path, source.line_count(), FILE_LINES_MAX, listed));
    }
    none(complaints);
}

#[test]
fn functions_do_one_thing() {
    let mut complaints = Vec::new();
    let mut found = Vec::new();
    for source in sources() {
        for function in source.functions().into_iter().filter(|f| f.lines > FUNCTION_LINES_MAX) {
            let listed = LONG_FUNCTIONS
                .iter()
                .find(|(path, name, ..)| *path == source.path && *name == function.name)
                .map(|(_, _, lines, _)| *lines);
            let place = format!("{}:{} {}", source.path, function.line, function.name);
            complaints.extend(ratchet(&place, function.lines, FUNCTION_LINES_MAX, listed));
            found.push((source.path.clone(), function.name));
        }
    }
    for (path, name, ..) in LONG_FUNCTIONS {
        if !found.iter().any(|(at, is)| at == path && is == name) {
            complaints.push(format!("{path} {name}: within the limit; take it off the list"));
        }
    }
    none(complaints);
}

/// The complaint about a length, if any.
fn ratchet(place: &str, lines: usize, limit: usize, listed: Option<usize>) -> Option<String> {
    match listed {
        None if lines > limit => Some(format!("{place}: {lines} lines, at most {limit}")),
        Some(listed) if lines > listed => {
            Some(format!("{place}: grown from {listed} to {lines} lines"))
        }
        Some(_) if lines <= limit => {
            Some(format!("{place}: within the limit; take it off the list"))
        }
        _ => None,
    }
}

#[test]
fn the_ratchet_only_turns_one_way() {
    assert_eq!(ratchet("x", 100, 100, None), None);
    assert!(ratchet("x", 101, 100, None).is_some());
    assert_eq!(ratchet("x", 120, 100, Some(120)), None);
    assert!(ratchet("x", 121, 100, Some(120)).is_some());
    assert!(ratchet("x", 99, 100, Some(120)).is_some());
}

#[test]
fn crates_without_io_have_nothing_ambient() {
    let mut complaints = Vec::new();
    for source in sources() {
        if !WITHOUT_IO.contains(&crate_of(&source.path)) {
            continue;
        }
        let code = source.code_without_tests();
        for (word, reason) in AMBIENT {
            let allowed = AMBIENT_ALLOWED
                .iter()
                .any(|(path, allowed, _)| *path == source.path && allowed == word);
            for line in source.lines_with(&code, word) {
                if !allowed {
                    complaints.push(format!("{}:{line}: {word}: {reason}", source.path));
                }
            }
        }
    }
    none(complaints);
}

#[test]
fn nothing_is_left_unfinished() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (word, reason) in UNFINISHED {
            for line in source.lines_with(&source.code, word) {
                complaints.push(format!("{}:{line}: {word}: {reason}", source.path));
            }
        }
        for line in source.lines_with(&source.code, "#[ignore]") {
            complaints.push(format!("{}:{line}: an ignored test says why", source.path));
        }
    }
    none(complaints);
}

#[test]
fn unsafe_is_rare_and_proved() {
    let mut complaints = Vec::new();
    for source in sources() {
        let allowed = UNSAFE_ALLOWED.iter().any(|(path, _)| source.path.starts_with(path));
        if !allowed {
            for line in source.lines_with(&source.code, "unsafe") {
                complaints.push(format!("{}:{line}: unsafe is not allowed here", source.path));
            }
        }
        for line in source.unsafe_without_reason() {
            complaints.push(format!("{}:{line}: unsafe without a SAFETY comment", source.path));
        }
    }
    none(complaints);
}

#[test]
fn comments_have_a_hundred_columns() {
    let mut complaints = Vec::new();
    for source in sources() {
        for (line, length) in source.long_comments(COLUMNS_MAX) {
            let path = &source.path;
            complaints.push(format!("{path}:{line}: {length} columns, at most {COLUMNS_MAX}"));
        }
    }
    none(complaints);
}

#[test]
fn crates_say_what_they_are_for() {
    let mut complaints = Vec::new();
    for source in sources() {
        let is_entry = source.path.ends_with("src/lib.rs") || source.path.ends_with("src/main.rs");
        if is_entry && !source.text.starts_with("//! ") {
            complaints.push(format!("{}: begins with what it is for (//!)", source.path));
        }
    }
    none(complaints);
}

#[test]
fn crates_share_the_lints() {
    let mut complaints = Vec::new();
    for name in dependencies().keys() {
        let is_beside = ["bench", "fuzz"].contains(&name.as_str());
        let folder = if is_beside { root().join(name) } else { root().join("crates").join(name) };
        let manifest =
            std::fs::read_to_string(folder.join("Cargo.toml")).expect("each crate has one");
        if !manifest.contains("[lints]\nworkspace = true") {
            complaints.push(format!("{name}: its Cargo.toml does not take the workspace's lints"));
        }
    }
    none(complaints);
}
