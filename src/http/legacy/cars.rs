//! `/carManagements`: the fleet. A car that exists already is changed, and answered with 201 all the same.

use super::hal::{self, PageRequest};
use super::members::{CarPost, Members, required};
use super::{CARS, Legacy, days, rows};
use crate::actors::api::{CarView, ServiceError};
use crate::domain::fleet::{CarData, Changes, Expected, Rejection, Versions};
use crate::domain::ids::CarNo;
use crate::domain::money::Money;
use crate::kit::answer::Answer;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::Outcome;
use crate::kit::numbers::RawNumber;
use crate::kit::problem::Problem;
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
    fn read(members: &Members) -> Result<Post, Problem> {
        // The status is derived from rentals and blocks; only its form is checked.
        members.text("procStatus")?;
        Ok(Post {
            car_no: members.required("carNo", members.no("carNo")?)?,
            rate: members.won("rentalAmt")?,
            registered_on: members.date("carRegDt")?,
        })
    }

    /// What it says of a car that is there: what it leaves out stays as it is.
    fn changes(&self) -> Changes {
        Changes { daily_rate: self.rate, registered_on: self.registered_on.map(days::number), ..Changes::default() }
    }

    /// The particulars of a new car.
    fn data(&self) -> Result<CarData, Problem> {
        Ok(CarData {
            model: MODEL_UNKNOWN.to_owned(),
            car_class: String::new(),
            branch: String::new(),
            daily_rate: required("rentalAmt", self.rate)?,
            registered_on: self.registered_on.map(days::number).unwrap_or_default(),
        })
    }
}

fn one(legacy: &Legacy, call: &Call, view: &CarView, status: StatusCode) -> Answer {
    let document = hal::item(&legacy.base(call), CARS, view.car_no.as_str(), rows::car(view));
    hal::answer(status, &document)
}

pub(super) async fn put(legacy: Legacy, call: Call, CarPost(members): CarPost) -> Outcome {
    let post = Post::read(&members)?;
    let (service, caller) = (&legacy.service, call.caller());
    let car_no = post.car_no.clone().resolve(service, &caller).await?;
    let whatever = Expected { one_of: Versions::Any, none_of: Versions::OneOf(vec![]) };
    let amend = || service.amend_car(&caller, car_no.clone(), whatever.clone(), post.changes());
    let view = match amend().await {
        Err(ServiceError::Fleet(Rejection::CarNotFound)) => {
            match service.register_car(&caller, car_no.clone(), post.data()?).await {
                // Old clients send the same line more than once at the same time.
                Err(ServiceError::Fleet(Rejection::CarAlreadyRegistered)) => amend().await?,
                registered => registered?,
            }
        }
        amended => amended?,
    };
    Ok(one(&legacy, &call, &view, StatusCode::CREATED).located(&hal::item_path(CARS, view.car_no.as_str())))
}

pub(super) async fn list(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let (cars, total) = legacy.service.cars_page(asked.skip(), asked.rows()).await?;
    let base = legacy.base(&call);
    let items = cars.iter().map(|view| hal::item(&base, CARS, view.car_no.as_str(), rows::car(view))).collect();
    Ok(hal::answer(StatusCode::OK, &hal::page(&base, CARS, asked, total, items)))
}

pub(super) async fn get(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.service.car(&call.number()?.resolve(&legacy.service, &call.caller()).await?).await?;
    Ok(one(&legacy, &call, &view, StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::money::Currency;
    use serde_json::{Value, json};

    fn read(body: &Value) -> Result<Post, Problem> {
        Members::parse(body.to_string().as_bytes()).and_then(|members| Post::read(&members))
    }

    #[test]
    fn the_old_line_registers_a_car() {
        let post = read(&json!({"carNo": "test", "rentalAmt": "10000", "procStatus": "WAITING",
            "carRegDt": "20200701", "colour": ["ignored"]}))
        .expect("legible");
        let data = post.data().expect("complete");
        assert_eq!(Some(data.daily_rate), Money::new(10_000, Currency::KRW));
        assert_eq!((data.registered_on, data.model.as_str()), (20_200_701, MODEL_UNKNOWN));
    }

    #[test]
    fn what_a_request_leaves_out_stays_as_it_is() {
        let post = read(&json!({"carNo": "test", "carRegDt": "20200701"})).expect("legible");
        let expected = Changes { registered_on: Some(20_200_701), ..Changes::default() };
        assert_eq!(post.changes(), expected);
        assert_eq!(post.data().expect_err("no rate").code, "invalid_member");
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
