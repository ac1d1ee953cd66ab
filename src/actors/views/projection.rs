//! From events to rows. Each row is fed by the events of one shard only, so that shards can be followed side by
//! side, and every row is a function of those events alone, so that a rebuild gives the same bytes.

use super::rows::{self, Place, Slot};
use crate::actors::api::FeedEntry;
use crate::domain::ids::{CarNo, CustomerNo};
use crate::domain::money::Money;
use crate::domain::time::{Period, Timestamp};
use crate::domain::{Subject, fleet, payment, rental, reservation};
use crate::store::codec;
use crate::store::journal::{ReadError, Recorded, ShardId};
use crate::store::schema;
use crate::store::view_store::{RowWrite, ViewStore};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::BTreeMap;

/// The rows that a batch of events of one shard changes, over those that are stored.
pub struct Projection<'a> {
    store: &'a dyn ViewStore,
    shard: ShardId,
    context: u8,
    rows: BTreeMap<(&'static str, Vec<u8>), Option<Vec<u8>>>,
    /// Whose feeds have grown, and where.
    pub fed: Vec<(CustomerNo, Place)>,
}

impl<'a> Projection<'a> {
    /// No changes yet.
    pub fn new(store: &'a dyn ViewStore, shard: ShardId) -> Self {
        let context = schema::ALL.iter().position(|context| *context == shard.context);
        let context = context.and_then(|place| u8::try_from(place).ok()).unwrap_or(u8::MAX);
        Projection { store, shard, context, rows: BTreeMap::new(), fed: Vec::new() }
    }

    /// The changes.
    pub fn into_writes(self) -> (Vec<RowWrite>, Vec<(CustomerNo, Place)>) {
        let writes = self.rows.into_iter().map(|((table, key), value)| RowWrite { table, key, value });
        (writes.collect(), self.fed)
    }

    /// Takes an event in.
    ///
    /// # Errors
    /// When the event or a row cannot be read.
    pub fn take(&mut self, recorded: &Recorded) -> Result<(), ReadError> {
        let (tag, payload) = (&*recorded.event.tag, &*recorded.event.payload);
        let at = Timestamp::from_millis(recorded.event.at_ms).unwrap_or(Timestamp::MIN);
        let place = Place { context: self.context, shard: self.shard.number, position: recorded.position };
        if self.shard.context == schema::RESERVATION {
            let event = schema::reservation::decode(tag, payload).map_err(damaged)?;
            let car_no = CarNo::parse(&recorded.event.entity).map_err(damaged)?;
            self.slot(&car_no, &event)?;
            self.reservation(&event, at, place)
        } else if self.shard.context == schema::PAYMENT {
            let event = schema::payment::decode(tag, payload).map_err(damaged)?;
            self.payment(&event, at, place)
        } else if self.shard.context == schema::RENTAL {
            let event = schema::rental::decode(tag, payload).map_err(damaged)?;
            self.rental(&event, at, place)
        } else if self.shard.context == schema::FLEET {
            let event = schema::fleet::decode(tag, payload).map_err(damaged)?;
            self.ledger(&recorded.event.entity, &event)
        } else {
            // Customers have no rows: personal data is read where it is sealed, and nowhere else.
            Ok(())
        }
    }

    fn slot(&mut self, car_no: &CarNo, event: &reservation::Event) -> Result<(), ReadError> {
        let index = car_no.as_str().as_bytes().to_vec();
        let known = self.bytes(rows::SLOT_KEYS, &index)?;
        let slot = known.as_ref().map(|key| self.row::<Slot>(rows::SLOTS, key)).transpose()?.flatten();
        let mut slot = match (slot, event) {
            (Some(slot), _) => slot,
            (None, reservation::Event::Enrolled(car)) => Slot::new(car.clone()),
            (None, _) => return Err(damaged("an event of a car that was never enrolled")),
        };
        slot.apply(event);
        let key = rows::slot_key(&slot.car, car_no);
        if let Some(old) = known.filter(|old| *old != key) {
            self.remove(rows::SLOTS, old);
        }
        self.rows.insert((rows::SLOT_KEYS, index), Some(key.clone()));
        self.put(rows::SLOTS, key, &slot)
    }

    fn reservation(&mut self, event: &reservation::Event, at: Timestamp, place: Place) -> Result<(), ReadError> {
        let Some(subject) = event.subject() else { return Ok(()) };
        let unpaid = rows::unpaid_key(&subject.customer_no, &subject.reservation_no);
        let what = match event {
            reservation::Event::Held { period, price, at, hold_until, .. } => {
                self.put(rows::UNPAID, unpaid, &hold_until.as_millis())?;
                let no = subject.reservation_no.as_str().as_bytes().to_vec();
                let key = rows::by_customer_key(&subject.customer_no, *at, &subject.reservation_no);
                self.rows.insert((rows::BY_CUSTOMER, key), Some(no));
                self.number(rows::RESERVATIONS, subject)?;
                What { period: Some(*period), amount: Some(*price), ..What::of("reservation.held") }
            }
            reservation::Event::Confirmed { period, .. } => {
                self.remove(rows::UNPAID, unpaid);
                What { period: Some(*period), ..What::of("reservation.confirmed") }
            }
            reservation::Event::Expired { .. } => {
                self.remove(rows::UNPAID, unpaid);
                What::of("reservation.expired")
            }
            reservation::Event::Cancelled { quote, .. } => {
                self.remove(rows::UNPAID, unpaid);
                What { amount: Some(quote.fee), ..What::of("reservation.cancelled") }
            }
            reservation::Event::PickedUp { .. } => What::of("reservation.picked_up"),
            reservation::Event::Completed { .. } => What::of("reservation.completed"),
            reservation::Event::Enrolled(_)
            | reservation::Event::Retired
            | reservation::Event::Blocked { .. }
            | reservation::Event::Unblocked { .. } => return Ok(()),
        };
        self.feed(subject, at, what, place)
    }

    fn payment(&mut self, event: &payment::Event, at: Timestamp, place: Place) -> Result<(), ReadError> {
        let subject = event.subject();
        self.number(rows::PAYMENTS, subject)?;
        let of_amount = |kind, amount: &Money| What { amount: Some(*amount), ..What::of(kind) };
        let what = match event {
            payment::Event::Requested { amount, .. } => of_amount("payment.requested", amount),
            payment::Event::Approved { amount, .. } => of_amount("payment.approved", amount),
            payment::Event::Declined { reason, .. } => {
                What { note: Some(reason.clone()), ..What::of("payment.declined") }
            }
            payment::Event::NotCharged { .. } => What::of("payment.not_charged"),
            payment::Event::SightLost { .. } => What::of("payment.unknown"),
            payment::Event::Cancelled { refund, .. } => of_amount("payment.cancelled", refund),
            payment::Event::Refunded { amount, .. } => of_amount("payment.refunded", amount),
        };
        self.feed(subject, at, what, place)
    }

    fn rental(&mut self, event: &rental::Event, at: Timestamp, place: Place) -> Result<(), ReadError> {
        let subject = event.subject();
        let what = match event {
            rental::Event::Rented { period, .. } => {
                self.number(rows::RENTALS, subject)?;
                What { period: Some(*period), ..What::of("rental.rented") }
            }
            rental::Event::PickedUp { .. } => What::of("rental.picked_up"),
            rental::Event::Returned { .. } => What::of("rental.returned"),
            rental::Event::Cancelled { .. } => What::of("rental.cancelled"),
            rental::Event::Overdue { .. } => What::of("rental.overdue"),
        };
        self.feed(subject, at, what, place)
    }

    fn ledger(&mut self, car_no: &str, event: &fleet::Event) -> Result<(), ReadError> {
        let key = car_no.as_bytes().to_vec();
        let known: Option<fleet::State> = self.row(rows::CARS, &key)?;
        if known.is_none() {
            self.count(rows::CARS)?;
        }
        let state = fleet::evolve(known.unwrap_or_default(), event).map_err(damaged)?;
        self.put(rows::CARS, key, &state)
    }

    fn feed(&mut self, subject: &Subject, at: Timestamp, what: What, place: Place) -> Result<(), ReadError> {
        let entry = FeedEntry {
            at,
            kind: what.kind.to_owned(),
            reservation_no: subject.reservation_no.clone(),
            car_no: subject.car_no.clone(),
            period: what.period,
            amount: what.amount,
            note: what.note,
        };
        let when = at.as_millis().to_be_bytes().to_vec();
        self.rows.insert((rows::FEED_PLACES, rows::feed_place_key(&subject.customer_no, place)), Some(when));
        self.put(rows::FEED, rows::feed_key(&subject.customer_no, at, place), &entry)?;
        self.fed.push((subject.customer_no.clone(), place));
        Ok(())
    }

    /// Adds a row to a table that the old surface numbers, unless it is there.
    fn number(&mut self, table: &'static str, subject: &Subject) -> Result<(), ReadError> {
        let key = subject.serial.to_be_bytes().to_vec();
        if self.bytes(table, &key)?.is_none() {
            self.count(table)?;
            self.rows.insert((table, key), Some(subject.reservation_no.as_str().as_bytes().to_vec()));
        }
        Ok(())
    }

    fn count(&mut self, table: &'static str) -> Result<(), ReadError> {
        let key = rows::count_key(table, self.shard.number);
        let count = self.row::<u64>(rows::COUNTS, &key)?.unwrap_or(0);
        self.put(rows::COUNTS, key, &(count + 1))
    }

    fn bytes(&self, table: &'static str, key: &[u8]) -> Result<Option<Vec<u8>>, ReadError> {
        match self.rows.get(&(table, key.to_vec())) {
            Some(changed) => Ok(changed.clone()),
            None => self.store.get(table, key),
        }
    }

    fn row<T: DeserializeOwned>(&self, table: &'static str, key: &[u8]) -> Result<Option<T>, ReadError> {
        self.bytes(table, key)?.map(|bytes| codec::from_bytes(&bytes).map_err(damaged)).transpose()
    }

    fn put<T: Serialize>(&mut self, table: &'static str, key: Vec<u8>, value: &T) -> Result<(), ReadError> {
        let bytes = codec::to_bytes(value).map_err(damaged)?;
        self.rows.insert((table, key), Some(bytes.to_vec()));
        Ok(())
    }

    fn remove(&mut self, table: &'static str, key: Vec<u8>) {
        self.rows.insert((table, key), None);
    }
}

/// What an event tells the customer.
struct What {
    kind: &'static str,
    period: Option<Period>,
    amount: Option<Money>,
    note: Option<String>,
}

impl What {
    fn of(kind: &'static str) -> What {
        What { kind, period: None, amount: None, note: None }
    }
}

fn damaged(error: impl std::fmt::Display) -> ReadError {
    ReadError::Damaged(error.to_string())
}
