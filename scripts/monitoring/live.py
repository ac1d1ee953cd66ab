#!/usr/bin/env python3
"""Injects faults into a running service under traffic, and waits until exactly the right alerts fire and end again.
Then asks what the dashboard asks, which by now has something to show everywhere.

Runs the payment provider and Prometheus itself; scripts/alerts.sh runs the service.
"""

import argparse
import json
import os
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import dashboard

MIB = 1024 * 1024
# How long anything that is waited for may take.
WAIT_SECONDS_MAX = 60
# For how long exactly the expected alerts must go on firing, in seconds of the fast clock: two minutes.
STEADY_SECONDS = 120
# How long it is quiet first.
QUIET_SECONDS = 360
# The small disk loses half of its room within what the fast clock calls minutes: the prediction is right, and may fire.
PREDICTION = "RentcarDiskWillFill"
# New business is rejected below 64 MiB (`store.disk_free_mib_min`).
FILLED = [(700, "RentcarDiskFilling"), (40, "RentcarStorageFull")]


def call(url, body=None):
    """The status and the body of an answer; a body is posted as JSON."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
    try:
        with urllib.request.urlopen(request, timeout=10) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def until(condition, what):
    """Waits for it; `what` says what is wrong when it does not come about."""
    deadline = time.monotonic() + WAIT_SECONDS_MAX
    while not condition():
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: within {WAIT_SECONDS_MAX} s {what()}")
        time.sleep(0.1)


@contextmanager
def process(command, log):
    with log.open("ab") as output:
        started = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield started
    finally:
        started.terminate()
        started.wait(10)


class Traffic(threading.Thread):
    """Some customers who search, reserve and pay, each time for another day."""

    CARS = 50

    def __init__(self, url):
        super().__init__(daemon=True)
        self.url, self.answers, self.stopped = url, {}, threading.Event()
        for number in range(self.CARS):
            rate = {"amount": 45000, "currency": "KRW"}
            car = {"carNo": f"car{number}", "model": "Avante", "carClass": "compact", "branch": "Seoul", "dailyRate": rate}
            assert call(f"{url}/v1/cars", car)[0] == 201

    def book(self, number):
        begin = datetime.now(UTC).replace(microsecond=0) + timedelta(days=2 + number // self.CARS)
        period = {"from": begin.strftime("%FT%TZ"), "to": (begin + timedelta(hours=20)).strftime("%FT%TZ")}
        payment = {"payment": {"method": "card", "token": "tok-1"}}
        booking = {"carNo": f"car{number % self.CARS}", "customerNo": f"customer{number % 7}"} | period | payment
        status, _ = call(f"{self.url}/v1/reservations", booking)
        self.answers[status] = self.answers.get(status, 0) + 1
        call(f"{self.url}/v1/availability?" + urllib.parse.urlencode(period))

    def run(self):
        number = 0
        while not self.stopped.wait(0.1):
            self.book(number)
            number += 1


class Prometheus:
    def __init__(self, port, faster):
        self.url, self.faster, self.begun = f"http://127.0.0.1:{port}", faster, None

    def ask(self, path, **query):
        status, body = call(f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(query)}")
        return json.loads(body)["data"] if status == 200 else None

    def is_scraping(self):
        try:
            targets = self.ask("targets") or {"activeTargets": []}
        except OSError:
            return False
        return any(target["health"] == "up" for target in targets["activeTargets"])

    def firing(self):
        alerts = [alert for alert in self.ask("alerts")["alerts"] if alert["state"] == "firing"]
        for alert in alerts:
            told = alert["annotations"]
            # What a template cannot render is written out like this.
            if not all(told.get(name) for name in ("summary", "description", "runbook_url")) or "<" in str(told):
                sys.exit(f"FAILED: an alert that cannot be read: {alert}")
        found = ((alert["labels"]["alertname"], alert["annotations"]["summary"]) for alert in alerts)
        return sorted((name, summary) for name, summary in found if name != PREDICTION)

    def lag(self, context):
        """By how many events the subscriptions of a context are behind."""
        found = self.ask("query", query=f'sum(rentcar_subscription_lag_events{{subscription=~"{context}-.*"}})')
        return float(found["result"][0]["value"][1])

    def ever_fired(self):
        seconds = int(time.monotonic() - self.begun)
        found = self.ask("query", query=f'group by (alertname) (last_over_time(ALERTS{{alertstate="firing"}}[{seconds}s]))')
        return {sample["metric"]["alertname"] for sample in found["result"]} - {PREDICTION}

    def expect(self, names, why):
        """Waits until exactly these fire, and sees that it stays so."""
        begun = time.monotonic()
        until(
            lambda: [name for name, _ in self.firing()] == names,
            lambda: f"{why}: {names or 'nothing'} should fire, and {self.firing() or 'nothing'} does",
        )
        took = time.monotonic() - begun
        told = "; ".join(f"{name}: {summary}" for name, summary in self.firing()) or "nothing fires"
        print(f"{why}: {told} (after {took:.0f} s)", flush=True)
        self.stays(names, STEADY_SECONDS, why)

    def stays(self, names, seconds, why):
        ends = time.monotonic() + seconds / self.faster
        while time.monotonic() < ends:
            if (found := [name for name, _ in self.firing()]) != names:
                sys.exit(f"FAILED: {why}: {self.firing()} fires, and not {names}")
            time.sleep(0.2)


def show(prometheus):
    """Asks every query of the dashboard. Only what is shown while it is above 0, or fires, may show nothing."""
    queries = dashboard.expressions(json.loads(dashboard.FILE.read_text()))
    lacking = []
    for query in queries:
        found = prometheus.ask("query", query=query)
        if found is None or not (found["result"] or query.endswith("> 0") or query.startswith("ALERTS")):
            lacking.append(f"{'an error' if found is None else 'nothing'}: {query}")
    if lacking:
        sys.exit("FAILED: the dashboard shows\n" + "\n".join(lacking))
    print(f"{len(queries)} queries of the dashboard show something")


def fill(file, free_mib):
    """Makes the file so large that only so much is left on its disk."""
    disk = os.statvfs(file.parent)
    size = file.stat().st_size if file.exists() else 0
    with file.open("ab") as opened:
        os.posix_fallocate(opened.fileno(), 0, size + disk.f_bavail * disk.f_frsize - free_mib * MIB)


def fault(url, context, action):
    status, body = call(f"{url}/v1/admin/faults", {"context": context, "action": action})
    assert status == 204, body


def live(options, prometheus, provider, log):
    # Prometheus hands targets over after five seconds: until then there is no `up`, as if nobody were scraped.
    until(lambda: not prometheus.firing(), lambda: f"{prometheus.firing()} did not end after the start")
    prometheus.begun = time.monotonic() + 1
    prometheus.stays([], QUIET_SECONDS, "a quiet time")
    print("a quiet time: nothing fires", flush=True)
    expected = set()

    provider.kill()
    provider.wait()
    prometheus.expect(["RentcarPaymentProviderDown"], "the payment provider is killed")
    expected.add("RentcarPaymentProviderDown")
    with process(options.provider, log):
        prometheus.expect([], "the payment provider is back")

        filler = options.disk / "filler"
        for free_mib, name in FILLED:
            fill(filler, free_mib)
            prometheus.expect([name], f"{free_mib} MiB are left on the disk")
            expected.add(name)
        filler.unlink()
        prometheus.expect([], "there is room again")

        fault(options.url, "fleet", "stop")
        prometheus.expect(["RentcarComponentDown"], "Fleet is stopped")
        expected.add("RentcarComponentDown")
        seen = prometheus.lag("fleet")
        until(lambda: prometheus.lag("fleet") > seen > 0, lambda: f"the lag of Fleet does not grow: {seen} events")
        fault(options.url, "fleet", "start")
        prometheus.expect([], "Fleet is started")
        until(lambda: prometheus.lag("fleet") < seen, lambda: f"Fleet does not catch up: {prometheus.lag('fleet')} events")
        print(f"its lag grew to more than {seen:.0f} events, and is gone", flush=True)

        if (ever := prometheus.ever_fired()) != expected:
            sys.exit(f"FAILED: {sorted(ever)} fired at some time, and not just {sorted(expected)}")


def main():
    parser = argparse.ArgumentParser()
    for name, kind in [("rentcar", str), ("url", str), ("provider-port", int), ("disk", Path), ("prometheus-port", int),
                       ("config", Path), ("faster", int)]:
        parser.add_argument(f"--{name}", type=kind, required=True)
    options = parser.parse_args()
    options.provider = [options.rentcar, "provider", "--listen", f"127.0.0.1:{options.provider_port}"]
    home = options.config.parent
    command = ["prometheus", f"--config.file={options.config}", f"--storage.tsdb.path={home / 'prometheus'}",
               f"--web.listen-address=127.0.0.1:{options.prometheus_port}", "--log.level=warn"]
    log = home / "others"
    with process(options.provider, log) as provider, process(command, log) as server:
        prometheus = Prometheus(options.prometheus_port, options.faster)
        try:
            until(prometheus.is_scraping, lambda: "Prometheus did not scrape the service")
            traffic = Traffic(options.url)
            traffic.start()
            live(options, prometheus, provider, log)
            print(f"reservations were answered {dict(sorted(traffic.answers.items()))}")
            # What the failure model says that customers see: 202 without the provider, 503 without room, and 201.
            if not traffic.is_alive() or set(traffic.answers) != {201, 202, 503}:
                sys.exit("FAILED: customers saw something else")
            traffic.stopped.set()
            show(prometheus)
        except BaseException:
            sys.stderr.write(f"--- the logs of the provider and of Prometheus end:\n{log.read_text()[-3000:]}\n")
            raise
        assert server.poll() is None, "Prometheus has ended"


if __name__ == "__main__":
    main()
