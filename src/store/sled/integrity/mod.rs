//! What distrusts the disk and sled: what the directory says, what was acknowledged, what sled would skip in its log, what
//! only the page cache has, and panics of sled's. Knows nothing of what is stored.

pub(crate) mod acknowledged_count;
pub(crate) mod catch_panic;
pub(crate) mod directory;
pub(crate) mod disk_space;
pub(crate) mod page_cache;
mod sled_log_check;
