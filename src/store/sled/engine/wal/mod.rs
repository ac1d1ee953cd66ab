//! The write-ahead log: every commit is appended to a file and synced there; the state is persisted later, by checkpoints.
//! So a commit costs one write and one sync of a preallocated file, whatever it changes.
//!
//! The log is a sequence of files, `journal/00000001.log` and so on, written one after the other. They are filled with zeros
//! before they are used, since a sync that also has to make a new length durable takes half as long again. Files that a
//! checkpoint has made obsolete are reused. A start replays the records after the last checkpoint's watermark.

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

/// How files are made durable; tests inject failures and delays here.
pub type SyncLog = Arc<dyn Fn(&File) -> io::Result<()> + Send + Sync>;

/// The size of a log file: far more than most commits; a larger commit gets a larger file.
pub(crate) const FILE_BYTES: u64 = 16 * 1024 * 1024;
/// The size of the first file after a start, which may never need more.
const FIRST_FILE_BYTES: u64 = 1024 * 1024;
/// How many obsolete files are kept for reuse: about as many as a checkpoint makes obsolete under load, since filling one
/// with zeros costs as much as writing it.
const RECYCLED_MAX: usize = 16;
/// After so many bytes of a file the next one is preallocated.
const NEXT_AFTER: u64 = 128 * 1024;
const ZEROS: usize = 256 * 1024;
/// The longest pause while a file is filled, so that it is ready in time.
const PAUSE_MAX: Duration = Duration::from_millis(5);
const RECYCLED: &str = "spare";

fn place(folder: &Path, number: u64) -> PathBuf {
    folder.join(format!("{number:08}.log"))
}

/// The numbers of the log files, in ascending order.
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

/// Syncs in pieces, so that syncs of other files do not wait for all of it, and pauses as long as it works unless somebody
/// waits for the file.
fn filled_with_zeros(path: &Path, bytes: u64, urgent: bool) -> io::Result<()> {
    let file = File::create(path)?;
    let (zeros, mut at) = (vec![0; ZEROS], 0);
    while at < bytes {
        let begun = Instant::now();
        let length = usize::try_from(bytes - at).unwrap_or(ZEROS).min(ZEROS);
        file.write_all_at(&zeros[..length], at)?;
        file.sync_data()?;
        at += length as u64;
        if !urgent {
            std::thread::sleep(begun.elapsed().min(PAUSE_MAX));
        }
    }
    file.sync_all()
}

/// A file that is full, or the one being written.
struct Segment {
    number: u64,
    /// The number of its first record.
    first: u64,
}

/// The preallocated next file. A start takes it for a file without records.
struct Preallocated {
    number: u64,
    file: File,
}

/// The files of the log; shared by the committer, the checkpoints and the thread that preallocates files.
pub(crate) struct WalFiles {
    folder: PathBuf,
    segments: Mutex<Vec<Segment>>,
    /// Locked while the file is being made: the committer waits if it needs it sooner.
    ready: Mutex<Option<Preallocated>>,
}

impl WalFiles {
    fn segments(&self) -> MutexGuard<'_, Vec<Segment>> {
        self.segments.lock()
    }

    /// How many files a start would read.
    pub(crate) fn len(&self) -> usize {
        self.segments().len()
    }

    fn recycled(&self, place: usize) -> PathBuf {
        self.folder.join(format!("{RECYCLED}{place}"))
    }

    fn ready(&self) -> MutexGuard<'_, Option<Preallocated>> {
        self.ready.lock()
    }

    /// Preallocates the next file, unless it exists, so that the committer need not wait for it.
    pub(crate) fn prepare(&self) -> io::Result<()> {
        let mut ready = self.ready();
        if ready.is_none() {
            let number = self.next_number();
            let file = self.make(number, FILE_BYTES, false)?;
            *ready = Some(Preallocated { number, file });
        }
        Ok(())
    }

    /// Releases the preallocated file, which is not needed any more.
    pub(crate) fn release_preallocated(&self) -> io::Result<()> {
        match self.ready().take() {
            Some(Preallocated { number, .. }) => self.recycle_or_remove(&place(&self.folder, number)),
            None => Ok(()),
        }
    }

    /// Keeps a file for reuse, or removes it.
    fn recycle_or_remove(&self, path: &Path) -> io::Result<()> {
        let recycled = (0..RECYCLED_MAX).map(|at| self.recycled(at)).find(|recycled| !recycled.exists());
        match recycled.filter(|_| fs::metadata(path).is_ok_and(|data| data.len() == FILE_BYTES)) {
            Some(recycled) => fs::rename(path, recycled),
            None => fs::remove_file(path),
        }
    }

    /// Releases the files whose records are all persisted, that is, not after `watermark`.
    pub(crate) fn truncate_before(&self, watermark: u64) -> io::Result<()> {
        loop {
            let number = {
                let segments = self.segments();
                // A file is obsolete when the next one begins no later than after the watermark.
                match segments.as_slice() {
                    [first, second, ..] if second.first <= watermark + 1 => first.number,
                    _ => return Ok(()),
                }
            };
            self.recycle_or_remove(&place(&self.folder, number))?;
            self.segments().remove(0);
        }
    }

    fn next_number(&self) -> u64 {
        self.segments().last().map_or(1, |part| part.number + 1)
    }

    /// A file of this number with so many bytes; reuses a spare one if there is one.
    fn make(&self, number: u64, bytes: u64, urgent: bool) -> io::Result<File> {
        let path = place(&self.folder, number);
        let recycled = (0..RECYCLED_MAX).map(|at| self.recycled(at)).find(|recycled| recycled.exists());
        if let Some(recycled) = recycled.filter(|_| bytes <= FILE_BYTES) {
            fs::rename(recycled, &path)?;
        } else {
            let making = self.folder.join("making");
            if let Err(error) = filled_with_zeros(&making, bytes, urgent) {
                // A partial file would only take space on a full disk.
                drop(fs::remove_file(&making));
                return Err(error);
            }
            fs::rename(making, &path)?;
        }
        sync_folder(&self.folder)?;
        File::options().read(true).write(true).open(path)
    }

    /// The next file, whose first record has the number `first`.
    fn next(&self, first: u64, bytes: u64) -> io::Result<File> {
        // Held until the file is in the list: a concurrent `prepare` would take the same number.
        let mut ready = self.ready();
        let number = self.next_number();
        let file = match ready.take().filter(|_| bytes <= FILE_BYTES) {
            Some(ready) => ready.file,
            None => self.make(number, bytes, true)?,
        };
        self.segments().push(Segment { number, first });
        Ok(file)
    }
}

/// The writer of the log, used by one thread.
pub(crate) struct Wal {
    files: Arc<WalFiles>,
    file: File,
    bytes: u64,
    at: u64,
    /// The number of the last record written.
    last: u64,
    /// The number of the last record that is durable.
    durable: u64,
    buffer: Vec<u8>,
    /// Whether the next file was already asked for.
    wanted: bool,
}

impl Wal {
    /// Continues after record `last` in a new file; older files stay until a checkpoint makes them obsolete.
    pub(crate) fn open(directory: &Path, last: u64) -> io::Result<Self> {
        let folder = directory.join(LOG_FOLDER);
        fs::create_dir_all(&folder)?;
        sync_folder(directory)?;
        // The next checkpoint makes all existing files obsolete.
        let segments = numbers(&folder)?.into_iter().map(|number| Segment { number, first: last + 1 }).collect();
        let files = Arc::new(WalFiles { folder, segments: Mutex::new(segments), ready: Mutex::default() });
        let file = files.next(last + 1, FIRST_FILE_BYTES)?;
        let bytes = file.metadata()?.len();
        Ok(Self { files, file, bytes, at: 0, last, durable: last, buffer: Vec::new(), wanted: false })
    }

    pub(crate) fn files(&self) -> Arc<WalFiles> {
        Arc::clone(&self.files)
    }

    /// The number of the last record.
    pub(crate) fn last(&self) -> u64 {
        self.last
    }

    /// Appends one record. It is durable only after [`sync`](Self::sync).
    pub(crate) fn append(&mut self, changes: &[Change]) -> io::Result<()> {
        self.buffer.clear();
        encode(&mut self.buffer, self.last + 1, self.durable, changes);
        debug_assert_eq!(self.buffer.len() % ALIGN, 0, "records begin at multiples");
        let bytes = self.buffer.len() as u64;
        if self.at + bytes > self.bytes {
            self.rotate(bytes)?;
        }
        self.file.write_all_at(&self.buffer, self.at)?;
        self.at += bytes;
        self.last += 1;
        Ok(())
    }

    /// Switches to the next file. Syncs the current one first, since later syncs cover the new file only.
    fn rotate(&mut self, needed: u64) -> io::Result<()> {
        self.file.sync_data()?;
        self.file = self.files.next(self.last + 1, FILE_BYTES.max(needed))?;
        (self.bytes, self.at, self.wanted) = (self.file.metadata()?.len(), 0, false);
        Ok(())
    }

    /// True once per file, when the next one should be [preallocated](WalFiles::prepare).
    pub(crate) fn should_preallocate(&mut self) -> bool {
        let wants = self.at >= NEXT_AFTER && !self.wanted;
        self.wanted |= wants;
        wants
    }

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
        let log = Wal::open(directory.path(), 0).unwrap();
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
