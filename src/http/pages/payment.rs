//! With what somebody pays, as a form asks for it. Numbers of cards never come here: a form has the token that the payment
//! provider's own page has given for one.

use super::texts::{Customer, Language};
use crate::actors::api::PaymentMeans;
use crate::http::HttpState;
use crate::kit::values::check_text;

const METHOD: &str = "card";
const TOKEN_CHARS_MAX: usize = 256;

/// What a form asks for.
#[derive(Debug)]
pub struct PaymentFields {
    pub t: &'static Customer,
    /// Whether no money moves, so that there are cards for trying it.
    pub is_sandbox: bool,
}

impl PaymentFields {
    pub const fn of(http: &HttpState, language: Language) -> PaymentFields {
        PaymentFields { t: Customer::of(language), is_sandbox: http.settings.sandbox }
    }
}

/// What was chosen, by the token of the form; `None` when nothing was.
pub fn means(card_token: &str) -> Option<PaymentMeans> {
    let token = card_token.trim();
    check_text(token, TOKEN_CHARS_MAX).ok()?;
    Some(PaymentMeans { method: METHOD.into(), token: token.into() })
}
