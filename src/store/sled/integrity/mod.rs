//! Checks of the disk and of sled: the directory's format and lock, the acknowledged count, damage that sled would skip in
//! its log, data that only the page cache has, and panics of sled; and the
//! replacement of all files by a copy. Knows nothing of the stored data.

pub(crate) mod acknowledged_count;
pub(crate) mod catch_panic;
pub(crate) mod directory;
pub(crate) mod disk_space;
pub(crate) mod page_cache;
pub(crate) mod renewal;
mod sled_log_check;
