//! Finding the reservation that an old request is about. Changes nothing.

use super::{Legacy, numbering};
use crate::actors::api::{PaymentResult, ReservationView, ServiceError};
use crate::domain::ids::{PaymentNo, RentalNo, ReservationNo};
use crate::domain::payment;
use crate::domain::reservation::Rejection;
use crate::http::endpoint::Call;
use crate::http::problem::Problem;
use percent_encoding::percent_decode_str;

/// When whoever met somebody else's attempt to pay should look again, in milliseconds.
const UNDER_WAY_RETRY_MS: u64 = 1_000;

/// The last use of a label.
#[derive(Debug)]
pub(super) struct LastUse {
    /// Which it is, from 1 on.
    pub(super) usage: u32,
    /// The reservation.
    pub(super) view: ReservationView,
}

/// What may name a reservation in a request; the first that is given is believed.
#[derive(Debug, Default)]
pub(super) struct Names {
    /// Its label or number.
    pub(super) resrv_no: Option<ReservationNo>,
    /// The number of its payment.
    pub(super) paymt_no: Option<PaymentNo>,
    /// Its serial.
    pub(super) id: Option<u64>,
}

/// Nothing of that name is no failure here.
fn if_known(outcome: Result<ReservationView, ServiceError>) -> Result<Option<ReservationView>, Problem> {
    match outcome {
        Ok(view) => Ok(Some(view)),
        Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the money was taken and kept.
pub(super) fn is_paid(view: &ReservationView) -> bool {
    view.payment.as_ref().is_some_and(|payment| matches!(payment.status, payment::Status::Approved { .. }))
}

fn not_found() -> Problem {
    ServiceError::Reservation(Rejection::ReservationNotFound).into()
}

impl Legacy {
    /// The same outcome, but an attempt to pay that is under way already (the old clients post the same lines side by
    /// side) is no refusal: it is told as it stands.
    pub(super) async fn or_under_way(
        &self,
        number: &ReservationNo,
        outcome: Result<(ReservationView, PaymentResult), ServiceError>,
    ) -> Result<(ReservationView, PaymentResult), Problem> {
        match outcome {
            Err(ServiceError::Payment(payment::Rejection::PaymentUnderWay)) => {
                let view = self.service.reservation(number).await?;
                let result = if is_paid(&view) {
                    PaymentResult::Approved
                } else {
                    PaymentResult::Deferred { retry_after_ms: UNDER_WAY_RETRY_MS }
                };
                Ok((view, result))
            }
            other => Ok(other?),
        }
    }

    /// The last reservation of a label, if there is one.
    pub(super) async fn last_use(&self, label: &ReservationNo) -> Result<Option<LastUse>, Problem> {
        let mut last = None;
        for usage in 1..=numbering::USES_MAX {
            let Some(number) = numbering::number(label, usage) else { break };
            let Some(view) = if_known(self.service.reservation(&number).await)? else { break };
            // A label is used again only after its reservation is closed, so a live one is the last.
            let live = view.booking.status.is_live();
            last = Some(LastUse { usage, view });
            if live {
                break;
            }
        }
        Ok(last)
    }

    /// The reservation that a request names; none when it names no reservation at all.
    pub(super) async fn named(&self, names: &Names) -> Result<Option<ReservationView>, Problem> {
        if let Some(label) = &names.resrv_no {
            return self.last_use(label).await?.map(|last| Some(last.view)).ok_or_else(not_found);
        }
        if let Some(number) = names.paymt_no.as_ref().and_then(PaymentNo::reservation) {
            return if_known(self.service.reservation(&number).await)?.map(Some).ok_or_else(not_found);
        }
        match (names.id, &names.paymt_no) {
            (Some(id), _) => if_known(self.service.reservation_by_serial(id).await)?.map(Some).ok_or_else(not_found),
            (None, Some(_)) => Err(not_found()),
            (None, None) => Ok(None),
        }
    }

    /// The reservation that a path is about: by its serial, its number, or the number of its payment or rental.
    pub(super) async fn at(&self, call: &Call) -> Result<ReservationView, Problem> {
        let text = percent_decode_str(call.segment("key")).decode_utf8().map_err(|_| not_found())?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        if let (true, Ok(serial)) = (digits, text.parse())
            && let Some(view) = if_known(self.service.reservation_by_serial(serial).await)?
        {
            return Ok(view);
        }
        let number = ReservationNo::parse(&text).map_err(|_| not_found())?;
        if let Some(last) = self.last_use(&number).await? {
            return Ok(last.view);
        }
        let of_payment = PaymentNo::parse(&text).ok().and_then(|number| number.reservation());
        let of_rental = RentalNo::parse(&text).ok().and_then(|number| number.reservation());
        let number = of_payment.or(of_rental).ok_or_else(not_found)?;
        if_known(self.service.reservation(&number).await)?.ok_or_else(not_found)
    }
}
