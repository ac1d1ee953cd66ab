//! Customers: registering, reading and erasing them. Personal data is rendered here and on My Page only.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::json::parsed;
use super::numbers::RawNumber;
use super::problem::Problem;
use super::values::{Text, check_text, render_instant, segment};
use crate::actors::api::{CustomerView, PersonalData, ServiceError};
use crate::domain::customer::{self, NAME_CHARS_MAX};
use crate::domain::ids::CustomerNo;
use crate::domain::spelling::is_blank;
use serde::{Deserialize, Deserializer, Serialize};
use std::sync::Arc;
use warp::http::StatusCode;

const EMAIL_CHARS_MAX: usize = 254;

/// Has no `Debug`, so that it cannot be logged.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CustomerRequest {
    customer_no: Option<RawNumber<CustomerNo>>,
    name: Text<NAME_CHARS_MAX>,
    phone: Text<40>,
    email: Email,
    licence_no: Option<Text<64>>,
}

/// A mail address.
struct Email(String);

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Email, D::Error> {
        parsed(deserializer, email).map(Email)
    }
}

/// A customer in answers. Has no `Debug`, so that it cannot be logged.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct CustomerDto {
    customer_no: String,
    name: String,
    phone: String,
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    licence_no: Option<String>,
    registered_at: String,
}

impl CustomerDto {
    pub(super) fn of(view: CustomerView) -> CustomerDto {
        CustomerDto {
            customer_no: view.customer_no.to_string(),
            name: view.data.name,
            phone: view.data.phone,
            email: view.data.email,
            licence_no: view.data.licence_no,
            registered_at: render_instant(view.registered_at),
        }
    }
}

pub(super) fn mount(group: Group<HttpState>) -> Group<HttpState> {
    group.on(&access::REGISTER_CUSTOMER, register).on(&access::CUSTOMER, one).on(&access::ERASE_CUSTOMER, erase)
}

async fn register(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let request: CustomerRequest = call.document()?;
    let data = PersonalData {
        name: request.name.0,
        phone: request.phone.0,
        email: request.email.0,
        licence_no: request.licence_no.map(|licence_no| licence_no.0),
    };
    let repeatable = request.customer_no.is_none() && call.is_keyed();
    let customer_no: CustomerNo = match request.customer_no {
        Some(chosen) => chosen.resolve(&http.service).await?,
        None => call.new_number("cus-")?,
    };
    // Bookings without a customer belong to `anonymous`: whoever could register under that number would see them all.
    if customer_no == CustomerNo::anonymous() {
        return Err(Problem::invalid_member("customerNo", "it cannot be chosen"));
    }
    let view = match http.service.register_customer(&call.caller(), Some(customer_no.clone()), data.clone()).await {
        // The number was made from the caller's key, so this is the same call, repeated after a crash.
        Err(ServiceError::Customer(customer::Rejection::CustomerAlreadyRegistered)) if repeatable => {
            let view = http.service.customer(&customer_no).await?;
            if view.data != data {
                return Err(ServiceError::from(customer::Rejection::CustomerAlreadyRegistered).into());
            }
            view
        }
        other => other?,
    };
    let path = format!("/v1/customers/{}", segment(customer_no.as_str()));
    let answer = Answer::json(StatusCode::CREATED, &CustomerDto::of(view));
    Ok(answer.located(&path).personal(customer_no.to_string()))
}

async fn one(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    let customer_no = call.number()?.resolve(&http.service).await?;
    Ok(Answer::ok(&CustomerDto::of(http.service.customer(&customer_no).await?)).uncached())
}

async fn erase(http: Arc<HttpState>, call: Call) -> Outcome {
    call.no_query()?;
    http.service.erase_customer(&call.caller(), call.number()?.resolve(&http.service).await?).await?;
    Ok(Answer::no_content())
}

/// A customer as JSON.
///
/// # Errors
/// 500 `internal_error`, never in practice.
pub(super) fn render(view: CustomerView) -> Result<String, Problem> {
    serde_json::to_string(&CustomerDto::of(view)).map_err(|_| Problem::internal())
}

fn email(email: &str) -> Result<String, String> {
    check_text(email, EMAIL_CHARS_MAX)?;
    // Only sending mail could show whether the address exists.
    let plausible = email.split_once('@').is_some_and(|(local, domain)| {
        !is_blank(local) && !is_blank(domain) && !domain.contains('@') && !email.contains(char::is_whitespace)
    });
    if plausible { Ok(email.to_owned()) } else { Err("it must be a mail address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_has_one_at_sign_with_something_on_both_sides() {
        for (text, good) in
            [("a@b", true), ("@b", false), ("a@", false), ("a b@c", false), ("a@b@c", false), ("\u{200b}@b", false)]
        {
            assert_eq!(email(text).is_ok(), good, "{text}");
        }
    }
}
