//! Size and format limits of everything that is written. Every adapter checks them first; they need no stored state.

use super::journal::{
    APPEND_BYTES_MAX, APPEND_ITEMS_MAX, Append, Cause, Claim, CommandRecord, DOCUMENT_BYTES_MAX, DocumentWrite,
    EVENT_BYTES_MAX, IndexWrite, KEY_BYTES_MAX, Progress, StoredEvent, TimerWrite,
};

/// The longest short name (kind, index, context, subscription, tag), in bytes.
pub const NAME_BYTES_MAX: usize = 64;

/// Visible ASCII only, so that a NUL can end the name in a stored key.
pub(super) fn name(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > NAME_BYTES_MAX || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(format!("the {what} is not a name of 1 to {NAME_BYTES_MAX} visible ASCII characters"));
    }
    Ok(())
}

/// Any text without NUL, which separates the parts of stored keys.
pub(super) fn key(what: &str, text: &str) -> Result<(), String> {
    if text.is_empty() || text.len() > KEY_BYTES_MAX {
        return Err(format!("the {what} has {} bytes, not 1 to {KEY_BYTES_MAX}", text.len()));
    }
    if text.as_bytes().contains(&0) {
        return Err(format!("the {what} contains a NUL character"));
    }
    Ok(())
}

fn size(what: &str, bytes: usize, bytes_max: usize) -> Result<usize, String> {
    if bytes > bytes_max { Err(format!("the {what} has {bytes} bytes, more than {bytes_max}")) } else { Ok(bytes) }
}

/// The name of a sequence.
pub(super) fn sequence(sequence: &str) -> Result<(), String> {
    name("sequence", sequence)
}

/// The first and the last of the next `count` numbers of a sequence, all above `after`.
pub(super) fn numbers(last: u64, after: u64, count: u32) -> Result<(u64, u64), String> {
    let taken = last.max(after);
    let numbers = taken.checked_add(1).zip(taken.checked_add(count.into())).filter(|_| count > 0);
    numbers.ok_or_else(|| format!("a sequence that has come to {taken} has no {count} further numbers"))
}

/// A body that is stored as one value; returns its length in bytes.
pub(super) fn body(what: &str, body: &[u8]) -> Result<usize, String> {
    size(what, body.len(), DOCUMENT_BYTES_MAX)
}

fn cause(cause: &Cause) -> Result<(), String> {
    name("cause's subscription", &cause.subscription)?;
    name("cause's context", &cause.context)
}

/// Returns roughly how many bytes the event has.
pub(super) fn event(event: &StoredEvent) -> Result<usize, String> {
    key("event's entity", &event.entity)?;
    name("event's tag", &event.tag)?;
    event.cause.as_ref().map_or(Ok(()), cause)?;
    event.by.as_ref().map_or(Ok(()), |by| key("event's author", by))?;
    let by = event.by.as_ref().map_or(0, |by| by.len());
    Ok(size("event's payload", event.payload.len(), EVENT_BYTES_MAX)? + event.entity.len() + event.tag.len() + by)
}

fn document(write: &DocumentWrite) -> Result<usize, String> {
    name("document's kind", write.kind)?;
    key("document's key", &write.key)?;
    let body = write.body.as_ref().map_or(0, bytes::Bytes::len);
    Ok(size("document", body, DOCUMENT_BYTES_MAX)? + write.key.len())
}

fn index(write: &IndexWrite) -> Result<usize, String> {
    name("index", write.index)?;
    key("index key", &write.key)?;
    write.value.as_ref().map_or(Ok(()), |value| key("index value", value))?;
    Ok(write.key.len() + write.value.as_ref().map_or(0, |value| value.len()))
}

fn claim(claim: &Claim) -> Result<usize, String> {
    name("claim's index", claim.index)?;
    key("claimed key", &claim.key)?;
    key("claimed value", &claim.value)?;
    Ok(claim.key.len() + claim.value.len())
}

/// What a claim finds must not depend on the rest of its append.
fn claimed_once(append: &Append) -> Result<(), String> {
    if append.claims.is_empty() {
        return Ok(());
    }
    let written = append.index.iter().map(|write| ((write.index, &*write.key), false));
    let claimed = append.claims.iter().map(|claim| ((claim.index, &*claim.key), true));
    let mut keys: Vec<_> = written.chain(claimed).collect();
    keys.sort_unstable();
    let is_once = |(earlier, later): (&(_, bool), &(_, bool))| earlier.0 != later.0 || !(earlier.1 || later.1);
    if keys.iter().zip(keys.iter().skip(1)).all(is_once) {
        return Ok(());
    }
    Err("it claims a key that it claims or writes as well".to_owned())
}

fn timer(write: &TimerWrite) -> Result<usize, String> {
    key("timer's entity", &write.entity)?;
    key("timer's name", &write.name)?;
    Ok(2 * (write.entity.len() + write.name.len()))
}

/// Returns roughly how many bytes the record has.
pub(super) fn command(record: &CommandRecord) -> Result<usize, String> {
    key("command's id", &record.id)?;
    Ok(size("command's answer", record.answer.len(), DOCUMENT_BYTES_MAX)? + record.id.len())
}

/// Returns roughly how many bytes the progress has.
pub(super) fn progress(subscription: &str, progress: &Progress) -> Result<usize, String> {
    name("subscription", subscription)?;
    size("subscription's memo", progress.memo.len(), DOCUMENT_BYTES_MAX)
}

/// All checks of an append that need no stored state; returns roughly how many bytes it has.
pub(super) fn append(append: &Append) -> Result<usize, String> {
    let (entries, claims) = (append.index.len(), append.claims.len());
    let counts = [append.events.len(), append.documents.len(), entries, claims, append.timers.len()];
    if counts == [0; 5] {
        return Err("it changes nothing".to_owned());
    }
    if counts.iter().any(|&count| count > APPEND_ITEMS_MAX) {
        return Err(format!("it has more than {APPEND_ITEMS_MAX} parts of a kind"));
    }
    if append.expected_head.checked_add(append.events.len() as u64).is_none() {
        return Err("its positions are out of range".to_owned());
    }
    let mut bytes = 0;
    for part in &append.events {
        bytes += event(part)?;
    }
    for part in &append.documents {
        bytes += document(part)?;
    }
    for part in &append.index {
        bytes += index(part)?;
    }
    for part in &append.claims {
        bytes += claim(part)?;
    }
    for part in &append.timers {
        bytes += timer(part)?;
    }
    if let Some(part) = &append.command {
        bytes += command(part)?;
    }
    claimed_once(append)?;
    size("append", bytes, APPEND_BYTES_MAX)
}
