#!/usr/bin/env python3
"""Instructions per booking: a figure that a machine that others use changes by 3 % at most, unlike seconds.

Runs the `dist` program under callgrind, makes 2,000 bookings (reserved and paid at once, each for a day of its own) over 1
connection and over 64, and takes away what the idle service would have executed in the same time. Three runs, whose figures
must lie within 2 % of each other. About fifteen minutes.

python3 benches/instructions.py [--tokens] [PROGRAM]: without a program, `cargo build --profile dist` makes it. With --tokens the
service has keys, and every call a token. Needs valgrind (Debian).
"""

import argparse
import base64
import http.client
import json
import os
import re
import secrets
import signal
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOOKINGS = 2_000
WARM_UP = 200
IDLE_SECONDS = 20
RUNS = 3
SPREAD_MAX = 0.02
CONNECTIONS = (1, 64)
CARS = 100
# Nothing is turned away or put off because everything is fifty times slower than it is.
SETTINGS = {
    "RENTCAR__LOG__FILTER": "error",
    "RENTCAR__SERVER__SHED_SCHEDULING_DELAY_MS": "0",
    "RENTCAR__SERVER__REQUEST_TIMEOUT_MS": "600000",
    "RENTCAR__SERVER__BODY_TIMEOUT_MS": "600000",
    "RENTCAR__SERVER__HEADER_TIMEOUT_MS": "600000",
    "RENTCAR__PAYMENT__WAIT_MS_MAX": "60000",
    "RENTCAR__PAYMENT__BULKHEAD__CONCURRENCY_MAX": "64",
    "RENTCAR__PAYMENT__BULKHEAD__QUEUE_LEN_MAX": "512",
    "RENTCAR__PAYMENT__BULKHEAD__QUEUE_WAIT_MS_MAX": "20000",
    "RENTCAR__PAYMENT__BULKHEAD__ADAPTIVE__ENABLED": "false",
    "RENTCAR__ACTORS__STUCK_MS_MAX": "600000",
}


HEADERS = {"content-type": "application/json"}


def with_tokens(program, scratch):
    """The settings of a service with keys; from now on every call has a token."""
    keys = scratch / "keys"
    keys.mkdir()
    (keys / "main.secret").write_text(secrets.token_hex(32))
    command = [program, "token", "--key", keys / "main.secret", "--issuer", "bench", "--subject", "desk", "--role", "staff"]
    token = subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()
    HEADERS["authorization"] = f"Bearer {token}"
    return {
        "RENTCAR__ACCESS__TOKEN_KEYS": str(keys), "RENTCAR__ACCESS__TOKEN_ISSUER": "bench",
        "RENTCAR__PRIVACY__MASTER_KEY": base64.b64encode(secrets.token_bytes(32)).decode(),
    }


class Service:
    """The program under callgrind, on an empty store."""

    def __init__(self, program, scratch, settings):
        self.out = scratch / "callgrind.out"
        command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={self.out}", "--", str(program), "serve"]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("RENTCAR")}
        self.log = (scratch / "log").open("w")
        self.process = subprocess.Popen(
            [*command, "--listen", "127.0.0.1:0", "--data", str(scratch / "data")],
            stdout=subprocess.PIPE, stderr=self.log, env=environment | settings, text=True,
        )
        self.port = int(re.search(r"127\.0\.0\.1:(\d+)", self.process.stdout.readline())[1])

    def control(self, option):
        subprocess.run(["callgrind_control", option, str(self.process.pid)], check=True, capture_output=True)

    def count(self, work):
        """Instructions executed during some work, and how long it took in seconds."""
        self.control("--zero")
        begun = time.monotonic()
        work()
        seconds = time.monotonic() - begun
        self.control("--dump")
        newest = max(self.out.parent.glob("callgrind.out.*"), key=lambda path: path.stat().st_mtime)
        total = re.findall(r"^(?:totals|summary): (\d+)", newest.read_text(), re.M)
        newest.unlink()
        return int(total[-1]), seconds

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        if self.process.wait(300) != 0:
            sys.exit("the service did not end well")
        self.log.close()


def post(connection, path, body):
    connection.request("POST", path, json.dumps(body), HEADERS)
    answer = connection.getresponse()
    told = answer.read()
    if answer.status != 201:
        sys.exit(f"{path}: {answer.status} {told.decode()}")


def book(port, numbers):
    """Makes these bookings over one connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
    for number in numbers:
        begin = datetime(2099, 1, 1) + timedelta(days=number // CARS)
        post(connection, "/v1/reservations", {
            "carNo": f"car{number % CARS}", "customerNo": f"customer{number % 7}",
            "from": begin.strftime("%FT%TZ"), "to": (begin + timedelta(days=1)).strftime("%FT%TZ"),
            "payment": {"method": "card", "token": "tok-1"},
        })
    connection.close()


def book_over(connections, port, first, count):
    shares = [range(first + share, first + count, connections) for share in range(connections)]
    threads = [threading.Thread(target=book, args=(port, share)) for share in shares]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def measure(program, connections, tokens):
    with tempfile.TemporaryDirectory(dir="/var/tmp") as scratch:
        settings = SETTINGS | (with_tokens(program, Path(scratch)) if tokens else {})
        # Cars and the first bookings are read from sorted runs, as in a store that is in use.
        service = Service(program, Path(scratch), settings)
        connection = http.client.HTTPConnection("127.0.0.1", service.port, timeout=600)
        for number in range(CARS):
            rate = {"amount": 45000, "currency": "KRW"}
            post(connection, "/v1/cars", {
                "carNo": f"car{number}", "model": "Avante", "carClass": "compact", "branch": "Seoul", "dailyRate": rate,
            })
        connection.close()
        book_over(connections, service.port, 0, WARM_UP // 2)
        service.end()
        service = Service(program, Path(scratch), settings)
        book_over(connections, service.port, WARM_UP // 2, WARM_UP // 2)
        idle, idle_seconds = service.count(lambda: time.sleep(IDLE_SECONDS))
        busy, seconds = service.count(lambda: book_over(connections, service.port, WARM_UP, BOOKINGS))
        service.end()
    return (busy - idle / idle_seconds * seconds) / BOOKINGS


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", action="store_true")
    parser.add_argument("program", nargs="?", type=Path)
    arguments = parser.parse_args()
    program = arguments.program
    if program is None:
        subprocess.run(["cargo", "build", "--locked", "--profile", "dist", "--bin", "rentcar"], cwd=ROOT, check=True)
        program = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "dist" / "rentcar"
    failed = False
    for connections in CONNECTIONS:
        figures = []
        for run in range(RUNS):
            figures.append(measure(program, connections, arguments.tokens))
            print(f"{connections} connections, run {run + 1}: {figures[-1]:,.0f} instructions a booking", flush=True)
        spread = (max(figures) - min(figures)) / statistics.median(figures)
        print(f"{connections} connections: {statistics.median(figures):,.0f}, spread {spread:.1%}", flush=True)
        failed |= spread > SPREAD_MAX
    if failed:
        sys.exit("the runs lie too far apart")


if __name__ == "__main__":
    main()
