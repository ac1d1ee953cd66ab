"""Walks the story of `rentcar demo` with the Python client that is generated from the interface description.

python3 walk.py URL, with the generated package `rentcar_client` on the path.
"""

import sys
import time
import uuid

from rentcar_client import Client
from rentcar_client.api.cars import amend_car, block_car, find_available_cars, get_car, register_car, retire_car, unblock_car
from rentcar_client.api.customers import erase_customer, get_customer, get_my_page, register_customer
from rentcar_client.api.operation import change_provider_settings, get_provider_settings
from rentcar_client.api.rentals import get_rental, pick_up_car, return_car
from rentcar_client.api.reservations import (
    cancel_reservation, change_reservation, get_payment, get_reservation, list_reservations, pay_reservation,
    preview_cancellation, preview_change, reserve,
)
from rentcar_client.models import (
    BlockRequest, CarAmendment, CarRegistration, ChangeRequest, CustomerRegistration, Money, PaymentMeans, Problem,
    ProviderSettingsChange, ReservationRequest,
)

FOLLOWS_WITHIN_SECONDS = 20
CARD = PaymentMeans(method="card", token="tok_visa")


def expect(response, status):
    assert response.status_code == status, f"{response.status_code} instead of {status}: {response.content!r}"
    return response.parsed


def refused(response, status, code):
    problem = expect(response, status)
    assert isinstance(problem, Problem) and problem.code == code, response.content


def eventually(what, condition):
    until = time.monotonic() + FOLLOWS_WITHIN_SECONDS
    while not condition():
        assert time.monotonic() < until, f"{what} did not come true within {FOLLOWS_WITHIN_SECONDS} seconds"
        time.sleep(0.1)


def walk(client):
    run = uuid.uuid4().hex[:12]
    car, other, customer = f"walk-{run}-1", f"walk-{run}-2", f"walker-{run}"
    rate = Money(amount=50_000, currency="KRW")

    def booking(car_no, month, **more):
        begin, end = f"2035-{month:02}-01T00:00:00Z", f"2035-{month:02}-03T00:00:00Z"
        return ReservationRequest.from_dict(
            {"carNo": car_no, "customerNo": customer, "from": begin, "to": end, **more})

    paid = {"payment": CARD.to_dict()}

    for car_no in (car, other):
        made = expect(register_car.sync_detailed(
            client=client, body=CarRegistration(car_no=car_no, model="Ioniq 5", daily_rate=rate)), 201)
        assert made.status == "AVAILABLE"
    tag = get_car.sync_detailed(car, client=client).headers["etag"]
    refused(amend_car.sync_detailed(car, client=client, body=CarAmendment(model="Ioniq 6"), if_match='"r9"'),
            412, "stale_etag")
    expect(amend_car.sync_detailed(car, client=client, body=CarAmendment(model="Ioniq 6"), if_match=tag), 200)
    block = BlockRequest.from_dict({"from": "2036-01-01T00:00:00Z", "to": "2036-01-03T00:00:00Z", "reason": "inspection"})
    block_no = expect(block_car.sync_detailed(car, client=client, body=block), 201).block_no
    expect(unblock_car.sync_detailed(car, block_no, client=client), 204)
    expect(register_customer.sync_detailed(client=client, body=CustomerRegistration(
        customer_no=customer, name="Kim Minji", phone="+82-10-1234-5678", email="minji@example.com")), 201)

    wanted = booking(car, 1)
    free = expect(find_available_cars.sync_detailed(client=client, from_=wanted.from_, to=wanted.to, limit=200), 200)
    assert any(offer.car_no == car and offer.price.amount == 100_000 for offer in free.items)
    key = f"key-{run}"
    first = expect(reserve.sync_detailed(client=client, body=booking(car, 1, **paid), idempotency_key=key), 201)
    again = reserve.sync_detailed(client=client, body=booking(car, 1, **paid), idempotency_key=key)
    assert expect(again, 201).reservation_no == first.reservation_no and again.headers["idempotency-replayed"] == "true"
    refused(reserve.sync_detailed(client=client, body=booking(car, 1, **paid)), 409, "car_not_available")
    assert expect(get_payment.sync_detailed(first.payment.payment_no, client=client), 200).charged_amount == 100_000
    assert first.reservation_no in [it.reservation_no for it in expect(
        list_reservations.sync_detailed(client=client, customer_no=customer), 200).items]
    eventually("the history of My Page", lambda: "payment.approved" in [
        entry.kind for entry in expect(get_my_page.sync_detailed(customer, client=client), 200).items])

    longer = {"to": "2035-01-04T00:00:00Z"}
    preview = expect(preview_change.sync_detailed(
        first.reservation_no, client=client, to=ChangeRequest.from_dict(longer).to), 200)
    assert preview.payable.amount == 50_000
    refused(change_reservation.sync_detailed(
        first.reservation_no, client=client, body=ChangeRequest.from_dict(longer)), 402, "payment_required")
    changed = expect(change_reservation.sync_detailed(
        first.reservation_no, client=client, body=ChangeRequest.from_dict({**longer, **paid})), 200)
    assert changed.price.amount == 150_000

    expect(pick_up_car.sync_detailed(first.rental_no, client=client), 200)
    assert expect(return_car.sync_detailed(first.rental_no, client=client), 200).status == "RETURNED"
    assert expect(get_rental.sync_detailed(first.rental_no, client=client), 200).returned_at
    eventually("the end of the reservation", lambda: expect(
        get_reservation.sync_detailed(first.reservation_no, client=client), 200).status == "COMPLETED")

    second = expect(reserve.sync_detailed(client=client, body=booking(other, 2, **paid)), 201)
    quote = expect(preview_cancellation.sync_detailed(second.reservation_no, client=client), 200)
    cancelled = expect(cancel_reservation.sync_detailed(second.reservation_no, client=client), 200)
    assert cancelled.status == "CANCELLED" and cancelled.fee == quote.fee and cancelled.refund == quote.refund

    held = expect(reserve.sync_detailed(client=client, body=booking(other, 3)), 202)
    assert held.status == "PAYMENT_PENDING" and held.hold_until and held.retry_after_seconds
    settings = expect(get_provider_settings.sync_detailed(client=client), 200)
    try:
        expect(change_provider_settings.sync_detailed(client=client, body=ProviderSettingsChange(decline_rate=1.0)), 200)
        refused(pay_reservation.sync_detailed(held.reservation_no, client=client, body=CARD), 402, "payment_declined")
    finally:
        expect(change_provider_settings.sync_detailed(
            client=client, body=ProviderSettingsChange(decline_rate=settings.decline_rate)), 200)
    assert expect(pay_reservation.sync_detailed(
        held.reservation_no, client=client, body=CARD), 200).status == "CONFIRMED"
    refused(erase_customer.sync_detailed(customer, client=client), 409, "customer_has_live_bookings")
    expect(cancel_reservation.sync_detailed(held.reservation_no, client=client), 200)

    def erased():
        return erase_customer.sync_detailed(customer, client=client).status_code == 204
    eventually("the refund, after which the customer can be erased", erased)
    refused(get_customer.sync_detailed(customer, client=client), 410, "customer_erased")
    for car_no in (car, other):
        expect(retire_car.sync_detailed(car_no, client=client), 204)


with Client(base_url=sys.argv[1], timeout=20) as opened:
    walk(opened)
print("the generated client has walked the demo")
