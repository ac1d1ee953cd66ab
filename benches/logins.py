#!/usr/bin/env python3
"""What a flood of sign-ins costs bookings, and how long somebody who knows their password waits meanwhile.

Starts a service with accounts on an empty store. In turns, customers book without a flood, beside as many requests of the same
size for nothing that is there, and beside a flood of sign-ins from many addresses (as a trusted proxy tells them): unknown mail
addresses, and one account with wrong passwords. The second of the three shows what the requests cost whatever they ask.

    cargo build --release && benches/logins.py target/release/rentcar [seconds of a turn] [turns] [flood per second]
"""

import asyncio
import json
import multiprocessing
import os
import random
import statistics
import subprocess
import sys
import tempfile
import time

PASSWORD = "correct horse battery"
CARS = 3000
BOOKERS = 16
FLOOD_CONNECTIONS = 2_000
ADDRESSES = 1000
DAY_S = 86_400


class Client:
    """One connection that speaks HTTP/1.1."""

    def __init__(self, port, headers=()):
        self.port, self.headers, self.streams = port, list(headers), None

    async def ask(self, method, path, body=None, headers=()):
        if self.streams is None:
            self.streams = await asyncio.open_connection("127.0.0.1", self.port)
        reader, writer = self.streams
        text = json.dumps(body).encode() if body is not None else b""
        lines = [f"{method} {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", f"Content-Length: {len(text)}"]
        if body is not None:
            lines.append("Content-Type: application/json")
        lines += [f"{name}: {value}" for name, value in [*self.headers, *headers]]
        writer.write("\r\n".join([*lines, "", ""]).encode() + text)
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        pairs = [line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line]
        fields = {name.lower(): value for name, value in pairs}
        answer = await reader.readexactly(int(fields.get("content-length", 0)))
        if fields.get("connection", "").lower() == "close":
            writer.close()
            self.streams = None
        return int(head.split()[1]), fields, answer


def day(number):
    return time.strftime("%Y-%m-%dT00:00:00Z", time.gmtime((time.time() // DAY_S + 2 + number) * DAY_S))


async def sign_in(port, email, address, password=PASSWORD):
    client = Client(port)
    begun = time.monotonic()
    status, fields, answer = await client.ask("POST", "/v1/session", {"email": email, "password": password},
                                              [("X-Forwarded-For", address), ("X-Forwarded-Proto", "https")])
    return status, fields, answer, time.monotonic() - begun


async def session(port, email):
    status, fields, answer, _ = await sign_in(port, email, "10.9.9.9")
    assert status == 201, (status, answer)
    return [("Cookie", fields["set-cookie"].split(";")[0]),
            ("Origin", f"https://127.0.0.1:{port}"), ("X-Forwarded-Proto", "https"), ("X-Form-Token", json.loads(answer)["formToken"])]


async def book(port, headers, first, seconds):
    """Books until the time is over; returns how often it worked."""
    until, numbers, booked = time.monotonic() + seconds, iter(range(first, 10**9)), 0

    async def one():
        nonlocal booked
        client = Client(port, headers)
        while time.monotonic() < until:
            number = next(numbers)
            wish = {"carNo": f"car-{number % CARS}", "customerNo": "bench", "from": day(number // CARS),
                    "to": day(number // CARS + 1), "payment": {"method": "card", "token": "tok"}}
            status, _, answer = await client.ask("POST", "/v1/reservations", wish)
            assert status == 201, (status, answer)
            booked += 1

    await asyncio.gather(*(one() for _ in range(BOOKERS)))
    return booked / seconds, next(numbers)


async def flood(port, kind, per_second, seconds, answered):
    """Asks at a rate, whether it is answered or not: over so many connections that those which wait keep no other from asking."""
    until, free = time.monotonic() + seconds, [Client(port) for _ in range(FLOOD_CONNECTIONS)]
    tasks = set()

    async def one(client):
        address = f"172.16.{random.randrange(ADDRESSES) // 250}.{random.randrange(250)}"
        try:
            known = random.random() < 0.5
            email = "victim@example.com" if known else f"{random.random()}@example.com"
            body = {"email": email, "password": "wrong horse battery"}
            path = "/v1/session" if kind == "sign-ins" else "/v1/nothing"
            status, _, _ = await client.ask("POST", path, body,
                                            [("X-Forwarded-For", address), ("X-Forwarded-Proto", "https")])
            answered[status] = answered.get(status, 0) + 1
        except (OSError, asyncio.IncompleteReadError):
            client.streams = None
        free.append(client)

    next_at = time.monotonic()
    while time.monotonic() < until:
        next_at += 1 / per_second
        await asyncio.sleep(max(0, next_at - time.monotonic()))
        if free:
            task = asyncio.create_task(one(free.pop()))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
    await asyncio.gather(*tasks)


def run_flood(port, kind, per_second, seconds, results):
    answered = {}
    asyncio.run(flood(port, kind, per_second, seconds, answered))
    results.put(answered)


async def right_logins(port, seconds):
    """Somebody signs in every second, and tries again as they are told; how long each took."""
    until, took = time.monotonic() + seconds - 5, []
    while time.monotonic() < until:
        begun = time.monotonic()
        while True:
            status, fields, _, _ = await sign_in(port, "kim@example.com", "10.1.1.1")
            if status == 201:
                break
            await asyncio.sleep(min(1.0, float(fields.get("retry-after", 1))))
        took.append(time.monotonic() - begun)
        await asyncio.sleep(1)
    return took


def processor_seconds(pid):
    """The processor time that the service has had."""
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return sum(int(field) for field in fields[11:13]) / os.sysconf("SC_CLK_TCK")


def hashing_seconds(pid):
    """The processor time that the threads which hash passwords have had."""
    ticks = 0
    for task in os.scandir(f"/proc/{pid}/task"):
        with open(f"{task.path}/stat", encoding="utf-8") as stat:
            name, rest = stat.read().split("(", 1)[1].rsplit(")", 1)
        if name == "passwords":
            ticks += sum(int(field) for field in rest.split()[11:13])
    return ticks / os.sysconf("SC_CLK_TCK")


async def measure(port, pid, seconds, turns, per_second):
    staff = await session(port, "staff@example.com")
    client = Client(port, staff)
    for number in range(CARS):
        car = {"carNo": f"car-{number}", "model": "Kia Ray", "dailyRate": {"amount": 1000, "currency": "KRW"}}
        status, _, answer = await client.ask("POST", "/v1/cars", car)
        assert status == 201, (status, answer)
    for name in ["kim", "victim"]:
        body = {"email": f"{name}@example.com", "password": PASSWORD, "name": name, "phone": "010"}
        status, _, answer = await Client(port).ask("POST", "/v1/accounts", body, [("X-Forwarded-Proto", "https")])
        assert status == 201, (status, answer)
    spent, figures, logins, told, first = 0.0, {"nothing": [], "posts": [], "sign-ins": []}, [], {}, 0
    made = {kind: [] for kind in figures}
    _, first = await book(port, staff, first, 5)
    for turn in range(turns):
        # In another order each turn, so that what the machine does meanwhile meets all of them alike.
        for kind in random.sample(list(figures), len(figures)):
            results = multiprocessing.Queue()
            flooding = multiprocessing.Process(target=run_flood, args=(port, kind, per_second, seconds, results))
            if kind != "nothing":
                flooding.start()
            before, used = hashing_seconds(pid), processor_seconds(pid)
            tasks = [book(port, staff, first, seconds)]
            if kind == "sign-ins":
                tasks.append(right_logins(port, seconds))
            (rate, first), *rest = await asyncio.gather(*tasks)
            spent += hashing_seconds(pid) - before
            made[kind].append(rate * seconds / (processor_seconds(pid) - used))
            figures[kind].append(rate)
            logins += rest[0] if rest else []
            if kind != "nothing":
                for status, count in results.get().items():
                    told[kind, status] = told.get((kind, status), 0) + count
                flooding.join()
            print(f"turn {turn + 1}, beside {kind}: {rate:.0f} bookings/s", flush=True)
    median = {kind: statistics.median(rates) for kind, rates in figures.items()}
    print(f"medians: {', '.join(f'{kind} {rate:.0f}/s' for kind, rate in median.items())}")
    for other in ["nothing", "posts"]:
        ratios = sorted(flooded / calm - 1 for flooded, calm in zip(figures["sign-ins"], figures[other]))
        within = f"turns {ratios[0]:+.1%} to {ratios[-1]:+.1%}"
        print(f"beside sign-ins against beside {other}: {statistics.median(ratios):+.1%} in the median, {within}")
    # What floods runs on the same processors: this leaves it out.
    per_second = {kind: statistics.median(counts) for kind, counts in made.items()}
    shown = ", ".join(f"{kind} {count:.0f}" for kind, count in per_second.items())
    print(f"bookings per second of processor of the service: {shown}")
    print(f"of those beside sign-ins against beside nothing: {per_second['sign-ins'] / per_second['nothing'] - 1:+.1%}")
    print(f"{len(logins)} right sign-ins: median {statistics.median(logins):.2f} s, longest {max(logins):.2f} s")
    share = spent / (turns * seconds * os.cpu_count())
    print(f"hashing had {share:.1%} of {os.cpu_count()} processors")
    print(f"answers to the flood: {told}")


def main():
    binary = os.path.abspath(sys.argv[1])
    seconds, turns, per_second = (int(sys.argv[place]) if len(sys.argv) > place else default
                                  for place, default in [(2, 10), (3, 9), (4, 500)])
    with tempfile.TemporaryDirectory() as directory:
        key = os.path.join(directory, "master.key")
        with open(key, "w", opener=lambda path, flags: os.open(path, flags, 0o600)) as file:
            file.write(os.urandom(32).hex() + "\n")
        environment = {**os.environ, "RENTCAR__ACCOUNTS__ENABLED": "true", "RENTCAR__PRIVACY__MASTER_KEY_FILE": key,
                       "RENTCAR__SERVER__TRUSTED_PROXIES": "1", "RENTCAR__LOG__FILTER": "error",
                       "RENTCAR__RESERVATION__UNPAID_HOLDS_PER_CUSTOMER_MAX": "0"}
        data = ["--data", os.path.join(directory, "data")]
        user = [binary, "user", "new", "--email", "staff@example.com", "--role", "staff", *data]
        subprocess.run(user, input=PASSWORD + "\n", text=True, check=True, env=environment, stdout=subprocess.DEVNULL)
        command = [binary, "serve", "--listen", "127.0.0.1:0", *data]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as server:
            try:
                port = int(server.stdout.readline().split("http://127.0.0.1:")[1].split()[0])
                asyncio.run(measure(port, server.pid, seconds, turns, per_second))
            finally:
                server.terminate()


if __name__ == "__main__":
    main()
