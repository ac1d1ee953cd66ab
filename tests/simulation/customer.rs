//! A customer who makes one request after the other, remembers every answer and reports an impossible one.

use super::faults::SimClock;
use super::model::{BUFFER_MS, HOLDS_MAX, Known, Memory, Model, Place, Tried};
use super::rng::Rng;
use super::trace::Trace;
use rentcar::actors::api::{Caller, ChangeWanted, PaymentMeans, ReservationView, ReserveRequest, ServiceError};
use rentcar::actors::runtime::Clock;
use rentcar::actors::service::Service;
use rentcar::domain::desk::WaiverReason;
use rentcar::domain::ids::{CarNo, CustomerNo, ReservationNo};
use rentcar::domain::reservation::{DayCounting, Rejection, Status};
use rentcar::domain::time::{DAY_MS, HOUR_MS, Period, Timestamp};
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;
use tokio::time::sleep;

/// What all customers of a world share.
pub struct Town {
    pub model: Model,
    pub cars: Vec<CarNo>,
    pub clock: Arc<SimClock>,
    pub trace: Arc<Trace>,
    pub begun_ms: i64,
    pub reservations: AtomicU64,
    pub stop: AtomicBool,
}

pub struct Customer {
    pub no: CustomerNo,
    pub rng: Rng,
    pub town: Arc<Town>,
    pub service: Arc<Service>,
}

type Complaint = Result<(), String>;

/// Refusals after which nothing has changed, and failures after which nobody knows.
fn is_no_refusal(error: &ServiceError) -> bool {
    matches!(
        error,
        ServiceError::Overloaded { .. }
            | ServiceError::Unavailable { .. }
            | ServiceError::Unknown
            | ServiceError::Read(_)
    )
}

/// Whether a change may be refused like this.
fn may_refuse_change(refusal: &Rejection, memory: &Memory, place: &Place, pays: bool, now_ms: i64) -> bool {
    let (from_ms, to_ms) = (place.period.from().as_millis(), place.period.to().as_millis());
    let has_ended = memory.tried.cancel || memory.tried.bring_back || memory.may_be_past(now_ms);
    let is_out = memory.known == Known::PickedUp || memory.tried.pick_up;
    matches!(refusal, Rejection::CarNotAvailable | Rejection::ChangeUnderWay | Rejection::ChangeExpired)
        || (*refusal == Rejection::PaymentRequired && !pays)
        || (*refusal == Rejection::AlreadyPickedUp && is_out)
        || (*refusal == Rejection::PeriodInPast && (from_ms < now_ms || to_ms <= now_ms))
        || (matches!(refusal, Rejection::ReservationClosed | Rejection::ReservationNotFound) && has_ended)
        || (*refusal == Rejection::TooManyChanges && memory.others.len() >= 20)
}

impl Customer {
    /// Goes on until the simulation stops.
    pub async fn live(mut self) -> Complaint {
        while !self.town.stop.load(Ordering::Relaxed) {
            sleep(Duration::from_millis(self.rng.below(700))).await;
            match self.rng.below(100) {
                0..34 => self.reserve().await?,
                34..46 => self.pay().await?,
                46..56 => self.cancel().await?,
                56..66 => self.change().await?,
                66..68 => self.preview_change().await?,
                68..76 => self.pick_up().await?,
                76..84 => self.bring_back().await?,
                84..94 => self.look().await?,
                _ => self.look_at_my_page().await?,
            }
        }
        Ok(())
    }

    fn now_ms(&self) -> i64 {
        self.town.clock.now_ms()
    }

    fn note(&self, what: &str) {
        self.town.trace.note(&format!("{} {what}", self.no));
    }

    /// What may be, and is worth a word.
    #[allow(clippy::unnecessary_wraps, reason = "it stands where a complaint would")]
    fn fine(&self, what: &str) -> Complaint {
        self.note(what);
        Ok(())
    }

    fn means() -> PaymentMeans {
        PaymentMeans { method: "card".into(), token: "tok".into() }
    }

    /// One of some days, the same for everybody, or a few hours from the beginning, so that cancelling costs, or some
    /// seconds from now on, so that periods end.
    fn period(&mut self) -> Period {
        let from = match self.rng.below(9) {
            0 => 3 * HOUR_MS,
            8 => {
                let (from, ms) = (self.now_ms(), 1_000 + i64::try_from(self.rng.below(30_000)).unwrap());
                let at = |ms| Timestamp::from_millis(ms).unwrap();
                return Period::new(at(from), at(from + ms)).unwrap();
            }
            day => (1 + i64::try_from(day).unwrap()) * DAY_MS,
        };
        let days = 1 + i64::try_from(self.rng.below(2)).unwrap();
        // Most leave the car its rest before the next day, some come too close to whoever has it then.
        let rest_ms = if self.rng.happens(0.8) { BUFFER_MS } else { 0 };
        let at = |ms: i64| Timestamp::from_millis(self.town.begun_ms + ms).unwrap();
        Period::new(at(from), at(from + days * DAY_MS - rest_ms)).unwrap()
    }

    /// One of one's own reservations of which this is known.
    fn one_of(&mut self, known: &[Known]) -> Option<(usize, Memory)> {
        let mine = self.town.model.of(&self.no, known);
        if mine.is_empty() {
            return None;
        }
        let at = self.rng.one_of(&mine);
        Some((at, self.town.model.get(at)))
    }

    /// What was told of a reservation goes into the memory; it must have been possible.
    fn told(&self, at: usize, view: &ReservationView) -> Complaint {
        let (known, hold_until_ms) = match &view.booking.status {
            Status::PaymentPending { hold_until } => (Known::Held, Some(hold_until.as_millis())),
            Status::Confirmed { picked_up_at: None } => (Known::Confirmed, None),
            Status::Confirmed { picked_up_at: Some(_) } => (Known::PickedUp, None),
            Status::Cancelled { .. } => (Known::Cancelled, None),
            Status::Expired { .. } => (Known::Refused, None),
            Status::Completed { .. } => (Known::Returned, None),
            Status::NoShow { .. } => (Known::NoShow, None),
        };
        let memory = self.town.model.get(at);
        self.note(&format!("hears that {} is {:?}", memory.no, view.booking.status));
        memory.allows(Some(&view.booking), self.now_ms())?;
        let now_ms = self.now_ms();
        let over_at_ms = match known {
            Known::Cancelled | Known::Refused | Known::Returned | Known::NoShow => Some(self.now_ms()),
            Known::Nothing | Known::Held | Known::Confirmed | Known::PickedUp => None,
        };
        self.town.model.change(at, |memory| {
            memory.seen(&view.booking, now_ms);
            // An expired hold is over; what it was before stays known.
            if known != Known::Refused {
                memory.known = known;
            }
            memory.hold_until_ms = hold_until_ms.or(memory.hold_until_ms);
            memory.over_at_ms = over_at_ms.or(memory.over_at_ms);
        });
        match known {
            Known::Held => {
                self.town.model.holds_no_more_than(HOLDS_MAX, at, self.now_ms())?;
                self.town.model.nobody_else_has_it(at, self.now_ms())
            }
            Known::Confirmed | Known::PickedUp => self.town.model.nobody_else_has_it(at, self.now_ms()),
            Known::Nothing | Known::Refused | Known::Returned | Known::Cancelled | Known::NoShow => Ok(()),
        }
    }

    async fn reserve(&mut self) -> Complaint {
        let number = self.town.reservations.fetch_add(1, Ordering::Relaxed);
        let no = ReservationNo::parse(&format!("res-{number}")).unwrap();
        let (car_no, period) = (self.rng.one_of(&(0..self.town.cars.len()).collect::<Vec<_>>()), self.period());
        let car_no = self.town.cars[car_no].clone();
        let means = self.rng.happens(0.7).then(Self::means);
        let tried = Tried { pay: means.is_some(), ..Tried::default() };
        let at = self.town.model.remember(Memory {
            no: no.clone(),
            car_no: car_no.clone(),
            customer_no: self.no.clone(),
            period,
            others: vec![],
            known: Known::Nothing,
            tried,
            hold_until_ms: None,
            over_at_ms: None,
        });
        let since_ms = self.now_ms();
        let customer_no = self.no.clone();
        let request = ReserveRequest {
            reservation_no: Some(no),
            car_no,
            customer_no,
            period,
            means,
            day_counting: DayCounting::Hours,
        };
        match self.service.reserve(&Caller::system(), request).await {
            Ok((view, _)) => self.told(at, &view),
            // The hold stays; until when, nobody has said.
            Err(ServiceError::PaymentDeclined { .. }) => {
                self.town.model.change(at, |memory| memory.known = Known::Held);
                Ok(())
            }
            Err(ServiceError::Reservation(Rejection::CarNotAvailable)) => {
                self.note("is refused a car");
                self.town.model.change(at, |memory| memory.known = Known::Refused);
                let Memory { car_no, period, .. } = self.town.model.get(at);
                let asked = Place { car_no, period, may_come: false, over_at_ms: None };
                self.town.model.somebody_may_have_had_it(at, &asked, since_ms)
            }
            Err(ServiceError::TooManyUnpaidHolds { max }) => {
                self.note("is refused another hold");
                self.town.model.change(at, |memory| memory.known = Known::Refused);
                self.town.model.may_hold_as_many(at, max, since_ms)
            }
            // The hold ended while its payment was under way.
            Err(ServiceError::Reservation(Rejection::ReservationClosed)) => {
                self.town.model.change(at, |memory| memory.known = Known::Held);
                Ok(())
            }
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing: {error}")),
            Err(error) => Err(format!("reserving: {error:?}")),
        }
    }

    /// A period that one's reservation may have instead: often another end only, as it must be once the car is out.
    fn other_period(&mut self, memory: &Memory) -> Period {
        let from = memory.period.from();
        let to_ms = match self.rng.below(3) {
            0 => memory.period.to().as_millis() + DAY_MS,
            1 => memory.period.to().as_millis() - DAY_MS,
            _ => self.now_ms() + 1_000 + i64::try_from(self.rng.below(40_000)).unwrap(),
        };
        let other_end = Period::new(from, Timestamp::from_millis(to_ms).unwrap());
        let keeps_begin = memory.known == Known::PickedUp || self.rng.happens(0.5);
        if let (true, Some(period)) = (keeps_begin, other_end) { period } else { self.period() }
    }

    fn wanted(&mut self, memory: &Memory) -> (Place, ChangeWanted) {
        let is_other_car = self.rng.happens(if memory.known == Known::PickedUp { 0.05 } else { 0.4 });
        let other = self.rng.one_of(&(0..self.town.cars.len()).collect::<Vec<_>>());
        let car_no = if is_other_car { self.town.cars[other].clone() } else { memory.car_no.clone() };
        let period = self.other_period(memory);
        let (from, to) = (Some(period.from()), Some(period.to()));
        let wanted = ChangeWanted { from, to, car_no: Some(car_no.clone()) };
        (Place { car_no, period, may_come: true, over_at_ms: None }, wanted)
    }

    async fn preview_change(&mut self) -> Complaint {
        let Some((_, memory)) = self.one_of(&[Known::Confirmed, Known::PickedUp]) else { return Ok(()) };
        let (_, wanted) = self.wanted(&memory);
        match self.service.change_preview(&Caller::system(), &memory.no, &wanted).await {
            Ok(_) | Err(ServiceError::Reservation(_)) => Ok(()),
            Err(error) if is_no_refusal(&error) => Ok(()),
            Err(error) => Err(format!("previewing a change of {memory:?}: {error:?}")),
        }
    }

    async fn change(&mut self) -> Complaint {
        let known = [Known::Confirmed, Known::PickedUp];
        let Some((at, memory)) = self.one_of(&known) else { return self.reserve().await };
        let means = self.rng.happens(0.8).then(Self::means);
        if memory.may_change() && means.is_some() && self.rng.happens(0.4) {
            return self.pay_change(at, &memory).await;
        }
        let (place, wanted) = self.wanted(&memory);
        self.note(&format!("wants {} changed to {place:?}", memory.no));
        let tried = memory.others.len();
        self.town.model.change(at, |memory| memory.others.push(place.clone()));
        let since_ms = self.now_ms();
        let changed = self.service.change(&Caller::system(), memory.no.clone(), wanted, means.clone()).await;
        let now_ms = self.now_ms();
        let is_out_of_question = |memory: &mut Memory| {
            (memory.others[tried].may_come, memory.others[tried].over_at_ms) = (false, Some(now_ms));
        };
        match changed {
            Ok((view, _)) => self.told(at, &view),
            // What is held for it may be let go a little later.
            Err(ServiceError::PaymentDeclined { .. }) => Ok(()),
            Err(ServiceError::Reservation(refusal)) => {
                self.note(&format!("is refused the change: {refusal}"));
                if refusal == Rejection::CarNotAvailable {
                    self.town.model.somebody_may_have_had_it(at, &place, since_ms)?;
                }
                let legal = may_refuse_change(&refusal, &memory, &place, means.is_some(), now_ms);
                if !legal {
                    return Err(format!("refused a change: {refusal:?} of {memory:?} to {place:?}"));
                }
                // It may be the one that is under way, or was made before it ended.
                if !matches!(
                    refusal,
                    Rejection::ReservationClosed | Rejection::PaymentRequired | Rejection::ChangeUnderWay
                ) {
                    self.town.model.change(at, is_out_of_question);
                }
                Ok(())
            }
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of the change: {error}")),
            Err(error) => Err(format!("changing {memory:?}: {error:?}")),
        }
    }

    async fn pay_change(&mut self, at: usize, memory: &Memory) -> Complaint {
        match self.service.pay(&Caller::system(), memory.no.clone(), Self::means()).await {
            Ok((view, _)) => self.told(at, &view),
            Err(ServiceError::PaymentDeclined { .. }) => Ok(()),
            Err(ServiceError::Reservation(refusal)) => self.fine(&format!("cannot pay the change: {refusal}")),
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of paying the change: {error}")),
            Err(error) => Err(format!("paying a change of {memory:?}: {error:?}")),
        }
    }

    async fn pay(&mut self) -> Complaint {
        let Some((at, memory)) = self.one_of(&[Known::Held]) else { return self.reserve().await };
        self.town.model.change(at, |memory| memory.tried.pay = true);
        match self.service.pay(&Caller::system(), memory.no, Self::means()).await {
            Ok((view, _)) => self.told(at, &view),
            Err(ServiceError::PaymentDeclined { .. } | ServiceError::Reservation(Rejection::ReservationClosed)) => {
                Ok(())
            }
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of paying: {error}")),
            Err(error) => Err(format!("paying: {error:?}")),
        }
    }

    async fn cancel(&mut self) -> Complaint {
        let Some((at, memory)) = self.one_of(&[Known::Held, Known::Confirmed]) else { return self.reserve().await };
        self.town.model.change(at, |memory| memory.tried.cancel = true);
        let picked_up = memory.tried.pick_up;
        let waiver = self.rng.happens(0.3).then_some(WaiverReason::Goodwill);
        match self.service.cancel(&Caller::system(), memory.no.clone(), waiver).await {
            Ok(view) => self.told(at, &view),
            // It was cancelled before, and nobody heard of it.
            Err(ServiceError::Reservation(Rejection::CancelledWithFee)) if memory.tried.cancel => Ok(()),
            Err(ServiceError::Reservation(Rejection::AlreadyPickedUp)) if picked_up => Ok(()),
            Err(ServiceError::Reservation(Rejection::ReservationClosed))
                if memory.known == Known::Held || memory.may_be_past(self.now_ms()) =>
            {
                Ok(())
            }
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of cancelling: {error}")),
            Err(error) => Err(format!("cancelling {memory:?}: {error:?}", memory = self.town.model.get(at))),
        }
    }

    async fn pick_up(&mut self) -> Complaint {
        let Some((at, memory)) = self.one_of(&[Known::Confirmed]) else { return self.reserve().await };
        if memory.tried.cancel {
            return Ok(());
        }
        let tried_before = memory.tried.pick_up;
        self.town.model.change(at, |memory| memory.tried.pick_up = true);
        match self
            .service
            .pick_up(&Caller::system(), memory.no.rental(), rentcar::actors::api::PickUpFacts::default())
            .await
        {
            Ok(_) => {
                self.note(&format!("has the car of {}", memory.no));
                self.town.model.change(at, |memory| memory.known = Known::PickedUp);
                Ok(())
            }
            // An earlier try, of which nothing was heard.
            Err(ServiceError::Reservation(Rejection::AlreadyPickedUp)) if tried_before => Ok(()),
            // Somebody else has the car until the period begins.
            Err(ServiceError::Reservation(Rejection::CarIsOut | Rejection::CarNotAvailable)) => Ok(()),
            Err(ServiceError::Rental(refusal)) => self.fine(&format!("is refused the keys: {refusal}")),
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of the keys: {error}")),
            Err(error) => Err(format!("picking up {memory:?}: {error:?}", memory = self.town.model.get(at))),
        }
    }

    async fn bring_back(&mut self) -> Complaint {
        let Some((at, memory)) = self.one_of(&[Known::PickedUp]) else { return self.pick_up().await };
        self.town.model.change(at, |memory| memory.tried.bring_back = true);
        match self
            .service
            .return_car(&Caller::system(), memory.no.rental(), rentcar::domain::desk::DeskFacts::default())
            .await
        {
            Ok(_) => {
                self.note(&format!("brings the car of {} back", memory.no));
                self.town.model.change(at, |memory| memory.known = Known::Returned);
                // The car is free for others once its calendar knows too, which may be later.
                match self.service.reservation(&Caller::system(), &memory.no).await {
                    Ok(view) if matches!(view.booking.status, Status::Completed { .. }) => self.told(at, &view),
                    Ok(_) | Err(_) => Ok(()),
                }
            }
            Err(ServiceError::Rental(refusal)) => self.fine(&format!("is refused the return: {refusal}")),
            Err(error) if is_no_refusal(&error) => self.fine(&format!("hears nothing of the return: {error}")),
            Err(error) => Err(format!("returning {memory:?}: {error:?}", memory = self.town.model.get(at))),
        }
    }

    /// What was acknowledged is there at once.
    async fn look(&mut self) -> Complaint {
        let known = [Known::Nothing, Known::Held, Known::Confirmed, Known::PickedUp, Known::Returned, Known::Cancelled];
        let Some((at, memory)) = self.one_of(&known) else { return Ok(()) };
        match self.service.reservation(&Caller::system(), &memory.no).await {
            Ok(view) => {
                let now_ms = self.now_ms();
                memory.allows(Some(&view.booking), now_ms)?;
                self.town.model.change(at, |memory| memory.seen(&view.booking, now_ms));
                Ok(())
            }
            Err(ServiceError::Reservation(Rejection::ReservationNotFound)) => memory.allows(None, self.now_ms()),
            Err(error) if is_no_refusal(&error) => Ok(()),
            Err(error) => Err(format!("looking at {memory:?}: {error:?}", memory = self.town.model.get(at))),
        }
    }

    /// Nothing is shown twice, and nothing of somebody else.
    async fn look_at_my_page(&mut self) -> Complaint {
        let Ok(Ok(page)) = self.service.my_page(&Caller::system(), &self.no, None, 200).await else { return Ok(()) };
        let mut times: HashMap<(String, String), u32> = HashMap::new();
        for entry in &page.entries {
            let once = ["held", "confirmed", "expired", "approved", "rented", "refunded", "completed", "returned"];
            let kind = entry.kind.rsplit('.').next().unwrap_or_default();
            if once.contains(&kind) {
                let of_it = times.entry((entry.kind.clone(), entry.reservation_no.to_string())).or_default();
                *of_it += 1;
                // Each change may be paid, and give something back of two charges.
                let changes = self.town.model.changes_of(&entry.reservation_no);
                let max = match kind {
                    "approved" => 1 + changes,
                    "refunded" => 1 + 2 * changes,
                    _ => 1,
                };
                if *of_it > max {
                    return Err(format!("my page shows twice: {entry:?}"));
                }
            }
        }
        Ok(())
    }
}
