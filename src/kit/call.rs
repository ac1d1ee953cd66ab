//! A call as a handler gets it, and what the handler reads of it.

use super::access::Credentials;
use super::form;
use super::idempotency::IdempotencyKey;
use super::json;
use super::numbers::{Number, RawNumber};
use super::problem::Problem;
use super::query;
use super::route::{BodyRule, Route};
use bytes::Bytes;
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::net::IpAddr;
use std::sync::Arc;
use warp::http::HeaderMap;
use warp::path::FullPath;

/// A call, read as far as it can be without knowing what it means.
#[derive(Debug)]
pub struct Call {
    pub headers: HeaderMap,
    pub credentials: Credentials,
    /// Where the connection comes from.
    pub peer: Option<IpAddr>,
    pub(crate) body: Bytes,
    pub(crate) path: FullPath,
    pub(crate) query: String,
    pub(super) parameters: Vec<(&'static str, String)>,
    pub(super) keyed: Option<IdempotencyKey>,
}

/// What a handler reads of a call: the body, or the query of a call without one.
pub trait Input: Sized + Send {
    /// # Errors
    /// 400 `invalid_query`; of a body `malformed_json`, `invalid_member` or `unknown_member`.
    fn read(route: &Route, call: &Call) -> Result<Self, Problem>;

    /// Its schema, whose properties are parameters in a query.
    fn schema(route: &Route, generator: &mut SchemaGenerator) -> Schema;

    /// The codes of what it refuses.
    fn codes(route: &Route) -> &'static [&'static str] {
        if route.body == BodyRule::Ignored {
            &["invalid_query"]
        } else {
            &["invalid_query", "malformed_json", "invalid_member", "unknown_member"]
        }
    }
}

impl<T: DeserializeOwned + JsonSchema + Send> Input for T {
    fn read(route: &Route, call: &Call) -> Result<T, Problem> {
        if route.body == BodyRule::Ignored {
            return query::read(&call.query);
        }
        query::read(&call.query).map(|Nothing {}| ())?;
        if route.body == BodyRule::Form {
            return form::read(&call.body);
        }
        json::read(if call.body.is_empty() && route.body == BodyRule::Optional { b"{}" } else { &call.body })
    }

    fn schema(route: &Route, generator: &mut SchemaGenerator) -> Schema {
        if route.body == BodyRule::Ignored { T::json_schema(generator) } else { generator.subschema_for::<T>() }
    }
}

/// No member, and no parameter.
#[derive(Debug, Deserialize, JsonSchema)]
#[schemars(inline, extend("maxProperties" = 0, "additionalProperties" = false))]
pub struct Nothing {}

/// Parameters of a query, whatever they are, of which none is read.
#[derive(Debug)]
pub struct Unread;

impl Input for Unread {
    fn read(_: &Route, _: &Call) -> Result<Unread, Problem> {
        Ok(Unread)
    }

    fn schema(_: &Route, generator: &mut SchemaGenerator) -> Schema {
        Nothing::json_schema(generator)
    }

    fn codes(_: &Route) -> &'static [&'static str] {
        &[]
    }
}

impl Call {
    /// A segment of the path as it was sent, still encoded; empty when the template has none of that name.
    pub fn segment(&self, name: &str) -> &str {
        self.parameters.iter().find(|(other, _)| *other == name).map_or("", |(_, value)| value)
    }

    /// A number in the path.
    ///
    /// # Errors
    /// 400 with the code of that kind of number.
    pub fn number<N: Number>(&self) -> Result<RawNumber<N>, Problem> {
        let invalid = |why: &str| Problem::new(N::CODE, format!("{}: {why}", N::PARAMETER));
        let text = percent_decode_str(self.segment(N::PARAMETER));
        let text = text.decode_utf8().map_err(|_| invalid("it is not UTF-8"))?;
        RawNumber::read(&text, |why| invalid(&why.to_string()))
    }

    /// A number for what is about to be made: the same whenever the caller repeats the call under its key, and one
    /// that nobody else has without a key.
    ///
    /// # Errors
    /// Never, with a prefix that numbers may begin with.
    pub fn new_number<N: Number>(&self, prefix: &str) -> Result<N, Problem> {
        let text = match &self.keyed {
            Some(keyed) => keyed.number(prefix),
            None => format!("{prefix}{}", uuid::Uuid::now_v7().simple()),
        };
        N::parse_number(&text).map_err(|_| Problem::internal())
    }

    /// An id of a call with a key, for the commands that it leads to.
    pub fn command_id_prefix(&self) -> Option<Arc<str>> {
        self.keyed.as_ref().map(IdempotencyKey::command_id_prefix)
    }

    pub fn has_body(&self) -> bool {
        !self.body.is_empty()
    }

    pub fn is_keyed(&self) -> bool {
        self.keyed.is_some()
    }
}
