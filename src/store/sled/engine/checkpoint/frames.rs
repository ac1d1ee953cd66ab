//! The events of a checkpoint: small frames of a shard are joined to larger ones.

use super::throttle::Progress;
use super::{Writer, unwritable};
use crate::store::frame::{self, Frame};
use crate::store::sled::engine::database::Database;
use crate::store::sled::engine::keys::{self, ShardCode};
use crate::store::sled::engine::state::{Frozen, Range, Throttled};
use bytes::Bytes;

/// The target size of a joined frame.
const JOINED_BYTES: usize = 6 * 1024;
const REMOVED_AT_ONCE: usize = 256;

/// Frames of one shard that become one frame.
#[derive(Default)]
struct PendingFrame {
    frames: Vec<Bytes>,
    bytes: usize,
}

impl Writer {
    /// Returns the last position of each shard.
    pub(super) fn write_frames(
        &self,
        database: &Database,
        frozen: &Frozen,
        progress: &Progress,
        throttled: &mut Throttled<'_>,
    ) -> Result<Vec<(ShardCode, u64)>, String> {
        let (mut heads, mut pending): (Vec<(ShardCode, u64)>, _) = (Vec::new(), PendingFrame::default());
        let join = |shard: ShardCode, pending: &mut PendingFrame| {
            let frames = std::mem::take(pending).frames;
            let opened = frames.iter().map(|frame| Frame::open(frame)).collect::<Result<Vec<_>, _>>();
            let opened = opened.map_err(|error| format!("events in memory are damaged: {error}"))?;
            let (Some(first), Some(last)) = (opened.first(), opened.last()) else { return Ok(0) };
            let joined = frame::join(first.first(), &opened);
            database.trees.plain.insert(keys::frame(shard, first.first()), joined).map_err(unwritable)?;
            Ok::<_, String>(last.last())
        };
        for entry in frozen.entries(&Range::prefix(vec![keys::EVENTS])) {
            let (key, value) = entry.map_err(|error| error.to_string())?;
            progress.step();
            let (shard, _) = keys::parse_frame(&key).map_err(|_| "a key of events is malformed".to_owned())?;
            let Some(value) = value else { continue };
            let known = heads.last().map(|(known, _)| *known);
            if let Some(known) = known
                && (known != shard || pending.bytes + value.len() > JOINED_BYTES)
            {
                let head = join(known, &mut pending)?;
                throttled().map_err(unwritable)?;
                if let Some(last) = heads.last_mut() {
                    last.1 = head;
                }
            }
            if known != Some(shard) {
                self.remove_orphaned_frames(database, shard).map_err(unwritable)?;
                heads.push((shard, 0));
            }
            pending.bytes += value.len();
            pending.frames.push(value);
        }
        if let Some((shard, head)) = heads.last_mut() {
            *head = join(*shard, &mut pending)?;
        }
        Ok(heads)
    }

    /// Removes the frames of an interrupted checkpoint, which would overlap the new ones.
    fn remove_orphaned_frames(&self, database: &Database, shard: ShardCode) -> ::sled::Result<()> {
        let from = keys::frame(shard, self.core.persisted.of(shard) + 1);
        let to = keys::end_of(&keys::events(shard));
        loop {
            let leftovers = database.trees.plain.range(from.clone()..to.clone()).keys().take(REMOVED_AT_ONCE);
            let leftovers: Vec<_> = leftovers.collect::<Result<_, _>>()?;
            if leftovers.is_empty() {
                return Ok(());
            }
            for key in leftovers {
                database.trees.plain.remove(key)?;
            }
        }
    }
}
