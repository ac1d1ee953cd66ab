//! Reads or fills a whole store: export and backup (`raw`, `snapshot`), `verify` (`inspect`), `import`.

pub(crate) mod import;
mod inspect;
mod raw;
mod snapshot;
