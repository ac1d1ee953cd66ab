//! The keys of everything that is stored. The first byte is the table; numbers are big-endian, so that keys sort by them; a
//! text that is not the last part ends in NUL, which no text contains.
//!
//! | key | value |
//! | --- | --- |
//! | `m` | format version and shard counts |
//! | `e` context shard first-position | a frame of events |
//! | `h` context shard | head, epoch |
//! | `d` kind NUL key | a document |
//! | `i` index NUL key | what it leads to |
//! | `t` context due shard entity NUL name | nothing: timers in the order of their due times |
//! | `r` context shard entity NUL name | the due time of that timer |
//! | `c` id | expiry, answer |
//! | `x` expiry id | nothing: command records in the order of their expiry |
//! | `s` sequence | the last number taken |
//! | `p` subscription NUL context shard | position, memo |
//! | `V` … | the read models (`views`) |
//!
//! Frames of events are plain keys in sled, everything else is in the sorted runs of the `state`.

use crate::store::cursor::{Cursor, UnexpectedEnd};

pub(crate) const META: u8 = b'm';
pub(crate) const EVENTS: u8 = b'e';
pub(crate) const HEADS: u8 = b'h';
pub(crate) const DOCUMENTS: u8 = b'd';
pub(crate) const INDEX: u8 = b'i';
pub(crate) const TIMERS: u8 = b't';
pub(crate) const TIMER_DUES: u8 = b'r';
pub(crate) const COMMANDS: u8 = b'c';
pub(crate) const EXPIRIES: u8 = b'x';
pub(crate) const SEQUENCES: u8 = b's';
pub(crate) const PROGRESS: u8 = b'p';
pub(crate) const VIEWS: u8 = b'V';
/// The tables of which nearly always one key is read, and hardly ever a range.
pub(crate) const POINTS: [u8; 7] = [HEADS, DOCUMENTS, INDEX, TIMER_DUES, COMMANDS, SEQUENCES, PROGRESS];

/// A shard as keys name it: the index of its context in the store's list, and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct ShardCode {
    pub context: u8,
    pub number: u16,
}

impl ShardCode {
    fn bytes(self) -> [u8; 3] {
        let [high, low] = self.number.to_be_bytes();
        [self.context, high, low]
    }
}

/// An encoding of signed times that sorts as they do.
pub(crate) fn sortable(ms: i64) -> [u8; 8] {
    (ms.cast_unsigned() ^ (1 << 63)).to_be_bytes()
}

/// The inverse of [`sortable`].
pub(crate) fn unsortable(bits: u64) -> i64 {
    (bits ^ (1 << 63)).cast_signed()
}

fn join(parts: &[&[u8]]) -> Vec<u8> {
    parts.concat()
}

pub(crate) fn events(shard: ShardCode) -> Vec<u8> {
    join(&[&[EVENTS], &shard.bytes()])
}

pub(crate) fn frame(shard: ShardCode, first: u64) -> Vec<u8> {
    join(&[&[EVENTS], &shard.bytes(), &first.to_be_bytes()])
}

pub(crate) fn head(shard: ShardCode) -> Vec<u8> {
    join(&[&[HEADS], &shard.bytes()])
}

pub(crate) fn head_value(head: u64, epoch: u64) -> Vec<u8> {
    join(&[&head.to_be_bytes(), &epoch.to_be_bytes()])
}

/// The key of a document or an index entry; with an empty `key`, the prefix of all of that name.
pub(crate) fn named(table: u8, name: &str, key: &str) -> Vec<u8> {
    join(&[&[table], name.as_bytes(), &[0], key.as_bytes()])
}

pub(crate) fn timers(context: u8) -> Vec<u8> {
    vec![TIMERS, context]
}

pub(crate) fn timer(shard: ShardCode, due_ms: i64, entity: &str, name: &str) -> Vec<u8> {
    let number = shard.number.to_be_bytes();
    join(&[&[TIMERS, shard.context], &sortable(due_ms), &number, entity.as_bytes(), &[0], name.as_bytes()])
}

/// The prefix of the due times of all timers of a shard.
pub(crate) fn timer_dues(shard: ShardCode) -> Vec<u8> {
    join(&[&[TIMER_DUES], &shard.bytes()])
}

pub(crate) fn timer_due(shard: ShardCode, entity: &str, name: &str) -> Vec<u8> {
    join(&[&timer_dues(shard), entity.as_bytes(), &[0], name.as_bytes()])
}

pub(crate) fn command(id: &str) -> Vec<u8> {
    join(&[&[COMMANDS], id.as_bytes()])
}

pub(crate) fn expiry(expires_ms: i64, id: &str) -> Vec<u8> {
    join(&[&[EXPIRIES], &sortable(expires_ms), id.as_bytes()])
}

pub(crate) fn sequence(name: &str) -> Vec<u8> {
    join(&[&[SEQUENCES], name.as_bytes()])
}

pub(crate) fn progress(subscription: &str, shard: ShardCode) -> Vec<u8> {
    join(&[&[PROGRESS], subscription.as_bytes(), &[0], &shard.bytes()])
}

/// The first key after all that begin with `prefix`; empty when there is none.
pub(crate) fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if let Some(next) = last.checked_add(1) {
            end.push(next);
            break;
        }
    }
    end
}

fn text(bytes: &[u8]) -> Result<String, UnexpectedEnd> {
    String::from_utf8(bytes.to_vec()).map_err(|_| UnexpectedEnd)
}

fn split(bytes: &[u8]) -> Result<(String, &[u8]), UnexpectedEnd> {
    let end = bytes.iter().position(|&byte| byte == 0).ok_or(UnexpectedEnd)?;
    Ok((text(&bytes[..end])?, &bytes[end + 1..]))
}

fn shard(cursor: &mut Cursor<'_>) -> Result<ShardCode, UnexpectedEnd> {
    Ok(ShardCode { context: cursor.u8()?, number: cursor.u16()? })
}

fn after_table(key: &[u8]) -> Result<Cursor<'_>, UnexpectedEnd> {
    let mut cursor = Cursor::new(key);
    cursor.u8()?;
    Ok(cursor)
}

fn rest<'a>(cursor: &mut Cursor<'a>) -> Result<&'a [u8], UnexpectedEnd> {
    cursor.take(cursor.left())
}

/// The shard and the first position in a frame's key.
pub(crate) fn parse_frame(key: &[u8]) -> Result<(ShardCode, u64), UnexpectedEnd> {
    let mut cursor = after_table(key)?;
    let parsed = (shard(&mut cursor)?, cursor.u64()?);
    if cursor.left() == 0 { Ok(parsed) } else { Err(UnexpectedEnd) }
}

pub(crate) fn parse_head(key: &[u8]) -> Result<ShardCode, UnexpectedEnd> {
    let mut cursor = after_table(key)?;
    let parsed = shard(&mut cursor)?;
    if cursor.left() == 0 { Ok(parsed) } else { Err(UnexpectedEnd) }
}

pub(crate) fn parse_head_value(value: &[u8]) -> Result<(u64, u64), UnexpectedEnd> {
    let mut cursor = Cursor::new(value);
    let parsed = (cursor.u64()?, cursor.u64()?);
    if cursor.left() == 0 { Ok(parsed) } else { Err(UnexpectedEnd) }
}

pub(crate) fn parse_named(key: &[u8]) -> Result<(String, String), UnexpectedEnd> {
    let (name, rest) = split(key.get(1..).ok_or(UnexpectedEnd)?)?;
    Ok((name, text(rest)?))
}

/// A timer's key: shard, due time, entity, name.
pub(crate) fn parse_timer(key: &[u8]) -> Result<(ShardCode, i64, String, String), UnexpectedEnd> {
    let mut cursor = after_table(key)?;
    let context = cursor.u8()?;
    let due_ms = unsortable(cursor.u64()?);
    let shard = ShardCode { context, number: cursor.u16()? };
    let (entity, name) = split(rest(&mut cursor)?)?;
    Ok((shard, due_ms, entity, text(name)?))
}

pub(crate) fn parse_timer_due(key: &[u8]) -> Result<(ShardCode, String, String), UnexpectedEnd> {
    let mut cursor = after_table(key)?;
    let shard = shard(&mut cursor)?;
    let (entity, name) = split(rest(&mut cursor)?)?;
    Ok((shard, entity, text(name)?))
}

pub(crate) fn parse_command(key: &[u8]) -> Result<String, UnexpectedEnd> {
    text(key.get(1..).ok_or(UnexpectedEnd)?)
}

pub(crate) fn parse_expiry(key: &[u8]) -> Result<(i64, String), UnexpectedEnd> {
    let mut cursor = after_table(key)?;
    Ok((unsortable(cursor.u64()?), text(rest(&mut cursor)?)?))
}

pub(crate) fn parse_progress(key: &[u8]) -> Result<(String, ShardCode), UnexpectedEnd> {
    let (subscription, rest) = split(key.get(1..).ok_or(UnexpectedEnd)?)?;
    let mut cursor = Cursor::new(rest);
    let shard = shard(&mut cursor)?;
    if cursor.left() == 0 { Ok((subscription, shard)) } else { Err(UnexpectedEnd) }
}

/// A number in front of a body: the values of command records and of progress.
pub(crate) fn numbered(number: u64, body: &[u8]) -> Vec<u8> {
    join(&[&number.to_be_bytes(), body])
}

pub(crate) fn parse_numbered(value: &[u8]) -> Result<(u64, &[u8]), UnexpectedEnd> {
    let mut cursor = Cursor::new(value);
    Ok((cursor.u64()?, rest(&mut cursor)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    const SHARD: ShardCode = ShardCode { context: 2, number: 300 };

    #[test]
    fn keys_are_read_back_as_they_were_made() {
        assert_eq!(parse_frame(&frame(SHARD, 7)), Ok((SHARD, 7)));
        assert_eq!(parse_head(&head(SHARD)), Ok(SHARD));
        assert_eq!(parse_named(&named(DOCUMENTS, "car", "12가")), Ok(("car".to_owned(), "12가".to_owned())));
        let (entity, name) = ("car01".to_owned(), "hold".to_owned());
        assert_eq!(parse_timer(&timer(SHARD, -5, &entity, &name)), Ok((SHARD, -5, entity.clone(), name.clone())));
        assert_eq!(parse_timer_due(&timer_due(SHARD, &entity, &name)), Ok((SHARD, entity, name)));
        assert_eq!(parse_expiry(&expiry(9, "id")), Ok((9, "id".to_owned())));
        assert_eq!(parse_progress(&progress("s", SHARD)), Ok(("s".to_owned(), SHARD)));
    }

    #[test]
    fn times_sort_as_their_keys_do() {
        let mut times = [i64::MIN, -1, 0, 1, i64::MAX];
        times.sort_by_key(|&ms| sortable(ms));
        assert_eq!(times, [i64::MIN, -1, 0, 1, i64::MAX]);
        assert!(times.iter().all(|&ms| unsortable(u64::from_be_bytes(sortable(ms))) == ms));
    }
}
