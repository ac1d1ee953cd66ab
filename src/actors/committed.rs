//! Reading what is committed of an entity, past its actor. The state document is as durable as the events it was
//! made from, so this is what a writer sees of its own writes, and what answers while the context is down.

use super::runtime::{Entity, StateDocument};
use crate::domain::ids::ReservationNo;
use crate::domain::reservation::Booking;
use crate::store::journal::{Journal, ReadError};
use crate::store::schema::ReservationDocument;
use crate::store::schema::reservation::RESERVATION_KIND;

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
    let Some(body) = journal.document(RESERVATION_KIND, reservation_no.as_str()).await? else { return Ok(None) };
    let document = ReservationDocument::decode(&body).map_err(|error| ReadError::Damaged(error.to_string()))?;
    Ok(Some(document.booking))
}
