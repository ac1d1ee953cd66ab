//! Customers: registering, reading and erasing them. Personal data is rendered here and on My Page only.

use super::HttpState;
use super::access;
use super::answer::Answer;
use super::endpoint::{Call, Group, Outcome};
use super::json::Members;
use super::problem::Problem;
use super::values::{render_instant, segment};
use crate::actors::api::{CustomerView, PersonalData, ServiceError};
use crate::domain::customer::{self, NAME_CHARS_MAX};
use crate::domain::ids::CustomerNo;
use crate::domain::spelling::is_blank;
use serde::Serialize;
use std::sync::Arc;
use warp::http::StatusCode;

const PHONE_CHARS_MAX: usize = 40;
const EMAIL_CHARS_MAX: usize = 254;
const LICENCE_CHARS_MAX: usize = 64;

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
    call.query(&[])?;
    let mut members = Members::parse(&call.body, &["customerNo", "name", "phone", "email", "licenceNo"])?;
    let chosen = members.optional_number("customerNo")?;
    let data = PersonalData {
        name: members.text("name", NAME_CHARS_MAX)?,
        phone: members.text("phone", PHONE_CHARS_MAX)?,
        email: email(&mut members)?,
        licence_no: members.optional_text("licenceNo", LICENCE_CHARS_MAX)?,
    };
    members.finish()?;
    let repeatable = chosen.is_none() && call.is_keyed();
    let customer_no: CustomerNo = match chosen {
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
    call.query(&[])?;
    let customer_no = call.number()?.resolve(&http.service).await?;
    Ok(Answer::ok(&CustomerDto::of(http.service.customer(&customer_no).await?)).uncached())
}

async fn erase(http: Arc<HttpState>, call: Call) -> Outcome {
    call.query(&[])?;
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

fn email(members: &mut Members) -> Result<String, Problem> {
    let email = members.text("email", EMAIL_CHARS_MAX)?;
    // Only sending mail could show whether the address exists.
    let plausible = email.split_once('@').is_some_and(|(local, domain)| {
        !is_blank(local) && !is_blank(domain) && !domain.contains('@') && !email.contains(char::is_whitespace)
    });
    if plausible { Ok(email) } else { Err(members.invalid("email", "it must be a mail address")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mail_address_has_one_at_sign_with_something_on_both_sides() {
        for (text, good) in
            [("a@b", true), ("@b", false), ("a@", false), ("a b@c", false), ("a@b@c", false), ("\u{200b}@b", false)]
        {
            let mut members = Members::parse(format!("{{\"email\":\"{text}\"}}").as_bytes(), &["email"]).expect("JSON");
            assert_eq!(email(&mut members).is_ok(), good, "{text}");
        }
    }
}
