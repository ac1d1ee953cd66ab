//! The log in front of the state: every commit is appended to a file and synced there, and the state follows in its own
//! time. So a commit costs one write and one sync of a file that already has its length, whatever it changes.
//!
//! The log is a row of files of one length, `journal/00000001.log` and so on, written one after the other. They are filled
//! with zeros before they are used, since a sync that must also make a new length durable takes half as long again, and
//! those that a checkpoint has made superfluous are used anew. A start reads what the last checkpoint does not have.

mod read;
mod record;

pub(crate) use read::{LogError, read};

use super::state::Change;
use crate::store::sled::integrity::directory::LOG_FOLDER;
use parking_lot::{Mutex, MutexGuard};
use record::{ALIGN, encode};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How files are made durable; tests put failures and delays here.
pub type SyncLog = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// The bytes of a file of the log: more than the largest commit by far.
pub(crate) const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// Of the first file after a start, which may never need more.
const FIRST_FILE_BYTES: u64 = 1024 * 1024;
/// So many files are kept to be used anew: about as many as a checkpoint makes superfluous where many are busy, since
/// filling one with zeros costs as much as writing it.
const SPARES_MAX: usize = 16;
/// After so many bytes of a file the next one is made ready.
const NEXT_AFTER: u64 = 128 * 1024;
const ZEROS: usize = 256 * 1024;
/// The longest pause while a file is filled, so that it is there in time.
const PAUSE_MAX: Duration = Duration::from_millis(5);
const SPARE: &str = "spare";

fn place(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

/// The numbers of the files that are there, in their order.
fn numbers(folder: &Path) -> io::Result<Vec<u64>> {
    let mut found = Vec::new();
    let entries = match fs::read_dir(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(found),
        entries => entries?,
    };
    for entry in entries {
        let name = entry?.file_name();
        found.extend(name.to_str().and_then(|name| name.strip_suffix(".log")?.parse::<u64>().ok()));
    }
    found.sort_unstable();
    Ok(found)
}

fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Synced piece by piece, so that syncs of other files do not wait for all of it, and with pauses as long as the work
/// unless somebody waits for it.
fn filled_with_zeros(path: &Path, bytes: u64, hurried: bool) -> io::Result<()> {
    let file = File::create(path)?;
    let (zeros, mut at) = (vec![0; ZEROS], 0);
    while at < bytes {
        let begun = Instant::now();
        let length = usize::try_from(bytes - at).unwrap_or(ZEROS).min(ZEROS);
        file.write_all_at(&zeros[..length], at)?;
        file.sync_data()?;
        at += length as u64;
        if !hurried {
            std::thread::sleep(begun.elapsed().min(PAUSE_MAX));
        }
    }
    file.sync_all()
}

/// A file that is complete, or the one being written.
struct Part {
    number: u64,
    /// The number of its first record.
    first: u64,
}

/// The file that comes next, made before it is needed. A start that finds it takes it for one without a record.
struct Ready {
    number: u64,
    file: File,
}

/// Which files there are; shared by who writes the log, who makes it shorter and who makes the next file.
pub(crate) struct Files {
    folder: PathBuf,
    parts: Mutex<Vec<Part>>,
    /// Locked while it is made: whoever needs it sooner waits for it.
    ready: Mutex<Option<Ready>>,
}

impl Files {
    fn parts(&self) -> MutexGuard<'_, Vec<Part>> {
        self.parts.lock()
    }

    /// How many files the next start would read.
    pub(crate) fn len(&self) -> usize {
        self.parts().len()
    }

    fn spare(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{SPARE}{place}"))
    }

    fn ready(&self) -> MutexGuard<'_, Option<Ready>> {
        self.ready.lock()
    }

    /// Makes the next file, so that who writes the log need not wait for it, unless it is there.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let mut ready = self.ready();
        if ready.is_none() {
            let number = self.next_number();
            let file = self.make(number, FILE_BYTES, false)?;
            *ready = Some(Ready { number, file });
        }
        Ok(())
    }

    /// Takes the next file back that was made and is not needed.
    pub(crate) fn put_back(&self) -> io::Result<()> {
        match self.ready().take() {
            Some(Ready { number, .. }) => self.let_go(&place(&self.folder, number)),
            None => Ok(()),
        }
    }

    /// Keeps a file to be used anew, or removes it.
    fn let_go(&self, path: &Path) -> io::Result<()> {
        let spare = (0..SPARES_MAX).map(|at| self.spare(at)).find(|spare| !spare.exists());
        match spare.filter(|_| fs::metadata(path).is_ok_and(|data| data.len() == FILE_BYTES)) {
            Some(spare) => fs::rename(path, spare),
            None => fs::remove_file(path),
        }
    }

    /// Lets go of the files whose records are all in the state, which is durable up to record `watermark`.
    pub(crate) fn shorten(&self, watermark: u64) -> io::Result<()> {
        loop {
            let number = {
                let parts = self.parts();
                // A file is superfluous when the next one begins no later than after the watermark.
                match parts.as_slice() {
                    [first, second, ..] if second.first <= watermark + 1 => first.number,
                    _ => return Ok(()),
                }
            };
            self.let_go(&place(&self.folder, number))?;
            self.parts().remove(0);
        }
    }

    fn next_number(&self) -> u64 {
        self.parts().last().map_or(1, |part| part.number + 1)
    }

    /// A file of this number with so many bytes, made of a spare one where there is one.
    fn make(&self, number: u64, bytes: u64, hurried: bool) -> io::Result<File> {
        let path = place(&self.folder, number);
        let spare = (0..SPARES_MAX).map(|at| self.spare(at)).find(|spare| spare.exists());
        if let Some(spare) = spare.filter(|_| bytes <= FILE_BYTES) {
            fs::rename(spare, &path)?;
        } else {
            let making = self.folder.join("making");
            if let Err(error) = filled_with_zeros(&making, bytes, hurried) {
                // On a full disk it would only be in the way.
                drop(fs::remove_file(&making));
                return Err(error);
            }
            fs::rename(making, &path)?;
        }
        sync_folder(&self.folder)?;
        File::options().read(true).write(true).open(path)
    }

    /// The next file, whose first record is `first`.
    fn next(&self, first: u64, bytes: u64) -> io::Result<File> {
        // Held until the file is known by its number: who makes the next one meanwhile would make this one again.
        let mut ready = self.ready();
        let number = self.next_number();
        let file = match ready.take().filter(|_| bytes <= FILE_BYTES) {
            Some(ready) => ready.file,
            None => self.make(number, bytes, true)?,
        };
        self.parts().push(Part { number, first });
        Ok(file)
    }
}

/// Writes the log. One thread has it.
pub(crate) struct Log {
    files: Arc<Files>,
    file: File,
    bytes: u64,
    at: u64,
    /// The number of the last record written.
    last: u64,
    /// The number of the last record that is durable.
    durable: u64,
    buffer: Vec<u8>,
    /// Whether it was said that the next file will be needed.
    wanted: bool,
}

impl Log {
    /// Goes on behind record `last` in a new file; what older files hold stays.
    pub(crate) fn open(directory: &Path, last: u64) -> io::Result<Self> {
        let folder = directory.join(LOG_FOLDER);
        fs::create_dir_all(&folder)?;
        sync_folder(directory)?;
        // What is there is made superfluous by the next checkpoint, all at once.
        let parts = numbers(&folder)?.into_iter().map(|number| Part { number, first: last + 1 }).collect();
        let files = Arc::new(Files { folder, parts: Mutex::new(parts), ready: Mutex::default() });
        let file = files.next(last + 1, FIRST_FILE_BYTES)?;
        let bytes = file.metadata()?.len();
        Ok(Self { files, file, bytes, at: 0, last, durable: last, buffer: Vec::new(), wanted: false })
    }

    pub(crate) fn files(&self) -> Arc<Files> {
        Arc::clone(&self.files)
    }

    /// The number of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Appends what a commit changes. Durable only after [`sync`](Self::sync).
    pub(crate) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        self.buffer.clear();
        encode(&mut self.buffer, self.last + 1, self.durable, changes);
        debug_assert_eq!(self.buffer.len() % ALIGN, 0, "records begin at multiples");
        let bytes = self.buffer.len() as u64;
        if self.at + bytes > self.bytes {
            self.turn_over(bytes)?;
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += bytes;
        self.last += 1;
        Ok(())
    }

    /// Goes on in the next file. What is in the last one is synced first, since only one file is synced later.
    fn turn_over(&mut self, needed: u64) -> io::Result<()> {
        self.file.sync_data()?;
        self.file = self.files.next(self.last + 1, FILE_BYTES.max(needed))?;
        (self.bytes, self.at, self.wanted) = (self.file.metadata()?.len(), 0, false);
        Ok(())
    }

    /// Says once for each file that the next one had better be [made](Files::prepare).
    pub(crate) fn wants_next(&mut self) -> bool {
        let wants = self.at >= NEXT_AFTER && !self.wanted;
        self.wanted |= wants;
        wants
    }

    /// Makes everything appended durable.
    pub(crate) fn sync(&mut self, sync: &dyn Fn(&File) -> io::Result<()>) -> io::Result<()> {
        sync(&self.file)?;
        self.durable = self.last;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;
    use std::sync::atomic::{AtomicBool, Ordering};

    #[test]
    fn the_next_file_is_made_once_although_two_make_it_at_the_same_time() {
        let directory = tempfile::tempdir().unwrap();
        let log = Log::open(directory.path(), 0).unwrap();
        let (files, done) = (log.files(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            let preparing = scope.spawn(|| {
                while !done.load(Ordering::Relaxed) {
                    files.prepare().unwrap();
                }
            });
            let given: Vec<File> = (2..40).map(|first| files.next(first, 4096).unwrap()).collect();
            done.store(true, Ordering::Relaxed);
            preparing.join().unwrap();
            for (number, file) in (2..).zip(given) {
                let named = fs::metadata(place(&files.folder, number)).unwrap();
                assert_eq!(file.metadata().unwrap().ino(), named.ino(), "file {number} was made again");
            }
        });
    }
}
