//! The mechanical half of verifying a store: that every byte is what was written, that no position is missing, and
//! that everything kept twice says the same twice. Knows no domain and changes nothing.

use super::frame::Frame;
use super::journal::{ReadError, ShardId};
use super::sled::{SledJournal, catch_panic};

/// The most findings that are listed; what is beyond is only counted.
pub const FINDINGS_MAX: usize = 1000;
/// How often, in records, the progress callback is called.
pub const PROGRESS_EVERY: u64 = 1000;

/// Something that is not as it must be.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A frame of events cannot be read.
    #[error("shard {shard}: the frame at position {position} is damaged: {what}")]
    Frame {
        /// The shard.
        shard: ShardId,
        /// The position that the frame should begin with.
        position: u64,
        /// What is wrong.
        what: String,
    },
    /// Positions are missing, or there twice.
    #[error("shard {shard}: position {expected} should follow, but {found} does")]
    Gap {
        /// The shard.
        shard: ShardId,
        /// The position that should follow.
        expected: u64,
        /// The position that does.
        found: u64,
    },
    /// A shard's head is not its last event's position.
    #[error("shard {shard}: the head is {head}, but the last event is {last}")]
    Head {
        /// The shard.
        shard: ShardId,
        /// The head as it is stored.
        head: u64,
        /// The position of the last event.
        last: u64,
    },
    /// Events that were acknowledged are not there any more.
    #[error("{acknowledged} events were acknowledged, but only {found} are left")]
    Lost {
        /// How many events had become durable.
        acknowledged: u64,
        /// How many there are.
        found: u64,
    },
    /// A key or its value is not well-formed.
    #[error("a {table} is malformed: {key}")]
    Malformed {
        /// The table.
        table: &'static str,
        /// The key, escaped.
        key: String,
    },
    /// One half of a timer or of a command's record without the other.
    #[error("a {table} has no counterpart: {key}")]
    Dangling {
        /// The table.
        table: &'static str,
        /// The key, escaped.
        key: String,
    },
}

/// What was looked at and what was found.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Report {
    /// How many events were read.
    pub events: u64,
    /// How many other records were read.
    pub records: u64,
    /// What is wrong, at most [`FINDINGS_MAX`].
    pub findings: Vec<Finding>,
    /// How many findings there were altogether.
    pub findings_total: u64,
}

impl Report {
    /// Whether everything is as it must be.
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

/// What is carried from frame to frame of one shard.
struct Walk {
    shard: ShardId,
    next: u64,
}

impl Walk {
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

/// Looks through the whole store. `progress` is told now and then how many events and records were read so far;
/// the memory that this takes does not grow with the store.
///
/// # Errors
/// Only when the store cannot be read any further; what is wrong in it is in the report.
pub fn check(journal: &SledJournal, progress: impl FnMut(u64)) -> Result<Report, ReadError> {
    catch_panic(|| look_through(journal, progress)).unwrap_or_else(|panicked| Err(panicked.while_reading()))
}

fn look_through(journal: &SledJournal, mut progress: impl FnMut(u64)) -> Result<Report, ReadError> {
    let mut report = Report::default();
    let mut found = 0;
    for (shard, head) in journal.stored_heads()? {
        let mut walk = Walk { shard, next: 1 };
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
