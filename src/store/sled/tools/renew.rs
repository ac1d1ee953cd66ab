//! Writes the files of a store anew, from a snapshot: nothing of what was removed or overwritten is in them then. Takes as much room
//! as the store has, for a while, and the read models are made anew.

use super::import::{Importer, PutError};
use crate::store::record::{Snapshot as _, VisitError};
use crate::store::sled::integrity::directory::OpenError;
use crate::store::sled::integrity::renewal;
use crate::store::sled::{SledJournal, SledSettings};
use std::io;
use std::path::Path;

/// Why a store was not copied; it is as it was.
#[derive(Debug, thiserror::Error)]
pub enum RenewError {
    #[error(transparent)]
    Copy(#[from] OpenError),
    #[error(transparent)]
    Visit(#[from] VisitError),
    #[error(transparent)]
    Put(#[from] PutError),
    #[error("the copy cannot be put in the place of the store: {0}")]
    Mark(io::Error),
}

impl SledJournal {
    /// Copies the store, which lies in `path`, so that the next opening takes the copy in place of its files. Nobody may append
    /// from now on: release the journal and open it again. Blocks for as long as copying takes.
    ///
    /// # Errors
    /// When it cannot be read, or the copy not be written.
    pub fn renew(&self, path: &Path, options: &SledSettings) -> Result<(), RenewError> {
        let renewed = self.copy(path, options);
        // Also removed by the next opening; the room is needed before that. A copy that the next opening may still take stays.
        if renewed.is_err() && renewal::withdraw(path).is_ok() {
            drop(std::fs::remove_dir_all(renewal::folder(path)));
        }
        renewed
    }

    fn copy(&self, path: &Path, options: &SledSettings) -> Result<(), RenewError> {
        let mut copy = Importer::create(&renewal::folder(path), options)?;
        self.visit(&mut |record| copy.put(record).map_err(io::Error::other))?;
        copy.finish()?;
        renewal::mark_ready(path).map_err(RenewError::Mark)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::check::check;
    use crate::store::journal::{DocumentWrite, Journal};
    use crate::store::record::Record;
    use crate::store::sled::tests::{SHARD, append, options, wait};
    use std::fs;

    const SECRET: &str = "a-key-that-is-to-vanish-from-the-disk";

    fn records(journal: &SledJournal) -> Vec<Record> {
        let mut records = Vec::new();
        let mut take = |record| {
            records.push(record);
            Ok(())
        };
        journal.visit(&mut take).unwrap();
        records
    }

    fn holds_secret(path: &Path) -> bool {
        fs::read_dir(path).unwrap().any(|entry| {
            let path = entry.unwrap().path();
            if path.is_dir() {
                return holds_secret(&path);
            }
            fs::read(path).unwrap().windows(SECRET.len()).any(|window| window == SECRET.as_bytes())
        })
    }

    /// A store in which a document was overwritten.
    fn store(path: &Path) -> Vec<Record> {
        let journal = SledJournal::open(path, &options()).unwrap();
        let owned = wait(journal.own(SHARD)).unwrap();
        for (head, text) in [SECRET, "wrapped"].into_iter().enumerate() {
            let write = DocumentWrite { kind: "key", key: "kim".into(), body: Some(text.into()) };
            let mut append = append(owned.epoch, head as u64);
            append.documents.push(write);
            wait(journal.append(append)).unwrap();
            // Written to sled, so that it is there twice.
            journal.snapshot().unwrap();
        }
        let records = records(&journal);
        wait(journal.close()).unwrap();
        records
    }

    #[test]
    fn a_renewed_store_is_the_same_and_has_nothing_of_what_was_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let before = store(path);
        assert!(holds_secret(path), "there is something to vanish");
        fs::write(path.join("of-somebody-else"), "stays").unwrap();
        let journal = SledJournal::open(path, &options()).unwrap();
        journal.renew(path, &options()).unwrap();
        drop(journal);
        let journal = SledJournal::open(path, &options()).unwrap();
        assert_eq!(records(&journal), before);
        assert!(check(&journal, |_| {}).unwrap().is_clean());
        assert_eq!(wait(journal.own(SHARD)).unwrap().head, 2);
        drop(journal);
        assert!(!holds_secret(path));
        assert!(path.join("of-somebody-else").exists() && !path.join("renewal").exists());
    }

    #[test]
    fn without_its_copy_nothing_of_a_store_is_removed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let before = store(path);
        let journal = SledJournal::open(path, &options()).unwrap();
        journal.renew(path, &options()).unwrap();
        drop(journal);
        fs::remove_dir_all(path.join("renewal")).unwrap();
        assert!(SledJournal::open(path, &options()).is_err());
        fs::remove_file(path.join("renewal.state")).unwrap();
        assert_eq!(records(&SledJournal::open(path, &options()).unwrap()), before);
    }

    #[test]
    fn a_renewal_that_was_cut_off_anywhere_leaves_the_store_as_it_was() {
        for cut in 0..4 {
            let directory = tempfile::tempdir().unwrap();
            let path = directory.path();
            let before = store(path);
            let journal = SledJournal::open(path, &options()).unwrap();
            journal.renew(path, &options()).unwrap();
            drop(journal);
            match cut {
                // Before the copy was complete.
                0 => fs::remove_file(path.join("renewal.state")).unwrap(),
                // While the old files were being removed.
                1 => fs::remove_file(path.join("db")).unwrap(),
                // While those of the copy were being moved.
                2 => {
                    for entry in fs::read_dir(path).unwrap() {
                        let path = entry.unwrap().path();
                        if path.is_file() && !path.to_string_lossy().contains("rentcar.store") {
                            fs::remove_file(path).unwrap();
                        }
                    }
                    for name in ["db", "conf"] {
                        fs::rename(path.join("renewal").join(name), path.join(name)).unwrap();
                    }
                    fs::remove_dir_all(path.join("journal")).unwrap();
                    fs::write(path.join("renewal.state"), "move\n").unwrap();
                }
                // Before anything was done.
                _ => {}
            }
            let journal = SledJournal::open(path, &options()).unwrap();
            assert_eq!(records(&journal), before, "{cut}");
            drop(journal);
            assert!(!path.join("renewal").exists() && !path.join("renewal.state").exists());
            assert_eq!(holds_secret(path), cut == 0, "{cut}");
        }
    }
}
