//! Turns sled's panics into errors. sled 0.34 panics on damaged pages; the operator then gets one sentence about the damage
//! instead of a backtrace. Panics outside [`catch_panic`] are reported as before.

use super::directory::OpenError;
use crate::store::journal::ReadError;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, PanicHookInfo, catch_unwind, set_hook, take_hook};
use std::path::Path;
use std::sync::Once;

thread_local! {
    static SUPPRESSED: Cell<bool> = const { Cell::new(false) };
}

/// The first line of a caught panic's message.
#[derive(Debug)]
pub(crate) struct CaughtPanic(pub String);

impl CaughtPanic {
    pub(crate) fn while_opening(self, path: &Path) -> OpenError {
        OpenError::damaged(path, format!("sled cannot read what it wrote ({})", self.0))
    }

    pub(crate) fn while_reading(self) -> ReadError {
        ReadError::Damaged(format!("sled cannot read what it wrote ({})", self.0))
    }
}

/// Installed once and for all threads: replacing the hook per call would race between threads.
fn install() {
    static INSTALLED: Once = Once::new();
    INSTALLED.call_once(|| {
        let previous_hook = take_hook();
        set_hook(Box::new(move |info: &PanicHookInfo<'_>| {
            if !SUPPRESSED.get() {
                previous_hook(info);
            }
        }));
    });
}

/// Runs `work` and returns an error if it panics on this thread.
pub(crate) fn catch_panic<T>(work: impl FnOnce() -> T) -> Result<T, CaughtPanic> {
    install();
    let before = SUPPRESSED.replace(true);
    let done = catch_unwind(AssertUnwindSafe(work));
    SUPPRESSED.set(before);
    done.map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        // Shortened: sled's messages contain whole pages.
        CaughtPanic(text.unwrap_or_default().lines().next().unwrap_or_default().chars().take(200).collect())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_an_error_with_the_first_line_of_what_it_said() {
        assert_eq!(catch_panic(|| 7).unwrap(), 7);
        let CaughtPanic(said) = catch_panic(|| panic!("page {}\n[1, 2, 3]", 9)).unwrap_err();
        assert_eq!(said, "page 9");
        assert!(!SUPPRESSED.get());
    }
}
