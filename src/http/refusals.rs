//! The mapping from the errors of the service to problems. Every variant has its line here.

use crate::actors::api::{InvalidCursor, ServiceError};
use crate::actors::service::{BackupError, ReconcileError};
use crate::kit::problem::Problem;

const BREAKER_RETRY_MS: u64 = 15_000;

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Problem {
        let detail = error.to_string();
        match &error {
            ServiceError::Reservation(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::Payment(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::Rental(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::Fleet(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::Customer(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::Account(rejection) => Problem::new(rejection.code(), detail),
            ServiceError::AccountsNotOffered => Problem::new("accounts_not_offered", detail),
            ServiceError::SignInFailed => Problem::new("sign_in_failed", detail),
            ServiceError::TooManyAttempts { retry_after_ms } => {
                Problem::new("too_many_attempts", detail).retrying(*retry_after_ms)
            }
            ServiceError::ResetsNotOffered => Problem::new("resets_not_offered", detail),
            ServiceError::NotYourNumber { .. } => Problem::new("customer_no_not_yours", detail),
            ServiceError::NumberChosen => Problem::new("reservation_no_not_allowed", detail),
            ServiceError::WaiverNotAllowed => Problem::new("waiver_not_allowed", detail),
            ServiceError::NotRegistered => Problem::new("not_registered", detail),
            ServiceError::PaymentDeclined { reservation_no, .. } => Problem::new("payment_declined", detail)
                .telling(|it| it.reservation_no = Some(reservation_no.to_string())),
            ServiceError::TooManyUnpaidHolds { .. } => Problem::new("too_many_unpaid_holds", detail),
            ServiceError::CustomerHasLiveBookings { reservations } => {
                let numbers = reservations.iter().map(ToString::to_string).collect();
                Problem::new("customer_has_live_bookings", detail).telling(|it| it.reservations = numbers)
            }
            ServiceError::PersonalDataLost => Problem::new("personal_data_lost", detail),
            ServiceError::ErasureNotListed => Problem::new("erasure_not_listed", detail).retrying(1_000),
            ServiceError::Overloaded { retry_after_ms } => Problem::overloaded(*retry_after_ms),
            ServiceError::Unavailable { context, retry_after_ms } => Problem::new("context_unavailable", detail)
                .telling(|it| it.context = Some(context.0))
                .retrying(*retry_after_ms),
            ServiceError::Unknown => Problem::outcome_unknown(),
            ServiceError::Read(read) => {
                // The details are for the log, not for the caller.
                tracing::error!(error = %read, "read failed");
                Problem::new("store_unavailable", "what is stored cannot be read at the moment").retrying(1_000)
            }
        }
    }
}

impl From<ReconcileError> for Problem {
    fn from(error: ReconcileError) -> Problem {
        let detail = error.to_string();
        let refused = |code| Problem::new(code, detail.clone());
        match error {
            ReconcileError::Running => refused("reconciliation_running"),
            ReconcileError::BreakerOpen => refused("payment_provider_guarded").retrying(BREAKER_RETRY_MS),
            ReconcileError::Provider(_) => refused("payment_provider_unavailable").retrying(BREAKER_RETRY_MS),
            ReconcileError::TooLong | ReconcileError::TooMany => refused("reconciliation_too_long"),
            ReconcileError::Read(read) => ServiceError::Read(read).into(),
        }
    }
}

impl From<BackupError> for Problem {
    fn from(error: BackupError) -> Problem {
        let detail = error.to_string();
        match error {
            BackupError::Running => Problem::new("backup_running", detail),
            BackupError::Read(read) => ServiceError::Read(read).into(),
        }
    }
}

impl From<InvalidCursor> for Problem {
    fn from(error: InvalidCursor) -> Problem {
        Problem::invalid_query(format!("cursor: {error}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::ids::{CustomerNo, ReservationNo};
    use crate::domain::{customer, fleet, payment, rental, reservation};
    use crate::store::journal::{Context, ReadError};

    fn check(error: impl Into<ServiceError>, status: u16, code: &str) {
        let problem = Problem::from(error.into());
        assert_eq!((problem.status.as_u16(), problem.code), (status, code));
    }

    #[test]
    fn what_is_not_there_is_404() {
        check(reservation::Rejection::CarNotFound, 404, "car_not_found");
        check(reservation::Rejection::BlockNotFound, 404, "block_not_found");
        check(payment::Rejection::PaymentNotFound, 404, "payment_not_found");
        check(rental::Rejection::RentalNotFound, 404, "rental_not_found");
        check(fleet::Rejection::CarNotFound, 404, "car_not_found");
        check(customer::Rejection::CustomerNotFound, 404, "customer_not_found");
    }

    #[test]
    fn what_cannot_be_meant_is_400_and_what_collides_is_409() {
        check(reservation::Rejection::PeriodInPast, 400, "period_in_past");
        check(reservation::Rejection::PriceTooLarge, 400, "price_too_large");
        check(reservation::Rejection::CarNotAvailable, 409, "car_not_available");
        check(payment::Rejection::PaymentInFlight, 409, "payment_under_way");
        check(rental::Rejection::AlreadyReturned, 409, "rental_already_returned");
        check(customer::Rejection::CustomerAlreadyRegistered, 409, "customer_already_registered");
    }

    #[test]
    fn what_a_customer_may_not_do_is_403() {
        check(
            ServiceError::NotYourNumber { own: CustomerNo::parse("c1").expect("a number") },
            403,
            "customer_no_not_yours",
        );
        check(ServiceError::NumberChosen, 403, "reservation_no_not_allowed");
        check(ServiceError::NotRegistered, 403, "not_registered");
        check(ServiceError::WaiverNotAllowed, 403, "waiver_not_allowed");
    }

    #[test]
    fn the_particular_statuses_stand() {
        check(fleet::Rejection::StaleRevision, 412, "stale_etag");
        check(reservation::Rejection::StaleRevision, 412, "stale_etag");
        check(customer::Rejection::CustomerErased, 410, "customer_erased");
        check(customer::Rejection::NumberErased, 409, "customer_number_erased");
        check(ServiceError::PersonalDataLost, 410, "personal_data_lost");
        check(ServiceError::ErasureNotListed, 504, "erasure_not_listed");
        let reservations = vec![ReservationNo::parse("r1").expect("a number")];
        check(ServiceError::CustomerHasLiveBookings { reservations }, 409, "customer_has_live_bookings");
        let reservation_no = ReservationNo::parse("r1").expect("a number");
        check(ServiceError::PaymentDeclined { reservation_no, reason: "no funds".into() }, 402, "payment_declined");
        check(ServiceError::TooManyUnpaidHolds { max: 10 }, 409, "too_many_unpaid_holds");
        check(ServiceError::Overloaded { retry_after_ms: 10 }, 503, "overloaded");
        check(ServiceError::Unavailable { context: Context("fleet"), retry_after_ms: 10 }, 503, "context_unavailable");
        check(ServiceError::Unknown, 504, "outcome_unknown");
        check(ReadError::Damaged("page 7".into()), 503, "store_unavailable");
    }

    #[test]
    fn a_comparison_that_cannot_be_made_says_why() {
        let check = |error, status, code| {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        };
        check(ReconcileError::Running, 409, "reconciliation_running");
        check(ReconcileError::BreakerOpen, 503, "payment_provider_guarded");
        check(ReconcileError::TooLong, 503, "reconciliation_too_long");
        check(ReconcileError::Read(ReadError::Damaged("page 7".into())), 503, "store_unavailable");
    }

    #[test]
    fn a_backup_that_cannot_be_made_says_why() {
        let check = |error, status, code| {
            let problem = Problem::from(error);
            assert_eq!((problem.status.as_u16(), problem.code), (status, code));
        };
        check(BackupError::Running, 409, "backup_running");
        check(BackupError::Read(ReadError::Unavailable("closed".into())), 503, "store_unavailable");
    }

    #[test]
    fn the_inside_of_the_store_is_not_told() {
        let problem = Problem::from(ServiceError::from(ReadError::Damaged("page 7".into())));
        assert!(!problem.detail.contains("page 7"));
    }
}
