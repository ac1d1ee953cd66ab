//! Replays the log at a start and tells a torn write at its end from damage. After a crash the last records may be torn; none
//! of them was acknowledged. But each record says up to where the log was durable when it was written: an unreadable record
//! that a later one says was durable is damage, and so is a missing file.

use super::record::{self, ALIGN};
use super::{numbers, place};
use crate::store::sled::engine::state::Entry;
use crate::store::sled::integrity::directory::LOG_FOLDER;
use std::fs;
use std::io;
use std::path::Path;

#[derive(Debug, thiserror::Error)]
pub(crate) enum LogError {
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A durable record is unreadable or missing; the offset is in bytes.
    #[error("its log `{LOG_FOLDER}/{file}` is unreadable at byte {offset}")]
    Damaged { file: String, offset: usize },
}

/// Passes the records after number `after` to `take`, in order; returns the number of the last one.
pub(crate) fn read(directory: &Path, after: u64, mut take: impl FnMut(Vec<Entry>)) -> Result<u64, LogError> {
    let folder = directory.join(LOG_FOLDER);
    let mut last = after;
    for number in numbers(&folder)? {
        let bytes = fs::read(place(&folder, number))?;
        let damaged = |offset| LogError::Damaged { file: format!("{number:08}.log"), offset };
        let mut at = 0;
        while let Some(found) = bytes.get(at..).and_then(record::decode) {
            // Earlier records are persisted already, or are leftovers in a reused file.
            if found.number > last {
                if found.number != last + 1 {
                    break;
                }
                take(found.entries().map_err(|_| damaged(at))?);
                last = found.number;
            }
            at += found.stored_bytes();
        }
        if was_durable_after(&bytes, at, last) {
            return Err(damaged(at));
        }
    }
    Ok(last)
}

/// Whether a later record in the file says that record `last + 1` was durable.
fn was_durable_after(bytes: &[u8], from: usize, last: u64) -> bool {
    (from..bytes.len())
        .step_by(ALIGN)
        .any(|at| record::decode(&bytes[at..]).is_some_and(|found| found.number > last && found.durable > last))
}

#[cfg(test)]
mod tests {
    use super::super::{FILE_BYTES, Wal};
    use super::*;
    use crate::store::sled::engine::state::Change;
    use bytes::Bytes;
    use std::fs::File;

    fn entry(n: u64, bytes: usize) -> Vec<Change> {
        let value = Bytes::from(vec![u8::try_from(n % 251).unwrap(); bytes]);
        vec![(n.to_be_bytes().to_vec(), Some(value)).into(), (b"x".to_vec(), None).into()]
    }

    fn fill(log: &mut Wal, numbers: std::ops::RangeInclusive<u64>, bytes: usize, synced: bool) {
        for n in numbers {
            log.append(&entry(n, bytes)).unwrap();
            if synced {
                log.sync(&File::sync_data).unwrap();
            }
        }
    }

    fn read_back(directory: &Path, after: u64) -> Result<Vec<u64>, LogError> {
        let mut found = Vec::new();
        let last = read(directory, after, |entries| {
            found.push(u64::from_be_bytes(entries[0].0.as_slice().try_into().unwrap()));
        })?;
        assert_eq!(last, found.last().copied().unwrap_or(after));
        Ok(found)
    }

    fn change(directory: &Path, file: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let path = place(&directory.join(LOG_FOLDER), file);
        let mut bytes = fs::read(&path).unwrap();
        change(&mut bytes);
        fs::write(path, bytes).unwrap();
    }

    #[test]
    fn what_was_written_is_read_over_several_files_and_several_starts() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Wal::open(directory.path(), 0).unwrap();
        fill(&mut log, 1..=40, 60_000, true);
        drop(log);
        assert_eq!(read_back(directory.path(), 0).unwrap(), (1..=40).collect::<Vec<_>>());
        let mut log = Wal::open(directory.path(), 40).unwrap();
        fill(&mut log, 41..=45, 100, true);
        assert_eq!(read_back(directory.path(), 12).unwrap(), (13..=45).collect::<Vec<_>>());
        // Persisted records are no longer needed, and their files are reused.
        log.files().truncate_before(45).unwrap();
        assert_eq!(numbers(&directory.path().join(LOG_FOLDER)).unwrap().len(), 1);
        assert!(read_back(directory.path(), 45).unwrap().is_empty());
    }

    #[test]
    fn a_file_that_is_used_anew_ends_where_its_new_records_do() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Wal::open(directory.path(), 0).unwrap();
        let bytes = usize::try_from(FILE_BYTES / 4).unwrap();
        fill(&mut log, 1..=6, bytes, true);
        log.files().truncate_before(4).unwrap();
        fill(&mut log, 7..=11, bytes, true);
        assert_eq!(read_back(directory.path(), 4).unwrap(), (5..=11).collect::<Vec<_>>());
    }

    #[test]
    fn a_torn_end_is_an_end_and_a_hole_in_what_was_durable_is_damage() {
        let directory = tempfile::tempdir().unwrap();
        let mut log = Wal::open(directory.path(), 0).unwrap();
        fill(&mut log, 1..=3, 100, true);
        let torn = usize::try_from(log.at).unwrap();
        fill(&mut log, 4..=5, 100, false);
        drop(log);
        let path = place(&directory.path().join(LOG_FOLDER), 1);
        let whole = fs::read(&path).unwrap();
        change(directory.path(), 1, |bytes| bytes[torn + 40] ^= 1);
        assert_eq!(read_back(directory.path(), 0).unwrap(), [1, 2, 3]);
        fs::write(&path, &whole).unwrap();
        change(directory.path(), 1, |bytes| bytes[60] ^= 1);
        assert!(matches!(read_back(directory.path(), 0), Err(LogError::Damaged { offset: 0, .. })));
        fs::write(&path, whole).unwrap();
        // The next start goes on after the torn record, in a file of its own.
        change(directory.path(), 1, |bytes| bytes[torn + 40] ^= 1);
        let mut log = Wal::open(directory.path(), 3).unwrap();
        fill(&mut log, 4..=9, 100, true);
        assert_eq!(read_back(directory.path(), 0).unwrap(), (1..=9).collect::<Vec<_>>());
        fs::remove_file(path).unwrap();
        assert!(matches!(read_back(directory.path(), 0), Err(LogError::Damaged { .. })));
    }
}
