//! The list of erasures: a file outside the data directory, so that neither a backup nor a copy of the directory brings erased
//! data back. Lines are only added, each made durable before the caller goes on. A line that was cut off says nothing, since
//! nobody was answered.

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

const OWNER_ONLY: u32 = 0o600;
/// The longest list that is read.
const FILE_BYTES_MAX: u64 = 256 * 1024 * 1024;

/// A step of an erasure: it is about to be committed, or it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Step {
    Begun,
    Erased,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Line {
    customer_no: String,
    step: Step,
    at_ms: i64,
}

/// Why the list cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("the list of erasures {} {what}", path.display())]
pub struct ListError {
    path: PathBuf,
    what: String,
}

struct Inner {
    /// `None` when the list is only read.
    file: Option<File>,
    bytes: u64,
    /// The latest step of each customer, with its instant.
    steps: BTreeMap<String, (Step, i64)>,
}

/// The list of one installation; another process cannot open it meanwhile.
pub struct ErasureList {
    path: PathBuf,
    is_writable: bool,
    inner: Mutex<Inner>,
}

impl ErasureList {
    /// Opens the list, or makes it.
    ///
    /// # Errors
    /// When it is in use, cannot be read and written, or holds something else.
    pub fn open(path: &Path) -> Result<ErasureList, ListError> {
        let failed = |what: String| ListError { path: path.to_owned(), what };
        let io = |error: io::Error| failed(format!("cannot be used: {error}"));
        let is_new = !path.exists();
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(OWNER_ONLY).open(path);
        let file = options.map_err(io)?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => return Err(failed("is in use by another process".to_owned())),
            Err(TryLockError::Error(error)) => return Err(io(error)),
        }
        if is_new {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
            File::open(folder.unwrap_or_else(|| Path::new("."))).and_then(|folder| folder.sync_all()).map_err(io)?;
        }
        ErasureList::of_file(path, file, true)
    }

    /// The list as it is now, which another process may go on with.
    ///
    /// # Errors
    /// When it is not there, cannot be read, or holds something else.
    pub fn read(path: &Path) -> Result<ErasureList, ListError> {
        let unread = |error: io::Error| {
            let hint = "restore it from its copy, or make an empty file to go on without it";
            let hint = if error.kind() == io::ErrorKind::NotFound { hint } else { "let this user read it" };
            ListError { path: path.to_owned(), what: format!("cannot be read ({error}): {hint}") }
        };
        ErasureList::of_file(path, File::open(path).map_err(unread)?, false)
    }

    fn of_file(path: &Path, mut file: File, is_writable: bool) -> Result<ErasureList, ListError> {
        let failed = |what: String| ListError { path: path.to_owned(), what };
        let io = |error: io::Error| failed(format!("cannot be used: {error}"));
        let metadata = file.metadata().map_err(io)?;
        if !metadata.is_file() {
            return Err(failed("is no file".to_owned()));
        }
        if metadata.len() > FILE_BYTES_MAX {
            return Err(failed(format!("has more than {FILE_BYTES_MAX} bytes")));
        }
        let mut text = Vec::new();
        file.read_to_end(&mut text).map_err(io)?;
        let whole = text.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
        let mut steps = BTreeMap::new();
        for (line, number) in text.get(..whole).unwrap_or_default().split(|byte| *byte == b'\n').zip(1..) {
            if line.is_empty() {
                continue;
            }
            let line: Line = serde_json::from_slice(line).map_err(|error| {
                failed(format!("is damaged at line {number} ({error}): restore it from its copy, or mend the line"))
            })?;
            note(&mut steps, line);
        }
        let bytes = whole as u64;
        if is_writable {
            file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes))).map_err(io)?;
        }
        let inner = Mutex::new(Inner { file: is_writable.then_some(file), bytes, steps });
        Ok(ErasureList { path: path.to_owned(), is_writable, inner })
    }

    /// Whether steps can be added.
    pub fn is_writable(&self) -> bool {
        self.is_writable
    }

    /// Whether a customer is in the list as erased.
    pub fn has_erased(&self, customer_no: &str) -> bool {
        self.inner.lock().steps.get(customer_no).is_some_and(|(step, _)| *step == Step::Erased)
    }

    /// The customers whose latest step is this, with its instant in milliseconds since the epoch.
    pub fn of(&self, step: Step) -> Vec<(String, i64)> {
        let inner = self.inner.lock();
        let of_step = inner.steps.iter().filter(|(_, (latest, _))| *latest == step);
        of_step.map(|(customer_no, (_, at_ms))| (customer_no.clone(), *at_ms)).collect()
    }

    /// Adds a step, unless the customer is in the list as erased already. Durable when it returns; blocks until then.
    ///
    /// # Errors
    /// When it cannot be made durable.
    pub fn add(&self, customer_no: &str, step: Step, at_ms: i64) -> Result<(), ListError> {
        self.add_all(vec![(customer_no.to_owned(), at_ms)], step)
    }

    /// Adds the same step of several customers, each with its instant.
    ///
    /// # Errors
    /// When they cannot be made durable.
    pub fn add_all(&self, customers: Vec<(String, i64)>, step: Step) -> Result<(), ListError> {
        let mut inner = self.inner.lock();
        let failed = |what: String| ListError { path: self.path.clone(), what };
        let is_erased = |no: &String| inner.steps.get(no).is_some_and(|(latest, _)| *latest == Step::Erased);
        let new = customers.into_iter().filter(|(customer_no, _)| !is_erased(customer_no));
        let lines: Vec<_> = new.map(|(customer_no, at_ms)| Line { customer_no, step, at_ms }).collect();
        let mut text = Vec::new();
        for line in &lines {
            serde_json::to_writer(&mut text, line).map_err(|error| failed(error.to_string()))?;
            text.push(b'\n');
        }
        if lines.is_empty() {
            return Ok(());
        }
        let bytes = inner.bytes;
        let Some(file) = &mut inner.file else { return Err(failed("is only read".to_owned())) };
        if let Err(error) = file.write_all(&text).and_then(|()| file.sync_data()) {
            // Half a line must not be in front of the next one.
            let cut = file.set_len(bytes).and_then(|()| file.seek(SeekFrom::Start(bytes)));
            let cut = cut.map_or_else(|cut| format!(", nor cut: {cut}"), |_| String::new());
            return Err(failed(format!("cannot be written: {error}{cut}")));
        }
        inner.bytes = bytes + text.len() as u64;
        for line in lines {
            note(&mut inner.steps, line);
        }
        Ok(())
    }
}

fn note(steps: &mut BTreeMap<String, (Step, i64)>, line: Line) {
    let Line { customer_no, step, at_ms } = line;
    let known = steps.entry(customer_no).or_insert((step, at_ms));
    if known.0 == Step::Begun {
        *known = (step, at_ms);
    }
}

/// Whether a file lies in a directory, wherever links lead. Neither need be there yet.
pub fn lies_in(file: &Path, directory: &Path) -> bool {
    match (resolved(file), resolved(directory)) {
        (Ok(file), Ok(directory)) => file.starts_with(directory),
        _ => file.starts_with(directory),
    }
}

/// The path without links, as far as it is there.
fn resolved(path: &Path) -> io::Result<PathBuf> {
    let path = std::path::absolute(path)?;
    for folder in path.ancestors() {
        if let Ok(real) = fs::canonicalize(folder) {
            return Ok(path.strip_prefix(folder).map_or_else(|_| real.clone(), |rest| real.join(rest)));
        }
    }
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn erased(list: &ErasureList) -> Vec<(String, i64)> {
        list.of(Step::Erased)
    }

    #[test]
    fn what_is_added_is_there_after_the_file_is_opened_again() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures");
        let list = ErasureList::open(&path).unwrap();
        list.add("kim", Step::Begun, 1).unwrap();
        list.add("lee \"x\"", Step::Begun, 2).unwrap();
        list.add("kim", Step::Erased, 3).unwrap();
        list.add("kim", Step::Begun, 4).unwrap();
        drop(list);
        let list = ErasureList::open(&path).unwrap();
        assert!(list.has_erased("kim") && !list.has_erased("lee \"x\""));
        assert_eq!(erased(&list), [("kim".to_owned(), 3)]);
        assert_eq!(list.of(Step::Begun), [("lee \"x\"".to_owned(), 2)]);
    }

    #[test]
    fn a_line_that_was_cut_off_is_forgotten_and_one_that_is_damaged_is_told() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures");
        ErasureList::open(&path).unwrap().add("kim", Step::Erased, 3).unwrap();
        let whole = fs::read(&path).unwrap();
        fs::write(&path, [&whole[..], &whole[..10]].concat()).unwrap();
        let list = ErasureList::open(&path).unwrap();
        list.add("lee", Step::Erased, 4).unwrap();
        assert_eq!(erased(&list).len(), 2);
        drop(list);
        assert_eq!(erased(&ErasureList::open(&path).unwrap()).len(), 2);
        fs::write(&path, [b"{}\n", &whole[..]].concat()).unwrap();
        let Err(error) = ErasureList::open(&path) else { panic!("it is taken") };
        assert!(error.to_string().contains("line 1"), "{error}");
    }

    #[test]
    fn a_step_that_cannot_be_written_is_refused_and_not_in_the_list() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures");
        let list = ErasureList::open(&path).unwrap();
        list.inner.lock().file = Some(File::open(&path).unwrap());
        let error = list.add("kim", Step::Erased, 3).unwrap_err();
        assert!(error.to_string().contains("cannot be written"), "{error}");
        assert_eq!(erased(&list), []);
    }

    #[test]
    fn one_process_has_the_list_at_a_time() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("erasures");
        let _list = ErasureList::open(&path).unwrap();
        let Err(error) = ErasureList::open(&path) else { panic!("it is opened twice") };
        assert!(error.to_string().contains("in use"), "{error}");
        assert!(!ErasureList::read(&path).unwrap().is_writable(), "but it can be read");
        let Err(error) = ErasureList::read(&directory.path().join("none")) else { panic!("it is not there") };
        assert!(error.to_string().contains("restore it"), "{error}");
    }

    #[test]
    fn a_file_lies_in_a_directory_also_by_a_link_and_before_it_is_there() {
        let directory = tempfile::tempdir().unwrap();
        let (data, link) = (directory.path().join("data"), directory.path().join("link"));
        fs::create_dir(&data).unwrap();
        std::os::unix::fs::symlink(&data, &link).unwrap();
        assert!(lies_in(&data.join("new/key"), &data) && lies_in(&link.join("key"), &data));
        assert!(!lies_in(&directory.path().join("data.key"), &data));
    }
}
