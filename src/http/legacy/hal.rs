//! The format of Spring Data REST: `_embedded`, `_links` and `page`. Knows no cars.

use crate::kit::access::origin::PageOrigin;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Input};
use crate::kit::problem::Problem;
use crate::kit::route::Route;
use crate::kit::values;
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde_json::{Map, Value, json};
use std::borrow::Cow;
use warp::http::HeaderMap;
use warp::http::StatusCode;

pub(super) const MEDIA_TYPE: &str = "application/hal+json";
/// How many rows a page has unless the request says otherwise.
const PAGE_ROWS_DEFAULT: u64 = 20;
/// The most rows of a page; a larger size is reduced to it, as Spring did.
const PAGE_ROWS_MAX: u64 = 200;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Resource {
    /// The path segment of the collection, and its name in `_embedded`.
    pub(super) collection: &'static str,
    /// What one of it is called in `_links`.
    pub(super) item: &'static str,
}

/// Which page of a collection is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct PageRequest {
    /// From 0 on.
    pub(super) number: u64,
    /// Rows of a page, 1 to [`PAGE_ROWS_MAX`].
    pub(super) size: u64,
}

impl PageRequest {
    /// The page that a query string asks for. What is no number of a page and no size counts as not given, as it did in
    /// the old services; other parameters, such as Spring's `sort`, are passed over.
    pub(super) fn of(query: &str) -> PageRequest {
        let mut page = PageRequest { number: 0, size: PAGE_ROWS_DEFAULT };
        for pair in query.split('&') {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            match name {
                "page" => page.number = whole(value).unwrap_or(0),
                "size" => {
                    let size = whole(value).filter(|size| *size > 0);
                    page.size = size.map_or(PAGE_ROWS_DEFAULT, |size| size.min(PAGE_ROWS_MAX));
                }
                _ => {}
            }
        }
        page
    }

    /// How many rows the page has at most.
    pub(super) fn rows(self) -> usize {
        usize::try_from(self.size).unwrap_or(usize::MAX)
    }

    pub(super) fn skip(self) -> u64 {
        self.number.saturating_mul(self.size)
    }
}

impl Input for PageRequest {
    fn read(_: &Route, call: &Call) -> Result<PageRequest, Problem> {
        Ok(PageRequest::of(&call.query))
    }

    fn schema(_: &Route, _: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "object", "properties": {
            "page": { "type": "integer", "minimum": 0, "default": 0,
                "description": "The number of the page, from 0 on. What is none counts as not given." },
            "size": { "type": "integer", "minimum": 1, "default": PAGE_ROWS_DEFAULT,
                "description": "The rows of a page; 200 at most. What is none counts as not given." },
        } })
    }

    fn codes(_: &Route) -> &'static [&'static str] {
        &[]
    }
}

/// The `_links` of a document.
pub(super) struct Links;

values::schema!(
    Links,
    "HalLinks",
    false,
    json_schema!({
        "type": "object",
        "additionalProperties": {
            "type": "object", "properties": { "href": { "type": "string" }, "templated": { "type": "boolean" } },
            "required": ["href"],
        },
    })
);

/// The schema of a page of rows.
pub(super) fn page_schema<R: JsonSchema>(generator: &mut SchemaGenerator, resource: Resource) -> Schema {
    let rows = json!({ "type": "array", "items": generator.subschema_for::<R>(), "maxItems": PAGE_ROWS_MAX });
    let count = json!({ "type": "integer", "minimum": 0 });
    json_schema!({
        "type": "object", "required": ["_embedded", "_links", "page"],
        "properties": {
            "_embedded": {
                "type": "object", "properties": { resource.collection: rows }, "required": [resource.collection],
            },
            "_links": generator.subschema_for::<Links>(),
            "page": {
                "type": "object", "required": ["size", "totalElements", "totalPages", "number"],
                "properties": {
                    "size": { "type": "integer", "minimum": 1, "maximum": PAGE_ROWS_MAX },
                    "totalElements": count, "totalPages": count, "number": count,
                },
            },
        },
    })
}

/// The schema of the document at the root.
pub(super) fn root_schema(generator: &mut SchemaGenerator) -> Schema {
    let links = generator.subschema_for::<Links>();
    json_schema!({ "type": "object", "properties": { "_links": links }, "required": ["_links"] })
}

fn whole(text: &str) -> Option<u64> {
    let text = percent_decode_str(text).decode_utf8().ok()?;
    // A sign would pass the parser.
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok())?
}

/// What links begin with, such as `http://gateway:8080`; when empty, links are paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Base(String);

impl Base {
    /// Taken from the outermost of the trusted proxies, or else from the `Host` header. A text that is no host never
    /// reaches an answer.
    pub(super) fn of(headers: &HeaderMap, proxies: usize, encrypted: bool) -> Base {
        Base(PageOrigin { address: String::new(), encrypted, proxies }.of_call(headers))
    }

    fn link(&self, path: &str) -> Value {
        json!({ "href": format!("{}{path}", self.0) })
    }
}

pub(super) fn item_path(resource: Resource, key: &str) -> String {
    format!("/{}/{}", resource.collection, values::segment(key))
}

pub(super) fn answer(status: StatusCode, document: &Value) -> Answer {
    Answer::document(status, MEDIA_TYPE, document)
}

pub(super) fn item(base: &Base, resource: Resource, key: &str, mut row: Map<String, Value>) -> Value {
    let link = base.link(&item_path(resource, key));
    let mut links = Map::new();
    links.insert("self".to_owned(), link.clone());
    links.insert(resource.item.to_owned(), link);
    row.insert("_links".to_owned(), Value::Object(links));
    Value::Object(row)
}

/// A page of rows that already have their links.
pub(super) fn page(base: &Base, resource: Resource, asked: PageRequest, total: u64, rows: Vec<Value>) -> Value {
    let pages = total.div_ceil(asked.size);
    let link = |number: u64| base.link(&format!("/{}?page={number}&size={}", resource.collection, asked.size));
    let mut links = Map::new();
    if pages > 1 {
        links.insert("first".to_owned(), link(0));
        if asked.number > 0 {
            links.insert("prev".to_owned(), link((asked.number - 1).min(pages - 1)));
        }
    }
    links.insert("self".to_owned(), link(asked.number));
    if pages > 1 {
        if asked.number.saturating_add(1) < pages {
            links.insert("next".to_owned(), link(asked.number + 1));
        }
        links.insert("last".to_owned(), link(pages - 1));
    }
    let mut embedded = Map::new();
    embedded.insert(resource.collection.to_owned(), Value::Array(rows));
    json!({
        "_embedded": embedded,
        "_links": links,
        "page": { "size": asked.size, "totalElements": total, "totalPages": pages, "number": asked.number },
    })
}

/// The document at the root: links to the collections.
pub(super) fn root(base: &Base, resources: &[Resource]) -> Value {
    let links: Map<String, Value> = resources
        .iter()
        .map(|resource| {
            let href = format!("{}/{}{{?page,size}}", base.0, resource.collection);
            (resource.collection.to_owned(), json!({ "href": href, "templated": true }))
        })
        .collect();
    json!({ "_links": links })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kit::forwarded;
    use warp::http::HeaderValue;
    use warp::http::header::HOST;

    const CARS: Resource = Resource { collection: "carManagements", item: "carManagement" };

    fn with_host(host: &'static str) -> HeaderMap {
        HeaderMap::from_iter([(HOST, HeaderValue::from_static(host))])
    }

    #[test]
    fn a_page_has_a_default_and_a_bound() {
        assert_eq!(PageRequest::of(""), PageRequest { number: 0, size: 20 });
        assert_eq!(PageRequest::of("size=1000&page=2&sort=id,desc"), PageRequest { number: 2, size: 200 });
        assert_eq!(PageRequest::of("size=%35&page=%31"), PageRequest { number: 1, size: 5 });
        assert_eq!(PageRequest { number: u64::MAX, size: 200 }.skip(), u64::MAX);
    }

    #[test]
    fn what_is_no_page_and_no_size_is_as_if_it_were_not_given() {
        for bad in ["-1", "x", "", "1.5", "+1", "%2B1", "%ff", "1%20", "99999999999999999999", "１"] {
            assert_eq!(PageRequest::of(&format!("page={bad}&size=7")), PageRequest { number: 0, size: 7 }, "{bad}");
            assert_eq!(PageRequest::of(&format!("page=3&size={bad}")), PageRequest { number: 3, size: 20 }, "{bad}");
        }
        assert_eq!(PageRequest::of("page&size=0"), PageRequest { number: 0, size: 20 });
        assert_eq!(PageRequest::of("size=-5"), PageRequest { number: 0, size: 20 });
    }

    #[test]
    fn a_page_in_the_middle_links_to_its_neighbours() {
        let base = Base::of(&with_host("gateway:8080"), 0, false);
        let page = page(&base, CARS, PageRequest { number: 1, size: 2 }, 5, vec![]);
        let href = |rel: &str| page["_links"][rel]["href"].as_str().map(str::to_owned);
        let at = |number: u64| Some(format!("http://gateway:8080/carManagements?page={number}&size=2"));
        assert_eq!(
            [href("first"), href("prev"), href("self"), href("next"), href("last")],
            [at(0), at(0), at(1), at(2), at(2)]
        );
        assert_eq!(page["page"], json!({"size": 2, "totalElements": 5, "totalPages": 3, "number": 1}));
    }

    #[test]
    fn an_empty_collection_is_an_empty_page() {
        let page = page(&Base::default(), CARS, PageRequest { number: 0, size: 20 }, 0, vec![]);
        assert_eq!(page["_embedded"], json!({ "carManagements": [] }));
        assert_eq!(page["_links"], json!({ "self": { "href": "/carManagements?page=0&size=20" } }));
        assert_eq!(page["page"]["totalPages"], 0);
    }

    #[test]
    fn a_host_that_is_none_never_reaches_an_answer() {
        for bad in ["a b", "evil\"><script>", "host/path", ""] {
            assert_eq!(Base::of(&with_host(bad), 0, false), Base::default(), "{bad}");
            let mut forwarded = with_host("gateway");
            forwarded.insert(&forwarded::HOST, HeaderValue::from_static(bad));
            assert_eq!(Base::of(&forwarded, 1, false), Base("http://gateway".to_owned()), "{bad}");
        }
    }

    #[test]
    fn links_lead_to_where_the_outermost_trusted_proxy_was_asked() {
        let mut headers = with_host("inside:8080");
        for (field, line) in [
            (&forwarded::HOST, "spoofed.example, cars.example"),
            (&forwarded::HOST, "edge.example:81"),
            (&forwarded::PROTO, "ftp"),
            (&forwarded::PROTO, "HTTPS , http"),
        ] {
            headers.append(field, HeaderValue::from_static(line));
        }
        for (proxies, base) in [
            (0, "http://inside:8080"),
            (1, "http://edge.example:81"),
            (2, "https://cars.example"),
            (3, "http://spoofed.example"),
        ] {
            assert_eq!(Base::of(&headers, proxies, false), Base(base.to_owned()), "{proxies}");
        }
    }

    #[test]
    fn a_proxy_that_writes_over_what_it_is_given_is_believed_for_those_before_it() {
        let mut headers = with_host("inside:8080");
        headers.insert(&forwarded::HOST, HeaderValue::from_static("cars.example"));
        headers.insert(&forwarded::PROTO, HeaderValue::from_static("https"));
        assert_eq!(Base::of(&headers, 2, false), Base("https://cars.example".to_owned()));
        // What the service itself speaks, unless a proxy says what is spoken in front of it.
        assert_eq!(Base::of(&with_host("cars.example"), 0, true), Base("https://cars.example".to_owned()));
        assert_eq!(Base::of(&headers, 2, true), Base("https://cars.example".to_owned()));
    }

    #[test]
    fn a_korean_plate_is_escaped_in_links() {
        assert_eq!(item_path(CARS, "12가3456"), "/carManagements/12%EA%B0%803456");
    }
}
