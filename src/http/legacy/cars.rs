//! `/carManagements`: the fleet. A car that exists already is changed, and answered with 201 all the same.

use super::hal::{self, PageRequest};
use super::members::{Members, required};
use super::{CARS, Legacy, days, rows};
use crate::actors::api::{CarView, ServiceError};
use crate::domain::fleet::{self, CarData};
use crate::domain::ids::CarNo;
use crate::domain::money::Money;
use crate::http::answer::Answer;
use crate::http::endpoint::{Call, Outcome};
use crate::http::numbers::RawNumber;
use crate::http::problem::Problem;
use jiff::civil::Date;
use warp::http::StatusCode;

/// Old clients send no model.
const MODEL_UNKNOWN: &str = "unspecified";

#[derive(Debug, PartialEq)]
struct Post {
    car_no: RawNumber<CarNo>,
    rate: Option<Money>,
    registered_on: Option<Date>,
}

impl Post {
    fn read(body: &[u8]) -> Result<Post, Problem> {
        let members = Members::parse(body)?;
        // The status is derived from rentals and blocks; only its form is checked.
        members.text("procStatus")?;
        Ok(Post {
            car_no: members.required("carNo", members.no("carNo")?)?,
            rate: members.won("rentalAmt")?,
            registered_on: members.date("carRegDt")?,
        })
    }

    /// The particulars after the request: what it leaves out stays as it is.
    fn data(&self, known: Option<CarData>) -> Result<CarData, Problem> {
        let registered_on = self.registered_on.map(days::number);
        let Some(known) = known else {
            return Ok(CarData {
                model: MODEL_UNKNOWN.to_owned(),
                car_class: String::new(),
                branch: String::new(),
                daily_rate: required("rentalAmt", self.rate)?,
                registered_on: registered_on.unwrap_or(0),
            });
        };
        let daily_rate = self.rate.unwrap_or(known.daily_rate);
        Ok(CarData { daily_rate, registered_on: registered_on.unwrap_or(known.registered_on), ..known })
    }
}

fn one(legacy: &Legacy, call: &Call, view: &CarView, status: StatusCode) -> Answer {
    let document = hal::item(&legacy.base(call), CARS, view.car_no.as_str(), rows::car(view));
    hal::answer(status, &document)
}

pub(super) async fn put(legacy: Legacy, call: Call) -> Outcome {
    let post = Post::read(&call.body)?;
    let car_no = post.car_no.clone().resolve(&legacy.service).await?;
    let known = match legacy.service.car(&car_no).await {
        Ok(view) => Some(view.car.data),
        Err(ServiceError::Fleet(fleet::Rejection::CarNotFound)) => None,
        Err(error) => return Err(error.into()),
    };
    let data = post.data(known)?;
    let view = legacy.service.upsert_car(&call.caller(), car_no, data).await?;
    Ok(one(&legacy, &call, &view, StatusCode::CREATED).located(&hal::item_path(CARS, view.car_no.as_str())))
}

pub(super) async fn list(legacy: Legacy, call: Call) -> Outcome {
    let asked = PageRequest::of(call.raw_query());
    let (cars, total) = legacy.service.cars_page(asked.skip(), asked.rows()).await?;
    let base = legacy.base(&call);
    let items = cars.iter().map(|view| hal::item(&base, CARS, view.car_no.as_str(), rows::car(view))).collect();
    Ok(hal::answer(StatusCode::OK, &hal::page(&base, CARS, asked, total, items)))
}

pub(super) async fn get(legacy: Legacy, call: Call) -> Outcome {
    let view = legacy.service.car(&call.number()?.resolve(&legacy.service).await?).await?;
    Ok(one(&legacy, &call, &view, StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Post, Problem> {
        Post::read(body.to_string().as_bytes())
    }

    #[test]
    fn the_old_line_registers_a_car() {
        let post = read(&json!({"carNo": "test", "rentalAmt": "10000", "procStatus": "WAITING",
            "carRegDt": "20200701", "colour": ["ignored"]}))
        .expect("legible");
        let data = post.data(None).expect("complete");
        assert_eq!(Some(data.daily_rate), Money::new(10_000, Currency::KRW));
        assert_eq!((data.registered_on, data.model.as_str()), (20_200_701, MODEL_UNKNOWN));
    }

    #[test]
    fn what_a_request_leaves_out_stays_as_it_is() {
        let first = read(&json!({"carNo": "test", "rentalAmt": 1, "carRegDt": "20200701"})).expect("legible");
        let mut known = first.data(None).expect("complete");
        known.model = "Ioniq 5".to_owned();
        let again = read(&json!({"carNo": "test"})).expect("legible");
        assert_eq!(again.data(Some(known.clone())), Ok(known));
        assert_eq!(again.data(None).expect_err("no rate").code, "invalid_member");
    }

    #[test]
    fn a_car_needs_a_number_and_its_members_their_types() {
        for bad in
            [json!({"rentalAmt": 1}), json!({"carNo": "a", "procStatus": {}}), json!({"carNo": "a", "rentalAmt": -1})]
        {
            assert_eq!(read(&bad).expect_err("refused").code, "invalid_member", "{bad}");
        }
        let bad = json!({"carNo": "a", "carRegDt": "20200231"});
        assert_eq!(read(&bad).expect_err("refused").code, "invalid_date");
    }
}
