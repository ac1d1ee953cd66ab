"""Runs the request lines of the old services against a running one and checks what they come to.

scenario.py URL
"""

import json
import pathlib
import shlex
import sys
import time
import urllib.parse
import urllib.request

LINES = pathlib.Path(__file__).parents[2] / "tests/data/legacy_requests.txt"
url = sys.argv[1]


def call(path, body=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url + path, data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=20) as response:
        wanted = 200 if body is None else 201
        if response.status != wanted:
            sys.exit(f"{path}: {response.status} instead of {wanted}")
        return json.load(response)


def sections():
    """The lines beneath each heading after the file's own, without the load lines, which siege runs."""
    made = []
    for line in LINES.read_text().splitlines()[1:]:
        if line.startswith("#"):
            made.append([])
        elif line.strip():
            made[-1].append(shlex.split(line))
    return made[:5]


def run(words):
    # All the old services are one now, whatever host a line names.
    path = urllib.parse.urlsplit(words[1]).path or "/"
    members = dict(member.split("=", 1) for member in words[2:])
    return call(path, members or None)


def shows(collection, **expected):
    """Waits until exactly one row of a collection has these members."""
    until = time.monotonic() + 15
    while True:
        rows = call(f"/{collection}?size=200")["_embedded"][collection]
        if sum(all(row.get(name) == value for name, value in expected.items()) for row in rows) == 1:
            return
        if time.monotonic() > until:
            sys.exit(f"no row of /{collection} is {expected}: {rows}")
        time.sleep(0.1)


def expect(answer, **expected):
    if any(answer.get(name) != value for name, value in expected.items()):
        sys.exit(f"{answer} is not {expected}")


register, reserve, cancel, pay, look = sections()
first, second = "res20200801Seq0001", "res20200803Seq0001"
registered = [run(line) for line in register]
expect(registered[1], carNo="car01", procStatus="AVAILABLE")
reserved = [run(line) for line in reserve]
# The price is the server's: the lines say 50000 and 20000.
expect(reserved[0], id=1, resrvNo=first, procStatus="RESERVED", rentalAmt=10000)
expect(reserved[1], id=2, resrvNo=second, procStatus="RESERVED", rentalAmt=40000)
for serial, amount in ((1, 10000), (2, 40000)):
    shows("carRentals", id=serial, procStatus="RENTED")
    shows("payments", id=serial, procStatus="PAID", paymtAmt=amount)
expect(run(cancel[0]), id=2, procStatus="RESERVATION_CANCELED")
shows("carManagements", carNo="car02", procStatus="AVAILABLE")
expect(run(pay[0]), id=1, procStatus="PAID")
expect(run(pay[1]), id=1, procStatus="PAYMENT_CANCELED")
for serial in (1, 2):
    shows("myPages", id=serial, reservationStatus="RESERVATION_CANCELED", paymentStatus="PAYMENT_CANCELED",
          rentalStatus="RENTAL_CANCELED")
for car in ("test", "car01", "car02"):
    shows("carInformations", carNo=car, procStatus="AVAILABLE", rentalCount=0)
for line in look:
    run(line)
print(f"{sum(map(len, (register, reserve, cancel, pay, look)))} lines of the old services came out as they should")
