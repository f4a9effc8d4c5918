//! The documents: their width, their links, the files that they name.

use tessera_tidy::{Document, documents};

use crate::{COLUMNS_MAX, files, none, root};

/// Names between backticks that look like files and are none.
const NO_FILES: &[&str] = &[];

fn all_documents() -> Vec<Document> {
    let found = documents(&root(), &files()).expect("the documents can be read");
    assert!(found.len() > 5, "only {} documents: is this the workspace?", found.len());
    found
}

#[test]
fn documents_have_a_hundred_columns() {
    let mut complaints = Vec::new();
    for document in all_documents() {
        for (line, length) in document.long_lines(COLUMNS_MAX) {
            let path = &document.path;
            complaints.push(format!("{path}:{line}: {length} columns, at most {COLUMNS_MAX}"));
        }
    }
    none(complaints);
}

#[test]
fn links_lead_somewhere() {
    let mut complaints = Vec::new();
    for document in all_documents() {
        let path = root().join(&document.path);
        let folder = path.parent().expect("a file is in a folder");
        for link in document.links() {
            if !folder.join(&link.name).exists() {
                complaints.push(format!("{}:{}: no {}", document.path, link.line, link.name));
            }
        }
    }
    none(complaints);
}

/// A path may leave out its beginning: `store/src/slot.rs`, and `slot.rs` where there is such a
/// file.
#[test]
fn named_files_exist() {
    let files = files();
    let mut complaints = Vec::new();
    for document in all_documents() {
        for named in document.named_files() {
            let name = named.name.trim_end_matches('/');
            if !NO_FILES.contains(&name) && !files.iter().any(|path| is_at(path, name)) {
                complaints.push(format!("{}:{}: no {name}", document.path, named.line));
            }
        }
    }
    none(complaints);
}

/// Whether a file is the one with this name, or in the folder with this name.
fn is_at(path: &str, name: &str) -> bool {
    let mut found = path.match_indices(name).map(|(at, _)| (at, at + name.len()));
    found.any(|(from, to)| {
        let begins = from == 0 || path.as_bytes()[from - 1] == b'/';
        let ends = to == path.len() || path.as_bytes()[to] == b'/';
        begins && ends
    })
}

#[test]
fn a_name_is_the_end_of_a_path_or_a_folder() {
    let path = "crates/store/src/slot.rs";
    for name in ["slot.rs", "store/src/slot.rs", "store/src", "crates"] {
        assert!(is_at(path, name), "{name}");
    }
    for name in ["lot.rs", "store/slot.rs", "src/slo"] {
        assert!(!is_at(path, name), "{name}");
    }
}
