//! What admission must know of the store: whether the journal takes changes, and whether there is room for new business.
//! Outlives the instances; they and the watch of the disk set it. Never reads a disk itself.

use super::problem::Problem;
use super::route::Route;
use parking_lot::RwLock;

/// The `Retry-After` of a change while the journal is opened again, in milliseconds.
const REOPENING_RETRY_MS: u64 = 2_000;
/// The `Retry-After` of new business while there is no room for it, in milliseconds.
const FULL_RETRY_MS: u64 = 30_000;

#[derive(Debug, Default)]
struct Status {
    outage: Option<String>,
    needs_restart: bool,
    full: Option<String>,
    free_bytes: Option<u64>,
}

#[derive(Debug, Default)]
pub struct Storage(RwLock<Status>);

impl Storage {
    fn tell(&self, change: impl FnOnce(&mut Status)) {
        change(&mut self.0.write());
    }

    fn ask<T>(&self, question: impl FnOnce(&Status) -> T) -> T {
        question(&self.0.read())
    }

    /// The journal has failed, for this reason, and is being opened again.
    pub fn set_failed(&self, reason: &str) {
        self.tell(|status| status.outage = Some(reason.to_owned()));
    }

    /// Only a restart of the process can open the journal again.
    pub fn set_needs_restart(&self) {
        self.tell(|status| status.needs_restart = true);
    }

    /// The journal takes changes again.
    pub fn set_recovered(&self) {
        self.tell(|status| (status.outage, status.needs_restart) = (None, false));
    }

    /// `None` when there is room for new business; otherwise why not, in a sentence for operators.
    pub fn set_room(&self, none_because: Option<String>) {
        self.tell(|status| status.full = none_because);
    }

    /// How many bytes are free on the disk of the store.
    pub fn set_free(&self, bytes: u64) {
        self.tell(|status| status.free_bytes = Some(bytes));
    }

    /// As last measured, if it was.
    pub fn free_bytes(&self) -> Option<u64> {
        self.ask(|status| status.free_bytes)
    }

    /// Whether only a restart of the process helps.
    pub fn needs_restart(&self) -> bool {
        self.ask(|status| status.needs_restart)
    }

    pub(super) fn admit(&self, route: &Route) -> Result<(), Problem> {
        self.ask(|status| {
            if status.outage.is_some() {
                let detail =
                    "the journal takes no changes at the moment and is being opened again; nothing was changed";
                let problem = Problem::new("journal_unavailable", detail);
                return Err(problem.retrying(REOPENING_RETRY_MS));
            }
            if status.full.is_some() && route.creates_business() {
                let detail = "there is hardly any room left to keep new business in; what is under way goes on";
                let problem = Problem::new("storage_full", detail);
                return Err(problem.retrying(FULL_RETRY_MS));
            }
            Ok(())
        })
    }

    /// Why the journal takes no changes, if it takes none.
    pub fn outage(&self) -> Option<String> {
        self.ask(|status| status.outage.clone())
    }

    /// Why there is no room for new business, if there is none.
    pub fn lack_of_room(&self) -> Option<String> {
        self.ask(|status| status.full.clone())
    }
}
