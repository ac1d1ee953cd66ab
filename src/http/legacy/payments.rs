//! `/payments`: paying a reservation that waits for it, and cancelling what was paid.

use super::hal::PageRequest;
use super::lookup::{Kind, Lookup, is_paid};
use super::members::{Members, PaymentPost, invalid_proc_status, required};
use super::{Legacy, PAYMENTS, rows};
use crate::actors::api::{PaymentResult, ServiceError};
use crate::domain::payment::Rejection;
use crate::kit::call::{Call, Unread};
use crate::kit::endpoint::Outcome;
use crate::kit::problem::Problem;
use warp::http::StatusCode;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Command {
    Pay,
    Cancel,
}

fn read(members: &Members) -> Result<(Command, Lookup), Problem> {
    members.check(&["paymtDt", "paymtCncleDt", "rentalDt", "returnDt"], &["paymtAmt", "rentalAmt"])?;
    let wish = match members.text("procStatus")?.as_deref() {
        Some("PAID") => Command::Pay,
        Some("PAYMENT_CANCELED") => Command::Cancel,
        Some(_) | None => return Err(invalid_proc_status("PAID or PAYMENT_CANCELED")),
    };
    let names = Lookup { resrv_no: members.no("resrvNo")?, paymt_no: members.no("paymtNo")?, id: members.whole("id")? };
    Ok((wish, names))
}

pub(super) async fn post(legacy: Legacy, call: Call, PaymentPost(members): PaymentPost) -> Outcome {
    let (wish, names) = read(&members)?;
    let caller = call.caller();
    let view = required("resrvNo", legacy.named(&caller, names).await?)?;
    let number = view.booking.subject.reservation_no.clone();
    let (view, result) = match wish {
        Command::Pay if is_paid(&view) => (view, PaymentResult::Approved),
        Command::Pay => {
            let means = Legacy::means(&caller).ok_or_else(Problem::forbidden)?;
            legacy.service.pay(&caller, number, means).await?
        }
        Command::Cancel => (legacy.service.cancel(&caller, number, None).await?, PaymentResult::NotAttempted),
    };
    Ok(legacy.changed(&call, PAYMENTS, rows::payment, &view, &result))
}

pub(super) async fn list(legacy: Legacy, call: Call, asked: PageRequest) -> Outcome {
    let numbered = legacy.service.payments_page(asked.skip(), asked.rows()).await?;
    Ok(legacy.page(&call, PAYMENTS, asked, rows::payment, &numbered))
}

pub(super) async fn get(legacy: Legacy, call: Call, _: Unread) -> Outcome {
    let view = legacy.at(&call, Kind::Payment).await?;
    if view.payment.is_none() {
        return Err(ServiceError::from(Rejection::PaymentNotFound).into());
    }
    Ok(legacy.one(&call, PAYMENTS, rows::payment, &view, StatusCode::OK))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn outcome(body: &Value) -> Result<Command, &'static str> {
        let members = Members::parse(body.to_string().as_bytes()).expect("an object");
        read(&members).map(|(wish, _)| wish).map_err(|problem| problem.code)
    }

    #[test]
    fn the_status_says_what_is_wanted_and_another_is_refused() {
        assert_eq!(outcome(&json!({"resrvNo": "r1", "procStatus": "PAID"})), Ok(Command::Pay));
        assert_eq!(outcome(&json!({"resrvNo": "r1", "procStatus": "PAYMENT_CANCELED"})), Ok(Command::Cancel));
        for bad in [json!({}), json!({"procStatus": "paid"}), json!({"procStatus": "RESERVED"})] {
            assert_eq!(outcome(&bad), Err("invalid_proc_status"), "{bad}");
        }
    }

    #[test]
    fn what_is_known_must_be_well_formed_even_where_it_is_left_aside() {
        let with = |name: &str, value: Value| json!({"resrvNo": "r1", "procStatus": "PAID", name: value});
        assert_eq!(outcome(&with("paymtDt", json!("20200231"))), Err("invalid_date"));
        assert_eq!(outcome(&with("paymtAmt", json!("much"))), Err("invalid_member"));
        assert_eq!(outcome(&with("id", json!("x"))), Err("invalid_member"));
        assert_eq!(outcome(&with("other", json!({"any": "thing"}))), Ok(Command::Pay));
    }
}
