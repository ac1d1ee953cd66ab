//! The interface description (`OpenAPI` 3.1), made from the table of operations and the types that they read and answer
//! with. Nothing of it is written by hand but what all operations have in common.

use super::answer::JSON;
use super::endpoint::Description;
use super::numbers::SEGMENTS;
use super::problem::{self, ProblemDto};
use super::route::{Access, BodyRule, Preconditions, Route};
use schemars::SchemaGenerator;
use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

const ETAGS: &str =
    r#"^(\*|"r[0-9]{1,18}(-(rented|maintenance|retired))?"(, ?"r[0-9]{1,18}(-(rented|maintenance|retired))?")*)$"#;
const WEAK_ETAGS: &str = r#"^(\*|(W/)?"r[0-9]{1,18}(-(rented|maintenance|retired))?"(, ?(W/)?"r[0-9]{1,18}(-(rented|maintenance|retired))?")*)$"#;

/// What the description says of the interface as a whole.
#[derive(Debug, Clone, Copy)]
pub struct About {
    pub title: &'static str,
    pub summary: &'static str,
    pub description: &'static str,
    pub tags: &'static [&'static str],
}

/// The whole description.
pub fn document(about: About, operations: &[Description]) -> Value {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut generators = Generators {
        requests: settings().for_deserialize().into_generator(),
        answers: settings().for_serialize().into_generator(),
    };
    generators.answers.subschema_for::<ProblemDto>();
    let mut paths: BTreeMap<&str, Map<String, Value>> = BTreeMap::new();
    for operation in operations {
        let method = operation.route.method.as_str().to_lowercase();
        paths.entry(operation.route.template).or_default().insert(method, generators.operation(operation));
    }
    let mut schemas = generators.answers.take_definitions(true);
    for (name, schema) in generators.requests.take_definitions(true) {
        if let Some(other) = schemas.insert(name, schema.clone()) {
            debug_assert_eq!(other, schema, "a type is one thing in requests and another in answers");
        }
    }
    let mut document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": about.title, "version": "1.0.0", "summary": about.summary, "description": about.description,
            "license": { "name": "MIT OR Apache-2.0", "identifier": "MIT OR Apache-2.0" },
        },
        "tags": about.tags.iter().map(|name| json!({ "name": name })).collect::<Vec<_>>(),
        "paths": paths,
        "components": { "schemas": schemas, "headers": headers(), "securitySchemes": security_schemes() },
    });
    tidy(&mut document);
    let mut codes = BTreeSet::from(["method_not_allowed", "not_found"]);
    codes.extend(operations.iter().flat_map(Description::codes).map(|(_, code)| code));
    document["components"]["schemas"]["Problem"]["properties"]["code"]["x-codes"] = json!(codes);
    complete_with_examples(&mut document);
    document
}

/// Makes schemas: what may be missing in a request is not what may be missing in an answer.
struct Generators {
    requests: SchemaGenerator,
    answers: SchemaGenerator,
}

impl Generators {
    fn operation(&mut self, operation: &Description) -> Value {
        let Description { route, input, .. } = operation;
        let (summary, description) = told(route);
        let input = input(route, &mut self.requests).to_value();
        let mut described = json!({
            "operationId": route.name, "tags": [route.tag], "summary": summary,
            "x-access": access(route.access), "x-priority": route.priority.name(),
            "parameters": parameters(route, &input), "responses": self.responses(operation),
        });
        if route.access == Access::SignedIn {
            described["security"] = json!([{ "session": [] }]);
        } else if !matches!(route.access, Access::Public | Access::Visitor) {
            described["security"] = json!([{ "token": [] }, { "apiKey": [] }, { "session": [] }]);
        }
        if !description.is_empty() {
            described["description"] = description.into();
        }
        if route.body != BodyRule::Ignored {
            let content = json!({ JSON: { "schema": input } });
            described["requestBody"] = json!({ "required": route.body != BodyRule::Optional, "content": content });
        }
        described
    }

    fn responses(&mut self, operation: &Description) -> Value {
        let route = operation.route;
        let mut responses: BTreeMap<String, Value> = BTreeMap::new();
        for reply in route.replies {
            let replayed = route.keyed.then_some("Idempotency-Replayed");
            let headers = reply.headers.iter().copied().chain(replayed);
            let mut response = json!({ "description": reply.meaning, "headers": references(headers) });
            if let Some((media_type, schema)) = reply.content {
                response["content"] = json!({ media_type: { "schema": schema(&mut self.answers) } });
            }
            responses.insert(reply.status.to_string(), response);
        }
        let mut refusals: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
        for (status, code) in operation.codes() {
            refusals.entry(status).or_default().push(code);
        }
        for (status, codes) in refusals {
            let response =
                responses.entry(status.to_string()).or_insert_with(|| json!({ "headers": {}, "content": {} }));
            let listed: Vec<_> = codes.iter().map(|code| format!("`{code}`")).collect();
            let meaning =
                response["description"].as_str().map(|meaning| format!("{meaning}; or: ")).unwrap_or_default();
            response["description"] = format!("{meaning}{}: {}.", problem::meaning(status), listed.join(", ")).into();
            response["x-codes"] = json!(codes);
            let replayed = (route.keyed && status < 500 && status != 412).then_some("Idempotency-Replayed");
            if let Value::Object(told) = references(refusal_headers(status).iter().copied().chain(replayed))
                && let Some(headers) = response["headers"].as_object_mut()
            {
                headers.extend(told);
            }
            response["content"][problem::MEDIA_TYPE] = json!({ "schema": { "$ref": "#/components/schemas/Problem" } });
        }
        json!(responses)
    }
}

/// Summary and description.
fn told(route: &Route) -> (String, String) {
    let lines: Vec<&str> = route.text.iter().map(|line| line.trim()).collect();
    let (summary, description) = lines.split_at(lines.iter().position(|line| line.is_empty()).unwrap_or(lines.len()));
    (summary.join(" "), description.join(" ").trim().to_owned())
}

/// Who makes a call, as docs/api.md says it.
pub const fn access(access: Access) -> &'static str {
    match access {
        Access::Public | Access::Visitor => "everybody",
        Access::Owner => "customer",
        Access::SignedIn => "account",
        Access::Admin | Access::AllBookings => "staff",
        Access::Ops => "operators",
        Access::Monitoring => "operators, monitoring",
    }
}

fn parameters(route: &Route, input: &Value) -> Vec<Value> {
    let segment = |name: &str| {
        let (_, description, example) = SEGMENTS.iter().find(|(other, ..)| *other == name)?;
        let kind = if name == "reservationNo" { "ReservationNo" } else { "Number" };
        let schema = json!({ "$ref": format!("#/components/schemas/{kind}") });
        Some(json!({
            "name": name, "in": "path", "required": true, "description": description, "example": example, "schema": schema,
        }))
    };
    let header = |name: &str, required: bool, description: &str, schema: Value| json!({ "name": name, "in": "header", "required": required, "description": description, "schema": schema });
    let mut parameters: Vec<Value> = route.parameters().filter_map(segment).collect();
    if route.body == BodyRule::Ignored {
        let required = input["required"].as_array();
        for (name, schema) in input["properties"].as_object().into_iter().flatten() {
            let mut schema = schema.clone();
            never_null(&mut schema);
            let required = required.is_some_and(|required| required.iter().any(|other| other == name));
            let description = schema.as_object_mut().and_then(|schema| schema.remove("description"));
            let parameter = json!({ "name": name, "in": "query", "required": required, "schema": schema });
            parameters.push(match description {
                Some(description) => with(parameter, "description", description),
                None => parameter,
            });
        }
    }
    if let Some((name, description, schema)) = route.header {
        parameters.push(header(name, false, description, schema(&mut SchemaGenerator::default()).to_value()));
    }
    if route.keyed {
        parameters.push(header(
            "Idempotency-Key",
            false,
            "A name for the call, kept for 24 hours: the same call again is carried out once and answered alike.",
            json!({ "type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]{1,255}$" }),
        ));
    }
    if route.preconditions != Preconditions::Ignored {
        parameters.push(header(
            "If-Match",
            route.preconditions == Preconditions::Required,
            "The ETag of the car as it was read, several of them, or * for whatever it is. They are compared strongly (RFC \
             9110, section 13.1.1): a weak tag matches nothing.",
            json!({ "type": "string", "examples": ["\"r1\"", "\"r3-rented\""], "pattern": ETAGS }),
        ));
        parameters.push(header(
            "If-None-Match",
            false,
            "ETags of the car that the caller has already, or * for any. They are compared weakly (RFC 9110, section \
             13.1.2).",
            json!({ "type": "string", "examples": ["\"r1\"", "W/\"r3-rented\""], "pattern": WEAK_ETAGS }),
        ));
    }
    parameters
}

fn with(mut object: Value, name: &str, value: Value) -> Value {
    object[name] = value;
    object
}

fn references<'a>(names: impl Iterator<Item = &'a str>) -> Value {
    names.map(|name| (name.to_owned(), json!({ "$ref": format!("#/components/headers/{name}") }))).collect()
}

const fn refusal_headers(status: u16) -> &'static [&'static str] {
    match status {
        401 => &["WWW-Authenticate"],
        409 | 503 | 504 => &["Retry-After"],
        429 => &["Retry-After", "RateLimit-Policy", "RateLimit"],
        _ => &[],
    }
}

fn headers() -> Value {
    let text = |description: &str| json!({ "description": description, "schema": { "type": "string" } });
    let constant = |value: &str, description: &str| json!({ "description": description, "schema": { "type": "string", "const": value } });
    json!({
        "Location": text("Where what was made can be read."),
        "ETag": text("The version of everything that is shown: \"r1\" is the first revision, and \"r1-rented\", \
            \"r1-maintenance\" and \"r1-retired\" are the same of a car that is not available. For If-Match and \
            If-None-Match."),
        "Retry-After": {
            "description": "Seconds to wait.", "schema": { "type": "integer", "minimum": 1, "maximum": 86_400 },
        },
        "Set-Cookie": text("The cookie of the session, or what takes it away."),
        "WWW-Authenticate": text("How to authenticate (RFC 6750)."),
        "Idempotency-Replayed": constant("true", "When this is the answer given before under the same key."),
        "Cache-Control": constant("no-store", "No cache keeps the events."),
        "Content-Disposition": text("Says that the answer is to be kept as a file, and its name (RFC 6266)."),
        "X-Accel-Buffering": constant("no", "Proxies pass the events on at once."),
        "RateLimit-Policy": with(text("What one client may ask: q requests at once, refilled within w seconds. Only where \
            requests are limited, and then on every answer that counts."), "example", json!("\"client\";q=2000;w=10")),
        "RateLimit": with(text("What is left of it: r requests now, all of them in t seconds."), "example",
            json!("\"client\";r=1999;t=1")),
    })
}

/// Only where the service has keys: without any, whoever reaches it may do everything.
fn security_schemes() -> Value {
    json!({
        "token": { "type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "Of a customer \
            (`customerNo`), of staff and operators (`roles`), or of a machine (`scope`)." },
        "session": { "type": "apiKey", "in": "cookie", "name": "__Host-rentcar", "description": "Of an account, as \
            signing in sets it (by HTTPS; `rentcar` on loopback addresses). A call that changes something comes from the \
            same origin, and has `X-Form-Token`." },
        "apiKey": { "type": "http", "scheme": "bearer", "description": "Of a machine, as `rentcar key new` makes it." },
    })
}

/// Makes schemas say what the reader does: no member but those named, none that is null where it may be missing; and
/// names types as clients know them.
fn tidy(value: &mut Value) {
    match value {
        Value::Object(members) => {
            let required = members.get("required").cloned().unwrap_or_default();
            let is_required = |name: &str| required.as_array().is_some_and(|all| all.iter().any(|other| other == name));
            if let Some(Value::Object(properties)) = members.get_mut("properties") {
                properties.iter_mut().filter(|(name, _)| !is_required(name)).for_each(|(_, schema)| never_null(schema));
                members.entry("additionalProperties").or_insert(Value::Bool(false));
            }
            if let Some(Value::String(reference)) = members.get_mut("$ref") {
                *reference = reference.replace("Dto", "");
            }
            if let Some(Value::Object(schemas)) = members.get_mut("schemas") {
                let named = std::mem::take(schemas).into_iter().map(|(name, schema)| (name.replace("Dto", ""), schema));
                *schemas = named.collect();
            }
            members.remove("x-nullable");
            if let Some(Value::String(text)) = members.get_mut("description") {
                let paragraphs: Vec<_> = text.split("\n\n").map(|paragraph| paragraph.replace('\n', " ")).collect();
                *text = paragraphs.join("\n\n");
            }
            // An enum whose values have comments.
            let constants = |forms: &Value| forms.as_array()?.iter().map(|form| form.get("const").cloned()).collect();
            if let Some(names) = members.get("oneOf").and_then(constants).map(|names: Vec<Value>| json!(names)) {
                members.remove("oneOf");
                members.extend([("type".to_owned(), json!("string")), ("enum".to_owned(), names)]);
            }
            // Widths of Rust, which say nothing of the interface.
            members
                .retain(|name, format| name != "format" || !format.as_str().is_some_and(|it| it.starts_with("uint")));
            members.values_mut().for_each(tidy);
        }
        Value::Array(items) => items.iter_mut().for_each(tidy),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What may be missing is left out and never null, unless null means something else.
fn never_null(schema: &mut Value) {
    let Value::Object(members) = schema else { return };
    if members.contains_key("x-nullable") {
        return;
    }
    members.retain(|name, value| name != "default" || !value.is_null());
    if let Some(Value::Array(names)) = members.get_mut("enum") {
        names.retain(|name| !name.is_null());
    }
    if let Some(Value::Array(types)) = members.get_mut("type") {
        types.retain(|name| name != "null");
        if let [only] = types.as_slice() {
            members["type"] = only.clone();
        }
    }
    if let Some(Value::Array(mut forms)) = members.remove("anyOf") {
        forms.retain(|form| form["type"] != "null");
        match forms.pop() {
            Some(Value::Object(only)) if forms.is_empty() => {
                for (name, value) in only {
                    members.entry(name).or_insert(value);
                }
            }
            last => drop(members.insert("anyOf".to_owned(), forms.into_iter().chain(last).collect())),
        }
    }
}

/// Gives every body, and every parameter that must be there, an example made of those of its members.
fn complete_with_examples(document: &mut Value) {
    let schemas = document["components"]["schemas"].take();
    let methods = document["paths"].as_object_mut().into_iter().flat_map(Map::values_mut);
    for operation in methods.filter_map(Value::as_object_mut).flat_map(Map::values_mut) {
        // Of what it reads, and of its first answer.
        if let Some(answer) = operation["responses"].as_object_mut().and_then(|answers| answers.values_mut().next()) {
            contents(answer, &schemas);
        }
        if let Some(body) = operation.get_mut("requestBody") {
            contents(body, &schemas);
        }
        let parameters = operation["parameters"].as_array_mut().into_iter().flatten();
        for parameter in parameters.filter(|parameter| parameter["required"] == true && parameter["in"] == "query") {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["example"] = example(name, &parameter["schema"], &schemas);
        }
    }
    document["components"]["schemas"] = schemas;
}

/// Gives every content of a body an example.
fn contents(body: &mut Value, schemas: &Value) {
    // Not by an index, which would make what is not there.
    let all = body.get_mut("content").and_then(Value::as_object_mut);
    for content in all.into_iter().flat_map(Map::values_mut) {
        if content["schema"]["type"] != "string" {
            content["example"] = example("", &content["schema"], schemas);
        }
    }
}

/// An example of what a schema describes: with what must be there, and with what has an example of its own.
fn example(name: &str, schema: &Value, schemas: &Value) -> Value {
    let given = |name: &str| schema.get(name).filter(|value| !value.is_null());
    if let Some(first) = given("examples").or(given("enum")).and_then(|values| values.get(0)) {
        return first.clone();
    }
    if schema["format"] == "date-time" || schema["$ref"] == "#/components/schemas/Instant" {
        return json!(if name == "to" { "2030-02-02T00:00:00Z" } else { "2030-01-31T00:00:00Z" });
    }
    if let Some((.., number)) = SEGMENTS.iter().find(|(other, ..)| *other == name) {
        return json!(number);
    }
    if let Some(reference) = schema["$ref"].as_str().and_then(|reference| reference.rsplit('/').next()) {
        return example(name, &schemas[reference], schemas);
    }
    if let Some(properties) = schema["properties"].as_object() {
        let required = schema["required"].as_array();
        let is_told = |name: &str, schema: &Value| {
            required.is_some_and(|all| all.iter().any(|other| other == name)) || schema.get("examples").is_some()
        };
        let told = properties.iter().filter(|(name, schema)| is_told(name, schema));
        return told.map(|(name, schema)| (name.clone(), example(name, schema, schemas))).collect();
    }
    match schema["type"].as_str() {
        Some("array") => json!([example("", &schema["items"], schemas)]),
        Some("object") => json!({}),
        Some("integer" | "number") => given("default").or(given("minimum")).cloned().unwrap_or(json!(1)),
        Some("boolean") => json!(false),
        Some(_) => json!("text"),
        // What may be null.
        None => Value::Null,
    }
}
