//! An online backup: an archive of a running journal, produced while a client downloads it. One thread of lower priority
//! reads a snapshot and writes lines, with pauses that leave the processor to requests; it waits for the client, so that
//! memory does not grow with the store. An archive that is cut off has no trailer.

use super::super::journal::{Journal, ReadError, StoredEvent};
use super::super::sled::lower_priority;
use super::write::{ExportError, export};
use bytes::Bytes;
use futures_util::stream::{self, BoxStream};
use futures_util::{Stream, StreamExt};
use std::io::{self, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::mpsc::{Receiver, Sender, channel};

const PIECE_BYTES: usize = 32 * 1024;
/// How many pieces may wait for the client.
const PIECES_MAX: usize = 4;
/// A client that takes nothing for so long is cut off, since its snapshot keeps obsolete sorted runs on disk.
const CLIENT_TIMEOUT: Duration = Duration::from_mins(1);
/// How often a full channel is tried again.
const POLL_INTERVAL: Duration = Duration::from_millis(5);
/// After so long at work the thread pauses,
const WORK: Duration = Duration::from_millis(1);
/// this many times as long as it worked,
const PAUSE: u32 = 9;
/// and at most this long: the measured time includes waiting for the processor.
const PAUSE_MAX: Duration = Duration::from_millis(50);

/// The archive ends before its trailer: the service is stopping, the client was too slow, the journal has failed or cannot
/// be read. The log has the reason.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the backup was interrupted before its end")]
pub struct Interrupted;

/// The pieces of an archive; an error is the last item.
pub type Backup = BoxStream<'static, Result<Bytes, Interrupted>>;

struct Chunk {
    bytes: Bytes,
    is_last: bool,
}

struct Chunks {
    /// Dropped before the stream ends, hence the first field: the next backup can begin as soon as a client sees the end.
    guard: Option<Box<dyn Send>>,
    journal: Arc<dyn Journal>,
    to: Sender<Chunk>,
    chunk: Vec<u8>,
    begun: Instant,
}

impl Chunks {
    /// Fails when the client has gone or the journal has failed.
    fn goes_on(&self) -> io::Result<()> {
        if self.to.is_closed() {
            return Err(io::Error::new(io::ErrorKind::BrokenPipe, "nobody fetches it any more"));
        }
        self.journal.failure().map_or(Ok(()), |why| Err(io::Error::other(why)))
    }

    fn send_chunk(&mut self, is_last: bool) -> io::Result<()> {
        let bytes = std::mem::replace(&mut self.chunk, Vec::with_capacity(PIECE_BYTES)).into();
        let (mut chunk, begun) = (Chunk { bytes, is_last }, Instant::now());
        loop {
            self.goes_on()?;
            match self.to.try_send(chunk) {
                Ok(()) => break,
                Err(TrySendError::Full(back) | TrySendError::Closed(back)) => chunk = back,
            }
            if begun.elapsed() > CLIENT_TIMEOUT {
                return Err(io::Error::new(io::ErrorKind::TimedOut, "it is fetched too slowly"));
            }
            std::thread::sleep(POLL_INTERVAL);
        }
        if begun.elapsed() > POLL_INTERVAL {
            // Waiting for the client counts as a pause.
            self.begun = Instant::now();
        }
        Ok(())
    }

    fn pause(&mut self) -> io::Result<()> {
        let worked = self.begun.elapsed();
        if worked >= WORK {
            self.goes_on()?;
            std::thread::sleep((worked * PAUSE).min(PAUSE_MAX));
            self.begun = Instant::now();
        }
        Ok(())
    }
}

impl Write for Chunks {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.chunk.extend_from_slice(bytes);
        if self.chunk.len() >= PIECE_BYTES {
            self.send_chunk(false)?;
        }
        self.pause()?;
        Ok(bytes.len())
    }

    /// Does nothing: only the last piece may be short.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn write(mut chunks: Chunks, render: impl Fn(&StoredEvent) -> Option<serde_json::Value>) -> Result<(), ExportError> {
    let begun = Instant::now();
    chunks.goes_on()?;
    let snapshot = chunks.journal.snapshot()?;
    let taken = begun.elapsed();
    chunks.begun = Instant::now();
    let summary = export(&*snapshot, &mut chunks, render, |_| {})?;
    drop((snapshot, chunks.guard.take()));
    chunks.send_chunk(true)?;
    let (events, records) = (summary.events, summary.records);
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    metrics::gauge!("rentcar_backup_last_success_timestamp_seconds").set(now.as_secs_f64());
    tracing::info!(
        events,
        records,
        snapshot_ms = taken.as_millis(),
        seconds = begun.elapsed().as_secs_f64(),
        "backup written"
    );
    Ok(())
}

fn chunks(received: Receiver<Chunk>) -> impl Stream<Item = Result<Bytes, Interrupted>> {
    stream::unfold(Some(received), |received| async move {
        let mut received = received?;
        Some(match received.recv().await {
            Some(Chunk { bytes, is_last }) => (Ok(bytes), (!is_last).then_some(received)),
            None => (Err(Interrupted), None),
        })
    })
}

/// Starts an archive of everything that is acknowledged now. It is cut off when the journal fails or is closed, or the
/// stream is dropped. `guard` is dropped when the snapshot has been read.
///
/// `render` makes the readable form of an event, if it knows its tag.
///
/// # Errors
/// When the journal has failed already, or no thread can be started.
pub fn backup(
    journal: Arc<dyn Journal>,
    render: impl Fn(&StoredEvent) -> Option<serde_json::Value> + Send + 'static,
    guard: impl Send + 'static,
) -> Result<Backup, ReadError> {
    if let Some(why) = journal.failure() {
        return Err(ReadError::Unavailable(why));
    }
    let (to, received) = channel(PIECES_MAX);
    let (chunk, guard) = (Vec::with_capacity(PIECE_BYTES), Some(Box::new(guard) as Box<dyn Send>));
    let out = Chunks { guard, journal, to, chunk, begun: Instant::now() };
    let work = move || {
        lower_priority();
        match write(out, render) {
            Ok(()) => {}
            Err(ExportError::Read(error)) => tracing::warn!(%error, "backup interrupted"),
            Err(ExportError::Write(error)) => tracing::warn!(%error, "backup interrupted"),
        }
    };
    let thread = std::thread::Builder::new().name("backup".to_owned()).spawn(work);
    thread.map_err(|error| ReadError::Unavailable(format!("there is no thread for a backup: {error}")))?;
    Ok(chunks(received).boxed())
}
