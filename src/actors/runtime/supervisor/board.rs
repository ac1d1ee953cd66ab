//! What a supervisor says about its children, to be read at any time without asking it. Written by the
//! supervisor only.

use parking_lot::Mutex;
use std::sync::Arc;

/// A child as its supervisor sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// Its name.
    pub name: Arc<str>,
    /// Whether it runs.
    pub up: bool,
    /// Why it does not run, or `running`.
    pub detail: String,
    /// How often it has been started again.
    pub restarts: u64,
}

/// The children of one supervisor.
#[derive(Debug, Default)]
pub struct Board {
    children: Mutex<Vec<ChildStatus>>,
}

impl Board {
    /// A copy of what is known now, in the order of the children; empty before the supervisor has started.
    pub fn children(&self) -> Vec<ChildStatus> {
        self.children.lock().clone()
    }

    /// What is known of one child.
    pub fn child(&self, name: &str) -> Option<ChildStatus> {
        let children = self.children.lock();
        children.iter().find(|child| &*child.name == name).cloned()
    }

    pub(super) fn set(&self, children: Vec<ChildStatus>) {
        *self.children.lock() = children;
    }
}
