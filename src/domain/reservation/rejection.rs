//! Why a calendar refuses.

use super::CHANGES_MAX;

/// Why a calendar refuses.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    /// The calendar has not heard of the car: it is not registered, or Fleet's news of it has not arrived.
    #[error("there is no such car")]
    CarNotFound,
    /// The car has left the fleet.
    #[error("the car is no longer for rent")]
    CarRetired,
    /// The car is booked or blocked in that period, or booked closer to it than its buffer allows, or overdue; for a pick-up also: the period is over.
    #[error("the car is not available in that period")]
    CarNotAvailable,
    /// The car has changed since it was read.
    #[error("the car is not as the request says it was seen; read it again")]
    StaleRevision,
    /// The car cannot leave the fleet yet.
    #[error("the car still has live bookings")]
    CarHasLiveBookings,
    /// [`Terms::bookings_max`](super::Terms::bookings_max) live bookings, changes under way and blocks are in the calendar.
    #[error("the car's calendar is full")]
    CalendarFull,
    /// The period begins in the past, by more than [`Terms::past_tolerance_ms`](super::Terms::past_tolerance_ms).
    #[error("the period begins in the past")]
    PeriodInPast,
    /// The period is longer than the terms allow.
    #[error("the period is too long")]
    PeriodTooLong,
    /// The price is more than money can be.
    #[error("the price of that period is too large")]
    PriceTooLarge,
    /// The number belongs to another reservation. Of this car the calendar says so, of all others the append.
    #[error("the reservation number belongs to another reservation")]
    ReservationNoTaken,
    /// Another unpaid hold of the customer has the slot. Only the append says so, and the service tries the next slot.
    #[error("another unpaid hold of the customer has the slot")]
    HoldSlotTaken,
    /// No reservation of that number is live, or among the last [`CLOSED_KEPT_MAX`](super::CLOSED_KEPT_MAX) closed ones.
    #[error("there is no such reservation of this car")]
    ReservationNotFound,
    /// It was cancelled, has expired or is completed, also as a no-show; or its period is over.
    #[error("the reservation is closed")]
    ReservationClosed,
    /// It is not paid.
    #[error("the reservation is not paid")]
    ReservationNotPaid,
    /// A fee is waived in the call that cancels.
    #[error("the reservation is cancelled already, and its fee stands; a fee is waived in the call that cancels")]
    CancelledWithFee,
    /// The hold has not run out yet.
    #[error("the reservation is still held")]
    HoldStillRunning,
    /// The customer has the car already.
    #[error("the car has already been picked up")]
    AlreadyPickedUp,
    /// Another customer still has the car.
    #[error("another customer still has the car")]
    CarIsOut,
    /// The car is not out.
    #[error("the car has not been picked up")]
    NotPickedUp,
    /// It is not a no-show, or not yet.
    #[error("the reservation is no no-show")]
    NotANoShow,
    /// No block of that number, or one that was dropped after its period.
    #[error("there is no such block of this car")]
    BlockNotFound,
    /// The number belongs to another block.
    #[error("the block number belongs to another block")]
    BlockNoTaken,
    /// Another change of the reservation waits for its payment.
    #[error("another change of the reservation is under way; pay for it, or wait until its hold ends")]
    ChangeUnderWay,
    /// It was changed [`CHANGES_MAX`] times.
    #[error("the reservation was changed {CHANGES_MAX} times, which is the most")]
    TooManyChanges,
    /// The change costs more, and the customer gave no means of payment.
    #[error("the change costs more than the reservation; give means of payment with it")]
    PaymentRequired,
    /// The car has another price than when it was asked for.
    #[error("the price has changed; ask for it again")]
    PriceChanged,
    /// The hold of the change has ended before it was paid.
    #[error("the change was not paid in time; the reservation stands as it was")]
    ChangeExpired,
    /// The period does not end after it begins.
    #[error("the period must end after it begins")]
    InvalidPeriod,
    /// The price of the car is in another currency than the reservation.
    #[error("the car is priced in another currency than the reservation")]
    OtherCurrency,
}

impl Rejection {
    /// The permanent machine code.
    pub const fn code(&self) -> &'static str {
        match self {
            Rejection::CarNotFound => "car_not_found",
            Rejection::CarRetired => "car_retired",
            Rejection::CarNotAvailable => "car_not_available",
            Rejection::StaleRevision => "stale_etag",
            Rejection::CarHasLiveBookings => "car_has_live_bookings",
            Rejection::CalendarFull => "calendar_full",
            Rejection::PeriodInPast => "period_in_past",
            Rejection::PeriodTooLong => "period_too_long",
            Rejection::PriceTooLarge => "price_too_large",
            Rejection::ReservationNoTaken => "reservation_no_taken",
            Rejection::HoldSlotTaken => "too_many_unpaid_holds",
            Rejection::ReservationNotFound => "reservation_not_found",
            Rejection::ReservationClosed => "reservation_closed",
            Rejection::ReservationNotPaid => "reservation_not_paid",
            Rejection::CancelledWithFee => "cancelled_with_fee",
            Rejection::HoldStillRunning => "hold_still_running",
            Rejection::AlreadyPickedUp => "rental_already_picked_up",
            Rejection::CarIsOut => "car_is_out",
            Rejection::NotPickedUp => "rental_not_picked_up",
            Rejection::NotANoShow => "not_a_no_show",
            Rejection::BlockNotFound => "block_not_found",
            Rejection::BlockNoTaken => "block_no_taken",
            Rejection::ChangeUnderWay => "change_under_way",
            Rejection::TooManyChanges => "too_many_changes",
            Rejection::PaymentRequired => "payment_required",
            Rejection::PriceChanged => "price_changed",
            Rejection::ChangeExpired => "change_expired",
            Rejection::InvalidPeriod => "invalid_period",
            Rejection::OtherCurrency => "other_currency",
        }
    }
}
