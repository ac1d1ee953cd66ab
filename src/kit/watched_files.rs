//! Files that are read again when they change: keys, certificates. Looked at once a second, since file systems that are
//! mounted from elsewhere tell nothing.

use metrics::gauge;
use std::fmt::Display;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::time::Duration;

const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What files look like from outside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Stamp(Vec<(PathBuf, Option<[i64; 6]>)>);

impl Stamp {
    /// Links are followed.
    pub(super) fn of(mut paths: Vec<PathBuf>) -> Stamp {
        paths.sort_unstable();
        let look = |path: PathBuf| {
            let found = std::fs::metadata(&path).ok().map(|found| {
                let length = i64::try_from(found.size()).unwrap_or(i64::MAX);
                let [changed, modified] = [(found.ctime(), found.ctime_nsec()), (found.mtime(), found.mtime_nsec())];
                [found.ino().cast_signed(), length, changed.0, changed.1, modified.0, modified.1]
            });
            (path, found)
        };
        Stamp(paths.into_iter().map(look).collect())
    }
}

/// Reads files again whenever they look other than `loaded`, until it is dropped. `source` names them in the log and in
/// `rentcar_keys_outdated`.
pub(super) async fn watch<E: Display>(
    source: &'static str,
    mut loaded: Stamp,
    look: impl Fn() -> Stamp,
    reload: impl Fn() -> Result<(), E>,
) {
    let outdated = gauge!("rentcar_keys_outdated", "source" => source);
    // So that its alert finds it.
    outdated.set(0.0);
    let mut refused = None;
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        let seen = look();
        if seen == loaded {
            if refused.take().is_some() {
                // What could not be read is as it was before.
                outdated.set(0.0);
            }
            continue;
        }
        match reload() {
            Ok(()) => {
                tracing::info!(source, "files read again");
                (loaded, refused) = (seen, None);
                outdated.set(0.0);
            }
            // It is tried again, but told once.
            Err(error) if refused.as_ref() != Some(&seen) => {
                tracing::error!(source, %error, "not all files read again, what was read before still counts");
                refused = Some(seen);
                outdated.set(1.0);
            }
            Err(_) => {}
        }
    }
}
