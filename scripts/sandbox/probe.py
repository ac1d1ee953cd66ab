"""Small questions to a running service, for the checks of its image and its unit.

probe.py ready URL              waits until it is ready
probe.py book URL NUMBER        registers a car of that name, reserves and pays it
probe.py book-slowly URL NUMBER the same with a provider that takes 1.5 s; says "asked" before it asks for the reservation
probe.py confirmed URL NUMBER   fails unless that reservation is there, paid and confirmed
probe.py sign-in URL ADDRESS PASSWORD   fails unless somebody can sign in with these

TOKEN in the environment goes with every request.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.request


def call(path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    token = os.environ.get("TOKEN")
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    request = urllib.request.Request(url + path, data, headers, method=method)
    with urllib.request.urlopen(request, timeout=20) as response:
        return response.status, json.load(response)


def ready():
    begun = time.monotonic()
    while True:
        try:
            if call("/actuator/health/readiness")[0] == 200:
                print(f"ready after {time.monotonic() - begun:.1f} s")
                return
        except OSError as error:
            if time.monotonic() - begun > 30:
                sys.exit(f"not ready: {error}")
        time.sleep(0.1)


def book(number, slowly=False):
    rate = {"amount": 10000, "currency": "KRW"}
    car = {"carNo": number, "model": "Ioniq 5", "dailyRate": rate, "carClass": "compact", "branch": "Seoul"}
    call("/v1/cars", car)
    if slowly:
        call("/v1/admin/payment-provider", {"latencyMs": 1500}, "PUT")
        print("asked", flush=True)
    period = {"from": "2035-01-01T00:00:00Z", "to": "2035-01-03T00:00:00Z"}
    means = {"method": "card", "token": "tok-1"}
    asked = {"reservationNo": number, "carNo": number, "customerNo": "customer-1", **period, "payment": means}
    status, answer = call("/v1/reservations", asked)
    if (status, answer["status"]) != (201, "CONFIRMED"):
        sys.exit(f"{status}: {answer}")


def confirmed(number):
    _, answer = call(f"/v1/reservations/{number}")
    if (answer["status"], answer["payment"]["status"]) != ("CONFIRMED", "APPROVED"):
        sys.exit(f"{answer}")


def sign_in(address, password):
    status, answer = call("/v1/session", {"email": address, "password": password})
    if status != 201:
        sys.exit(f"{status}: {answer}")


what, url, *arguments = sys.argv[1:]
try:
    {"ready": ready, "book": book, "book-slowly": lambda number: book(number, True), "confirmed": confirmed, "sign-in": sign_in}[what](*arguments)
except urllib.error.HTTPError as error:
    sys.exit(f"{error.url}: {error.code} {error.read().decode()}")
