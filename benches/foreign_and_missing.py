#!/usr/bin/env python3
"""How long a refusal takes of what belongs to another customer, beside one of what is not there.

Runs the program with keys, makes bookings of one customer, and asks as another, in turns: a number of a booking, and a number
like it under which there is nothing. 10,000 calls of each, over one connection, for every way to read a booking. The medians
must lie within 5 % of each other; else whoever measures could find out what is there. About fifteen minutes.

python3 benches/foreign_and_missing.py [PROGRAM]: without a program, `cargo build --profile dist` makes it.
"""

import base64
import json
import os
import re
import secrets
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CALLS = 10_000
WARM_UP = 1_000
BOOKINGS = 50
DIFFERENCE_MAX = 0.05
TARGETS = (
    "/v1/reservations/{}", "/v1/reservations/{}/cancellation", "/v1/payments/pay-{}", "/v1/rentals/rent-{}",
    "/carReservations/{}",
)
CUSTOMER_TARGETS = ("/v1/customers/{}", "/v1/customers/{}/page", "/v1/reservations?customerNo={}")


class Connection:
    """A connection that is kept open, of one caller."""

    def __init__(self, port, token):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.head = f"Host: localhost\r\nAuthorization: Bearer {token}\r\n"

    def request(self, method, target, body=None):
        text = json.dumps(body) if body is not None else ""
        kind = f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n" if body is not None else ""
        return f"{method} {target} HTTP/1.1\r\n{self.head}{kind}\r\n{text}".encode()

    def call(self, request):
        """The status and the body of an answer, and how long it took in nanoseconds."""
        begun = time.perf_counter_ns()
        self.socket.sendall(request)
        answer = self.socket.recv(65_536)
        took = time.perf_counter_ns() - begun
        head, _, body = answer.partition(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head, re.I)[1])
        while len(body) < length:
            body += self.socket.recv(65_536)
        return int(head.split(b" ")[1]), body, took


def token(program, key, subject, *arguments):
    command = [program, "token", "--key", key, "--issuer", "bench", "--subject", subject, *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def compare(connection, foreign, missing):
    """The medians in nanoseconds of calls in turns."""
    times = ([], [])
    for number in range(WARM_UP + CALLS):
        pair = (foreign[number % len(foreign)], missing[number % len(missing)])
        # Whoever goes second finds caches warm, so they take turns at that, too.
        for side in ((0, 1) if number % 2 else (1, 0)):
            status, body, took = connection.call(pair[side])
            if status not in (200, 404) or (status == 200 and b'"items":[]' not in body.replace(b" ", b"")):
                sys.exit(f"{status} {body.decode()}")
            if number >= WARM_UP:
                times[side].append(took)
    return [statistics.median(side) for side in times]


def main():
    program = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "target/dist/rentcar"
    if len(sys.argv) < 2:
        subprocess.run(["cargo", "build", "--profile", "dist"], check=True, cwd=ROOT)
    with tempfile.TemporaryDirectory() as scratch:
        keys = Path(scratch) / "keys"
        keys.mkdir()
        key = keys / "main.secret"
        key.write_text(secrets.token_hex(32))
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RENTCAR")} | {
            "RENTCAR__LOG__FILTER": "error", "RENTCAR__ACCESS__TOKEN_KEYS": str(keys),
            "RENTCAR__ACCESS__TOKEN_ISSUER": "bench",
            "RENTCAR__PRIVACY__MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
        }
        service = subprocess.Popen(
            [program, "serve", "--listen", "127.0.0.1:0", "--data", f"{scratch}/data"],
            stdout=subprocess.PIPE, env=environment, text=True,
        )
        port = int(re.search(r"127\.0\.0\.1:(\d+)", service.stdout.readline())[1])
        staff = Connection(port, token(program, key, "staff", "--role", "staff"))
        lee = Connection(port, token(program, key, "lee", "--customer-no", "lee"))

        def make(target, body):
            status, told, _ = staff.call(staff.request("POST", target, body))
            if status != 201:
                sys.exit(f"{target}: {status} {told.decode()}")
            return json.loads(told)

        make("/v1/customers", {"customerNo": "kim", "name": "Kim", "phone": "010", "email": "kim@example.com"})
        numbers = []
        for number in range(BOOKINGS):
            make("/v1/cars", {"carNo": f"car{number}", "model": "Ray", "dailyRate": {"amount": 40000, "currency": "KRW"}})
            numbers.append(make("/v1/reservations", {
                "carNo": f"car{number}", "customerNo": "kim", "from": "2099-01-01T00:00:00Z",
                "to": "2099-01-02T00:00:00Z", "payment": {"method": "card", "token": "tok-1"},
            })["reservationNo"])
        # As long as those that are there.
        missing = [f"{number[:-8]}{secrets.token_hex(4)}" for number in numbers]
        worst = 0
        print(f"{'read':40} {'foreign':>10} {'missing':>10} {'ratio':>7}")
        for target, there, not_there in (
            *((target, numbers, missing) for target in TARGETS),
            *((target, ["kim"], ["tim"]) for target in CUSTOMER_TARGETS),
        ):
            asked = [[lee.request("GET", target.format(number)) for number in side] for side in (there, not_there)]
            foreign_ns, missing_ns = compare(lee, *asked)
            ratio = foreign_ns / missing_ns
            worst = max(worst, abs(ratio - 1))
            print(f"{target:40} {foreign_ns / 1000:>7.1f} µs {missing_ns / 1000:>7.1f} µs {ratio:>7.3f}", flush=True)
        service.send_signal(signal.SIGTERM)
        service.wait(60)
    if worst > DIFFERENCE_MAX:
        sys.exit(f"the medians differ by {worst:.1%}, more than {DIFFERENCE_MAX:.0%}")


if __name__ == "__main__":
    main()
