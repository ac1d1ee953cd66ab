//! What is known of a call before it is made: its path, who may make it, what it reads, what it is answered with and
//! refused with. Everything that the interface description tells of a call stands in its [`Route`], beside its handler;
//! the service puts all of them into one table. Decides nothing about a single object.

use super::answer::JSON;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use warp::http::Method;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Access {
    /// Everybody; credentials are not looked at.
    Public,
    /// Everybody; who has signed in is known.
    Visitor,
    /// The customer whom it is about, and staff.
    Owner,
    /// Whoever has signed in to an account.
    SignedIn,
    /// Whoever does what customers do for every customer: staff.
    AllBookings,
    /// Staff.
    Admin,
    /// Operators.
    Ops,
    /// Operators, and what watches the service.
    Monitoring,
}

/// What a route does with a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyRule {
    /// It is read and discarded.
    Ignored,
    /// It is read as JSON if there is one.
    Optional,
    /// There must be one, and it is JSON.
    Required,
    /// It is read whatever its media type says, and may be empty.
    AnyType,
    /// It is the form of a page, as browsers send it.
    Form,
}

/// The class of a call in an overload, the most urgent last: the first classes are shed first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Priority {
    /// Lists and pages.
    List,
    /// Searches, and reading a single thing.
    Read,
    /// New business: it needs room in the store and leads to further calls.
    Create,
    /// Existing business: paying, cancelling, pick-up, return.
    Existing,
    /// Calls of operators and of monitoring.
    Operations,
}

impl Priority {
    /// How many classes are shed before this one; `None` for what operators need, which is never shed.
    pub const fn shed_rank(self) -> Option<u32> {
        match self {
            Priority::List => Some(0),
            Priority::Read => Some(1),
            Priority::Create => Some(2),
            Priority::Existing => Some(3),
            Priority::Operations => None,
        }
    }

    pub const fn name(self) -> &'static str {
        match self {
            Priority::List => "list",
            Priority::Read => "read",
            Priority::Create => "create",
            Priority::Existing => "existing",
            Priority::Operations => "operations",
        }
    }
}

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// An answer that a call may get, refusals aside.
#[derive(Debug, Clone, Copy)]
pub struct Reply {
    pub status: u16,
    /// What it says, for a person.
    pub meaning: &'static str,
    /// Its media type and what it is made of, unless it is empty.
    pub content: Option<(&'static str, SchemaOf)>,
    /// Its headers, by their names in the interface description.
    pub headers: &'static [&'static str],
}

impl Reply {
    /// 200 with JSON.
    pub const fn ok<T: JsonSchema>(meaning: &'static str) -> Reply {
        Reply::of(200, meaning, JSON, SchemaGenerator::subschema_for::<T>)
    }

    /// 201 with JSON and its place.
    pub const fn created<T: JsonSchema>(meaning: &'static str) -> Reply {
        Reply { status: 201, headers: &["Location"], ..Reply::ok::<T>(meaning) }
    }

    /// 202 with JSON, its place, and when to look again.
    pub const fn accepted<T: JsonSchema>(meaning: &'static str) -> Reply {
        Reply { status: 202, headers: &["Location", "Retry-After"], ..Reply::ok::<T>(meaning) }
    }

    /// 204.
    pub const fn done(meaning: &'static str) -> Reply {
        Reply { status: 204, meaning, content: None, headers: &[] }
    }

    pub const fn of(status: u16, meaning: &'static str, media_type: &'static str, schema: SchemaOf) -> Reply {
        Reply { status, meaning, content: Some((media_type, schema)), headers: &[] }
    }

    /// With these headers in place of its own.
    #[must_use]
    pub const fn with_headers(self, headers: &'static [&'static str]) -> Reply {
        Reply { headers, ..self }
    }
}

/// Whether `If-Match` is read, and `If-None-Match` with it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Preconditions {
    Ignored,
    Optional,
    /// There must be an `If-Match`.
    Required,
}

#[derive(Debug)]
pub struct Route {
    pub method: Method,
    /// The path, with `{name}` for a segment that varies.
    pub template: &'static str,
    pub access: Access,
    /// Whether it is a page for people: answered and refused in HTML, and no part of the interface description.
    pub is_page: bool,
    /// The operation's name, as in the interface description.
    pub name: &'static str,
    pub body: BodyRule,
    /// Whether an `Idempotency-Key` is read.
    pub keyed: bool,
    /// Whether it changes what is stored.
    pub stored: bool,
    pub priority: Priority,
    pub preconditions: Preconditions,
    /// A header that it reads beside these: its name, what it means, and its schema.
    pub header: Option<(&'static str, &'static str, SchemaOf)>,
    pub replies: &'static [Reply],
    /// The codes of its own refusals; those that follow from what it reads are [`Route::codes`] and those of its input.
    pub refusals: &'static [&'static str],
    /// The chapter of the interface description.
    pub tag: &'static str,
    /// What it does, in lines: a summary, and a description if there is more to say.
    pub text: &'static [&'static str],
}

impl Route {
    const fn new(method: Method, template: &'static str, access: Access, name: &'static str) -> Route {
        Route {
            method,
            template,
            access,
            is_page: false,
            name,
            body: BodyRule::Required,
            keyed: false,
            stored: true,
            priority: Priority::Existing,
            preconditions: Preconditions::Ignored,
            header: None,
            replies: &[],
            refusals: &[],
            tag: "",
            text: &[],
        }
    }

    pub const fn get(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::GET, template, access, name).reading(BodyRule::Ignored).unstored().of(Priority::Read)
    }

    /// A page for people.
    pub const fn page(template: &'static str, access: Access, name: &'static str) -> Route {
        let mut route = Route::get(template, access, name);
        route.is_page = true;
        route
    }

    /// What the form of a page is sent to. Its answer leads to a page; see [`super::form`].
    pub const fn form(template: &'static str, access: Access, name: &'static str) -> Route {
        let mut route = Route::post(template, access, name).reading(BodyRule::Form);
        route.is_page = true;
        route
    }

    /// With a body, and an `Idempotency-Key` if the caller sends one.
    pub const fn post(template: &'static str, access: Access, name: &'static str) -> Route {
        let mut route = Route::new(Method::POST, template, access, name);
        route.keyed = true;
        route
    }

    /// As [`Route::post`], but the body may be missing.
    pub const fn post_bare(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::post(template, access, name).reading(BodyRule::Optional)
    }

    pub const fn patch(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::PATCH, template, access, name)
    }

    pub const fn put(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::PUT, template, access, name)
    }

    pub const fn delete(template: &'static str, access: Access, name: &'static str) -> Route {
        Route::new(Method::DELETE, template, access, name).reading(BodyRule::Ignored)
    }

    #[must_use]
    pub const fn reading(mut self, body: BodyRule) -> Route {
        self.body = body;
        self
    }

    #[must_use]
    pub const fn unkeyed(mut self) -> Route {
        self.keyed = false;
        self
    }

    /// It changes nothing that is stored, so it is carried out while the journal takes no changes, too.
    #[must_use]
    pub const fn unstored(mut self) -> Route {
        self.stored = false;
        self
    }

    #[must_use]
    pub const fn of(mut self, priority: Priority) -> Route {
        self.priority = priority;
        self
    }

    #[must_use]
    pub const fn guarded(mut self, preconditions: Preconditions) -> Route {
        self.preconditions = preconditions;
        self
    }

    #[must_use]
    pub const fn with_header(mut self, name: &'static str, meaning: &'static str, schema: SchemaOf) -> Route {
        self.header = Some((name, meaning, schema));
        self
    }

    /// What it is answered with, and the codes of its own refusals.
    #[must_use]
    pub const fn answered(mut self, replies: &'static [Reply], refusals: &'static [&'static str]) -> Route {
        self.replies = replies;
        self.refusals = refusals;
        self
    }

    #[must_use]
    pub const fn described(mut self, tag: &'static str, text: &'static [&'static str]) -> Route {
        self.tag = tag;
        self.text = text;
        self
    }

    /// Whether it answers calls of this method: `HEAD` is `GET` without the body.
    pub fn answers(&self, method: &Method) -> bool {
        self.method == *method || (self.method == Method::GET && *method == Method::HEAD)
    }

    /// Whether it begins business that the store must keep room for, as against going on with what was begun.
    pub fn creates_business(&self) -> bool {
        self.priority == Priority::Create
    }

    /// Whether it is safe in the sense of RFC 9110: it changes nothing.
    pub fn is_safe(&self) -> bool {
        self.method == Method::GET
    }

    /// The names of the segments that vary.
    pub fn parameters(&self) -> impl Iterator<Item = &'static str> {
        self.template.split(['{', '}']).skip(1).step_by(2)
    }

    /// The codes that it can be refused with: its own, and those that follow from all but its input.
    pub fn codes(&self) -> impl Iterator<Item = &'static str> {
        let takes_body = self.body != BodyRule::Ignored;
        let of_numbers = self.parameters().filter_map(super::numbers::code_of);
        let own = self.refusals.iter().copied().chain(of_numbers);
        let groups: [(bool, &[&str]); 12] = [
            (true, &["invalid_host", "internal_error", "overloaded", "outcome_unknown", "starting"]),
            (true, &["context_unavailable", "store_unavailable"]),
            (
                !matches!(self.access, Access::Public | Access::Visitor),
                &["unauthenticated", "invalid_credentials", "token_keys_unavailable", "forbidden"],
            ),
            (self.access != Access::Public && !self.is_safe(), &["cross_site", "form_token_invalid"]),
            (takes_body, &["malformed_json", "body_timeout", "body_too_large"]),
            (takes_body && self.body != BodyRule::AnyType, &["unsupported_media_type"]),
            (self.keyed, &["invalid_idempotency_key", "idempotency_key_in_use", "idempotency_key_reused"]),
            (self.preconditions != Preconditions::Ignored, &["stale_etag"]),
            (self.preconditions == Preconditions::Required, &["precondition_required"]),
            (self.priority != Priority::Operations, &["rate_limited"]),
            (self.stored, &["journal_unavailable"]),
            (self.creates_business(), &["storage_full"]),
        ];
        own.chain(groups.into_iter().filter(|(applies, _)| *applies).flat_map(|(_, codes)| codes.iter().copied()))
    }
}

/// The routes of a resource, each with its handler: `/// what it does`, `NAME = route => handler;`. Makes their statics,
/// and `operations`, which has them all.
macro_rules! routes {
    ($state:ty, $tag:literal: $($(#[doc = $doc:literal])+ $id:ident = $route:expr => $handler:expr;)+) => {
        $($(#[doc = $doc])+ pub(crate) static $id: Route = $route.described($tag, &[$($doc),+]);)+

        pub(crate) fn operations() -> Vec<Operation<$state>> {
            vec![$(Operation::new(&$id, $handler)),+]
        }
    };
}
pub(crate) use routes;
