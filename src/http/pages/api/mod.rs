//! The interface description for people who write programs, with a form to try each call.

mod description;

use super::page::{Page, Section, show, whole_address};
use super::texts::{Api, access_in_words};
use crate::http::HttpState;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Route, routes};
use askama::Template;
use description::{Chapter, DESCRIPTION, Field};
use std::sync::Arc;

routes! { HttpState, "Pages":
    /// Every call of the interface
    INDEX = Route::page("/api", Access::Visitor, "interfacePage") => index;
    /// A call of the interface
    ONE = Route::page("/api/{operation}", Access::Visitor, "operationOfInterfacePage") => one;
}

#[derive(Template)]
#[template(path = "api.html")]
struct Index {
    page: Page,
    t: &'static Api,
    about: &'static [String],
    chapters: &'static [Chapter],
}

impl Index {
    fn access(&self, operation: &description::Operation) -> &'static str {
        access_in_words(self.page.language, &operation.access)
    }
}

#[derive(Template)]
#[template(path = "api_operation.html")]
struct One {
    page: Page,
    t: &'static Api,
    operation: &'static description::Operation,
    access: &'static str,
    curl: String,
}

impl One {
    fn place(&self, field: &Field) -> &'static str {
        match field.place.as_str() {
            "path" => self.t.in_path,
            "query" => self.t.in_query,
            _ => self.t.in_header,
        }
    }
}

async fn index(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let page = Page::of(&http, &call, Section::Elsewhere);
    let t = Api::of(page.language);
    show(&Index { t, about: &DESCRIPTION.about, chapters: &DESCRIPTION.chapters, page })
}

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let operation = DESCRIPTION.operation(call.segment("operation")).ok_or_else(Problem::not_found)?;
    let page = Page::of(&http, &call, Section::Elsewhere);
    let access = access_in_words(page.language, &operation.access);
    show(&One {
        t: Api::of(page.language),
        operation,
        access,
        curl: operation.curl(&whole_address(&http, &call, ""), !page.is_open()),
        page,
    })
}
