//! The directory of a store: what may be opened, the lock, and the durability of its file names.
//!
//! A small text file says that the directory is a store of rentcar, in which format, and whether it is complete. It is
//! marked complete as the last step of a creation and of an import, so that a partial store is never taken for a complete
//! one. sled's log is checked before sled opens it (`sled_log_check`); of sled's files only unfinished snapshots and the
//! leftovers of an interrupted creation are removed.

use super::acknowledged_count::COUNT_FILE;
use super::renewal;
use super::sled_log_check::{self, LogCheck};
use std::fs::{self, File, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// The version of the store format. Stores of earlier versions are opened and become stores of this one: in 1 everything was
/// under plain keys in sled, without a write-ahead log; in 2 there were no no-shows, and a customer was erased without
/// being closed first.
pub const FORMAT: u16 = 3;
#[cfg(test)]
pub(crate) const PLAIN_FORMAT: u16 = 1;

pub(crate) fn is_readable(format: u16) -> bool {
    (1..=FORMAT).contains(&format)
}

/// The folder of the write-ahead log, below the store's directory.
pub(crate) const LOG_FOLDER: &str = "journal";
pub(super) const STATE_FILE: &str = "rentcar.store";
pub(super) const LOCK_FILE: &str = "rentcar.lock";
pub(super) const DB_FILE: &str = "db";
/// A copy of sled's log, kept when sled may overwrite a part of it that is still readable.
pub(super) const KEPT_FILE: &str = "db.kept";
const NAME: &str = "rentcar store";

/// Why a store was not opened. Nothing was changed on disk, unless the damage was found only after sled had opened its log:
/// sled overwrites what it takes for a torn write.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{path} is in use by another process; stop that one first", path = .0.display())]
    Locked(PathBuf),
    #[error(
        "{path} has store format {found}, this program reads and writes format {FORMAT}; \
         export it with the program that wrote it and import the archive with this one",
        path = .path.display()
    )]
    Format { path: PathBuf, found: String },
    #[error(
        "{path} was created with the shards {found}, but {configured} are configured; configure those of the store, \
         which are fixed when it is created, or export it and import it into a new one",
        path = .path.display()
    )]
    Shards { path: PathBuf, found: String, configured: String },
    #[error(
        "{path} is not a store of rentcar and not empty; name an empty or a new directory",
        path = .0.display()
    )]
    NotAStore(PathBuf),
    /// There is no store, and none may be created.
    #[error("{path} holds no store", path = .0.display())]
    Missing(PathBuf),
    #[error("{path} holds a store already; name an empty or a new directory", path = .0.display())]
    Occupied(PathBuf),
    #[error(
        "the import into {path} did not come to its end; remove the directory and import again",
        path = .0.display()
    )]
    Incomplete(PathBuf),
    /// Acknowledged events are missing; `kept` says whether a copy of the log was kept.
    #[error(
        "{path} is damaged: {acknowledged} events were acknowledged, but only {found} are left, since part of the log \
         is unreadable or cut off{}. Restore a backup; or, to go on without them, remove the file {COUNT_FILE} there",
        if *.kept { " (the log as it was found is kept in the file `db.kept` there)" } else { "" },
        path = .path.display()
    )]
    Lost { path: PathBuf, acknowledged: u64, found: u64, kept: bool },
    #[error(
        "{path} is damaged: {what}. Restore a backup, or run `rentcar verify` to learn more",
        path = .path.display()
    )]
    Damaged { path: PathBuf, what: String },
    #[error("there is no room left on the disk of {path}", path = .0.display())]
    DiskFull(PathBuf),
    #[error("this process may not read and write {path}", path = .0.display())]
    NoPermission(PathBuf),
    #[error("the store's options are not acceptable: {0}")]
    Options(String),
    /// Any other error of the operating system.
    #[error("{path} cannot be opened: {reason}", path = .path.display())]
    Io {
        path: PathBuf,
        /// Not a `source`, since the message contains it already.
        reason: io::Error,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, reason: io::Error) -> Self {
        let path = path.to_path_buf();
        if reason.kind() == io::ErrorKind::StorageFull || reason.kind() == io::ErrorKind::QuotaExceeded {
            return Self::DiskFull(path);
        }
        if reason.kind() == io::ErrorKind::PermissionDenied || reason.kind() == io::ErrorKind::ReadOnlyFilesystem {
            return Self::NoPermission(path);
        }
        Self::Io { path, reason }
    }

    pub(crate) fn damaged(path: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { path: path.to_path_buf(), what: what.into() }
    }

    /// Some of sled's errors come with advice on how to recover the store.
    pub(crate) fn sled(path: &Path, error: ::sled::Error) -> Self {
        match error {
            ::sled::Error::Io(source) if source.to_string().contains("could not acquire lock") => {
                Self::Locked(path.to_path_buf())
            }
            ::sled::Error::Io(source) => Self::io(path, source),
            ::sled::Error::Corruption { at: None, .. } => Self::damaged(
                path,
                "sled cannot read its snapshot, or not the part of its log that this describes: move the files `snap.*`, \
                 which it derives from the log, out of the directory and start again, which tells whether more is lost",
            ),
            other @ (::sled::Error::Corruption { .. }
            | ::sled::Error::CollectionNotFound(_)
            | ::sled::Error::Unsupported(_)
            | ::sled::Error::ReportableBug(_)) => Self::damaged(path, format!("sled reports: {other}")),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Nothing, or a store whose creation was interrupted before anything could be acknowledged.
    Nothing,
    Store,
}

/// A locked directory; dropping it releases the lock.
#[derive(Debug)]
pub(crate) struct Directory {
    path: PathBuf,
    /// The operating system releases the lock with the process, however that ends.
    _lock: File,
}

impl Directory {
    /// Checks and locks a directory.
    pub(crate) fn lock(path: &Path, create: bool) -> Result<(Self, Contents), OpenError> {
        // Files of a store that is being replaced by its copy are missing until that is finished.
        let contents = if renewal::is_under_way(path) { Contents::Store } else { look(path)? };
        if contents == Contents::Nothing {
            if !create {
                return Err(OpenError::Missing(path.to_path_buf()));
            }
            fs::create_dir_all(path).map_err(|error| OpenError::io(path, error))?;
        }
        let lock = lock(path)?;
        let directory = Self { path: path.to_path_buf(), _lock: lock };
        renewal::finish(path).map_err(|error| OpenError::io(path, error))?;
        // Another process may have created the store between the first check and the lock.
        let contents = look(path)?;
        if contents == Contents::Nothing {
            directory.write_state("creating")?;
        }
        directory.discard_leftovers(contents).map_err(|error| OpenError::io(path, error))?;
        Ok((directory, contents))
    }

    /// Removes what a killed process left: unfinished snapshots of sled, which sled 0.34 would take for finished ones and
    /// then refuse to start; and all files of an interrupted creation, during which nothing was acknowledged.
    fn discard_leftovers(&self, contents: Contents) -> io::Result<()> {
        for entry in fs::read_dir(&self.path)? {
            let entry = entry?;
            let name = entry.file_name();
            let Some(name) = name.to_str() else { continue };
            let unfinished = name.starts_with("snap.") && name.ends_with(".generating");
            let of_creation = name.starts_with("snap.") || ["conf", DB_FILE].contains(&name);
            if unfinished || (contents == Contents::Nothing && of_creation) {
                fs::remove_file(entry.path())?;
            }
            if contents == Contents::Nothing && name == LOG_FOLDER {
                fs::remove_dir_all(entry.path())?;
            }
        }
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// sled's log file, which is synced through a file handle of our own.
    pub(crate) fn database_file(&self) -> PathBuf {
        self.path.join(DB_FILE)
    }

    /// Checks sled's log before sled opens it: refuses one that is certainly damaged, and copies one that may be.
    pub(crate) fn check_sled_log(&self) -> Result<(), OpenError> {
        let (path, log) = (self.path(), self.path.join(DB_FILE));
        match sled_log_check::look(path, &log).map_err(|error| OpenError::io(path, error))? {
            LogCheck::Ok => Ok(()),
            LogCheck::Corrupt { offset } => {
                Err(OpenError::damaged(path, format!("its file `db` is unreadable at byte {offset}")))
            }
            // An earlier copy is never replaced: sled may have overwritten parts of the log since.
            LogCheck::Suspect if self.log_copy() => Ok(()),
            LogCheck::Suspect => {
                let (new, kept) = (self.path.join("db.kept.new"), self.path.join(KEPT_FILE));
                let keep = || fs::copy(&log, &new).and_then(|_| fs::rename(&new, kept));
                keep().map_err(|error| OpenError::io(path, error))
            }
        }
    }

    pub(crate) fn log_copy(&self) -> bool {
        self.path.join(KEPT_FILE).exists()
    }

    /// Removes the copy of the log, once no event is missing.
    pub(crate) fn remove_log_copy(&self) -> Result<(), OpenError> {
        match fs::remove_file(self.path.join(KEPT_FILE)) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(OpenError::io(&self.path, error)),
            Ok(()) | Err(_) => Ok(()),
        }
    }

    pub(crate) fn mark_importing(&self) -> Result<(), OpenError> {
        self.write_state("importing")
    }

    /// Makes the file names durable, and then marks the store as complete.
    pub(crate) fn mark_complete(&self) -> Result<(), OpenError> {
        self.sync_names().map_err(|error| OpenError::io(&self.path, error))?;
        self.write_state(&format!("format {FORMAT}"))
    }

    /// Records this version in a store of an earlier one.
    pub(crate) fn mark_current(&self) -> Result<(), OpenError> {
        let stored =
            fs::read_to_string(self.path.join(STATE_FILE)).map_err(|error| OpenError::io(&self.path, error))?;
        if stored.trim() == format!("{NAME}, format {FORMAT}") { Ok(()) } else { self.mark_complete() }
    }

    fn write_state(&self, state: &str) -> Result<(), OpenError> {
        let write = || {
            let (new, place) = (self.path.join("rentcar.store.new"), self.path.join(STATE_FILE));
            let mut file = File::create(&new)?;
            writeln!(file, "{NAME}, {state}")?;
            file.sync_all()?;
            fs::rename(new, place)?;
            self.sync_names()
        };
        write().map_err(|error| OpenError::io(&self.path, error))
    }

    fn sync_names(&self) -> io::Result<()> {
        for file in ["conf", DB_FILE] {
            match File::open(self.path.join(file)) {
                Ok(file) => file.sync_all()?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error),
            }
        }
        sync_directory(&self.path)?;
        self.path.canonicalize()?.parent().map_or(Ok(()), sync_directory)
    }
}

pub(super) fn sync_directory(path: &Path) -> io::Result<()> {
    match File::open(path).and_then(|directory| directory.sync_all()) {
        // The parent may belong to another user, as that of a mount point does.
        Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
        synced => synced,
    }
}

fn lock(path: &Path) -> Result<File, OpenError> {
    let open = File::options().create(true).truncate(false).write(true).open(path.join(LOCK_FILE));
    let file = open.map_err(|error| OpenError::io(path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(OpenError::Locked(path.to_path_buf())),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, error)),
    }
}

/// Reads only.
fn look(path: &Path) -> Result<Contents, OpenError> {
    let state = match fs::read(path.join(STATE_FILE)) {
        Ok(state) => String::from_utf8_lossy(&state).trim().to_owned(),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return look_without_state(path),
        Err(error) if error.kind() == io::ErrorKind::NotADirectory => {
            return Err(OpenError::NotAStore(path.to_path_buf()));
        }
        Err(error) => return Err(OpenError::io(path, error)),
    };
    let Some(state) = state.strip_prefix(NAME).and_then(|rest| rest.strip_prefix(", ")) else {
        return Err(OpenError::NotAStore(path.to_path_buf()));
    };
    match state {
        "creating" => Ok(Contents::Nothing),
        "importing" => Err(OpenError::Incomplete(path.to_path_buf())),
        format if (1..=FORMAT).any(|known| format == format!("format {known}")) => {
            match fs::metadata(path.join(DB_FILE)) {
                Ok(file) if file.len() > 0 => Ok(Contents::Store),
                Ok(_) => Err(OpenError::damaged(path, "its file `db` is empty")),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    Err(OpenError::damaged(path, "its file `db` is missing"))
                }
                Err(error) => Err(OpenError::io(path, error)),
            }
        }
        other => Err(OpenError::Format { path: path.to_path_buf(), found: other.replacen("format ", "", 1) }),
    }
}

fn look_without_state(path: &Path) -> Result<Contents, OpenError> {
    let entries = match fs::read_dir(path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Contents::Nothing),
        Err(error) => return Err(OpenError::io(path, error)),
    };
    for entry in entries {
        let name = entry.map_err(|error| OpenError::io(path, error))?.file_name();
        // Left by an interrupted creation, or present on a new volume.
        if !["rentcar.store.new", LOCK_FILE, "lost+found"].iter().any(|own| name == *own) {
            return Err(OpenError::NotAStore(path.to_path_buf()));
        }
    }
    Ok(Contents::Nothing)
}
