//! Customers: registering, reading and erasing them. Personal data is rendered here and on My Page only.

use super::HttpState;
use crate::actors::api::{CustomerView, PersonalData, ServiceError};
use crate::domain::customer::{self, NAME_CHARS_MAX};
use crate::domain::ids::CustomerNo;
use crate::domain::time::Timestamp;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::json::parsed;
use crate::kit::numbers::{GivenNumber, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Reply, Route, routes};
use crate::kit::values::{Instant, Text, check_text, segment};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;
use std::sync::Arc;
use warp::http::StatusCode;

const EMAIL_CHARS_MAX: usize = 254;

routes! { HttpState, "Customers":
    /// Become a customer
    REGISTER_CUSTOMER = Route::post("/v1/customers", Access::Owner, "registerCustomer").of(Priority::Create)
        .answered(&[Reply::created::<CustomerDto>("The customer is known.")],
            &["customer_already_registered", "customer_erased", "customer_no_not_yours", "licence_consent_required",
                "personal_data_lost"])
        => register;
    /// A customer's personal data
    CUSTOMER = Route::get("/v1/customers/{customerNo}", Access::Owner, "getCustomer")
        .answered(&[Reply::ok::<CustomerDto>("As it is now.")], &["customer_not_found", "customer_erased", "personal_data_lost"])
        => one;
    /// Erase a customer's personal data
    ///
    /// Refused with 409 `customer_has_live_bookings`, which names them in `reservations`, while bookings live or money is
    /// unsettled.
    ERASE_CUSTOMER = Route::delete("/v1/customers/{customerNo}", Access::Owner, "eraseCustomer")
        .answered(&[Reply::done("It is unreadable everywhere; bookings and money stay accountable.")],
            &["customer_not_found", "customer_has_live_bookings", "erasure_interrupted", "erasure_not_listed"])
        => erase;
}

/// Has no `Debug`, so that it cannot be logged.
#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "Personal data. The number is chosen by the service if it is missing.")]
struct CustomerRegistration {
    #[schemars(extend("not" = json!({ "const": "anonymous" })))]
    customer_no: Option<RawNumber<CustomerNo>>,
    #[schemars(example = &"Kim Minji")]
    name: Text<NAME_CHARS_MAX>,
    #[schemars(example = &"+82-10-1234-5678")]
    phone: Text<40>,
    #[schemars(with = "String", length(min = 3, max = 254), example = &"minji@example.com")]
    #[schemars(regex(pattern = r"^[^@\s\x00-\x1f\x7f-\x9f]+@[^@\s\x00-\x1f\x7f-\x9f]+$"))]
    email: Email,
    licence_no: Option<Text<64>>,
    /// Whether the customer has consented to the keeping of the licence number, apart from everything else.
    licence_consent: Option<bool>,
}

/// When the customer consented to the keeping of the licence number, if there is one and it is kept with consent.
///
/// # Errors
/// When a licence number needs a consent that is not given, or one is given for none.
pub(super) fn licence_consent_at(
    (has_licence, consent): (bool, Option<bool>),
    required: bool,
    now: Timestamp,
) -> Result<Option<Timestamp>, Problem> {
    let refused = || {
        let detail = "a licence number is kept only with the customer's consent: send licenceConsent true, or leave licenceNo out";
        Problem::new("licence_consent_required", detail)
    };
    match (has_licence, consent) {
        (true, Some(true)) => Ok(Some(now)),
        (true, Some(false)) => Err(refused()),
        (true, None) if required => Err(refused()),
        (false, Some(true)) => Err(Problem::invalid_member("licenceConsent", "there is no licenceNo to consent to")),
        (true, None) | (false, Some(false) | None) => Ok(None),
    }
}

/// A mail address.
pub(super) struct Email(pub(super) String);

impl<'de> Deserialize<'de> for Email {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Email, D::Error> {
        parsed(deserializer, email).map(Email)
    }
}

/// A customer in answers. Has no `Debug`, so that it cannot be logged.
#[derive(Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(description = "A customer's personal data.")]
pub(super) struct CustomerDto {
    customer_no: GivenNumber,
    #[schemars(length(min = 1, max = 100), example = &"Kim Minji")]
    name: String,
    #[schemars(length(min = 1, max = 40), example = &"+82-10-1234-5678")]
    phone: String,
    #[schemars(length(min = 3, max = 254), example = &"minji@example.com")]
    email: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// All but the last four letters and digits are hidden. Only customers themselves see all of it, in the copy of their data.
    #[schemars(length(min = 1, max = 64), example = &"**-**-****33-44")]
    licence_no: Option<String>,
    /// When the customer consented to the keeping of the licence number.
    #[serde(skip_serializing_if = "Option::is_none")]
    licence_consent_at: Option<Instant>,
    registered_at: Instant,
}

impl CustomerDto {
    /// As everybody sees it who may see it: the licence number is masked.
    pub(super) fn of(view: CustomerView) -> CustomerDto {
        let whole = CustomerDto::whole(view);
        CustomerDto { licence_no: whole.licence_no.as_deref().map(masked), ..whole }
    }

    /// As only the customer sees it.
    pub(super) fn whole(view: CustomerView) -> CustomerDto {
        CustomerDto {
            customer_no: (&view.customer_no).into(),
            name: view.data.name,
            phone: view.data.phone,
            email: view.data.email,
            licence_no: view.data.licence_no,
            licence_consent_at: view.data.licence_consent_at.map(Instant),
            registered_at: Instant(view.registered_at),
        }
    }
}

/// The text with all letters and digits hidden but the last four, or, of fewer than eight, the last quarter.
pub(super) fn masked(text: &str) -> String {
    let count = text.chars().filter(|char| char.is_alphanumeric()).count();
    let (mut seen, shown) = (0, if count < 8 { count / 4 } else { 4 });
    let hide = |char: char| {
        seen += usize::from(char.is_alphanumeric());
        if char.is_alphanumeric() && seen + shown <= count { '*' } else { char }
    };
    text.chars().map(hide).collect()
}

async fn register(http: Arc<HttpState>, call: Call, request: CustomerRegistration) -> Outcome {
    let given = (request.licence_no.is_some(), request.licence_consent);
    let licence_consent_at = licence_consent_at(given, http.settings.licence_consent_required, http.service.now())?;
    let data = PersonalData {
        name: request.name.0,
        phone: request.phone.0,
        email: request.email.0,
        licence_no: request.licence_no.map(|licence_no| licence_no.0),
        licence_consent_at,
    };
    let caller = call.caller();
    let repeatable = request.customer_no.is_none() && call.is_keyed() && caller.customer().is_none();
    let customer_no: CustomerNo = match request.customer_no {
        Some(chosen) => chosen.resolve(&http.service, &caller).await?,
        None => match caller.customer() {
            Some(own) => own.clone(),
            None => call.new_number("cus-")?,
        },
    };
    // Bookings without a customer belong to `anonymous`: whoever could register under that number would see them all.
    if customer_no == CustomerNo::anonymous() {
        return Err(Problem::invalid_member("customerNo", "it cannot be chosen"));
    }
    let view = match http.service.register_customer(&caller, Some(customer_no.clone()), data.clone()).await {
        // The number was made from the caller's key, so this is the same call, repeated after a crash.
        Err(ServiceError::Customer(customer::Rejection::CustomerAlreadyRegistered)) if repeatable => {
            let view = http.service.customer(&caller, &customer_no).await?;
            if !view.data.says_the_same(&data) {
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

async fn one(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    let customer_no = call.number()?.resolve(&http.service, &caller).await?;
    Ok(Answer::ok(&CustomerDto::of(http.service.customer(&caller, &customer_no).await?)).uncached())
}

async fn erase(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let caller = call.caller();
    http.service.erase_customer(&caller, call.number()?.resolve(&http.service, &caller).await?).await?;
    Ok(Answer::no_content())
}

/// A customer as JSON.
///
/// # Errors
/// 500 `internal_error`, never in practice.
pub(super) fn render(view: CustomerView) -> Result<String, Problem> {
    serde_json::to_string(&CustomerDto::of(view)).map_err(|_| Problem::internal())
}

/// # Errors
/// What is wrong with a mail address.
pub(super) fn email(email: &str) -> Result<String, String> {
    check_text(email, EMAIL_CHARS_MAX)?;
    if customer::is_mail_address(email) { Ok(email.to_owned()) } else { Err("it must be a mail address".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn of_a_licence_number_the_last_four_letters_and_digits_are_shown() {
        for (whole, shown) in
            [("11-22-333333-44", "**-**-****33-44"), ("AB123456", "****3456"), ("12", "**"), ("-", "-")]
        {
            assert_eq!(masked(whole), shown);
        }
    }

    #[test]
    fn a_mail_address_has_one_at_sign_with_something_on_both_sides() {
        for (text, good) in
            [("a@b", true), ("@b", false), ("a@", false), ("a b@c", false), ("a@b@c", false), ("\u{200b}@b", false)]
        {
            assert_eq!(email(text).is_ok(), good, "{text}");
        }
    }
}
