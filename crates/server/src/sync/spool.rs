//! The payload for replicas that must know its length before its first byte.
//!
//! It is written to a file in the server's directory, once for all of them, and read back when it
//! is complete. So such a replica takes no memory, however much data there is and however slowly it
//! reads. The file has no name: it is gone when its last reader is, or the process.

use std::fs::{File, OpenOptions};
use std::io::{Result, Write};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Bytes that are read at once.
const PIECE: usize = 256 << 10;

/// A payload that is being written.
pub(super) struct Spool {
    file: File,
    length: u64,
}

impl Spool {
    /// An empty file in this directory.
    ///
    /// # Errors
    /// If there can be none.
    pub(super) fn create(dir: &Path) -> Result<Spool> {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        let name = format!("temp-sync-{}-{}.rdb", std::process::id(), NUMBER.fetch_add(1, Relaxed));
        let path = dir.join(name);
        let file = OpenOptions::new().read(true).write(true).create_new(true).open(&path)?;
        std::fs::remove_file(&path)?;
        Ok(Spool { file, length: 0 })
    }

    /// Adds bytes at the end.
    ///
    /// # Errors
    /// If the file system takes no more; the payload is lost then.
    pub(super) fn write(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes)?;
        self.length += bytes.len() as u64;
        Ok(())
    }

    /// The payload is complete: what readers begin with.
    pub(super) fn finish(self) -> Spooled {
        Spooled { file: Arc::new(self.file), at: 0, length: self.length }
    }
}

/// A complete payload, as one replica reads it.
#[derive(Clone)]
pub(super) struct Spooled {
    file: Arc<File>,
    at: u64,
    /// Bytes of the whole payload.
    pub(super) length: u64,
}

impl Spooled {
    /// The next bytes; `None` at the end.
    ///
    /// # Errors
    /// If they cannot be read back.
    pub(super) fn next(&mut self) -> Result<Option<Vec<u8>>> {
        let left = self.length - self.at;
        if left == 0 {
            return Ok(None);
        }
        let mut piece = vec![0; usize::try_from(left).unwrap_or(PIECE).min(PIECE)];
        self.file.read_exact_at(&mut piece, self.at)?;
        self.at += piece.len() as u64;
        Ok(Some(piece))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reader_gets_the_whole_payload_and_no_file_stays() {
        let dir = tempfile::tempdir().expect("a directory");
        let mut spool = Spool::create(dir.path()).expect("a file");
        let payload: Vec<u8> = (0..3 * PIECE + 17).map(|at| (at % 251) as u8).collect();
        payload.chunks(10_000).for_each(|chunk| spool.write(chunk).expect("there is room"));
        assert_eq!(std::fs::read_dir(dir.path()).expect("it is there").count(), 0);

        let mut readers = [(); 2].map(|()| None::<Spooled>);
        let first = spool.finish();
        assert_eq!(first.length, payload.len() as u64);
        readers.fill(Some(first));
        for reader in readers.iter_mut().flatten() {
            let mut read = Vec::new();
            while let Some(piece) = reader.next().expect("it can be read") {
                read.extend(piece);
            }
            assert!(read == payload);
        }
    }
}
