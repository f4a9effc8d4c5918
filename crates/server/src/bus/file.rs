//! nodes.conf on disk: locked by its node, replaced as a whole.

use anyhow::{Context, Result, bail};
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

/// The file of this node. The lock lies on a file beside it, since the file itself is replaced at
/// every save.
pub(crate) struct NodesFile {
    path: PathBuf,
    _lock: File,
}

impl NodesFile {
    /// Opens and locks the file; gives its content if it exists.
    ///
    /// # Errors
    /// If another process has it, or it cannot be read or written.
    pub(crate) fn open(path: &Path) -> Result<(NodesFile, Option<String>)> {
        // CONFIG SET dir may take the process elsewhere.
        let path = &*std::path::absolute(path)?;
        let lock_path = beside(path, "lock");
        let lock = OpenOptions::new()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&lock_path)
            .with_context(|| format!("Can't open {} in order to lock it", lock_path.display()))?;
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            Ok(()) => {}
            Err(rustix::io::Errno::WOULDBLOCK) => bail!(
                "Sorry, the cluster configuration file {} is already used by a different Cluster node. Please \
                 make sure that different nodes use different cluster configuration files.",
                path.display()
            ),
            Err(error) => bail!("Impossible to lock {}: {error}", lock_path.display()),
        }
        let content = match std::fs::read(path) {
            // Only names can be other than ASCII, and a name is no reason not to start.
            Ok(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
            Err(error) if error.kind() == ErrorKind::NotFound => None,
            Err(error) => {
                return Err(error).with_context(|| {
                    format!("Loading the cluster node config from {}", path.display())
                });
            }
        };
        Ok((NodesFile { path: path.to_owned(), _lock: lock }, content))
    }

    /// Replaces the content: a new file is written and renamed over the old one. `durable`: return
    /// only when file and directory are on disk.
    ///
    /// # Errors
    /// What went wrong; the old file is then still whole.
    pub(crate) fn save(&self, text: &str, durable: bool) -> Result<()> {
        tessera_store::assert_unlocked("nodes.conf");
        let temporary = beside(&self.path, &format!("tmp-{}", std::process::id()));
        let write = || -> std::io::Result<()> {
            let mut file = File::create(&temporary)?;
            file.write_all(text.as_bytes())?;
            if durable {
                file.sync_all()?;
            }
            std::fs::rename(&temporary, &self.path)?;
            if durable {
                // The path is absolute, so it has a parent.
                self.path.parent().map_or(Ok(()), |parent| File::open(parent)?.sync_all())?;
            }
            Ok(())
        };
        write()
            .inspect_err(|_| drop(std::fs::remove_file(&temporary)))
            .with_context(|| format!("Could not save {}", self.path.display()))
    }
}

/// A file beside this one: its whole name with one more ending, so that no two nodes' files share
/// it.
fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(ending);
    PathBuf::from(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_differ_in_their_ending_only_are_two_nodes() {
        let dir = tempfile::tempdir().unwrap();
        let _first = NodesFile::open(&dir.path().join("nodes.1")).unwrap();
        assert!(NodesFile::open(&dir.path().join("nodes.2")).is_ok());
    }

    #[test]
    fn one_node_one_file() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        let (file, content) = NodesFile::open(&path).unwrap();
        assert_eq!(content, None);
        file.save("vars currentEpoch 0 lastVoteEpoch 0\n", true).unwrap();
        let error = NodesFile::open(&path).err().unwrap().to_string();
        assert!(error.contains("already used by a different Cluster node"), "{error}");
        drop(file);
        let (_, content) = NodesFile::open(&path).unwrap();
        assert_eq!(content.as_deref(), Some("vars currentEpoch 0 lastVoteEpoch 0\n"));
    }

    #[test]
    fn a_name_in_another_encoding_does_not_keep_a_node_from_starting() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        std::fs::write(&path, b"h\xe9llo\n\0\0").unwrap();
        let (_file, content) = NodesFile::open(&path).unwrap();
        assert_eq!(content.as_deref(), Some("h\u{fffd}llo\n\0\0"));
    }

    #[test]
    fn a_write_that_fails_leaves_nothing_behind() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("nodes.conf");
        let (file, _) = NodesFile::open(&path).unwrap();
        // A directory in its place: the new file is written, and cannot take that place.
        std::fs::create_dir_all(path.join("inside")).unwrap();
        file.save("vars currentEpoch 0 lastVoteEpoch 0\n", true).unwrap_err();
        let names = std::fs::read_dir(dir.path()).unwrap().map(|entry| entry.unwrap().file_name());
        let mut names: Vec<_> = names.collect();
        names.sort();
        assert_eq!(names, ["nodes.conf", "nodes.conf.lock"]);
    }
}
