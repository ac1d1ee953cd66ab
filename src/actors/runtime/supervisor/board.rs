//! The status of a supervisor's children, readable at any time without asking it. Only the supervisor writes it.

use parking_lot::Mutex;
use std::sync::Arc;

/// The status of a child.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChildStatus {
    /// Unique within the supervisor.
    pub name: Arc<str>,
    /// Whether it runs.
    pub up: bool,
    /// Why it does not run, or `running`.
    pub detail: String,
    /// Restarts since the supervisor started.
    pub restarts: u64,
}

/// The status of all children of one supervisor.
#[derive(Debug, Default)]
pub struct StatusBoard {
    children: Mutex<Vec<ChildStatus>>,
}

impl StatusBoard {
    /// A copy, in the order of the children; empty before the supervisor has started.
    pub fn children(&self) -> Vec<ChildStatus> {
        self.children.lock().clone()
    }

    /// The status of one child; `None` when there is no such child.
    pub fn child(&self, name: &str) -> Option<ChildStatus> {
        let children = self.children.lock();
        children.iter().find(|child| &*child.name == name).cloned()
    }

    pub(super) fn set(&self, children: Vec<ChildStatus>) {
        *self.children.lock() = children;
    }
}
