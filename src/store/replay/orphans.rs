//! Orphaned documents: no event accounts for them. Documents are counted first; only when there are too many are the keys
//! of all entities collected to name the orphans.

use super::replayed_entity::{Account, Calendar, Customer, ReplayedEntity};
use super::{Bookings, Replay, as_far_as_possible};
use crate::domain::invariants::Violation;
use crate::domain::reservation::{Booking, Event, Status};
use crate::store::journal::{CommittedEvent, Context, READ_ROWS_MAX, ReadError};
use crate::store::schema::account::{MAIL_KIND, PASSWORD_KIND};
use crate::store::schema::customer::KEY_KIND;
use crate::store::schema::reservation::{RESERVATION_KIND, reservation_key};
use crate::store::schema::{self, ReservationDocument};
use std::collections::HashSet;
use std::sync::Arc;

const PAGE_ROWS: usize = if READ_ROWS_MAX < 1000 { READ_ROWS_MAX } else { 1000 };

impl Replay<'_> {
    /// Reports orphaned documents of a kind, of which `present` are accounted for. `name_of` returns the key of the document
    /// that an event accounts for.
    pub(super) async fn orphans(
        &mut self,
        kind: &'static str,
        present: u64,
        context: Context,
        name_of: impl Fn(&CommittedEvent) -> Option<Arc<str>>,
    ) -> Result<(), ReadError> {
        if self.count(kind).await? <= present {
            return Ok(());
        }
        let mut names = HashSet::new();
        for shard in self.shards(context) {
            let mut position = 0;
            loop {
                let page = self.journal.read(shard, position, PAGE_ROWS).await?;
                let Some(last) = page.last() else { break };
                position = last.position;
                names.extend(page.iter().filter_map(&name_of));
            }
        }
        let mut after: Option<Arc<str>> = None;
        loop {
            let page = self.journal.documents(kind, after.as_deref(), PAGE_ROWS).await?;
            let Some((last, _)) = page.last() else { return Ok(()) };
            after = Some(Arc::clone(last));
            for (key, _) in page.iter().filter(|(key, _)| !names.contains(key)) {
                let detail = format!("{kind}: no event accounts for it");
                self.report.violation(Violation::new("no_document_left_over", key, detail));
            }
        }
    }

    async fn count(&mut self, kind: &'static str) -> Result<u64, ReadError> {
        let (mut count, mut after): (u64, Option<Arc<str>>) = (0, None);
        loop {
            let page = self.journal.documents(kind, after.as_deref(), PAGE_ROWS).await?;
            let Some((last, _)) = page.last() else { return Ok(count) };
            after = Some(Arc::clone(last));
            count = count.saturating_add(u64::try_from(page.len()).unwrap_or(u64::MAX));
        }
    }

    /// Checks the reservations of a shard, closed ones included; returns how many have a document.
    pub(super) async fn reservations(&mut self, bookings: &Bookings) -> Result<u64, ReadError> {
        let mut present = 0;
        for (key, (booking, has_left)) in bookings {
            present += self.reservation_document(key, booking, *has_left).await?;
            as_far_as_possible(if *has_left { self.moved(booking).await } else { self.booking(booking).await })?;
        }
        Ok(present)
    }

    pub(super) async fn orphan_reservations(&mut self, present: u64) -> Result<(), ReadError> {
        let name_of = |recorded: &CommittedEvent| {
            let event = Calendar::decode(&recorded.event.tag, &recorded.event.payload).ok()?;
            let came_by = if let Event::IncomingAccepted { booking } = &event { booking.came_by() } else { 0 };
            event.subject().map(|subject| reservation_key(&subject.reservation_no, came_by))
        };
        self.orphans(RESERVATION_KIND, present, Calendar::CONTEXT, name_of).await
    }

    async fn reservation_document(
        &mut self,
        key: &Arc<str>,
        booking: &Booking,
        has_left: bool,
    ) -> Result<u64, ReadError> {
        let no: &Arc<str> = &booking.subject.reservation_no.as_str().into();
        let expected = ReservationDocument { car_no: booking.subject.car_no.clone(), booking: booking.clone() };
        let body = self.journal.document(RESERVATION_KIND, key).await?;
        if !self.is_current(Calendar::CONTEXT) {
            return Ok(u64::from(body.is_some()));
        }
        let outcome = match body.as_deref().map(ReservationDocument::decode) {
            None => Err("there is none".to_owned()),
            Some(Err(error)) => Err(error.to_string()),
            Some(Ok(document)) if document.car_no != expected.car_no => {
                Err(format!("it is of {}, and so is one of {}", document.car_no, expected.car_no))
            }
            Some(Ok(document)) if document != expected => Err("its state is another".to_owned()),
            Some(Ok(_)) => Ok(()),
        };
        if let Err(why) = outcome {
            let detail = format!("{RESERVATION_KIND}: {why}");
            self.report.violation(Violation::new("document_is_the_replay", key, detail));
        }
        let serial = schema::serial_key(booking.serial);
        let indexed = self.journal.lookup(schema::SERIAL_INDEX, &serial).await?;
        if indexed.as_ref() != Some(no) {
            let found = indexed.as_deref().unwrap_or("nothing");
            let detail = format!("its serial {} leads to {found}", booking.serial);
            self.report.violation(Violation::new("serials_lead_to_reservations", no, detail));
        }
        // The entry leads to the car for which the reservation was made.
        if booking.came_by() == 0 && !has_left {
            self.entry(no, schema::RESERVATION_INDEX, no, booking.subject.car_no.as_str()).await?;
        }
        if let Some(slot) = booking.hold_slot {
            let key = schema::hold_slot_key(&booking.subject.customer_no, slot);
            if let Status::PaymentPending { .. } = booking.status {
                self.entry(no, schema::HOLD_SLOT_INDEX, &key, no).await?;
            } else if self.journal.lookup(schema::HOLD_SLOT_INDEX, &key).await?.as_ref() == Some(no) {
                self.report.violation(Violation::new(
                    "claims_are_kept",
                    no,
                    format!("it still has the hold slot {key}"),
                ));
            }
        }
        self.report.documents += u64::from(body.is_some());
        Ok(u64::from(body.is_some()))
    }

    /// Checks an entry that a reservation claimed.
    async fn entry(&mut self, no: &str, index: &'static str, key: &str, value: &str) -> Result<(), ReadError> {
        let found = self.journal.lookup(index, key).await?;
        if found.as_deref() != Some(value) {
            let found = found.as_deref().unwrap_or("nothing");
            let detail = format!("the entry {key} of the index {index} leads to {found} and not to {value}");
            self.report.violation(Violation::new("claims_are_kept", &no, detail));
        }
        Ok(())
    }

    /// Keys without a customer; those of registered and erased customers are checked with the customers.
    pub(super) async fn orphan_keys(&mut self) -> Result<(), ReadError> {
        let present = self.keys;
        self.orphans(KEY_KIND, present, Customer::CONTEXT, |recorded| Some(Arc::clone(&recorded.event.entity))).await
    }

    /// Hashes of mail addresses and passwords without an account.
    pub(super) async fn orphan_hashes(&mut self) -> Result<(), ReadError> {
        let (mails, passwords) = self.hashes;
        for (kind, present) in [(MAIL_KIND, mails), (PASSWORD_KIND, passwords)] {
            self.orphans(kind, present, Account::CONTEXT, |recorded| Some(Arc::clone(&recorded.event.entity))).await?;
        }
        Ok(())
    }
}
