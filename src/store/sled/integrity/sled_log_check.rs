//! Checks sled's log before sled opens it. sled takes the first unreadable entry for a torn write: it silently skips and
//! overwrites what follows. If readable entries of the same segment follow, it was no torn write. Knows the format of sled
//! 0.34 (segments of 512 KiB, each a header and entries with a checksum), reads only the segments that sled will replay,
//! and never writes.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

/// sled's default, which this program does not change.
const SEGMENT_BYTES: usize = 512 * 1024;
const HEADER_BYTES: usize = 20;
/// No entry begins closer to the end of a segment.
const ENTRY_HEADER_BYTES_MAX: usize = 32;
/// How many segments a segment in progress may be ahead of the newest complete one.
const AHEAD_MAX: u64 = 64;
const CAP: u8 = 2;
const LAST_KIND: u8 = 11;

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LogCheck {
    /// No damage was found.
    Ok,
    /// Something unreadable is before something readable, in the newest part. Damage, or writes that reached the file out of
    /// order when the process was killed.
    Suspect,
    /// Something unreadable, at a byte offset, in a part that had been written completely.
    Corrupt { offset: u64 },
}

#[derive(Clone, Copy)]
struct Segment {
    offset: u64,
    lsn: u64,
    stable: u64,
}

/// A number in sled's variable-length encoding, with the length of the encoding.
fn number(bytes: &[u8]) -> Option<(u64, usize)> {
    let first = *bytes.first()?;
    let byte = |at: usize| bytes.get(at).copied().map(u64::from);
    match first {
        0..=240 => Some((u64::from(first), 1)),
        241..=248 => Some((240 + 256 * (u64::from(first) - 241) + byte(1)?, 2)),
        249 => Some((2288 + 256 * byte(1)? + byte(2)?, 3)),
        250..=255 => {
            let length = usize::from(first) - 247;
            let mut value = [0; 8];
            value[..length].copy_from_slice(bytes.get(1..=length)?);
            Some((u64::from_le_bytes(value), length + 1))
        }
    }
}

/// An entry whose checksum is right.
struct Entry {
    kind: u8,
    segment_number: u64,
    bytes: usize,
}

/// The entry at the beginning of `rest`, which reaches to the end of its segment, if it belongs to a `wanted` segment.
fn entry(rest: &[u8], wanted: impl Fn(u64) -> bool) -> Option<Entry> {
    if rest.len() < ENTRY_HEADER_BYTES_MAX {
        return None;
    }
    let kind = rest[4];
    let (length, a) = number(&rest[5..])?;
    let (segment_number, b) = number(&rest[5 + a..])?;
    let (_, c) = number(&rest[5 + a + b..])?;
    if kind == 0 || kind > LAST_KIND || !wanted(segment_number) {
        return None;
    }
    let (body, length) = (5 + a + b + c, usize::try_from(length).ok()?);
    let end = body.checked_add(length)?;
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(rest.get(body..end)?);
    hasher.update(&rest[4..body]);
    let right = (hasher.finalize() ^ u32::MAX).to_le_bytes() == rest[..4];
    right.then_some(Entry { kind, segment_number, bytes: end })
}

/// The offset at which a segment becomes unreadable although one of its own entries follows.
fn corrupt_offset(segment: &[u8], own: u64, newest: u64) -> Option<usize> {
    let mut at = HEADER_BYTES;
    while let Some(found) = entry(&segment[at.min(segment.len())..], |number| number == own) {
        if found.kind == CAP {
            return None;
        }
        at += found.bytes;
    }
    // A newer entry means that the segment was being reused, which is no damage.
    let newer = |number: u64| number >= newest && number <= newest + AHEAD_MAX;
    let follows = (at + 1..segment.len()).find_map(|later| {
        entry(&segment[later..], |number| number == own || newer(number)).map(|found| found.segment_number)
    });
    (follows == Some(own)).then_some(at)
}

fn header(file: &File, offset: u64) -> io::Result<Option<Segment>> {
    let mut bytes = [0; HEADER_BYTES];
    if file.read_at(&mut bytes, offset)? < HEADER_BYTES {
        return Ok(None);
    }
    let [_, _, _, _, rest @ ..] = bytes;
    let right = (crc32fast::hash(&rest) ^ u32::MAX).to_le_bytes() == bytes[..4];
    let field = |from: usize| {
        let mut value = [0; 8];
        value.copy_from_slice(&rest[from..from + 8]);
        i64::from_le_bytes(value) ^ i64::MAX
    };
    let lsn = u64::try_from(field(0)).ok().filter(|_| right);
    Ok(lsn.map(|lsn| Segment { offset, lsn, stable: u64::try_from(field(8)).unwrap_or(0) }))
}

/// The LSN at which sled will begin to replay, from the name of its newest snapshot.
fn replayed_from(directory: &Path) -> io::Result<u64> {
    let mut from = 0;
    for entry in fs::read_dir(directory)? {
        let name = entry?.file_name();
        let lsn = name.to_str().and_then(|name| name.strip_prefix("snap."));
        from = from.max(lsn.and_then(|lsn| u64::from_str_radix(lsn, 16).ok()).unwrap_or(0));
    }
    Ok(from)
}

/// Checks the segments that sled will replay, one at a time.
pub(crate) fn look(directory: &Path, file: &Path) -> io::Result<LogCheck> {
    let segment_bytes = SEGMENT_BYTES as u64;
    let whole = |lsn: u64| lsn / segment_bytes * segment_bytes;
    let (from, log) = (whole(replayed_from(directory)?), File::open(file)?);
    let mut segments = Vec::new();
    for place in 0..log.metadata()?.len().div_ceil(segment_bytes) {
        segments.extend(header(&log, place * segment_bytes)?.filter(|segment| segment.lsn >= from));
    }
    let newest = segments.iter().map(|segment| segment.lsn / segment_bytes).max().unwrap_or(0);
    let stable = segments.iter().map(|segment| segment.stable).fold(from, u64::max);
    let (mut bytes, mut doubtful) = (vec![0; SEGMENT_BYTES], false);
    for segment in segments {
        let mut read = 0;
        while read < SEGMENT_BYTES {
            match log.read_at(&mut bytes[read..], segment.offset + read as u64)? {
                0 => break,
                more => read += more,
            }
        }
        let own = segment.lsn / segment_bytes;
        let Some(at) = corrupt_offset(&bytes[..read], own, newest.max(own + 1)) else { continue };
        if segment.lsn < whole(stable) {
            return Ok(LogCheck::Corrupt { offset: segment.offset + at as u64 });
        }
        doubtful = true;
    }
    Ok(if doubtful { LogCheck::Suspect } else { LogCheck::Ok })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A log written by sled, of at least so many segments.
    fn log(segments: u64) -> tempfile::TempDir {
        let directory = tempfile::tempdir().unwrap();
        let db = ::sled::Config::new().path(directory.path()).flush_every_ms(None).open().unwrap();
        let mut at = 0_u64;
        while fs::metadata(directory.path().join("db")).unwrap().len() < segments * SEGMENT_BYTES as u64 {
            for _ in 0..20 {
                db.insert(at.to_be_bytes(), at.to_be_bytes().repeat(100)).unwrap();
                at += 1;
            }
            db.flush().unwrap();
        }
        directory
    }

    fn looked_at(directory: &Path, change: impl FnOnce(&mut Vec<u8>)) -> LogCheck {
        let file = directory.join("changed");
        let mut bytes = fs::read(directory.join("db")).unwrap();
        change(&mut bytes);
        fs::write(&file, bytes).unwrap();
        look(directory, &file).unwrap()
    }

    #[test]
    fn what_sled_wrote_is_sound_also_when_it_was_cut_or_never_came_to_its_end() {
        let directory = log(12);
        assert_eq!(looked_at(directory.path(), |_| {}), LogCheck::Ok);
        assert_eq!(looked_at(directory.path(), |log| log.truncate(log.len() - 1000)), LogCheck::Ok);
        assert_eq!(looked_at(directory.path(), |log| log.truncate(10)), LogCheck::Ok);
        assert_eq!(looked_at(directory.path(), Vec::clear), LogCheck::Ok);
    }

    #[test]
    fn a_changed_byte_is_damage_where_sled_had_come_further_and_doubtful_where_not() {
        let directory = log(12);
        let long_ago = looked_at(directory.path(), |log| log[3 * SEGMENT_BYTES + 200_000] ^= 1);
        assert!(matches!(long_ago, LogCheck::Corrupt { offset } if offset > 3 * SEGMENT_BYTES as u64), "{long_ago:?}");
        let small = log(1);
        assert_eq!(looked_at(small.path(), |log| log[5_000] ^= 1), LogCheck::Suspect);
    }

    #[test]
    fn a_segment_that_was_being_written_anew_is_no_damage() {
        let directory = log(12);
        let anew = |log: &mut Vec<u8>| {
            // The second half of the newest complete segment overwrites that of an old one at the same offset.
            let source = log[9 * SEGMENT_BYTES + 300_000..10 * SEGMENT_BYTES].to_vec();
            let from = (0..source.len()).find(|at| entry(&source[*at..], |_| true).is_some()).unwrap();
            let to = 3 * SEGMENT_BYTES + 300_000 + from;
            log[to..4 * SEGMENT_BYTES].copy_from_slice(&source[from..]);
            log.truncate(9 * SEGMENT_BYTES);
        };
        assert_ne!(looked_at(directory.path(), |log| log[3 * SEGMENT_BYTES + 300_000] ^= 1), LogCheck::Ok);
        assert_eq!(looked_at(directory.path(), anew), LogCheck::Ok);
    }
}
