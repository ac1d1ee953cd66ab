//! The interface description, made ready to be shown: read once, since it is the same for everybody. Pure.

use super::super::page::query_value;
use crate::http::openapi;
use crate::kit::values::segment;
use serde_json::Value;
use std::fmt::Write as _;
use std::sync::LazyLock;

/// How deep the members of members are told.
const DEPTH_MAX: usize = 4;
/// What begins the reference to a schema or a header.
const COMPONENTS: &str = "#/components/";

pub static DESCRIPTION: LazyLock<Description> = LazyLock::new(|| Description::of(&openapi::document()));

#[derive(Debug)]
pub struct Description {
    /// Paragraphs, as HTML.
    pub about: Vec<String>,
    pub chapters: Vec<Chapter>,
}

#[derive(Debug)]
pub struct Chapter {
    pub name: String,
    pub operations: Vec<Operation>,
}

#[derive(Debug)]
pub struct Operation {
    pub id: String,
    /// In capitals.
    pub method: String,
    pub path: String,
    pub summary: String,
    /// As HTML.
    pub description: String,
    /// The word for who may call it.
    pub access: String,
    pub parameters: Vec<Field>,
    pub body: Option<Body>,
    pub answers: Vec<Answer>,
}

/// A parameter, or a member of a body.
#[derive(Debug, PartialEq, Eq)]
pub struct Field {
    pub name: String,
    /// `path`, `query` or `header`; empty for a member.
    pub place: String,
    pub is_needed: bool,
    pub kind: String,
    /// As HTML.
    pub meaning: String,
    /// What may stand there.
    pub example: String,
}

#[derive(Debug)]
pub struct Body {
    pub members: Vec<Field>,
    /// As JSON with line breaks.
    pub example: String,
}

#[derive(Debug)]
pub struct Answer {
    pub status: String,
    /// As HTML.
    pub meaning: String,
    pub headers: Vec<String>,
    pub members: Vec<Field>,
    pub example: Option<String>,
}

impl Description {
    fn of(document: &Value) -> Description {
        let chapter = |tag: &Value| {
            let name = text(tag, "name");
            let calls = members(document.get("paths")).flat_map(|(path, methods)| {
                members(Some(methods)).map(move |(method, operation)| (path, method, operation))
            });
            let of_chapter = calls.filter(|(.., operation)| operation["tags"][0] == *name);
            let operations =
                of_chapter.map(|(path, method, operation)| Operation::of(document, path, method, operation));
            Chapter { operations: operations.collect(), name }
        };
        Description {
            about: text(&document["info"], "description").split("\n\n").map(marked).collect(),
            chapters: items(document.get("tags")).map(chapter).collect(),
        }
    }

    pub fn operation(&self, id: &str) -> Option<&Operation> {
        self.chapters.iter().flat_map(|chapter| &chapter.operations).find(|operation| operation.id == id)
    }
}

impl Operation {
    fn of(document: &Value, path: &str, method: &str, operation: &Value) -> Operation {
        Operation {
            id: text(operation, "operationId"),
            method: method.to_uppercase(),
            path: path.to_owned(),
            summary: text(operation, "summary"),
            description: marked(&text(operation, "description")),
            access: text(operation, "x-access"),
            parameters: items(operation.get("parameters")).map(|one| Field::of_parameter(document, one)).collect(),
            body: content(&operation["requestBody"]).map(|content| Body {
                members: fields(document, &content["schema"], "", 0),
                example: pretty(content.get("example")).unwrap_or_default(),
            }),
            answers: members(operation.get("responses"))
                .map(|(status, one)| Answer::of(document, status, one))
                .collect(),
        }
    }

    /// The class of the badge of its method.
    pub fn class(&self) -> &'static str {
        match self.method.as_str() {
            "GET" => "info",
            "POST" => "ok",
            "DELETE" => "bad",
            _ => "warn",
        }
    }

    pub fn needs_token(&self) -> bool {
        self.access != "everybody"
    }

    /// A line for a shell that makes the call with the examples.
    pub fn curl(&self, base: &str, with_token: bool) -> String {
        let mut address = self.path.clone();
        for field in self.parameters.iter().filter(|field| field.place == "path") {
            address = address.replace(&format!("{{{}}}", field.name), &segment(&field.example));
        }
        let given = self.parameters.iter().filter(|field| field.place == "query" && field.is_needed);
        let query: Vec<String> = given.map(|field| format!("{}={}", field.name, query_value(&field.example))).collect();
        if !query.is_empty() {
            let _ = write!(address, "?{}", query.join("&"));
        }
        let mut line = format!("curl -X {} {}", self.method, quoted(&format!("{base}{address}")));
        if with_token && self.needs_token() {
            line.push_str(" \\\n  -H \"Authorization: Bearer $TOKEN\"");
        }
        for field in self.parameters.iter().filter(|field| field.place == "header" && field.is_needed) {
            let _ = write!(line, " \\\n  -H {}", quoted(&format!("{}: {}", field.name, field.example)));
        }
        if let Some(body) = &self.body {
            let _ = write!(line, " \\\n  -H 'Content-Type: application/json' \\\n  -d {}", quoted(&body.example));
        }
        line
    }
}

/// For a shell.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

impl Field {
    fn of_parameter(document: &Value, parameter: &Value) -> Field {
        let schema = &parameter["schema"];
        let example = parameter.get("example").or_else(|| schema["examples"].get(0));
        Field {
            name: text(parameter, "name"),
            place: text(parameter, "in"),
            is_needed: parameter["required"] == true,
            kind: kind(document, schema),
            meaning: marked(&text(parameter, "description")),
            example: example.map(plain).unwrap_or_default(),
        }
    }
}

impl Answer {
    fn of(document: &Value, status: &str, response: &Value) -> Answer {
        // Refusals are alike, and told by their codes.
        let content = content(response).filter(|_| status.starts_with('2'));
        Answer {
            status: status.to_owned(),
            meaning: marked(&text(response, "description")),
            headers: members(response.get("headers")).map(|(name, _)| name.to_owned()).collect(),
            members: content.map(|content| fields(document, &content["schema"], "", 0)).unwrap_or_default(),
            example: content.and_then(|content| pretty(content.get("example"))),
        }
    }
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

fn items(value: Option<&Value>) -> impl Iterator<Item = &Value> {
    value.and_then(Value::as_array).into_iter().flatten()
}

fn members(value: Option<&Value>) -> impl Iterator<Item = (&str, &Value)> {
    value.and_then(Value::as_object).into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// Of several media types the first that is no problem document.
fn content(body: &Value) -> Option<&Value> {
    members(body.get("content"))
        .find(|(media_type, _)| *media_type != "application/problem+json")
        .map(|(_, content)| content)
}

fn pretty(example: Option<&Value>) -> Option<String> {
    serde_json::to_string_pretty(example?).ok()
}

/// A value as it stands in an address or a header.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned)
}

/// What a reference leads to, or the schema itself.
fn resolved<'a>(document: &'a Value, schema: &'a Value) -> &'a Value {
    let name = schema["$ref"].as_str().and_then(|reference| reference.strip_prefix(COMPONENTS));
    let found = name.and_then(|name| document["components"].pointer(&format!("/{name}")));
    found.map_or(schema, |found| resolved(document, found))
}

/// The schema that is not null, and whether null is another.
fn not_null<'a>(document: &'a Value, schema: &'a Value) -> (&'a Value, bool) {
    let mut forms = items(schema.get("anyOf")).filter(|form| form["type"] != "null");
    if let (Some(only), None) = (forms.next(), forms.next()) {
        return (resolved(document, only), true);
    }
    let schema = resolved(document, schema);
    (schema, items(schema.get("type")).any(|name| name == "null"))
}

/// What kind of value it is, such as `integer, 1 to 200` or `array of object`.
fn kind(document: &Value, schema: &Value) -> String {
    let (schema, may_be_null) = not_null(document, schema);
    let number = |name: &str| schema.get(name).filter(|value| value.is_number()).map(ToString::to_string);
    let names: Vec<String> = items(schema.get("enum")).filter(|value| !value.is_null()).map(plain).collect();
    let of_several = items(schema.get("type")).find_map(|name| name.as_str().filter(|name| *name != "null"));
    let type_name = schema["type"].as_str().or(of_several);
    let mut told = match (names.is_empty(), type_name) {
        (false, _) => names.join(" | "),
        (true, Some("array")) => format!("array of {}", kind(document, &schema["items"])),
        (true, Some(name)) => schema["format"].as_str().filter(|_| name == "string").unwrap_or(name).to_owned(),
        (true, None) => "any".to_owned(),
    };
    match (number("minimum"), number("maximum")) {
        (Some(least), Some(most)) => {
            let _ = write!(told, ", {least} to {most}");
        }
        (Some(least), None) if least != "0" => {
            let _ = write!(told, ", from {least}");
        }
        (Some(_) | None, _) => {}
    }
    if let Some(most) = number("maxLength") {
        let _ = write!(told, ", up to {most} characters");
    }
    if let Some(default) = schema.get("default") {
        let _ = write!(told, ", else {}", plain(default));
    }
    if may_be_null {
        told.push_str(", or null");
    }
    told
}

/// The members of an object, and theirs.
fn fields(document: &Value, schema: &Value, prefix: &str, depth: usize) -> Vec<Field> {
    let (object, _) = not_null(document, schema);
    let (object, prefix) = if object["type"] == "array" {
        (not_null(document, &object["items"]).0, format!("{prefix}[]"))
    } else {
        (object, prefix.to_owned())
    };
    if depth == DEPTH_MAX {
        return vec![];
    }
    let needed: Vec<&str> = items(object.get("required")).filter_map(Value::as_str).collect();
    let mut all = vec![];
    for (name, member) in members(object.get("properties")) {
        let full = if prefix.is_empty() { name.to_owned() } else { format!("{prefix}.{name}") };
        let own = member["description"].as_str();
        let meaning = own.or_else(|| not_null(document, member).0["description"].as_str()).unwrap_or_default();
        let below = fields(document, member, &full, depth + 1);
        all.push(Field {
            name: full,
            place: String::new(),
            is_needed: needed.contains(&name),
            kind: kind(document, member),
            meaning: marked(meaning),
            example: String::new(),
        });
        all.extend(below);
    }
    all
}

/// Text as HTML, in which what is between backticks is code.
fn marked(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for (place, piece) in text.split('`').enumerate() {
        let is_code = place % 2 == 1;
        html.push_str(if is_code { "<code>" } else { "" });
        for letter in piece.chars() {
            match letter {
                '&' => html.push_str("&amp;"),
                '<' => html.push_str("&lt;"),
                '>' => html.push_str("&gt;"),
                '"' => html.push_str("&quot;"),
                other => html.push(other),
            }
        }
        html.push_str(if is_code { "</code>" } else { "" });
    }
    html
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::collections::HashSet;

    #[test]
    fn every_operation_is_there_once_with_all_that_is_needed_to_make_it() {
        let operations: Vec<_> = DESCRIPTION.chapters.iter().flat_map(|chapter| &chapter.operations).collect();
        let ids: HashSet<_> = operations.iter().map(|operation| &operation.id).collect();
        let document = openapi::document();
        let calls: usize = members(document.get("paths")).map(|(_, methods)| members(Some(methods)).count()).sum();
        assert_eq!((ids.len(), operations.len()), (calls, calls));
        for operation in operations {
            let needed = operation.parameters.iter().filter(|field| field.is_needed);
            for field in needed {
                assert!(!field.example.is_empty(), "{} {}", operation.id, field.name);
            }
            assert!(
                !operation.curl("", true).contains('{') || operation.body.is_some(),
                "{}",
                operation.curl("", true)
            );
            assert!(operation.answers.iter().any(|answer| answer.status.starts_with('2')), "{}", operation.id);
        }
    }

    #[test]
    fn text_between_backticks_is_code_and_nothing_is_markup() {
        assert_eq!(marked("a `<b>` & \"c\""), "a <code>&lt;b&gt;</code> &amp; &quot;c&quot;");
    }

    #[test]
    fn kinds_of_values_are_told_with_their_bounds() {
        let document =
            json!({ "components": { "schemas": { "Instant": { "type": "string", "format": "date-time" } } } });
        for (schema, told) in [
            (json!({ "$ref": "#/components/schemas/Instant" }), "date-time"),
            (
                json!({ "anyOf": [{ "$ref": "#/components/schemas/Instant" }, { "type": "null" }] }),
                "date-time, or null",
            ),
            (json!({ "type": "integer", "minimum": 1, "maximum": 200, "default": 50 }), "integer, 1 to 200, else 50"),
            (json!({ "type": "integer", "minimum": 0 }), "integer"),
            (json!({ "type": ["string", "null"] }), "string, or null"),
            (json!({ "enum": ["A", "B"], "type": "string" }), "A | B"),
            (json!({ "type": "array", "items": { "type": "object" } }), "array of object"),
        ] {
            assert_eq!(kind(&document, &schema), told);
        }
    }

    #[test]
    fn members_of_members_are_told_by_their_whole_names() {
        let item = json!({ "type": "object", "required": ["b"], "properties": { "b": { "type": "boolean" } } });
        let schema = json!({ "type": "object", "properties": { "a": { "type": "array", "items": item } } });
        let told: Vec<_> =
            fields(&json!({}), &schema, "", 0).into_iter().map(|field| (field.name, field.is_needed)).collect();
        assert_eq!(told, [("a".to_owned(), false), ("a[].b".to_owned(), true)]);
    }

    #[test]
    fn a_line_for_a_shell_quotes_what_it_is_given() {
        assert_eq!(quoted("it's"), r"'it'\''s'");
    }
}
