//! Customers for staff: finding, registering and erasing them, and what they have booked.

use super::addresses::{customer_address, customer_history_address};
use super::history::{HistoryRow, history_row};
use crate::actors::api::{CursorPage, CustomerView, PersonalData, ServiceError};
use crate::actors::service::ListedCustomer;
use crate::domain::customer;
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::http::HttpState;
use crate::http::customers::masked;
use crate::http::pages::bookings::{self, BookingRow};
use crate::http::pages::page::{Page, Section, go_to, query_value, reservation_address, show, show_again};
use crate::http::pages::person::{TypedPerson, WrongPerson};
use crate::http::pages::texts::{Staff, refusal};
use crate::kit::call::{Call, Nothing};
use crate::kit::endpoint::{Operation, Outcome};
use crate::kit::numbers::{Number as _, RawNumber};
use crate::kit::problem::Problem;
use crate::kit::route::{Access, Priority, Route, routes};
use crate::kit::values::Cursor;
use askama::Template;
use schemars::JsonSchema;
use serde::Deserialize;
use std::sync::Arc;

const CUSTOMERS_PER_PAGE: usize = 25;
const BOOKINGS_PER_PAGE: usize = 20;
/// How much of the history stands on the page of a customer.
const ENTRIES_SHOWN: usize = 8;

routes! { HttpState, "Pages":
    /// Customers, the newest first
    CUSTOMERS_PAGE = Route::page("/staff/customers", Access::AllBookings, "customersPage").of(Priority::List) => list;
    /// Find a customer or a booking
    ///
    /// A form, so that no mail address gets into an address, which proxies log.
    FIND = Route::form("/staff/customers", Access::AllBookings, "findCustomerByForm").unkeyed().unstored()
        .of(Priority::Read) => find;
    /// Register a customer
    NEW_CUSTOMER_PAGE = Route::page("/staff/customers/new", Access::AllBookings, "newCustomerPage") => look_at_new;
    /// Register a customer
    ///
    /// Without a key: what is recorded under one would have personal data. The form has the number instead.
    NEW_CUSTOMER = Route::form("/staff/customers/new", Access::AllBookings, "registerCustomerByForm").unkeyed()
        .of(Priority::Create) => register;
    /// A customer
    CUSTOMER_PAGE = Route::page("/staff/customers/{customerNo}", Access::AllBookings, "customerPage") => look;
    /// What erasing a customer's data means
    ERASURE_PAGE = Route::page("/staff/customers/{customerNo}/erasure", Access::AllBookings, "customerErasurePage")
        => look_at_erasure;
    /// Erase a customer's data
    ERASE = Route::form("/staff/customers/{customerNo}/erasure", Access::AllBookings, "eraseCustomerByForm") => erase;
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct ListQuery {
    cursor: Option<Cursor>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct FindForm {
    find: String,
}

#[derive(Deserialize, JsonSchema)]
#[serde(default)]
#[derive(Default)]
struct CustomerQuery {
    done: String,
    cursor: Option<Cursor>,
}

#[derive(Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
#[derive(Default)]
struct CustomerForm {
    /// The number that the customer gets if none is chosen, so that a form that is sent twice registers one customer.
    new_no: String,
    customer_no: String,
    name: String,
    phone: String,
    email: String,
    licence_no: String,
    licence_consent: Option<String>,
}

fn page_of(http: &HttpState, call: &Call) -> (Page, &'static Staff) {
    let page = Page::of(http, call, Section::Customers);
    let t = Staff::of(page.language);
    (page, t)
}

async fn number(http: &HttpState, call: &Call) -> Result<CustomerNo, Problem> {
    call.number::<CustomerNo>()?.resolve(&http.service, &call.caller()).await
}

#[derive(Template)]
#[template(path = "staff/customers.html")]
struct Found {
    page: Page,
    t: &'static Staff,
    find: String,
    by_mail: bool,
    customers: Vec<CustomerRow>,
    is_first: bool,
    next: Option<String>,
}

/// A customer as a line of the list.
struct CustomerRow {
    address: String,
    customer_no: String,
    name: Option<String>,
    phone: Option<String>,
    registered_at: String,
}

async fn list(http: Arc<HttpState>, call: Call, query: ListQuery) -> Outcome {
    show(&newest(&http, &call, query.cursor.as_ref(), "").await?)
}

async fn find(http: Arc<HttpState>, call: Call, form: FindForm) -> Outcome {
    let find = form.find.trim();
    match found(&http, &call, find).await? {
        Some(address) => Ok(go_to(&address)),
        None => show_again(&newest(&http, &call, None, find).await?),
    }
}

/// The newest customers, below what was looked for in vain.
async fn newest(http: &HttpState, call: &Call, cursor: Option<&Cursor>, find: &str) -> Result<Found, Problem> {
    let (page, t) = page_of(http, call);
    let cursor = cursor.map(|cursor| cursor.0.as_str());
    let CursorPage { items, next_cursor } =
        http.service.customers(&call.caller(), cursor, CUSTOMERS_PER_PAGE).await??;
    let row = |listed: ListedCustomer| {
        let (name, phone) = listed.customer.map(|customer| (customer.data.name, customer.data.phone)).unzip();
        CustomerRow {
            address: customer_address(&listed.customer_no),
            customer_no: listed.customer_no.to_string(),
            name,
            phone,
            registered_at: page.format.day(listed.registered_at),
        }
    };
    let customers = items.into_iter().map(row).collect();
    Ok(Found {
        customers,
        find: find.to_owned(),
        by_mail: http.service.accounts().is_ok(),
        is_first: cursor.is_none(),
        next: next_cursor.map(|cursor| format!("/staff/customers?cursor={}", query_value(&cursor))),
        page,
        t,
    })
}

/// The page of what was looked for, if there is any: a booking, a customer, or the customer of an account.
async fn found(http: &HttpState, call: &Call, text: &str) -> Result<Option<String>, Problem> {
    if text.is_empty() {
        return Ok(None);
    }
    let caller = call.caller();
    if text.contains('@') {
        let Ok(accounts) = http.service.accounts() else { return Ok(None) };
        let account = accounts.find(text).await?;
        let customer_no = account.and_then(|view| view.account.role().customer().cloned());
        return Ok(customer_no.map(|customer_no| customer_address(&customer_no)));
    }
    let none = |_| Problem::not_found();
    if let Ok(raw) = RawNumber::<ReservationNo>::read(text, none)
        && let Ok(reservation_no) = raw.resolve(&http.service, &caller).await
        && http.service.knows_reservation(&caller, &reservation_no).await?
    {
        return Ok(Some(reservation_address(&reservation_no)));
    }
    if let Ok(raw) = RawNumber::<CustomerNo>::read(text, none)
        && let Ok(customer_no) = raw.resolve(&http.service, &caller).await
        && http.service.knows_customer(&caller, &customer_no).await?
    {
        return Ok(Some(customer_address(&customer_no)));
    }
    Ok(None)
}

#[derive(Template)]
#[template(path = "staff/customer_new.html")]
struct NewCustomer {
    page: Page,
    t: &'static Staff,
    form: CustomerForm,
    wrong: WrongPerson,
    number_wrong: Option<String>,
    refusal: Option<String>,
}

async fn look_at_new(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let (page, t) = page_of(&http, &call);
    let new_no: CustomerNo = call.new_number("cus-")?;
    let form = CustomerForm { new_no: new_no.to_string(), ..CustomerForm::default() };
    show(&NewCustomer { page, t, form, wrong: WrongPerson::default(), number_wrong: None, refusal: None })
}

/// The number that a new customer is to have.
async fn chosen_number(http: &HttpState, call: &Call, form: &CustomerForm) -> Result<CustomerNo, Problem> {
    let chosen = form.customer_no.trim();
    let text = if chosen.is_empty() { &form.new_no } else { chosen };
    let invalid = |_| Problem::new(CustomerNo::CODE, "it is no number of a customer");
    RawNumber::<CustomerNo>::read(text, invalid)?.resolve(&http.service, &call.caller()).await
}

async fn register(http: Arc<HttpState>, call: Call, form: CustomerForm) -> Outcome {
    let (page, t) = page_of(&http, &call);
    let typed = TypedPerson {
        name: &form.name,
        phone: &form.phone,
        email: &form.email,
        licence_no: &form.licence_no,
        licence_consent: form.licence_consent.is_some(),
    };
    let number = match chosen_number(&http, &call, &form).await {
        // Bookings without a customer belong to it.
        Ok(customer_no) if customer_no == CustomerNo::anonymous() => Err(t.customer_no_taken.to_owned()),
        Ok(customer_no) => Ok(customer_no),
        Err(problem) => Err(refusal(page.language, problem.code).ok_or(problem)?.to_owned()),
    };
    let (customer_no, data) = match (number, typed.read(&http)) {
        (Ok(customer_no), Ok(data)) => (customer_no, data),
        (number, data) => {
            let (wrong, number_wrong) = (data.err().unwrap_or_default(), number.err());
            return show_again(&NewCustomer { page, t, form, wrong, number_wrong, refusal: None });
        }
    };
    match registered(&http, &call, customer_no, data).await {
        Ok(view) => Ok(go_to(&format!("{}?done=registered", customer_address(&view.customer_no)))),
        Err(error) => {
            let problem = Problem::from(error);
            let refusal = Some(refusal(page.language, problem.code).ok_or(problem)?.to_owned());
            show_again(&NewCustomer { page, t, form, wrong: WrongPerson::default(), number_wrong: None, refusal })
        }
    }
}

/// Registers a customer; the same customer again is the one that there is.
async fn registered(
    http: &HttpState,
    call: &Call,
    customer_no: CustomerNo,
    data: PersonalData,
) -> Result<CustomerView, ServiceError> {
    let caller = call.caller();
    match http.service.register_customer(&caller, Some(customer_no.clone()), data.clone()).await {
        Err(error @ ServiceError::Customer(customer::Rejection::CustomerAlreadyRegistered)) => {
            let view = http.service.customer(&caller, &customer_no).await?;
            if view.data.says_the_same(&data) { Ok(view) } else { Err(error) }
        }
        other => other,
    }
}

#[derive(Template)]
#[template(path = "staff/customer.html")]
struct Shown {
    page: Page,
    t: &'static Staff,
    address: String,
    history_address: String,
    customer_no: String,
    person: Option<Person>,
    is_erased: bool,
    bookings: Vec<BookingRow>,
    is_first: bool,
    next: Option<String>,
    history: Vec<HistoryRow>,
}

/// A customer's data as staff see it: the licence number is masked.
struct Person {
    name: String,
    phone: String,
    email: String,
    licence_no: Option<String>,
    licence_consent_at: Option<String>,
    registered_at: String,
}

impl Person {
    fn of(page: &Page, view: CustomerView) -> Person {
        Person {
            name: view.data.name,
            phone: view.data.phone,
            email: view.data.email,
            licence_no: view.data.licence_no.as_deref().map(masked),
            licence_consent_at: view.data.licence_consent_at.map(|at| page.format.day(at)),
            registered_at: page.format.day(view.registered_at),
        }
    }
}

async fn look(http: Arc<HttpState>, call: Call, query: CustomerQuery) -> Outcome {
    let customer_no = number(&http, &call).await?;
    let (page, t) = page_of(&http, &call);
    let caller = call.caller();
    let cursor = query.cursor.as_ref().map(|cursor| cursor.0.as_str());
    let my_page = http.service.my_page(&caller, &customer_no, None, 1).await??;
    let CursorPage { mut items, next_cursor } =
        http.service.reservations_of(&caller, &customer_no, cursor, BOOKINGS_PER_PAGE).await??;
    bookings::sort(&mut items);
    let history = http.service.customer_history(&caller, &customer_no, None, ENTRIES_SHOWN).await??;
    let address = customer_address(&customer_no);
    let notice = match query.done.as_str() {
        "registered" => Some(t.customer_registered),
        "erased" => Some(t.done_erased),
        _ => None,
    };
    show(&Shown {
        customer_no: customer_no.to_string(),
        person: my_page.customer.map(|view| Person::of(&page, view)),
        is_erased: my_page.erased,
        bookings: bookings::rows(&http, &caller, &page, items).await,
        is_first: cursor.is_none(),
        next: next_cursor.map(|cursor| format!("{address}?cursor={}", query_value(&cursor))),
        history: history.items.into_iter().take(ENTRIES_SHOWN).map(|entry| history_row(&page, entry)).collect(),
        t,
        address,
        history_address: customer_history_address(&customer_no),
        page: page.noting(notice),
    })
}

#[derive(Template)]
#[template(path = "staff/erasure.html")]
struct Erasure {
    page: Page,
    t: &'static Staff,
    address: String,
    customer_no: String,
    name: Option<String>,
    refusal: Option<String>,
}

impl Erasure {
    async fn of(http: &HttpState, call: &Call, customer_no: &CustomerNo) -> Result<Erasure, Problem> {
        let (page, t) = page_of(http, call);
        let name = match http.service.customer(&call.caller(), customer_no).await {
            Ok(customer) => Some(customer.data.name),
            // It can be erased all the same.
            Err(ServiceError::PersonalDataLost) => None,
            Err(error) => return Err(error.into()),
        };
        let (address, customer_no) = (customer_address(customer_no), customer_no.to_string());
        Ok(Erasure { page, t, address, customer_no, name, refusal: None })
    }
}

async fn look_at_erasure(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    show(&Erasure::of(&http, &call, &number(&http, &call).await?).await?)
}

async fn erase(http: Arc<HttpState>, call: Call, _: Nothing) -> Outcome {
    let customer_no = number(&http, &call).await?;
    match http.service.erase_customer(&call.caller(), customer_no.clone()).await {
        Ok(()) => Ok(go_to(&format!("{}?done=erased", customer_address(&customer_no)))),
        Err(error) => {
            let problem = Problem::from(error);
            let again = Erasure::of(&http, &call, &customer_no).await?;
            let refusal = Some(refusal(again.page.language, problem.code).ok_or(problem)?.to_owned());
            show_again(&Erasure { refusal, ..again })
        }
    }
}
