//! Style, script and icon of the pages: in the program itself, each under a name that changes with its content, so that
//! browsers may keep it for good.

use crate::http::HttpState;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Route, routes};
use crate::kit::values::hex;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest, Sha256};
use std::fmt::Write as _;
use std::sync::{Arc, LazyLock};
use warp::http::header::{CACHE_CONTROL, X_CONTENT_TYPE_OPTIONS};
use warp::http::{HeaderValue, StatusCode};

routes! { HttpState, "Pages":
    /// Script and icon of the pages
    ASSET = Route::page("/assets/{file}", Access::Public, "pageAsset") => asset;
}

/// The style of all pages, which stands in each of them.
pub static STYLE: Style = Style { text: include_str!("../../../assets/style.css") };
/// How many columns the board has at most: two for each day of a month.
pub const BOARD_COLUMNS_MAX: i16 = 62;
/// The style of the board, which stands behind that one, with a class for each column and each width: no page has style
/// attributes.
pub static BOARD_STYLE: LazyLock<String> = LazyLock::new(|| {
    let mut style = include_str!("../../../assets/board.css").to_owned();
    for column in 1..=BOARD_COLUMNS_MAX {
        // Writing into a text cannot fail.
        let _ = write!(style, ".c{column}{{--c:{column}}}.w{column}{{--w:{column}}}");
    }
    style
});
pub static SCRIPT: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("rentcar", "js", "text/javascript", include_str!("../../../assets/rentcar.js")));
pub static ICON: LazyLock<Asset> =
    LazyLock::new(|| Asset::new("icon", "svg", "image/svg+xml", include_str!("../../../assets/icon.svg")));

/// What a page may load (Content Security Policy, level 3): nothing from elsewhere, no script and no style but ours.
pub static POLICY: LazyLock<String> = LazyLock::new(|| {
    let hash = |style: &str| format!("'sha256-{}'", STANDARD.encode(Sha256::digest(style)));
    let styles = [STYLE.text, &BOARD_STYLE].map(hash).join(" ");
    format!(
        "default-src 'none'; script-src 'self'; style-src {styles}; img-src 'self'; connect-src 'self'; form-action 'self'; \
         base-uri 'none'; frame-ancestors 'none'"
    )
});

/// For a year, which is as good as for ever (RFC 8246).
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

#[derive(Debug)]
pub struct Style {
    pub text: &'static str,
}

#[derive(Debug)]
pub struct Asset {
    pub address: String,
    media_type: &'static str,
    text: &'static str,
}

impl Asset {
    fn new(name: &str, extension: &str, media_type: &'static str, text: &'static str) -> Asset {
        let version = hex(&Sha256::digest(text)[..4]);
        Asset { address: format!("/assets/{name}-{version}.{extension}"), media_type, text }
    }
}

async fn asset(_: Arc<HttpState>, call: Call, _: Unread) -> Outcome {
    let all = [&SCRIPT, &ICON];
    let found = all.into_iter().find(|asset| asset.address == call.path.as_str()).ok_or_else(Problem::not_found)?;
    let mut answer = Answer::text(StatusCode::OK, found.media_type, found.text);
    answer.headers.insert(CACHE_CONTROL, FOR_GOOD);
    answer.headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    Ok(answer)
}
