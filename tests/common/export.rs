//! Reads what `rentcar export` writes, knowing its lines and nothing of the code that wrote them.

use serde_json::Value;

#[derive(Debug, Clone)]
pub struct Event {
    pub context: String,
    pub shard: u64,
    pub position: u64,
    /// The entity whose history it is part of.
    pub entity: String,
    pub tag: String,
    pub data: Value,
}

impl Event {
    /// Whether it is of a type, whatever the version.
    pub fn is(&self, kind: &str) -> bool {
        self.tag.strip_prefix(kind).is_some_and(|rest| rest.is_empty() || rest.starts_with(".v"))
    }

    /// A member of the body, at whatever depth, in whichever of the two usual spellings.
    pub fn find(&self, camel: &str) -> Option<&Value> {
        let mut snake = String::new();
        for c in camel.chars() {
            if c.is_ascii_uppercase() {
                snake.push('_');
            }
            snake.push(c.to_ascii_lowercase());
        }
        find(&self.data, &[camel, &snake])
    }

    /// The reservation that it is about.
    pub fn reservation_no(&self) -> Option<&str> {
        self.find("reservationNo").and_then(Value::as_str)
    }

    /// An instant of the body in milliseconds since the epoch.
    pub fn instant(&self, name: &str) -> Option<i64> {
        let value = self.find(name)?;
        value.as_str().map(super::millis).or_else(|| value.as_i64())
    }
}

fn find<'a>(value: &'a Value, names: &[&str]) -> Option<&'a Value> {
    if let Some(members) = value.as_object() {
        let here = names.iter().find_map(|name| members.get(*name));
        return here.or_else(|| members.values().find_map(|member| find(member, names)));
    }
    value.as_array()?.iter().find_map(|item| find(item, names))
}

/// The events of an export, in its order.
#[track_caller]
pub fn events(ndjson: &str) -> Vec<Event> {
    let text = |line: &Value, name: &str| {
        let text = line[name].as_str();
        text.unwrap_or_else(|| panic!("a line of the export has no {name}: {line}")).to_owned()
    };
    let number = |line: &Value, name: &str| {
        let number = line[name].as_u64();
        number.unwrap_or_else(|| panic!("a line of the export has no {name}: {line}"))
    };
    let mut events = vec![];
    for line in ndjson.lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error} in {line:?}"));
        if line["kind"] == "event" {
            events.push(Event {
                context: text(&line, "context"),
                shard: number(&line, "shard"),
                position: number(&line, "position"),
                entity: text(&line, "entity"),
                tag: text(&line, "tag"),
                data: line["data"].clone(),
            });
        }
    }
    events
}
