//! The record that describes the store: its format and its shards, which are fixed when it is created.

use super::keys::ShardCode;
use crate::store::bounds;
use crate::store::cursor::{Cursor, UnexpectedEnd};
use crate::store::journal::{Context, ShardId};
use crate::store::sled::integrity::directory::FORMAT;

const MAGIC: &[u8] = b"RENTCAR\0";
const CONTEXTS_MAX: usize = 64;

/// The contexts of a store with their shard counts; keys name a context by its index here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Shards(Vec<(Context, u16)>);

impl Shards {
    pub(crate) fn new(configured: &[(Context, u16)]) -> Result<Self, String> {
        if configured.is_empty() || configured.len() > CONTEXTS_MAX {
            return Err(format!("there are {} contexts, not 1 to {CONTEXTS_MAX}", configured.len()));
        }
        for (place, (context, count)) in configured.iter().enumerate() {
            bounds::name("context", context.0)?;
            if *count == 0 {
                return Err(format!("the context {context} has no shard"));
            }
            if configured[..place].iter().any(|(other, _)| other == context) {
                return Err(format!("the context {context} is named twice"));
            }
        }
        Ok(Self(configured.to_vec()))
    }

    pub(crate) fn contexts(&self) -> &[(Context, u16)] {
        &self.0
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = (ShardId, ShardCode)> + '_ {
        (0_u8..).zip(&self.0).flat_map(|(code, &(context, count))| {
            (0..count).map(move |number| (ShardId { context, number }, ShardCode { context: code, number }))
        })
    }

    pub(crate) fn code_of(&self, context: Context) -> Option<u8> {
        let place = self.0.iter().position(|(name, _)| *name == context)?;
        u8::try_from(place).ok()
    }

    pub(crate) fn code(&self, shard: ShardId) -> Option<ShardCode> {
        let code = ShardCode { context: self.code_of(shard.context)?, number: shard.number };
        self.shard(code).map(|_| code)
    }

    /// `None` when the store has no such shard.
    pub(crate) fn shard(&self, code: ShardCode) -> Option<ShardId> {
        let &(context, count) = self.0.get(usize::from(code.context))?;
        (code.number < count).then_some(ShardId { context, number: code.number })
    }

    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = [MAGIC, &FORMAT.to_be_bytes()].concat();
        for (context, count) in &self.0 {
            // `new` has checked that names have at most 64 bytes.
            out.push(u8::try_from(context.0.len()).unwrap_or(u8::MAX));
            out.extend_from_slice(context.0.as_bytes());
            out.extend_from_slice(&count.to_be_bytes());
        }
        let crc = crc32fast::hash(&out);
        out.extend_from_slice(&crc.to_be_bytes());
        out
    }
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Stored {
    pub format: u16,
    pub contexts: Vec<(String, u16)>,
}

pub(crate) fn decode(bytes: &[u8]) -> Result<Stored, UnexpectedEnd> {
    let (content, crc) = bytes.split_last_chunk::<4>().ok_or(UnexpectedEnd)?;
    let mut cursor = Cursor::new(content);
    if crc32fast::hash(content) != u32::from_be_bytes(*crc) || cursor.take(MAGIC.len())? != MAGIC {
        return Err(UnexpectedEnd);
    }
    let mut stored = Stored { format: cursor.u16()?, contexts: Vec::new() };
    while cursor.left() > 0 {
        let length = usize::from(cursor.u8()?);
        let name = String::from_utf8(cursor.take(length)?.to_vec()).map_err(|_| UnexpectedEnd)?;
        stored.contexts.push((name, cursor.u16()?));
    }
    Ok(stored)
}

impl Stored {
    /// The configured shards: those of the store in its order, and behind them contexts that it does not have yet, since
    /// an older program made it. `None` when it has others, or other counts.
    pub(crate) fn matching(&self, configured: &Shards) -> Option<Shards> {
        let find = |(name, count): &(String, u16)| {
            configured.0.iter().find(|(context, configured)| context.0 == name && configured == count).copied()
        };
        let mut shards = self.contexts.iter().map(find).collect::<Option<Vec<_>>>()?;
        let is_new = |context: &Context| self.contexts.iter().all(|(name, _)| name != context.0);
        shards.extend(configured.0.iter().filter(|(context, _)| is_new(context)));
        Some(Shards(shards))
    }
}

/// For messages.
pub(crate) fn list<'a>(contexts: impl Iterator<Item = (&'a str, u16)>) -> String {
    let mut named: Vec<_> = contexts.map(|(name, count)| format!("{name}={count}")).collect();
    named.sort();
    named.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_description_survives_and_is_compared_regardless_of_order() {
        let shards = Shards::new(&[(Context("b"), 2), (Context("a"), 3)]).unwrap();
        let stored = decode(&shards.encode()).unwrap();
        let configured = Shards::new(&[(Context("a"), 3), (Context("b"), 2)]).unwrap();
        assert_eq!(stored.matching(&configured), Some(shards));
        let other = Shards::new(&[(Context("a"), 4), (Context("b"), 2)]).unwrap();
        assert_eq!(stored.matching(&other), None);
        let fewer = Shards::new(&[(Context("a"), 3)]).unwrap();
        assert_eq!(stored.matching(&fewer), None, "a newer program made the store");
    }

    #[test]
    fn a_context_that_is_new_comes_behind_those_of_the_store() {
        let stored = decode(&Shards::new(&[(Context("b"), 2), (Context("a"), 3)]).unwrap().encode()).unwrap();
        let configured = Shards::new(&[(Context("c"), 1), (Context("a"), 3), (Context("b"), 2)]).unwrap();
        let grown = Shards::new(&[(Context("b"), 2), (Context("a"), 3), (Context("c"), 1)]).unwrap();
        assert_eq!(stored.matching(&configured), Some(grown));
    }
}
