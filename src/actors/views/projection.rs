//! From events to rows. Each row is made from the events of one shard only, so that shards can be followed in
//! parallel, and every row is a function of those events alone, so that a rebuild gives the same bytes. A row that
//! several events of a batch change is read, decoded and encoded once.

use super::audit::AuditRow;
use super::availability::Availability;
use super::customers::{self, Registered};
use super::damaged;
use super::feed::entry::{FeedRow, Kind};
use super::feed::feed_time::FeedTime;
use super::rows::{self, EventPosition};
use super::serials::{List, SerialBitmap};
use crate::domain::desk::WaiverReason;
use crate::domain::ids::{CarNo, CustomerNo};
use crate::domain::spelling::to_nfc;
use crate::domain::time::Timestamp;
use crate::domain::{customer, fleet, operations, payment, rental, reservation};
use crate::store::journal::{CommittedEvent, ReadError, ShardId};
use crate::store::schema;
use crate::store::view_store::{RowWrite, ViewStore};
use std::collections::BTreeMap;

/// Whose feed has grown, and where.
pub type FeedUpdate = (CustomerNo, EventPosition);

/// The rows that a batch of events of one shard changes, over those that are stored.
pub struct Projection<'a> {
    store: &'a dyn ViewStore,
    shard: ShardId,
    context: u8,
    /// Rows that are written without having been read.
    new: Vec<RowWrite>,
    slots: BTreeMap<CarNo, CarAvailability>,
    blocks: BTreeMap<(List, Vec<u8>), SerialBitmap>,
    summary: Summary,
    stored_summary: Summary,
    updates: Vec<FeedUpdate>,
    /// Whom events of the batch have registered.
    registered: BTreeMap<CustomerNo, Timestamp>,
}

struct CarAvailability {
    /// The key under which it is stored; `None` when it is not stored yet.
    stored_at: Option<Vec<u8>>,
    key: Vec<u8>,
    slot: Availability,
    changed: bool,
}

/// The row of a shard in [`rows::SHARDS`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Summary {
    /// How many reservations, payments, rentals or cars come from it.
    pub count: u64,
    /// The latest moment of an entry.
    latest: FeedTime,
}

impl Summary {
    pub fn from_bytes(bytes: &[u8]) -> Result<Summary, ReadError> {
        let number = |at: usize| bytes.get(at..at + 8).and_then(|number| <[u8; 8]>::try_from(number).ok());
        match (number(0), number(8), bytes.len()) {
            (Some(count), Some(latest), 16) => {
                let latest = FeedTime::from_bytes(latest).ok_or_else(|| damaged("a summary without a moment"))?;
                Ok(Summary { count: u64::from_be_bytes(count), latest })
            }
            _ => Err(damaged("a summary of another length")),
        }
    }

    fn to_bytes(self) -> Vec<u8> {
        [self.count.to_be_bytes(), self.latest.to_bytes()].concat()
    }
}

impl<'a> Projection<'a> {
    /// The summary is read unless it is known.
    pub fn new(store: &'a dyn ViewStore, shard: ShardId, summary: Option<Summary>) -> Result<Self, ReadError> {
        let context = rows::context_index(shard.context);
        let summary = if let Some(summary) = summary {
            summary
        } else {
            let stored = store.get(rows::SHARDS, &rows::summary_key(context, shard.number))?;
            stored.map_or(Ok(Summary::default()), |bytes| Summary::from_bytes(&bytes))?
        };
        Ok(Projection {
            store,
            shard,
            context,
            new: Vec::new(),
            slots: BTreeMap::new(),
            blocks: BTreeMap::new(),
            summary,
            stored_summary: summary,
            updates: Vec::new(),
            registered: BTreeMap::new(),
        })
    }

    /// As it is stored after the batch.
    pub const fn summary(&self) -> Summary {
        self.summary
    }

    pub fn into_writes(self) -> Result<(Vec<RowWrite>, Vec<FeedUpdate>), ReadError> {
        let mut writes = self.new;
        let mut write = |table, key, value| writes.push(RowWrite { table, key, value });
        for (car_no, CarAvailability { stored_at, key, slot, changed }) in self.slots {
            if !changed {
                continue;
            }
            write(rows::AVAILABILITY, key.clone(), Some(slot.to_bytes().map_err(damaged)?));
            if stored_at.as_ref() != Some(&key) {
                if let Some(old) = stored_at {
                    write(rows::AVAILABILITY, old, None);
                }
                write(rows::AVAILABILITY_KEYS, car_no.as_str().as_bytes().to_vec(), Some(key));
            }
        }
        for ((_, key), block) in self.blocks {
            write(rows::SERIALS, key, Some(block.to_bytes()));
        }
        if self.summary != self.stored_summary {
            let key = rows::summary_key(self.context, self.shard.number);
            write(rows::SHARDS, key, Some(self.summary.to_bytes()));
        }
        Ok((writes, self.updates))
    }

    pub fn take(&mut self, recorded: &CommittedEvent) -> Result<(), ReadError> {
        let (tag, payload) = (&*recorded.event.tag, &*recorded.event.payload);
        let at = Timestamp::from_millis(recorded.event.at_ms).unwrap_or(Timestamp::MIN);
        let place = EventPosition { context: self.context, shard: self.shard.number, position: recorded.position };
        if self.shard.context == schema::RESERVATION {
            let event = schema::reservation::decode(tag, payload).map_err(damaged)?;
            self.slot(&recorded.event.entity, &event)?;
            let no = event.subject().map_or(&*recorded.event.entity, |subject| subject.reservation_no.as_str());
            let why = if let reservation::Event::Cancelled { waiver, .. } = &event { *waiver } else { None };
            self.audit(recorded, no, why.map(WaiverReason::code), (at, place))?;
            self.reservation(&event, at, place)
        } else if self.shard.context == schema::PAYMENT {
            let event = schema::payment::decode(tag, payload).map_err(damaged)?;
            self.audit(recorded, event.subject().reservation_no.as_str(), None, (at, place))?;
            self.payment(event, at, place)
        } else if self.shard.context == schema::RENTAL {
            let event = schema::rental::decode(tag, payload).map_err(damaged)?;
            self.audit(recorded, event.subject().reservation_no.as_str(), None, (at, place))?;
            self.rental(&event, at, place)
        } else if self.shard.context == schema::FLEET {
            let event = schema::fleet::decode(tag, payload).map_err(damaged)?;
            self.car(&recorded.event.entity, &event);
            self.audit(recorded, &recorded.event.entity, None, (at, place))
        } else if self.shard.context == schema::OPERATIONS {
            let operations::Event::Noted(note) = schema::operations::decode(tag, payload).map_err(damaged)?;
            let by = recorded.event.by.as_deref().map(ToOwned::to_owned);
            let what = format!("{}.{}", schema::OPERATIONS, note.act.name());
            self.new.extend(AuditRow { by, what, number: None, why: note.why }.writes(at, place)?);
            Ok(())
        } else if self.shard.context == schema::CUSTOMER {
            // Personal data is read from the sealed state only.
            let event = schema::customer::decode(tag, payload).map_err(damaged)?;
            self.customer(&recorded.event.entity, &event)?;
            self.audit(recorded, &recorded.event.entity, None, (at, place))
        } else {
            // Accounts have no rows but of what was done to them.
            self.audit(recorded, &recorded.event.entity, None, (at, place))
        }
    }

    /// What somebody did is in the audit; what has followed by itself is not.
    fn audit(
        &mut self,
        recorded: &CommittedEvent,
        number: &str,
        why: Option<&str>,
        (at, place): (Timestamp, EventPosition),
    ) -> Result<(), ReadError> {
        let event = &recorded.event;
        let Some(by) = &event.by else { return Ok(()) };
        let (by, what, number) = (Some(by.to_string()), event.kind().to_owned(), Some(number.to_owned()));
        let why = why.map(ToOwned::to_owned);
        self.new.extend(AuditRow { by, what, number, why }.writes(at, place)?);
        Ok(())
    }

    fn slot(&mut self, car_no: &str, event: &reservation::Event) -> Result<(), ReadError> {
        if matches!(event, reservation::Event::Confirmed { .. }) {
            // The hold has taken the period already.
            return Ok(());
        }
        let car_no = CarNo::stored(car_no).map_err(damaged)?;
        if !self.slots.contains_key(&car_no) {
            let slot = self.stored_slot(&car_no, event)?;
            self.slots.insert(car_no.clone(), slot);
        }
        let Some(known) = self.slots.get_mut(&car_no) else { return Ok(()) };
        known.changed |= known.slot.apply(event);
        if let reservation::Event::CarUpserted(car) = event {
            // In NFC, so that a search finds branch and class in any spelling.
            known.key = rows::availability_key(&to_nfc(&car.branch), &to_nfc(&car.car_class), &car_no);
        }
        Ok(())
    }

    fn stored_slot(&self, car_no: &CarNo, event: &reservation::Event) -> Result<CarAvailability, ReadError> {
        let stored_at = self.store.get(rows::AVAILABILITY_KEYS, car_no.as_str().as_bytes())?;
        let stored = stored_at.as_ref().map(|key| self.store.get(rows::AVAILABILITY, key)).transpose()?.flatten();
        let slot = match (stored, event) {
            (Some(bytes), _) => Availability::from_bytes(&bytes).map_err(damaged)?,
            (None, reservation::Event::CarUpserted(car)) => Availability::new(car),
            (None, _) => return Err(damaged("an event of a car that was never enrolled")),
        };
        let key = stored_at.clone().unwrap_or_default();
        Ok(CarAvailability { stored_at, key, slot, changed: false })
    }

    fn reservation(
        &mut self,
        event: &reservation::Event,
        at: Timestamp,
        place: EventPosition,
    ) -> Result<(), ReadError> {
        let Some(subject) = event.subject() else { return Ok(()) };
        let of = |kind| FeedRow::new(kind, subject);
        let entry = match event {
            reservation::Event::Held { serial, period, price, .. } => {
                self.list(List::Reservations, *serial)?;
                FeedRow { period: Some(*period), amount: Some(*price), ..of(Kind::Held) }
            }
            reservation::Event::Confirmed { period, .. } => FeedRow { period: Some(*period), ..of(Kind::Confirmed) },
            reservation::Event::Expired { .. } => of(Kind::Expired),
            reservation::Event::Cancelled { quote, .. } => FeedRow { amount: Some(quote.fee), ..of(Kind::Cancelled) },
            reservation::Event::PickedUp { .. } => of(Kind::PickedUp),
            reservation::Event::Completed { .. } => of(Kind::Completed),
            reservation::Event::NoShow { quote, .. } => FeedRow { amount: Some(quote.fee), ..of(Kind::NoShow) },
            reservation::Event::ChangeBegun { change, .. } => FeedRow {
                car_no: change.car_no.clone(),
                period: Some(change.period),
                amount: Some(change.price),
                ..of(Kind::ChangeBegun)
            },
            reservation::Event::Changed { period, price, .. } => {
                FeedRow { period: Some(*period), amount: Some(*price), ..of(Kind::Changed) }
            }
            reservation::Event::Moved { booking, .. } => {
                FeedRow { period: Some(booking.period), amount: Some(booking.price), ..of(Kind::Changed) }
            }
            reservation::Event::ChangeEnded { .. } => of(Kind::ChangeEnded),
            reservation::Event::CarUpserted(_)
            | reservation::Event::Retired
            | reservation::Event::Blocked { .. }
            | reservation::Event::Unblocked { .. }
            // What goes on between two calendars changes nothing for the customer.
            | reservation::Event::IncomingHeld { .. }
            | reservation::Event::IncomingAccepted { .. }
            | reservation::Event::IncomingReleased { .. } => return Ok(()),
        };
        self.feed(&subject.customer_no, entry, at, place)
    }

    fn payment(&mut self, event: payment::Event, at: Timestamp, place: EventPosition) -> Result<(), ReadError> {
        let subject = event.subject().clone();
        if let payment::Event::Requested { serial, .. } | payment::Event::Cancelled { serial, .. } = &event {
            self.list(List::Payments, *serial)?;
        }
        let of = |kind| FeedRow::new(kind, &subject);
        let entry = match event {
            payment::Event::Requested { amount, .. } => FeedRow { amount: Some(amount), ..of(Kind::PaymentRequested) },
            payment::Event::Approved { amount, .. } => FeedRow { amount: Some(amount), ..of(Kind::PaymentApproved) },
            payment::Event::Declined { reason, .. } => FeedRow { note: Some(reason), ..of(Kind::PaymentDeclined) },
            payment::Event::NotCharged { .. } => of(Kind::PaymentNotCharged),
            payment::Event::OutcomeUnknown { .. } => of(Kind::PaymentUnknown),
            payment::Event::Cancelled { refund, .. } => FeedRow { amount: Some(refund), ..of(Kind::PaymentCancelled) },
            payment::Event::Reduced { refund, .. } => FeedRow { amount: Some(refund), ..of(Kind::PaymentReduced) },
            payment::Event::Refunded { amount, .. } => FeedRow { amount: Some(amount), ..of(Kind::PaymentRefunded) },
        };
        self.feed(&subject.customer_no, entry, at, place)
    }

    fn rental(&mut self, event: &rental::Event, at: Timestamp, place: EventPosition) -> Result<(), ReadError> {
        let subject = event.subject();
        let of = |kind| FeedRow::new(kind, subject);
        let entry = match event {
            rental::Event::Rented { serial, period, .. } => {
                self.list(List::Rentals, *serial)?;
                FeedRow { period: Some(*period), ..of(Kind::Rented) }
            }
            rental::Event::Left { .. } => return Ok(()),
            rental::Event::Changed { period, .. } => FeedRow { period: Some(*period), ..of(Kind::RentalChanged) },
            rental::Event::PickedUp { .. } => of(Kind::RentalPickedUp),
            rental::Event::Returned { .. } => of(Kind::RentalReturned),
            rental::Event::Cancelled { .. } => of(Kind::RentalCancelled),
            rental::Event::Overdue { .. } => of(Kind::RentalOverdue),
        };
        self.feed(&subject.customer_no, entry, at, place)
    }

    fn car(&mut self, car_no: &str, event: &fleet::Event) {
        if let fleet::Event::Registered(_) = event {
            self.summary.count += 1;
            self.put(rows::CARS, car_no.as_bytes().to_vec(), Vec::new());
        }
    }

    fn customer(&mut self, customer_no: &str, event: &customer::Event) -> Result<(), ReadError> {
        let customer_no = CustomerNo::stored(customer_no).map_err(damaged)?;
        match event {
            customer::Event::Registered { at, .. } => {
                self.new.extend(Registered { customer_no: customer_no.clone(), at: *at }.writes());
                self.registered.insert(customer_no, *at);
            }
            customer::Event::Erased { .. } => {
                let at = match self.registered.remove(&customer_no) {
                    Some(at) => Some(at),
                    None => customers::registered_at(self.store, &customer_no)?,
                };
                self.new.extend(
                    at.into_iter().flat_map(|at| Registered { customer_no: customer_no.clone(), at }.removals()),
                );
            }
            customer::Event::Closed { .. } | customer::Event::Reopened { .. } => {}
        }
        Ok(())
    }

    fn feed(
        &mut self,
        customer_no: &CustomerNo,
        mut entry: FeedRow,
        at: Timestamp,
        place: EventPosition,
    ) -> Result<(), ReadError> {
        self.summary.latest = self.summary.latest.max(FeedTime::new(at, entry.kind.step()));
        let row = entry.to_bytes(at, self.summary.latest)?;
        self.put(rows::FEED, rows::feed_key(customer_no, place), row);
        self.updates.push((customer_no.clone(), place));
        Ok(())
    }

    fn put(&mut self, table: &'static str, key: Vec<u8>, value: Vec<u8>) {
        self.new.push(RowWrite { table, key, value: Some(value) });
    }

    /// Adds a reservation to a list of the legacy API, unless it is in it.
    fn list(&mut self, list: List, serial: u64) -> Result<(), ReadError> {
        let key = (list, SerialBitmap::key(list, serial, self.shard.number));
        let (mut block, changed) = match self.blocks.get(&key) {
            Some(block) => (*block, true),
            None => match self.store.get(rows::SERIALS, &key.1)? {
                Some(bytes) => (SerialBitmap::from_bytes(&bytes)?, false),
                None => (SerialBitmap::empty(), false),
            },
        };
        let is_new = block.add(serial);
        if is_new {
            self.summary.count += 1;
        }
        if is_new || changed {
            self.blocks.insert(key, block);
        }
        Ok(())
    }
}
