//! A library between the program and its disk and clock: built by `kit.rs`, loaded with `LD_PRELOAD`. A file of 64 bytes,
//! which both sides map or write, controls it:
//! 0: i64, milliseconds to add to the wall clock; 8: u32, the error that every sync below the directory fails with, or 0;
//! 12: u32, how many syncs have failed; 16: u32, whether pages whose sync failed are lost when they are evicted.
//!
//! The contents of the disk are kept in a shadow file: a successful sync copies the written pages to the shadow in
//! `FAULTS_DISK`; after a failed one they count as clean, as on Linux, and never reach the disk. When the program evicts the
//! page cache (`posix_fadvise`), the file gets the contents of its shadow.
#![allow(clippy::all, clippy::pedantic, missing_docs, reason = "it speaks to the operating system and to nobody else")]

use std::collections::{BTreeSet, HashMap};
use std::ffi::{CString, c_char, c_int, c_long, c_void};
use std::sync::atomic::{AtomicI64, AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};

const PAGE: i64 = 4096;

unsafe extern "C" {
    fn dlsym(handle: *mut c_void, name: *const c_char) -> *mut c_void;
    fn mmap(at: *mut c_void, len: usize, prot: c_int, flags: c_int, fd: c_int, offset: i64) -> *mut c_void;
    fn open64(path: *const c_char, flags: c_int, ...) -> c_int;
    fn close(fd: c_int) -> c_int;
    fn pread64(fd: c_int, into: *mut c_void, len: usize, offset: i64) -> isize;
    fn lseek64(fd: c_int, offset: i64, whence: c_int) -> i64;
    fn ftruncate64(fd: c_int, len: i64) -> c_int;
    fn readlink(path: *const c_char, into: *mut c_char, len: usize) -> isize;
    fn __errno_location() -> *mut c_int;
}

#[repr(C)]
pub struct Timespec {
    seconds: i64,
    nanos: c_long,
}

struct Control {
    base: usize,
    under: String,
    disk: String,
    dirty: Mutex<HashMap<String, BTreeSet<i64>>>,
}

fn control() -> Option<&'static Control> {
    static CONTROL: OnceLock<Option<Control>> = OnceLock::new();
    CONTROL
        .get_or_init(|| {
            let (file, under, disk) =
                (std::env::var("FAULTS_CONTROL").ok()?, std::env::var("FAULTS_UNDER").ok()?, std::env::var("FAULTS_DISK").ok()?);
            let path = CString::new(file).ok()?;
            let fd = unsafe { open64(path.as_ptr(), 2) };
            let base = unsafe { mmap(std::ptr::null_mut(), 64, 3, 1, fd, 0) };
            unsafe { close(fd) };
            (fd >= 0 && base as isize != -1).then(|| Control { base: base as usize, under, disk, dirty: Mutex::default() })
        })
        .as_ref()
}

impl Control {
    fn word(&self, at: usize) -> &'static AtomicU32 {
        unsafe { &*((self.base + at) as *const AtomicU32) }
    }

    fn dirty(&self) -> MutexGuard<'_, HashMap<String, BTreeSet<i64>>> {
        self.dirty.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The name of the file within the directory, if it lies there.
    fn name(&self, fd: c_int) -> Option<String> {
        let link = CString::new(format!("/proc/self/fd/{fd}")).ok()?;
        let mut bytes = [0_u8; 1024];
        let len = unsafe { readlink(link.as_ptr(), bytes.as_mut_ptr().cast(), bytes.len()) };
        let path = std::str::from_utf8(bytes.get(..usize::try_from(len).ok()?)?).ok()?;
        Some(path.strip_prefix(self.under.as_str())?.strip_prefix('/')?.to_owned())
    }

    fn double(&self, name: &str) -> c_int {
        let path = CString::new(format!("{}/{name}", self.disk)).unwrap_or_default();
        unsafe { open64(path.as_ptr(), 0o102, 0o600 as c_int) }
    }
}

/// Only the log has a shadow file: its bytes are what was acknowledged.
fn doubled(name: &str) -> bool {
    name == "db"
}

macro_rules! real {
    ($name:literal, $kind:ty) => {{
        static REAL: OnceLock<usize> = OnceLock::new();
        let at = *REAL.get_or_init(|| unsafe { dlsym(-1_isize as *mut c_void, concat!($name, "\0").as_ptr().cast()) as usize });
        unsafe { std::mem::transmute::<usize, $kind>(at) }
    }};
}

type PwriteFn = unsafe extern "C" fn(c_int, *const c_void, usize, i64) -> isize;

fn real_pwrite(fd: c_int, from: *const c_void, len: usize, offset: i64) -> isize {
    let real = real!("pwrite64", PwriteFn);
    unsafe { real(fd, from, len, offset) }
}

fn copy_page(from: c_int, to: c_int, page: i64) {
    let mut bytes = [0_u8; PAGE as usize];
    let read = unsafe { pread64(from, bytes.as_mut_ptr().cast(), bytes.len(), page * PAGE) };
    if read > 0 {
        real_pwrite(to, bytes.as_ptr().cast(), read as usize, page * PAGE);
    }
}

#[unsafe(no_mangle)]
pub extern "C" fn pwrite64(fd: c_int, from: *const c_void, len: usize, offset: i64) -> isize {
    let written = real_pwrite(fd, from, len, offset);
    if let Some(control) = control()
        && written > 0
        && let Some(name) = control.name(fd)
        && doubled(&name)
    {
        let pages = offset / PAGE..=(offset + written as i64 - 1) / PAGE;
        control.dirty().entry(name).or_default().extend(pages);
    }
    written
}

/// A marker among the written pages of a file: a sync of the whole file still has to report a failure.
const UNREPORTED: i64 = -1;

fn fail(control: &Control, error: u32) -> c_int {
    control.word(12).fetch_add(1, Ordering::SeqCst);
    unsafe { *__errno_location() = error as c_int };
    -1
}

/// A sync of a whole file, which may fail; the pages written before it then count as clean, as on Linux.
fn sync(fd: c_int, real: impl FnOnce() -> c_int) -> c_int {
    let Some((control, name)) = control().and_then(|control| Some((control, control.name(fd)?))) else { return real() };
    // Taken before the outcome is known: what is written meanwhile is not part of this sync.
    let pages = control.dirty().remove(&name).unwrap_or_default();
    let error = control.word(8).load(Ordering::SeqCst);
    if error != 0 || pages.contains(&UNREPORTED) {
        return fail(control, if error == 0 { 5 } else { error });
    }
    let done = real();
    if done == 0 && doubled(&name) {
        let double = control.double(&name);
        for page in pages {
            copy_page(fd, double, page);
        }
        unsafe { close(double) };
    }
    done
}

#[unsafe(no_mangle)]
pub extern "C" fn fsync(fd: c_int) -> c_int {
    sync(fd, || unsafe { real!("fsync", unsafe extern "C" fn(c_int) -> c_int)(fd) })
}

#[unsafe(no_mangle)]
pub extern "C" fn fdatasync(fd: c_int) -> c_int {
    sync(fd, || unsafe { real!("fdatasync", unsafe extern "C" fn(c_int) -> c_int)(fd) })
}

#[unsafe(no_mangle)]
pub extern "C" fn sync_file_range(fd: c_int, offset: i64, len: i64, flags: u32) -> c_int {
    type RangeFn = unsafe extern "C" fn(c_int, i64, i64, u32) -> c_int;
    let real = || unsafe { real!("sync_file_range", RangeFn)(fd, offset, len, flags) };
    let Some((control, name)) = control().and_then(|control| Some((control, control.name(fd)?))) else { return real() };
    let error = control.word(8).load(Ordering::SeqCst);
    if error == 0 {
        return real();
    }
    let mut dirty = control.dirty();
    let pages = dirty.entry(name).or_default();
    pages.retain(|page| !(offset / PAGE..=(offset + len - 1) / PAGE).contains(page));
    pages.insert(UNREPORTED);
    drop(dirty);
    fail(control, error)
}

fn forget(fd: c_int, advice: c_int) {
    let Some(control) = control().filter(|control| advice == 4 && control.word(16).load(Ordering::SeqCst) != 0) else { return };
    let Some(name) = control.name(fd).filter(|name| doubled(name)) else { return };
    let path = CString::new(format!("{}/{name}", control.under)).unwrap_or_default();
    // The caller's own handle may be for reading only.
    let (file, double) = (unsafe { open64(path.as_ptr(), 2) }, control.double(&name));
    let len = unsafe { lseek64(double, 0, 2) };
    if len > 0 {
        for page in 0..=len / PAGE {
            copy_page(double, file, page);
        }
        unsafe { ftruncate64(file, len) };
    }
    unsafe { (close(file), close(double)) };
}

#[unsafe(no_mangle)]
pub extern "C" fn posix_fadvise64(fd: c_int, _offset: i64, _len: i64, advice: c_int) -> c_int {
    forget(fd, advice);
    0
}

#[unsafe(no_mangle)]
pub extern "C" fn posix_fadvise(fd: c_int, offset: i64, len: i64, advice: c_int) -> c_int {
    posix_fadvise64(fd, offset, len, advice)
}

#[unsafe(no_mangle)]
pub extern "C" fn clock_gettime(clock: c_int, into: *mut Timespec) -> c_int {
    type ClockFn = unsafe extern "C" fn(c_int, *mut Timespec) -> c_int;
    let done = unsafe { real!("clock_gettime", ClockFn)(clock, into) };
    if done == 0
        && matches!(clock, 0 | 5)
        && let Some(control) = control()
    {
        let ms = unsafe { &*(control.base as *const AtomicI64) }.load(Ordering::SeqCst);
        let into = unsafe { &mut *into };
        let nanos = into.nanos as i64 + ms.rem_euclid(1000) * 1_000_000;
        into.seconds += ms.div_euclid(1000) + nanos / 1_000_000_000;
        into.nanos = nanos % 1_000_000_000;
    }
    done
}

