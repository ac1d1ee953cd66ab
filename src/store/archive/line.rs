//! Converts records to lines of an archive and back. The field names are part of the format and do not change within a
//! version.

use super::super::journal::{Cause, CommandRecord, CommittedEvent, Context, Progress, ShardId, StoredEvent, Timer};
use super::super::record::Record;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

#[derive(Serialize, Deserialize)]
pub(super) struct ShardLine {
    context: String,
    shard: u16,
}

#[derive(Serialize, Deserialize)]
pub(super) struct CauseLine {
    subscription: String,
    context: String,
    shard: u16,
    position: u64,
}

#[derive(Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub(super) enum Line {
    Header {
        format: String,
        version: u32,
        shards: BTreeMap<String, u16>,
    },
    Event {
        #[serde(flatten)]
        shard: ShardLine,
        position: u64,
        /// For people, if the calendar can express it; `at_ms` is authoritative.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<String>,
        at_ms: i64,
        entity: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cause: Option<CauseLine>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        by: Option<String>,
        tag: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        data: Option<serde_json::Value>,
        payload: String,
    },
    Epoch {
        #[serde(flatten)]
        shard: ShardLine,
        epoch: u64,
    },
    Document {
        document: String,
        key: String,
        body: String,
    },
    Index {
        index: String,
        key: String,
        value: String,
    },
    Timer {
        #[serde(flatten)]
        shard: ShardLine,
        entity: String,
        name: String,
        due_ms: i64,
    },
    Command {
        id: String,
        expires_ms: i64,
        answer: String,
    },
    Progress {
        subscription: String,
        #[serde(flatten)]
        shard: ShardLine,
        position: u64,
        memo: String,
    },
    Trailer {
        events: u64,
        records: u64,
        /// SHA-256, in hexadecimal, of all bytes before this line.
        sha256: String,
    },
}

fn shard_line(shard: ShardId) -> ShardLine {
    ShardLine { context: shard.context.0.to_owned(), shard: shard.number }
}

fn event_line(recorded: CommittedEvent, data: Option<serde_json::Value>) -> Line {
    let CommittedEvent { shard, position, event } = recorded;
    Line::Event {
        shard: shard_line(shard),
        position,
        at: jiff::Timestamp::from_millisecond(event.at_ms).ok().map(|at| at.to_string()),
        at_ms: event.at_ms,
        entity: event.entity.to_string(),
        cause: event.cause.map(|cause| CauseLine {
            subscription: cause.subscription.to_string(),
            context: cause.context.to_string(),
            shard: cause.shard,
            position: cause.position,
        }),
        by: event.by.map(|by| by.to_string()),
        tag: event.tag.to_string(),
        data,
        payload: STANDARD.encode(&event.payload),
    }
}

/// `render` makes the readable form of an event.
pub(super) fn of(record: Record, render: impl Fn(&StoredEvent) -> Option<serde_json::Value>) -> Line {
    match record {
        Record::Event(recorded) => {
            let data = render(&recorded.event);
            event_line(recorded, data)
        }
        Record::Epoch { shard, epoch } => Line::Epoch { shard: shard_line(shard), epoch },
        Record::Document { kind, key, body } => Line::Document { document: kind, key, body: STANDARD.encode(body) },
        Record::Index { index, key, value } => Line::Index { index, key, value },
        Record::Timer(timer) => Line::Timer {
            shard: shard_line(timer.shard),
            entity: timer.entity.to_string(),
            name: timer.name.to_string(),
            due_ms: timer.due_ms,
        },
        Record::Command(CommandRecord { id, answer, expires_ms }) => {
            Line::Command { id: id.to_string(), expires_ms, answer: STANDARD.encode(answer) }
        }
        Record::Progress { subscription, shard, progress } => Line::Progress {
            subscription,
            shard: shard_line(shard),
            position: progress.position,
            memo: STANDARD.encode(progress.memo),
        },
    }
}

fn bytes(text: &str) -> Result<Bytes, String> {
    STANDARD.decode(text).map(Bytes::from).map_err(|error| format!("it is not base64: {error}"))
}

/// Fails for a header and a trailer; `context` finds the configured contexts.
pub(super) fn record(line: Line, context: impl Fn(&str) -> Option<Context>) -> Result<Record, String> {
    let shard = |line: ShardLine| {
        let context = context(&line.context).ok_or_else(|| format!("there is no context {}", line.context))?;
        Ok::<_, String>(ShardId { context, number: line.shard })
    };
    Ok(match line {
        Line::Event { shard: of, position, at: _, at_ms, entity, cause, by, tag, data: _, payload } => {
            let cause = cause.map(|cause| Cause {
                subscription: cause.subscription.into(),
                context: cause.context.into(),
                shard: cause.shard,
                position: cause.position,
            });
            let (entity, by, tag) = (entity.into(), by.map(Into::into), tag.into());
            let event = StoredEvent { entity, at_ms, cause, by, tag, payload: bytes(&payload)? };
            Record::Event(CommittedEvent { shard: shard(of)?, position, event })
        }
        Line::Epoch { shard: of, epoch } => Record::Epoch { shard: shard(of)?, epoch },
        Line::Document { document, key, body } => Record::Document { kind: document, key, body: bytes(&body)? },
        Line::Index { index, key, value } => Record::Index { index, key, value },
        Line::Timer { shard: of, entity, name, due_ms } => {
            Record::Timer(Timer { shard: shard(of)?, entity: entity.into(), name: name.into(), due_ms })
        }
        Line::Command { id, expires_ms, answer } => {
            Record::Command(CommandRecord { id: id.into(), answer: bytes(&answer)?, expires_ms })
        }
        Line::Progress { subscription, shard: of, position, memo } => {
            Record::Progress { subscription, shard: shard(of)?, progress: Progress { position, memo: bytes(&memo)? } }
        }
        Line::Header { .. } => return Err("a second header".to_owned()),
        Line::Trailer { .. } => return Err("a trailer before the end".to_owned()),
    })
}
