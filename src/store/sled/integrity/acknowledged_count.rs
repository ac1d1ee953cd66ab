//! How many events were acknowledged, in a small file beside sled's. sled takes a damaged entry of its log for a torn write
//! and silently drops what follows; a start that finds fewer events than this file says detects the loss. The file is
//! written after the events are durable and never synced, so that it may be behind, after a power failure for instance, but
//! never ahead. Never repairs.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::os::unix::fs::FileExt;
use std::path::Path;

pub(crate) const COUNT_FILE: &str = "rentcar.mark";
/// The decimal digits of the greatest `u64`, so that every count overwrites the one before completely.
const DIGITS: usize = 20;

pub(crate) struct AcknowledgedCount {
    file: File,
    noted: u64,
}

impl AcknowledgedCount {
    /// Opens or creates the file.
    pub(crate) fn open(directory: &Path) -> io::Result<Self> {
        let file = File::options().create(true).truncate(false).read(true).write(true).open(directory.join(COUNT_FILE));
        let file = file?;
        let mut text = String::new();
        match (&file).take(64).read_to_string(&mut text) {
            Err(error) if error.kind() != ErrorKind::InvalidData => return Err(error),
            Ok(_) | Err(_) => {}
        }
        // A power failure can leave an unreadable file, which then counts as 0.
        let noted = text.trim().parse().unwrap_or(0);
        Ok(Self { file, noted })
    }

    /// A lower bound of the events that were acknowledged.
    pub(crate) fn noted(&self) -> u64 {
        self.noted
    }

    /// Call it only when so many events are durable. A smaller count than before is ignored.
    pub(crate) fn note(&mut self, events: u64) -> io::Result<()> {
        if events > self.noted {
            self.file.write_all_at(format!("{events:0DIGITS$}\n").as_bytes(), 0)?;
            self.noted = events;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_noted_is_found_again_and_never_becomes_less() {
        let directory = tempfile::tempdir().unwrap();
        let mut mark = AcknowledgedCount::open(directory.path()).unwrap();
        assert_eq!(mark.noted(), 0);
        mark.note(7_000_000_000).unwrap();
        mark.note(12).unwrap();
        assert_eq!(AcknowledgedCount::open(directory.path()).unwrap().noted(), 7_000_000_000);
        std::fs::write(directory.path().join(COUNT_FILE), [0xff, 0, 1]).unwrap();
        assert_eq!(AcknowledgedCount::open(directory.path()).unwrap().noted(), 0);
    }
}
