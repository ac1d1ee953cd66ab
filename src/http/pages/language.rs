//! Choosing a language.

use super::page::{go_to, own_address};
use super::texts::{COOKIE_NAME, Language};
use crate::http::HttpState;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;
use warp::http::HeaderValue;
use warp::http::header::SET_COOKIE;

routes! { HttpState, "Pages":
    /// Choose a language
    CHOOSE = Route::form("/language", Access::Visitor, "chooseLanguage").unkeyed().unstored().of(Priority::Read) => choose;
}

#[derive(Deserialize, JsonSchema)]
struct Choice {
    language: String,
    #[serde(default)]
    next: String,
}

async fn choose(_: Arc<HttpState>, _: Call, choice: Choice) -> Outcome {
    let language = Language::parse(&choice.language);
    let language = language.ok_or_else(|| Problem::invalid_query("language: it is not spoken here"))?;
    let mut answer = go_to(own_address(&choice.next));
    let cookie = format!("{COOKIE_NAME}={}; Path=/; Max-Age=31536000; SameSite=Lax; HttpOnly", language.code());
    if let Ok(cookie) = HeaderValue::try_from(cookie) {
        answer.headers.insert(SET_COOKIE, cookie);
    }
    Ok(answer)
}
