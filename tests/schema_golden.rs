//! The bytes of every stored event and state, frozen. A file in tests/golden is written once, by running this
//! with `RENTCAR_WRITE_GOLDEN=1`, and never again: a mode that overwrites files does not exist.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test says by a panic what is wrong")]
mod domain_support;

use domain_support::{SERIAL, at, block, block_no, car, days, reservation_no, subject, won};
use rentcar::domain::cancellation::Quote;
use rentcar::domain::desk::{DeskFacts, HandOver, LicenceCheck, WaiverReason};
use rentcar::domain::ids::{CarNo, CustomerNo};
use rentcar::domain::reservation::{Booking, Change, Changes, Incoming, Status};
use rentcar::domain::who::{Who, WhoKind};
use rentcar::domain::{BookingRef, account, customer, fleet, operations, payment, rental, reservation};
use rentcar::store::codec::CodecError;
use rentcar::store::document::{Causes, StateDocument};
use rentcar::store::journal::Cause;
use rentcar::store::schema::{self, Encoded, ReservationDocument, StateError};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

fn golden(folder: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(folder)
}

fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .flat_map(|byte| [byte >> 4, byte & 15])
        .map(|digit| char::from(b"0123456789abcdef"[usize::from(digit)]))
        .collect()
}

fn unhex(text: &str) -> Vec<u8> {
    let digits = text.trim();
    (0..digits.len()).step_by(2).map(|i| u8::from_str_radix(&digits[i..i + 2], 16).unwrap()).collect()
}

/// The frozen bytes of a name. With the environment variable, a file that is missing is written first.
fn frozen(folder: &str, name: &str, now: &[u8]) -> Vec<u8> {
    let path = golden(folder).join(format!("{name}.hex"));
    if std::env::var_os("RENTCAR_WRITE_GOLDEN").is_some() && !path.exists() {
        fs::create_dir_all(golden(folder)).unwrap();
        fs::write(&path, format!("{}\n", hex(now))).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name} has no golden file: {error}"));
    unhex(&text)
}

/// Tags of versions that say less than the newest, whose sample has what they lack.
const SAY_LESS: [&str; 10] = [
    "reservation.cancelled.v1",
    "reservation.cancelled.v2",
    "reservation.held.v1",
    "payment.approved.v1",
    "reservation.picked_up.v1",
    "reservation.picked_up.v2",
    "rental.picked_up.v1",
    "rental.picked_up.v2",
    "rental.returned.v1",
    "rental.returned.v2",
];

fn another_car() -> CarNo {
    CarNo::parse("car02").unwrap()
}

fn facts(km: u32) -> DeskFacts {
    DeskFacts { odometer_km: Some(km), fuel_percent: Some(80), condition: Some("scratch".to_owned()) }
}

fn hand_over() -> Option<Box<HandOver>> {
    let by = Some(Who { kind: WhoKind::Staff, id: "7f3a".to_owned() });
    HandOver { facts: facts(42_000), licence: Some(LicenceCheck { by }) }.told()
}

fn change() -> Change {
    Change { no: 2, car_no: another_car(), period: days(2, 5), price: won(120_000), hold_until: at(900_000) }
}

/// A booking on its way from one car to another.
fn moved() -> Box<Booking> {
    let subject = BookingRef { car_no: another_car(), ..subject("r1") };
    let status = Status::Confirmed { picked_up_at: None };
    let booking = Booking::new(subject, SERIAL, days(2, 5), won(120_000), at(0), status);
    let changes = Changes { last: 2, under_way: None, fees: won(1_000), came_by: 2 };
    Box::new(Booking { changes: Some(Box::new(changes)), ..booking })
}

fn reservation_events() -> Vec<reservation::Event> {
    use reservation::Event;
    let quote = Quote { fee: won(9_000), refund: won(81_000) };
    vec![
        Event::CarUpserted(car(3, 45_000)),
        Event::Retired,
        Event::Blocked { block_no: block_no("b1"), block: block(3, 4) },
        Event::Unblocked { block_no: block_no("b1") },
        Event::Held {
            subject: subject("r1"),
            serial: SERIAL,
            period: days(1, 3),
            price: won(90_000),
            at: at(0),
            hold_until: at(900_000),
            hold_slot: Some(2),
        },
        Event::Confirmed { subject: subject("r1"), serial: SERIAL, period: days(1, 3) },
        Event::Expired { subject: subject("r1"), at: at(900_000) },
        Event::Cancelled { subject: subject("r1"), at: at(5), quote, waiver: Some(WaiverReason::CompanyFault) },
        Event::PickedUp { subject: subject("r1"), at: at(6), hand_over: hand_over() },
        Event::Completed { subject: subject("r1"), at: at(7) },
        Event::NoShow { subject: subject("r1"), at: at(8), quote },
        Event::ChangeBegun { subject: subject("r1"), change: change(), at: at(9) },
        Event::Changed {
            subject: subject("r1"),
            change_no: 1,
            period: days(2, 4),
            price: won(80_000),
            fee: won(1_000),
            at: at(10),
        },
        Event::Moved { booking: moved(), from_car: subject("r1").car_no, came_by: 1, at: at(11) },
        Event::ChangeEnded { subject: subject("r1"), change_no: 1, car_no: another_car(), at: at(12) },
        Event::IncomingHeld {
            incoming: Box::new(Incoming {
                subject: BookingRef { car_no: another_car(), ..subject("r1") },
                change: 2,
                period: days(2, 5),
                price: won(120_000),
                hold_until: at(900_000),
            }),
        },
        Event::IncomingAccepted { booking: moved() },
        Event::IncomingReleased { subject: BookingRef { car_no: another_car(), ..subject("r1") }, change_no: 2 },
    ]
}

fn payment_events() -> Vec<payment::Event> {
    use payment::Event;
    let (subject, amount, provider_ref) = (subject("r1"), won(90_000), "ch_1".to_owned());
    vec![
        Event::Requested { subject: subject.clone(), serial: SERIAL, amount, attempt: 1, change: 0 },
        Event::Approved { subject: subject.clone(), amount, attempt: 300, change: 2, provider_ref },
        Event::Declined { subject: subject.clone(), attempt: 1, reason: "insufficient funds".to_owned() },
        Event::NotCharged { subject: subject.clone(), attempt: 2 },
        Event::OutcomeUnknown { subject: subject.clone(), attempt: 3 },
        Event::Cancelled { subject: subject.clone(), serial: SERIAL, amount, refund: won(81_000) },
        Event::Reduced { subject: subject.clone(), refund: won(45_000) },
        Event::Refunded { subject, amount: won(81_000), provider_ref: "re_1".to_owned() },
    ]
}

fn rental_events() -> Vec<rental::Event> {
    use rental::Event;
    vec![
        Event::Rented { subject: subject("r1"), serial: SERIAL, period: days(1, 3) },
        Event::PickedUp { subject: subject("r1"), at: at(1), hand_over: hand_over() },
        Event::Returned { subject: subject("r1"), at: at(2), facts: Some(Box::new(facts(43_000))) },
        Event::Cancelled { subject: subject("r1"), at: at(3) },
        Event::Overdue { subject: subject("r1"), at: at(4) },
        Event::Changed { subject: BookingRef { car_no: another_car(), ..subject("r1") }, period: days(2, 5) },
        Event::Left { subject: subject("r1") },
    ]
}

fn particulars() -> fleet::CarData {
    fleet::CarData {
        model: "Sonata".to_owned(),
        car_class: "midsize".to_owned(),
        branch: String::new(),
        daily_rate: won(45_000),
        registered_on: 20_200_801,
    }
}

fn fleet_events() -> Vec<fleet::Event> {
    use fleet::Event;
    let rental_no = reservation_no("r1").rental();
    vec![
        Event::Registered(particulars()),
        Event::Amended(particulars()),
        Event::Retired,
        Event::Blocked { block_no: block_no("b1"), block: block(3, 4) },
        Event::Unblocked { block_no: block_no("b1") },
        Event::RentalNoted { rental_no: rental_no.clone(), note: fleet::RentalState::Overdue },
        Event::RentalEnded { rental_no },
    ]
}

fn customer_events() -> Vec<customer::Event> {
    use customer::Event;
    vec![
        Event::Registered { sealed: vec![0, 1, 254, 255], at: at(0), key: None },
        Event::Erased { at: at(1) },
        Event::Closed { at: at(2) },
        Event::Reopened { at: at(3) },
    ]
}

fn operations_events() -> Vec<operations::Event> {
    let (act, why) = (operations::Act::BreakerSet, Some("FORCED_OPEN".to_owned()));
    vec![operations::Event::Noted(operations::Note { act, why })]
}

/// Encodes the samples of a context and checks that decoding leads back to them.
fn encoded<E: PartialEq + std::fmt::Debug>(
    events: Vec<E>,
    encode: impl Fn(&E) -> Result<Encoded, CodecError>,
    decode: impl Fn(&str, &[u8]) -> Result<E, CodecError>,
) -> Vec<Encoded> {
    let there_and_back = |event: E| {
        let (tag, payload) = encode(&event).unwrap();
        let frozen = frozen("events", &tag, &payload);
        assert_eq!(hex(&payload), hex(&frozen), "{tag} is not written as it was");
        assert_eq!(decode(&tag, &frozen), Ok(event), "{tag} is not read as it was");
        for end in 0..frozen.len() {
            assert!(decode(&tag, &frozen[..end]).is_err(), "{tag} cut off at {end}");
        }
        for (place, flipped) in (0..frozen.len()).flat_map(|place| [1, 2, 0x80, 0xff].map(|bits| (place, bits))) {
            let mut damaged = frozen.clone();
            damaged[place] ^= flipped;
            // Whatever it makes of a damaged body, it must not panic, and what it accepts it must be able to write.
            if let Ok(event) = decode(&tag, &damaged) {
                encode(&event).unwrap();
            }
        }
        (tag, payload)
    };
    events.into_iter().map(there_and_back).collect()
}

/// One of each.
fn account_events() -> Vec<account::Event> {
    use account::{Event, Role, TokenHash};
    let (id, token) = (TokenHash([1; 32]), TokenHash([2; 32]));
    vec![
        Event::Opened { role: Role::Customer(CustomerNo::parse("c1").unwrap()), at: at(0), mail: None, password: None },
        Event::SessionStarted { id, at: at(1), expires_at: at(1_000) },
        Event::SessionUsed { id, at: at(2) },
        Event::ResetAllowed { token, at: at(3), expires_at: at(900) },
        Event::CalendarRenewed { at: at(3) },
        Event::ResetEnded { token, at: at(4) },
        Event::PasswordSet { at: at(5), password: None },
        Event::SessionEnded { id, at: at(6) },
        Event::Disabled { at: at(7) },
        Event::Enabled { at: at(8) },
        Event::Erased { at: at(9), mail: None },
    ]
}

fn all_encoded() -> Vec<Encoded> {
    let mut all = encoded(reservation_events(), schema::reservation::encode, schema::reservation::decode);
    all.extend(encoded(payment_events(), schema::payment::encode, schema::payment::decode));
    all.extend(encoded(rental_events(), schema::rental::encode, schema::rental::decode));
    all.extend(encoded(fleet_events(), schema::fleet::encode, schema::fleet::decode));
    all.extend(encoded(customer_events(), schema::customer::encode, schema::customer::decode));
    all.extend(encoded(operations_events(), schema::operations::encode, schema::operations::decode));
    all.extend(encoded(account_events(), schema::account::encode, schema::account::decode));
    all
}

#[test]
fn every_event_is_written_and_read_as_it_always_was() {
    let written: BTreeSet<String> = all_encoded().iter().map(|(tag, _)| tag.to_string()).collect();
    let known: BTreeSet<String> = schema::tags().map(str::to_owned).collect();
    assert!(written.is_subset(&known), "a tag that cannot be read");
    let name = |tag: &String| tag.rsplit_once(".v").unwrap().0.to_owned();
    let names: BTreeSet<String> = known.iter().map(name).collect();
    assert_eq!(written.iter().map(name).collect::<BTreeSet<_>>(), names, "an event without a sample");
    let newest = |tag: &&String| known.iter().filter(|other| name(other) == name(tag)).max() == Some(*tag);
    assert_eq!(written.len(), names.len());
    assert!(written.iter().all(|tag| newest(&tag)), "an event is written in its newest version");
}

/// The old version of an event, encoded anew.
fn renewed(tag: &str, bytes: &[u8]) -> Encoded {
    match tag.split_once('.').unwrap().0 {
        "reservation" => schema::reservation::encode(&schema::reservation::decode(tag, bytes).unwrap()),
        "payment" => schema::payment::encode(&schema::payment::decode(tag, bytes).unwrap()),
        "rental" => schema::rental::encode(&schema::rental::decode(tag, bytes).unwrap()),
        other => panic!("{other} has no old versions"),
    }
    .unwrap()
}

#[test]
fn an_event_of_an_old_version_is_read_as_the_same_event() {
    let written: BTreeMap<String, bytes::Bytes> =
        all_encoded().into_iter().map(|(tag, payload)| (tag.to_string(), payload)).collect();
    for tag in schema::tags().filter(|tag| !written.contains_key(*tag)) {
        let bytes = unhex(&fs::read_to_string(golden("events").join(format!("{tag}.hex"))).unwrap());
        let (newest, payload) = renewed(tag, &bytes);
        assert_eq!(tag.rsplit_once(".v").unwrap().0, newest.rsplit_once(".v").unwrap().0);
        if !SAY_LESS.contains(&tag) {
            assert_eq!(hex(&payload), hex(&written[&*newest]), "{tag} is read as another event");
        }
    }
}

#[test]
fn a_hold_of_the_first_version_is_read_as_one_without_a_slot() {
    let bytes = unhex(&fs::read_to_string(golden("events").join("reservation.held.v1.hex")).unwrap());
    let reservation::Event::Held { subject, serial, period, price, at, hold_until, .. } =
        reservation_events()[4].clone()
    else {
        panic!("the sample of a hold")
    };
    let held = reservation::Event::Held { subject, serial, period, price, at, hold_until, hold_slot: None };
    assert_eq!(schema::reservation::decode("reservation.held.v1", &bytes), Ok(held));
}

#[test]
fn a_hand_over_of_an_earlier_version_is_read_as_one_of_which_nothing_was_told() {
    for version in ["v1", "v2"] {
        let bytes =
            |kind: &str| unhex(&fs::read_to_string(golden("events").join(format!("{kind}.{version}.hex"))).unwrap());
        let picked_up = reservation::Event::PickedUp { subject: subject("r1"), at: at(6), hand_over: None };
        let tag = format!("reservation.picked_up.{version}");
        assert_eq!(schema::reservation::decode(&tag, &bytes("reservation.picked_up")), Ok(picked_up));
        let picked_up = rental::Event::PickedUp { subject: subject("r1"), at: at(1), hand_over: None };
        assert_eq!(
            schema::rental::decode(&format!("rental.picked_up.{version}"), &bytes("rental.picked_up")),
            Ok(picked_up)
        );
        let returned = rental::Event::Returned { subject: subject("r1"), at: at(2), facts: None };
        assert_eq!(
            schema::rental::decode(&format!("rental.returned.{version}"), &bytes("rental.returned")),
            Ok(returned)
        );
    }
}

#[test]
fn every_tag_has_a_golden_file_and_every_golden_file_a_tag() {
    let files: BTreeSet<String> = fs::read_dir(golden("events"))
        .unwrap()
        .map(|file| file.unwrap().path().file_stem().unwrap().to_string_lossy().into_owned())
        .collect();
    let tags: BTreeSet<String> = schema::tags().map(str::to_owned).collect();
    assert_eq!(files, tags);
    for tag in tags {
        let bytes = unhex(&fs::read_to_string(golden("events").join(format!("{tag}.hex"))).unwrap());
        assert!(schema::to_json(&tag, &bytes).is_some(), "{tag} can no longer be read");
    }
}

#[test]
fn every_event_has_a_readable_rendering() {
    for (tag, payload) in all_encoded() {
        let json = schema::to_json(&tag, &payload).unwrap();
        for key in json.as_object().unwrap().keys() {
            assert!(key.chars().all(char::is_alphanumeric), "{tag}: {key} is not camelCase");
        }
    }
    let (tag, payload) = schema::reservation::encode(&reservation_events()[4]).unwrap();
    let expected = serde_json::json!({
        "reservationNo": "r1", "serial": 7, "customerNo": "c1", "carNo": "12가3456",
        "from": "2026-01-02T00:00:00Z", "to": "2026-01-04T00:00:00Z",
        "price": { "amount": 90_000, "currency": "KRW" },
        "at": "2026-01-01T00:00:00Z", "holdUntil": "2026-01-01T00:15:00Z", "holdSlot": 2,
    });
    assert_eq!(schema::to_json(&tag, &payload), Some(expected));
    assert_eq!(schema::to_json("reservation.held.v9", &payload), None);
    assert_eq!(schema::to_json("nothing", b""), None);
    assert_eq!(schema::to_json(&tag, b"damaged"), None);
}

#[test]
fn a_registered_customer_is_stored_without_the_key() {
    let key = customer::StoredKey([0xAB; 32].to_vec());
    let event = customer::Event::Registered { sealed: vec![1, 2, 3], at: at(0), key: Some(key) };
    let (tag, payload) = schema::customer::encode(&event).unwrap();
    assert!(!payload.windows(4).any(|bytes| bytes == [0xAB; 4]));
    let customer::Event::Registered { key, .. } = schema::customer::decode(&tag, &payload).unwrap() else {
        panic!("another event")
    };
    assert_eq!(key, None);
}

#[test]
fn an_account_is_stored_without_the_hashes_of_mail_address_and_password() {
    let (mail, password) = (account::MailHash([0xAB; 32]), account::PasswordHash("$argon2id$secret".to_owned()));
    let opened = account::Event::Opened {
        role: account::Role::Staff,
        at: at(0),
        mail: Some(mail),
        password: Some(password.clone()),
    };
    let set = account::Event::PasswordSet { at: at(0), password: Some(password) };
    let erased = account::Event::Erased { at: at(0), mail: Some(mail) };
    for event in [opened, set, erased] {
        let (tag, payload) = schema::account::encode(&event).unwrap();
        assert!(!payload.windows(4).any(|bytes| bytes == [0xAB; 4] || bytes == b"argo"), "{tag}");
        assert!(!schema::to_json(&tag, &payload).unwrap().to_string().contains("abab"), "{tag}");
    }
}

fn folded<S: Default, E>(events: &[E], evolve: impl Fn(S, &E) -> Result<S, rentcar::domain::CorruptHistory>) -> S {
    events.iter().fold(S::default(), |state, event| evolve(state, event).unwrap())
}

fn calendar() -> reservation::State {
    use reservation::Event;
    let held = |no, period| Event::Held {
        subject: subject(no),
        serial: SERIAL,
        period,
        price: won(45_000),
        at: at(0),
        hold_until: at(900_000),
        hold_slot: Some(0),
    };
    let events = vec![
        Event::CarUpserted(car(3, 45_000)),
        Event::Blocked { block_no: block_no("b1"), block: block(3, 4) },
        held("r1", days(1, 2)),
        Event::Expired { subject: subject("r1"), at: at(900_000) },
        held("r2", days(5, 6)),
        Event::Confirmed { subject: subject("r2"), serial: SERIAL, period: days(5, 6) },
        Event::PickedUp { subject: subject("r2"), at: at(6), hand_over: hand_over() },
        held("r5", days(2, 3)),
        Event::Confirmed { subject: subject("r5"), serial: SERIAL, period: days(2, 3) },
        Event::PickedUp { subject: subject("r5"), at: at(6), hand_over: None },
        Event::Completed { subject: subject("r5"), at: at(7) },
        held("r3", days(6, 7)),
        held("r6", days(8, 9)),
        Event::Confirmed { subject: subject("r6"), serial: SERIAL, period: days(8, 9) },
        Event::ChangeBegun { subject: subject("r6"), change: change(), at: at(10) },
        Event::IncomingHeld {
            incoming: Box::new(Incoming {
                subject: subject("r7"),
                change: 1,
                period: days(9, 10),
                price: won(45_000),
                hold_until: at(900_000),
            }),
        },
        held("r4", days(7, 8)),
        Event::Confirmed { subject: subject("r4"), serial: SERIAL, period: days(7, 8) },
        Event::NoShow { subject: subject("r4"), at: at(9), quote: Quote { fee: won(45_000), refund: won(0) } },
        Event::Retired,
    ];
    folded(&events, reservation::evolve)
}

/// A reservation that was cancelled at no fee, since staff said so.
fn waived() -> ReservationDocument {
    use reservation::Event;
    let held = Event::Held {
        subject: subject("r1"),
        serial: SERIAL,
        period: days(1, 2),
        price: won(45_000),
        at: at(0),
        hold_until: at(900_000),
        hold_slot: None,
    };
    let quote = Quote { fee: won(0), refund: won(45_000) };
    let events = [
        held,
        Event::Confirmed { subject: subject("r1"), serial: SERIAL, period: days(1, 2) },
        Event::Cancelled { subject: subject("r1"), at: at(9), quote, waiver: Some(WaiverReason::CompanyFault) },
    ];
    let calendar: reservation::State = folded(&events, reservation::evolve);
    ReservationDocument { car_no: subject("r1").car_no, booking: (*calendar.closed[0]).clone() }
}

/// A state of every context with something in every member, encoded.
fn states() -> BTreeMap<&'static str, bytes::Bytes> {
    let booking = (*calendar().bookings[&reservation_no("r2")]).clone();
    let document = ReservationDocument { car_no: subject("r2").car_no, booking };
    let payment: Vec<payment::Event> = {
        let requested = |attempt, change| payment::Event::Requested {
            subject: subject("r1"),
            serial: SERIAL,
            amount: won(90_000),
            attempt,
            change,
        };
        let approved = |attempt, change| payment::Event::Approved {
            subject: subject("r1"),
            amount: won(90_000),
            attempt,
            change,
            provider_ref: format!("ch_{attempt}"),
        };
        let [reduced, refunded, cancelled] = [6, 7, 5].map(|i| payment_events()[i].clone());
        vec![requested(1, 0), approved(1, 0), requested(2, 2), approved(2, 2), reduced, refunded, cancelled]
    };
    let payment = folded(&payment, payment::evolve);
    let rental = folded(&rental_events()[..3], rental::evolve);
    let registered = [0, 1, 2, 3, 5].map(|i| fleet_events()[i].clone()).to_vec();
    let registered = folded(&registered, fleet::evolve);
    let customer = folded(&customer_events()[..1], customer::evolve);
    let closed = folded(&[0, 2].map(|i| customer_events()[i].clone()), customer::evolve);
    let operations = folded(&operations_events(), operations::evolve);
    let account = folded(&account_events()[..5], account::evolve);
    BTreeMap::from([
        ("operations", schema::operations::encode_state(&operations).unwrap()),
        ("account", schema::account::encode_state(&account).unwrap()),
        ("calendar", schema::reservation::encode_state(&calendar()).unwrap()),
        ("reservation", document.encode().unwrap()),
        ("reservation_waived", waived().encode().unwrap()),
        ("payment", schema::payment::encode_state(&payment).unwrap()),
        ("rental", schema::rental::encode_state(&rental).unwrap()),
        ("car", schema::fleet::encode_state(&registered).unwrap()),
        ("customer", schema::customer::encode_state(&customer).unwrap()),
        ("customer_closed", schema::customer::encode_state(&closed).unwrap()),
    ])
}

#[test]
fn a_state_changes_its_bytes_only_together_with_its_schemas_number() {
    for (kind, now) in states() {
        let number = u16::from_le_bytes([now[0], now[1]]);
        let name = format!("{kind}.s{number}");
        assert_eq!(hex(&now), hex(&frozen("states", &name, &now)), "{name}: raise the number of the schema");
    }
}

#[test]
fn the_number_that_a_store_records_of_a_kind_is_the_one_in_its_documents() {
    let kinds = schema::DOCUMENT_KINDS.map(|kind| (kind.name, kind.schema));
    // A sample is called after its kind, and after its case where there are several.
    let kind_of = |name: &'static str| name.split('_').next().unwrap();
    let written = states().into_iter().map(|(name, body)| (kind_of(name), u16::from_le_bytes([body[0], body[1]])));
    assert_eq!(written.collect::<BTreeMap<_, _>>(), BTreeMap::from(kinds));
}

#[test]
fn a_state_of_another_schema_is_refused_as_such() {
    let states = states();
    let of_another_schema = |kind: &str| {
        let mut bytes = states[kind].to_vec();
        bytes[0] += 1;
        bytes
    };
    let refused = |kind: &str| {
        let expected = schema::DOCUMENT_KINDS.iter().find(|known| known.name == kind).unwrap().schema;
        StateError::OtherSchema { found: expected + 1, expected }
    };
    let calendar = schema::reservation::decode_state(&of_another_schema("calendar"));
    assert_eq!(calendar, Err(refused("calendar")));
    let reservation = ReservationDocument::decode(&of_another_schema("reservation"));
    assert_eq!(reservation, Err(refused("reservation")));
    assert_eq!(schema::payment::decode_state(&of_another_schema("payment")), Err(refused("payment")));
    assert_eq!(schema::rental::decode_state(&of_another_schema("rental")), Err(refused("rental")));
    assert_eq!(schema::fleet::decode_state(&of_another_schema("car")), Err(refused("car")));
    assert_eq!(schema::customer::decode_state(&of_another_schema("customer")), Err(refused("customer")));
    assert_eq!(schema::operations::decode_state(&of_another_schema("operations")), Err(refused("operations")));
    assert_eq!(schema::account::decode_state(&of_another_schema("account")), Err(refused("account")));
    let said = CodecError::from(refused("car")).to_string();
    assert!(said.contains("schema 2, not 1") && said.contains("rentcar verify"), "{said}");
    assert!(schema::payment::decode_state(&[1]).is_err());
}

#[test]
fn a_damaged_state_is_an_error_and_never_a_panic() {
    for (kind, bytes) in states() {
        let decodes = |bytes: &[u8]| match kind {
            "account" => schema::account::decode_state(bytes).is_ok(),
            "calendar" => schema::reservation::decode_state(bytes).is_ok(),
            "reservation" | "reservation_waived" => ReservationDocument::decode(bytes).is_ok(),
            "payment" => schema::payment::decode_state(bytes).is_ok(),
            "rental" => schema::rental::decode_state(bytes).is_ok(),
            "car" => schema::fleet::decode_state(bytes).is_ok(),
            "operations" => schema::operations::decode_state(bytes).is_ok(),
            _ => schema::customer::decode_state(bytes).is_ok(),
        };
        assert!(decodes(&bytes));
        for place in 0..bytes.len() {
            assert!(!decodes(&bytes[..place]), "{kind} cut off at {place}");
            let mut damaged = bytes.to_vec();
            damaged[place] ^= 0xff;
            let _ = decodes(&damaged);
        }
    }
}

#[test]
fn a_document_keeps_its_causes_and_its_state() {
    let cause = |position| Cause {
        subscription: Arc::from("rent-the-confirmed"),
        context: Arc::from("reservation"),
        shard: 3,
        position,
    };
    let mut causes = Causes::default();
    causes.note(&cause(9));
    causes.note(&cause(4));
    let body = StateDocument::encode(&causes, b"state").unwrap();
    assert_eq!(hex(&body), hex(&frozen("states", "document.l1", &body)));
    let read = StateDocument::decode(&body).unwrap();
    assert_eq!((read.state, &read.causes), (&b"state"[..], &causes));
    assert!(read.causes.covers(&cause(9)) && !read.causes.covers(&cause(10)));
    for end in 0..body.len() - b"state".len() {
        assert!(StateDocument::decode(&body[..end]).is_err(), "cut off at {end}");
    }
}
