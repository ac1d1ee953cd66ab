//! Reads or fills a whole store: export and backup (`raw`, `snapshot`), `verify` (`inspect`), `import`; `renew` writes the files
//! of one anew.

pub(crate) mod import;
mod inspect;
mod raw;
pub(crate) mod renew;
mod snapshot;
