//! What looks through a whole store, or fills one: export and backup (`raw`, `snapshot`), `verify` (`inspect`), `import`.

pub(crate) mod import;
mod inspect;
mod raw;
mod snapshot;
