//! The physical half of `verify`: checksums, gaps in the positions, and records that are stored twice and must agree.
//! Knows no domain and never writes.

use super::frame::Frame;
use super::journal::{ReadError, ShardId};
use super::sled::{SledJournal, catch_panic};

/// The most findings that are listed; further ones are only counted.
pub const FINDINGS_MAX: usize = 1000;
/// How often, in records, the progress callback is called.
pub const PROGRESS_EVERY: u64 = 1000;

/// Something wrong in the store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A frame of events cannot be read.
    #[error("shard {shard}: the frame at position {position} is damaged: {what}")]
    Frame {
        shard: ShardId,
        /// The position in the frame's key.
        position: u64,
        what: String,
    },
    /// Positions are missing or stored twice.
    #[error("shard {shard}: position {expected} should follow, but {found} does")]
    Gap { shard: ShardId, expected: u64, found: u64 },
    /// A shard's stored head is not the position of its last event.
    #[error("shard {shard}: the head is {head}, but the last event is {last}")]
    Head { shard: ShardId, head: u64, last: u64 },
    /// Acknowledged events are missing.
    #[error("{acknowledged} events were acknowledged, but only {found} are left")]
    Lost { acknowledged: u64, found: u64 },
    /// A key or its value is malformed; the key is escaped.
    #[error("a {table} is malformed: {key}")]
    Malformed { table: &'static str, key: String },
    /// One half of a timer or of a command record without the other; the key is escaped.
    #[error("a {table} has no counterpart: {key}")]
    Dangling { table: &'static str, key: String },
}

#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    pub events: u64,
    /// Records other than events.
    pub records: u64,
    /// At most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// Includes the findings that are not listed.
    pub findings_total: u64,
}

impl Report {
    pub fn is_clean(&self) -> bool {
        self.findings_total == 0
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.findings_total += 1;
        if self.findings.len() < FINDINGS_MAX {
            self.findings.push(finding);
        }
    }
}

/// The check of one shard: the position that has to come next.
struct ShardCheck {
    shard: ShardId,
    next: u64,
}

impl ShardCheck {
    fn frame(&mut self, first: u64, value: &[u8], report: &mut Report) {
        let shard = self.shard;
        if first != self.next {
            report.add(Finding::Gap { shard, expected: self.next, found: first });
        }
        let damaged = |what: String| Finding::Frame { shard, position: first, what };
        self.next = first + 1;
        match Frame::open(value) {
            Err(error) => report.add(damaged(error.to_string())),
            Ok(frame) if frame.first() != first => {
                report.add(damaged(format!("it begins at position {}", frame.first())));
            }
            Ok(frame) => {
                self.next = frame.last() + 1;
                for event in frame.events(0) {
                    match event {
                        Ok(_) => report.events += 1,
                        Err(error) => report.add(damaged(error.to_string())),
                    }
                }
            }
        }
    }
}

/// Checks the whole store. `progress` gets the number of events and records read so far, about once per
/// [`PROGRESS_EVERY`]. Memory does not grow with the store.
///
/// # Errors
/// Only when the store cannot be read any further; everything else is a finding in the report.
pub fn check(journal: &SledJournal, progress: impl FnMut(u64)) -> Result<Report, ReadError> {
    catch_panic(|| look_through(journal, progress)).unwrap_or_else(|panicked| Err(panicked.while_reading()))
}

fn look_through(journal: &SledJournal, mut progress: impl FnMut(u64)) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let mut found = 0;
    for (shard, head) in journal.stored_heads()? {
        let mut walk = ShardCheck { shard, next: 1 };
        let mut told = 0;
        journal.for_each_frame(shard, |first, value| {
            walk.frame(first, value, &mut report);
            if report.events / PROGRESS_EVERY > told {
                told = report.events / PROGRESS_EVERY;
                progress(report.events);
            }
        })?;
        if walk.next != head + 1 {
            report.add(Finding::Head { shard, head, last: walk.next - 1 });
        }
        found += head.max(walk.next - 1);
    }
    if found < journal.acknowledged() {
        report.add(Finding::Lost { acknowledged: journal.acknowledged(), found });
    }
    journal.check_records(&mut report, &mut progress)?;
    progress(report.events + report.records);
    Ok(report)
}
