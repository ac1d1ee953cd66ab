//! The readable form of a calendar's events.

use crate::domain::desk::WaiverReason;
use crate::domain::reservation::Event;
use crate::store::schema::wire::{json_hand_over, json_instant, json_money, json_subject};
use serde_json::{Value, json};

pub fn json(event: &Event) -> Value {
    match event {
        Event::CarUpserted(car) => json!({
            "revision": car.revision,
            "model": car.model,
            "carClass": car.car_class,
            "branch": car.branch,
            "dailyRate": json_money(&car.daily_rate),
        }),
        Event::Retired => json!({}),
        Event::Blocked { block_no, block } => json!({
            "blockNo": block_no.as_str(),
            "from": json_instant(block.period.from()),
            "to": json_instant(block.period.to()),
            "reason": block.reason,
        }),
        Event::Unblocked { block_no } => json!({ "blockNo": block_no.as_str() }),
        Event::Held { subject, serial, period, price, at, hold_until, hold_slot } => json_subject(
            subject,
            json!({
                "serial": serial,
                "from": json_instant(period.from()),
                "to": json_instant(period.to()),
                "price": json_money(price),
                "at": json_instant(*at),
                "holdUntil": json_instant(*hold_until),
                "holdSlot": hold_slot,
            }),
        ),
        Event::Confirmed { subject, serial, period } => json_subject(
            subject,
            json!({ "serial": serial, "from": json_instant(period.from()), "to": json_instant(period.to()) }),
        ),
        Event::Cancelled { subject, at, quote, waiver } => json_subject(
            subject,
            json!({
                "at": json_instant(*at),
                "fee": json_money(&quote.fee),
                "refund": json_money(&quote.refund),
                "waiver": waiver.map(WaiverReason::code),
            }),
        ),
        Event::NoShow { subject, at, quote } => json_subject(
            subject,
            json!({ "at": json_instant(*at), "fee": json_money(&quote.fee), "refund": json_money(&quote.refund) }),
        ),
        Event::PickedUp { subject, at, hand_over: Some(told) } => {
            json_subject(subject, json!({ "at": json_instant(*at), "handOver": json_hand_over(told) }))
        }
        Event::Expired { subject, at }
        | Event::PickedUp { subject, at, hand_over: None }
        | Event::Completed { subject, at } => json_subject(subject, json!({ "at": json_instant(*at) })),
        Event::ChangeBegun { subject, change, at } => json_subject(
            subject,
            json!({
                "changeNo": change.no,
                "newCarNo": change.car_no.as_str(),
                "from": json_instant(change.period.from()),
                "to": json_instant(change.period.to()),
                "price": json_money(&change.price),
                "holdUntil": json_instant(change.hold_until),
                "at": json_instant(*at),
            }),
        ),
        Event::Changed { subject, change_no, period, price, fee, at } => json_subject(
            subject,
            json!({
                "changeNo": change_no,
                "from": json_instant(period.from()),
                "to": json_instant(period.to()),
                "price": json_money(price),
                "fee": json_money(fee),
                "at": json_instant(*at),
            }),
        ),
        Event::Moved { booking, from_car, came_by, at } => json_subject(
            &booking.subject,
            json!({
                "changeNo": booking.came_by(),
                "fromCarNo": from_car.as_str(),
                "cameBy": came_by,
                "from": json_instant(booking.period.from()),
                "to": json_instant(booking.period.to()),
                "price": json_money(&booking.price),
                "changeFees": json_money(&booking.change_fees()),
                "at": json_instant(*at),
            }),
        ),
        Event::ChangeEnded { subject, change_no, car_no, at } => json_subject(
            subject,
            json!({ "changeNo": change_no, "newCarNo": car_no.as_str(), "at": json_instant(*at) }),
        ),
        Event::IncomingHeld { incoming } => json_subject(
            &incoming.subject,
            json!({
                "changeNo": incoming.change,
                "from": json_instant(incoming.period.from()),
                "to": json_instant(incoming.period.to()),
                "price": json_money(&incoming.price),
                "holdUntil": json_instant(incoming.hold_until),
            }),
        ),
        Event::IncomingAccepted { booking } => json_subject(&booking.subject, json!({ "changeNo": booking.came_by() })),
        Event::IncomingReleased { subject, change_no } => json_subject(subject, json!({ "changeNo": change_no })),
    }
}
