//! Reserving a car, and paying for it in the same step.

use super::page::{Page, Section, go_to, reservation_address, show, show_again};
use super::payment::{self, PaymentFields};
use super::search::welcome;
use super::texts::{self, Customer, Language, Staff, days, span_in_words};
use crate::actors::api::{Caller, PaymentResult, ReserveRequest, ServiceError};
use crate::domain::cancellation::CancellationTerms;
use crate::domain::customer;
use crate::domain::ids::{CarNo, CustomerNo};
use crate::domain::money::Money;
use crate::domain::reservation::DayCounting;
use crate::domain::time::{HOUR_MS, Period};
use crate::http::HttpState;
use crate::kit::call::Call;
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{Number as _, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::{Instant, InstantParameter, period};
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

routes! { HttpState, "Pages":
    /// What a booking would be
    LOOK = Route::page("/book", Access::Visitor, "bookPage") => look;
    /// Book
    BOOK = Route::form("/book", Access::Owner, "book").of(Priority::Create) => book;
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Wish {
    car_no: RawNumber<CarNo>,
    from: InstantParameter,
    to: InstantParameter,
    /// For whom, of those who book for others.
    #[serde(default)]
    customer_no: String,
    #[serde(default)]
    done: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
struct Order {
    car_no: RawNumber<CarNo>,
    from: InstantParameter,
    to: InstantParameter,
    /// For whom, of those who book for others.
    #[serde(default)]
    customer_no: String,
    /// That nobody of this number is registered, and it is booked all the same.
    #[serde(default)]
    unregistered: Option<String>,
    #[serde(default)]
    card_token: String,
    /// The price that was shown.
    #[serde(default)]
    price: String,
    /// `now` or `later`, by the button that was pressed.
    pay: String,
}

#[derive(Template)]
#[template(path = "book.html")]
struct Book {
    page: Page,
    t: &'static Customer,
    car_no: String,
    from: String,
    to: String,
    model: String,
    car_class: String,
    branch: String,
    period: String,
    daily_rate: String,
    price: String,
    /// The price as the form has it, so that nobody pays another one than they have seen.
    seen: String,
    terms: String,
    customer_no: String,
    /// Whether no registered customer has that number.
    is_unknown: bool,
    /// How long a car is held without a payment.
    held_for: String,
    payment: PaymentFields,
    refusal: Option<String>,
}

impl Book {
    const fn staff(&self) -> &'static Staff {
        Staff::of(self.page.language)
    }

    async fn of(http: &HttpState, call: &Call, car_no: &CarNo, period: Period) -> Result<Book, Problem> {
        let page = Page::of(http, call, Section::Search);
        let t = Customer::of(page.language);
        let car = http.service.car(car_no).await?;
        let price = http.service.price(&period, car.car.data.daily_rate);
        let price = price.ok_or_else(|| Problem::new("price_too_large", "the price is above the bound of money"))?;
        Ok(Book {
            t,
            car_no: car_no.to_string(),
            from: Instant(period.from()).to_string(),
            to: Instant(period.to()).to_string(),
            model: car.car.data.model,
            car_class: car.car.data.car_class,
            branch: car.car.data.branch,
            period: page.format.period(period),
            daily_rate: t.rate_of_days(
                page.format.money(car.car.data.daily_rate),
                days(page.language, http.service.days(&period)),
            ),
            price: page.format.money(price),
            seen: seen(price),
            terms: terms(t, http.service.cancellation_terms()),
            customer_no: String::new(),
            is_unknown: false,
            held_for: t.held_for(span_in_words(page.language, http.service.hold_ms())),
            payment: PaymentFields::of(http, page.language),
            refusal: None,
            page,
        })
    }
}

async fn look(http: Arc<HttpState>, call: Call, wish: Wish) -> Outcome {
    let car_no = wish.car_no.resolve(&http.service, &call.caller()).await?;
    let book = Book::of(&http, &call, &car_no, period(wish.from.0, wish.to.0)?).await?;
    let notice = welcome(&http, &call, &book.page, &wish.done).await;
    show(&Book { customer_no: wish.customer_no, page: book.page.noting(notice), ..book })
}

async fn book(http: Arc<HttpState>, call: Call, order: Order) -> Outcome {
    let caller = call.caller();
    let car_no = order.car_no.resolve(&http.service, &caller).await?;
    let period = period(order.from.0, order.to.0)?;
    let customer_no = match caller.customer() {
        Some(own) => Ok(own.clone()),
        None => for_whom(&http, &call, &order.customer_no).await,
    };
    let means = payment::means(&order.card_token).filter(|_| order.pay == "now");
    let shown = Book::of(&http, &call, &car_no, period).await?;
    if let Ok(customer_no) = &customer_no
        && caller.customer().is_none()
        && order.unregistered.is_none()
        && is_unknown(&http, &caller, customer_no).await
    {
        return show_again(&Book { customer_no: order.customer_no, is_unknown: true, ..shown });
    }
    let done = match customer_no {
        Err(problem) => Err(problem),
        Ok(_) if order.pay == "now" && means.is_none() => Err(Problem::new("payment_required", "no means to pay")),
        Ok(_) if !order.price.is_empty() && order.price != shown.seen => {
            Err(Problem::new("price_changed", "the price is another one than was shown"))
        }
        Ok(customer_no) => {
            let reservation_no = call.new_number("res-")?;
            let address = reservation_address(&reservation_no);
            let request = ReserveRequest {
                reservation_no: Some(reservation_no),
                car_no: car_no.clone(),
                customer_no,
                period,
                means,
                day_counting: DayCounting::Hours,
            };
            match http.service.reserve(&caller, request).await {
                Ok((_, PaymentResult::Approved)) => Ok(go_to(&format!("{address}?done=booked"))),
                // How it stands is on the page of the reservation.
                Ok((_, PaymentResult::NotAttempted | PaymentResult::Deferred { .. })) => Ok(go_to(&address)),
                Err(ServiceError::PaymentDeclined { .. }) => Ok(go_to(&format!("{address}?done=declined"))),
                Err(error) => Err(Problem::from(error)),
            }
        }
    };
    match done {
        Ok(answer) => Ok(answer),
        Err(problem) => {
            let Some(refusal) = texts::refusal(Language::of(&call.headers), problem.code) else { return Err(problem) };
            show_again(&Book { refusal: Some(refusal.to_owned()), customer_no: order.customer_no, ..shown })
        }
    }
}

/// An amount as a form has it.
pub fn seen(amount: Money) -> String {
    format!("{} {}", amount.amount(), amount.currency().code())
}

fn terms(t: &Customer, terms: CancellationTerms) -> String {
    if terms.fee_percent == 0 || terms.free_until_ms_before == 0 {
        return t.cancellation_free.to_owned();
    }
    t.cancellation_terms(terms.free_until_ms_before / HOUR_MS, terms.fee_percent)
}

/// Whether nobody of this number is registered. While that cannot be read, a booking is taken.
async fn is_unknown(http: &HttpState, caller: &Caller, customer_no: &CustomerNo) -> bool {
    let customer = http.service.customer(caller, customer_no).await;
    matches!(customer, Err(ServiceError::Customer(customer::Rejection::CustomerNotFound)))
}

async fn for_whom(http: &HttpState, call: &Call, typed: &str) -> Result<CustomerNo, Problem> {
    let invalid = || Problem::new(CustomerNo::CODE, "it is no number of a customer");
    RawNumber::<CustomerNo>::read(typed.trim(), |_| invalid())?.resolve(&http.service, &call.caller()).await
}
