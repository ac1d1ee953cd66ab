//! Finding the reservation that an old request is about. Changes nothing.

use super::{Legacy, numbering};
use crate::actors::api::{Caller, ReservationView, ServiceError};
use crate::domain::ids::{PaymentNo, RentalNo, ReservationNo};
use crate::domain::payment;
use crate::domain::reservation::Rejection;
use crate::http::spellings::Stored;
use crate::kit::call::Call;
use crate::kit::numbers::RawNumber;
use crate::kit::problem::Problem;
use percent_encoding::percent_decode_str;

/// The last use of a label.
#[derive(Debug)]
pub(super) struct LatestReservation {
    /// Which it is, from 1 on.
    pub(super) usage: u32,
    pub(super) view: ReservationView,
}

/// What may name a reservation in a request; the first that is given counts.
#[derive(Debug, Default)]
pub(super) struct Lookup {
    /// Its label or number.
    pub(super) resrv_no: Option<RawNumber<ReservationNo>>,
    pub(super) paymt_no: Option<RawNumber<PaymentNo>>,
    /// Its serial.
    pub(super) id: Option<u64>,
}

/// What a text in a path may be the number of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The reservation's place among all, the old `id`.
    Serial,
    /// The reservation.
    Reservation,
    /// Its payment.
    Payment,
    /// Its rental.
    Rental,
}

/// Turns "not found" into `None`.
fn if_known(outcome: Result<ReservationView, ServiceError>) -> Result<Option<ReservationView>, Problem> {
    match outcome {
        Ok(view) => Ok(Some(view)),
        Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// Whether the money was taken and kept.
pub(super) fn is_paid(view: &ReservationView) -> bool {
    view.payment.as_ref().is_some_and(|payment| matches!(payment.status(), payment::Status::Approved { .. }))
}

fn not_found() -> Problem {
    ServiceError::Reservation(Rejection::ReservationNotFound).into()
}

impl Legacy {
    /// The last reservation of a label, if there is one.
    pub(super) async fn last_use(
        &self,
        caller: &Caller,
        label: &ReservationNo,
    ) -> Result<Option<LatestReservation>, Problem> {
        let mut last = None;
        for usage in 1..=numbering::USES_MAX {
            let Some(number) = numbering::number(label, usage) else { break };
            let Some(view) = if_known(self.service.reservation(caller, &number).await)? else {
                // A label may have been used for several customers, each of whom sees their own. How many uses are not
                // theirs does not show in what is read.
                if caller.customer().is_some() && usage < numbering::FOREIGN_USES_MAX {
                    continue;
                }
                break;
            };
            // A label is used again only after its reservation is closed, so a live one is the last.
            let live = view.booking.status.is_live();
            last = Some(LatestReservation { usage, view });
            if live {
                break;
            }
        }
        Ok(last)
    }

    /// The reservation that a request names; `None` when it names none.
    pub(super) async fn named(&self, caller: &Caller, names: Lookup) -> Result<Option<ReservationView>, Problem> {
        let Lookup { resrv_no, paymt_no, id } = names;
        if let Some(label) = resrv_no {
            let label = label.resolve(&self.service, caller).await?;
            return self.last_use(caller, &label).await?.map(|last| Some(last.view)).ok_or_else(not_found);
        }
        let paymt_no = match paymt_no {
            Some(number) => Some(number.resolve(&self.service, caller).await?),
            None => None,
        };
        if let Some(number) = paymt_no.as_ref().and_then(PaymentNo::reservation) {
            return if_known(self.service.reservation(caller, &number).await)?.map(Some).ok_or_else(not_found);
        }
        match (id, paymt_no) {
            (Some(id), _) => {
                if_known(self.service.reservation_by_serial(caller, id).await)?.map(Some).ok_or_else(not_found)
            }
            (None, Some(_)) => Err(not_found()),
            (None, None) => Ok(None),
        }
    }

    /// The reservation that a path names. The serial comes first, as the key of every old resource; then the number of
    /// the resource's own kind, and last those of the other kinds, since a reservation may have the number `pay-1`.
    pub(super) async fn at(&self, call: &Call, own: Kind) -> Result<ReservationView, Problem> {
        let caller = &call.caller();
        let text = percent_decode_str(call.segment("key")).decode_utf8().map_err(|_| not_found())?;
        if let Some(view) = self.of_kind(caller, Kind::Serial, &text).await? {
            return Ok(view);
        }
        let others = [Kind::Reservation, Kind::Payment, Kind::Rental].into_iter().filter(|kind| *kind != own);
        for kind in std::iter::once(own).chain(others) {
            if let Some(view) = self.of_kind(caller, kind, &text).await? {
                return Ok(view);
            }
        }
        Err(not_found())
    }

    /// The reservation that a text names as a number of this kind.
    async fn of_kind(&self, caller: &Caller, kind: Kind, text: &str) -> Result<Option<ReservationView>, Problem> {
        let number = match kind {
            Kind::Serial => {
                // Only in the form of links: a reservation may have the number `007`.
                let serial = text.parse().ok().filter(|serial: &u64| serial.to_string() == text);
                let Some(serial) = serial else { return Ok(None) };
                return if_known(self.service.reservation_by_serial(caller, serial).await);
            }
            Kind::Reservation => {
                let Some(label) = self.spelled::<ReservationNo>(caller, text).await? else { return Ok(None) };
                return Ok(self.last_use(caller, &label).await?.map(|last| last.view));
            }
            Kind::Payment => self.spelled::<PaymentNo>(caller, text).await?.and_then(|number| number.reservation()),
            Kind::Rental => self.spelled::<RentalNo>(caller, text).await?.and_then(|number| number.reservation()),
        };
        let Some(number) = number else { return Ok(None) };
        if_known(self.service.reservation(caller, &number).await)
    }

    /// The number that a text spells; `None` when it is no number of that kind.
    async fn spelled<N: Stored>(&self, caller: &Caller, text: &str) -> Result<Option<N>, Problem> {
        let Ok(spelled) = RawNumber::read(text, |_| not_found()) else { return Ok(None) };
        let known = spelled.known(&self.service, caller).await?;
        Ok(known.or(spelled.composed().ok()))
    }
}
