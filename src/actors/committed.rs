//! Reading what is committed of an entity, past its actor. The state document is as durable as the events it was
//! made from, so this is what a writer sees of its own writes, and what answers while the context is down.

use super::reservation::Calendars;
use super::runtime::{Entity, StateDocument};
use crate::domain::ids::{CustomerNo, ReservationNo};
use crate::domain::reservation::{self, Booking, Incoming, Terms};
use crate::store::journal::{Journal, ReadError};
use crate::store::schema::ReservationDocument;
use crate::store::schema::reservation::{RESERVATION_KIND, reservation_key};

/// The committed state of an entity, or `None` when nothing has happened to it.
///
/// # Errors
/// When it cannot be read.
pub async fn committed<E: Entity>(journal: &dyn Journal, entity: &E, key: &str) -> Result<Option<E::State>, ReadError> {
    let Some(body) = journal.document(E::STATE_KIND, key).await? else { return Ok(None) };
    let document = StateDocument::decode(entity, &body).map_err(|error| ReadError::Damaged(error.to_string()))?;
    Ok(Some(document.state))
}

/// The committed state of a reservation, live or closed.
///
/// # Errors
/// When it cannot be read.
pub async fn booking(journal: &dyn Journal, reservation_no: &ReservationNo) -> Result<Option<Booking>, ReadError> {
    booking_if(journal, reservation_no, |_| true).await
}

/// The committed state of a reservation whose customer is visible. What is not visible takes the one read that what is
/// not there takes, wherever it has moved: how long an answer takes must not tell the two apart.
///
/// # Errors
/// When it cannot be read.
pub async fn booking_if(
    journal: &dyn Journal,
    reservation_no: &ReservationNo,
    is_visible: impl Fn(&CustomerNo) -> bool,
) -> Result<Option<Booking>, ReadError> {
    Ok(located_if(journal, reservation_no, is_visible).await?.map(|located| located.booking))
}

/// What the calendar of a car holds for a reservation of another car.
///
/// # Errors
/// When it cannot be read.
pub async fn incoming(
    journal: &dyn Journal,
    car_no: &str,
    reservation_no: &ReservationNo,
) -> Result<Option<Incoming>, ReadError> {
    let calendar = calendar(journal, car_no).await?;
    Ok(calendar.and_then(|mut calendar| calendar.incoming.remove(reservation_no)))
}

/// The committed calendar of a car.
///
/// # Errors
/// When it cannot be read.
pub async fn calendar(journal: &dyn Journal, car_no: &str) -> Result<Option<reservation::State>, ReadError> {
    // Terms decide, and nothing is decided here.
    let calendars = Calendars { terms: Terms::default() };
    committed(journal, &calendars, car_no).await
}

/// A reservation, and whether the calendar of its car has it.
pub struct Located {
    pub booking: Booking,
    /// Not while it is on its way from one car to another.
    pub has_arrived: bool,
}

/// The committed state of a reservation, live or closed, wherever it has moved.
///
/// # Errors
/// When it cannot be read.
pub async fn located(journal: &dyn Journal, reservation_no: &ReservationNo) -> Result<Option<Located>, ReadError> {
    located_if(journal, reservation_no, |_| true).await
}

async fn located_if(
    journal: &dyn Journal,
    reservation_no: &ReservationNo,
    is_visible: impl Fn(&CustomerNo) -> bool,
) -> Result<Option<Located>, ReadError> {
    let (mut came_by, mut found) = (0, None);
    // Each move leads to a later change, so this comes to an end.
    while let Some(body) = journal.document(RESERVATION_KIND, &reservation_key(reservation_no, came_by)).await? {
        let document = ReservationDocument::decode(&body).map_err(|error| ReadError::Damaged(error.to_string()))?;
        let booking = document.booking;
        if !is_visible(&booking.subject.customer_no) {
            return Ok(None);
        }
        if booking.came_by() <= came_by {
            return Ok(Some(Located { booking, has_arrived: true }));
        }
        came_by = booking.came_by();
        found = Some(Located { booking, has_arrived: false });
    }
    Ok(found)
}
