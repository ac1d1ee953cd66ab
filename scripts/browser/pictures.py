"""Makes pictures of all pages of a running service, which it fills first.

pictures.py URL KEY DIRECTORY: KEY is an API key that may do everything. Prints a line for each picture. Fails when a page
cannot be shown or when the browser's log has an error.
"""

import base64
import datetime
import json
import shutil
import subprocess
import sys
import tempfile
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

PASSWORD = "correct horse battery"
LANGUAGES = ("en", "ko")
WIDTHS = (390, 1280)
SCHEMES = ("light", "dark")
SEOUL = datetime.timezone(datetime.timedelta(hours=9))
# No picture is longer, in pixels.
HEIGHT_MAX = 4000

# Every page: who looks at it, what its pictures are called, and its address with the names of what `fill` has made.
PAGES = [
    ("nobody", "start", "/"),
    ("nobody", "search", "/?fromDay={day}&fromTime=10:00&toDay={end_day}&toTime=10:00"),
    ("nobody", "search-nothing", "/?fromDay={day}&fromTime=10:00&toDay={end_day}&toTime=10:00&branch=Incheon"),
    ("nobody", "search-wrong", "/?fromDay={end_day}&fromTime=10:00&toDay={day}&toTime=10:00"),
    ("nobody", "book-signed-out", "/book?carNo={car}&from={from}&to={to}"),
    ("nobody", "sign-in", "/sign-in"),
    ("nobody", "sign-up", "/sign-up"),
    ("nobody", "forgotten-password", "/forgotten-password"),
    ("nobody", "reset-password", "/reset-password"),
    ("nobody", "api", "/api"),
    ("nobody", "not-found", "/nothing-here"),
    ("customer", "book", "/book?carNo={car}&from={from}&to={to}"),
    ("customer", "reservation-paid", "/reservations/{paid}?done=booked"),
    ("customer", "reservation-held", "/reservations/{held}"),
    ("customer", "reservation-declined", "/reservations/{declined}?done=declined"),
    ("customer", "reservation-later", "/reservations/{later}"),
    ("customer", "reservation-cancelled", "/reservations/{cancelled}"),
    ("customer", "reservation-out", "/reservations/{out}"),
    ("customer", "change", "/reservations/{paid}/change?fromDay={day}&fromTime=10:00&toDay={end_day}&toTime=10:00"),
    ("customer", "cancellation", "/reservations/{soon}/cancellation"),
    ("customer", "my-page", "/my"),
    ("customer", "account", "/account"),
    ("customer", "erasure", "/account/erasure"),
    ("staff", "desk", "/staff/desk"),
    ("staff", "board", "/staff/board"),
    ("staff", "board-month", "/staff/board?span=month"),
    ("staff", "board-list", "/staff/board?view=list"),
    ("staff", "hand-over", "/staff/rentals/{rental}/pickup"),
    ("staff", "take-back", "/staff/rentals/{rental_out}/return"),
    ("staff", "cars", "/staff/cars"),
    ("staff", "car", "/staff/cars/{car}"),
    ("staff", "car-new", "/staff/cars/new"),
    ("staff", "retirement", "/staff/cars/{car}/retirement"),
    ("staff", "customers", "/staff/customers"),
    ("staff", "customer", "/staff/customers/{customer}"),
    ("staff", "customer-new", "/staff/customers/new"),
    ("staff", "customer-erasure", "/staff/customers/{customer}/erasure"),
    ("staff", "history-car", "/staff/history/cars/{car}"),
    ("staff", "history-reservation", "/staff/history/reservations/{cancelled}"),
    ("operator", "operation", "/operation"),
    ("operator", "audit", "/operation/audit"),
    ("staff", "book-for-customer", "/book?carNo={car}&from={from}&to={to}"),
    ("staff", "cancellation-waived", "/reservations/{soon}/cancellation"),
]
# Pages whose status is not 200.
STATUSES = {"not-found": 404}

CARS = [
    ("12가3401", "Casper", 39_000, "compact", "Seoul"),
    ("12가3402", "Avante", 45_000, "compact", "Seoul"),
    ("31나7713", "K5", 59_000, "midsize", "Seoul"),
    ("31나7714", "Sonata", 62_000, "midsize", "Gimpo"),
    ("45다1180", "Ioniq 5", 72_000, "electric", "Seoul"),
    ("45다1181", "EV6", 75_000, "electric", "Jeju"),
    ("45다1182", "Kona Electric", 58_000, "electric", "Jeju"),
    ("58라9021", "Sorento", 79_000, "suv", "Gimpo"),
    ("58라9022", "Santa Fe", 82_000, "suv", "Busan"),
    ("66마4410", "Carnival", 95_000, "van", "Busan"),
    ("66마4411", "Staria", 99_000, "van", "Gimpo"),
    ("70바5567", "G80", 128_000, "luxury", "Seoul"),
]
NAMES = ["Kim Minji", "Lee Jiwoo", "Park Seojun", "Choi Yuna", "Jung Hana", "Kang Doyun", "Yoon Sora"]

# Whatever proxy the environment names, these go to this machine.
web = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def send(method, address, body=None, headers=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, {"Content-Type": "application/json", **(headers or {})}, method=method)
    try:
        with web.open(request, timeout=60) as answer:
            text = answer.read()
    except urllib.error.HTTPError as error:
        raise SystemExit(f"FAILED: {method} {address}: {error.code} {error.read().decode()[:500]}") from error
    return json.loads(text) if text else None


def fill(url, key):
    """Fills the service; returns the names that addresses of pages have in braces."""

    def call(method, path, body=None):
        return send(method, url + path, body, {"Authorization": f"Bearer {key}"})

    now = datetime.datetime.now(SEOUL).replace(minute=0, second=0, microsecond=0) + datetime.timedelta(hours=1)
    ten = now.replace(hour=10)
    at = lambda days: (ten + datetime.timedelta(days=days)).isoformat()
    card = {"method": "card", "token": "tok-visa"}
    quoted = urllib.parse.quote

    for number, model, rate, car_class, branch in CARS:
        rate = {"amount": rate, "currency": "KRW"}
        call("POST", "/v1/cars", {"carNo": number, "model": model, "dailyRate": rate, "carClass": car_class,
                                  "branch": branch, "registeredOn": "2025-03-02"})
    for role in ("staff", "operator"):
        call("POST", "/v1/admin/accounts", {"email": f"{role}@example.com", "password": PASSWORD, "role": role})
    customers = []
    for name in NAMES:
        email = name.split()[1].lower() + "@example.com"
        person = {"email": email, "password": PASSWORD, "name": name, "phone": "+82-10-1234-5678"}
        customers.append(call("POST", "/v1/accounts", person)["customerNo"])
    minji = customers[0]

    def reserve(car, customer, begin, end, paid=True):
        body = {"carNo": CARS[car][0], "customerNo": customer, "from": begin, "to": end}
        return call("POST", "/v1/reservations", {**body, "payment": card} if paid else body)["reservationNo"]

    def rental_of(reservation):
        """Its number, which follows the payment a moment later."""
        while True:
            rental = call("GET", f"/v1/reservations/{reservation}").get("rentalNo")
            if rental:
                return rental

    # What others have booked, so that lists and the board have something to show; two cars are left for Minji.
    for car in set(range(len(CARS))) - {0, 4}:
        for turn in range(4):
            begin = 1 + car * 2 % 5 + turn * 6
            reserve(car, customers[1 + (car + turn) % (len(customers) - 1)], at(begin), at(begin + 2 + (car + turn) % 3))

    soon = (now + datetime.timedelta(hours=3)).isoformat()
    names = {
        "car": quoted(CARS[4][0]), "from": quoted(at(8)), "to": quoted(at(10)), "customer": quoted(minji),
        "day": at(8)[:10], "end_day": at(11)[:10],
        "paid": reserve(0, minji, at(3), at(5)),
        "held": reserve(0, minji, at(20), at(22), paid=False),
        "cancelled": reserve(0, minji, at(24), at(26)),
        "soon": reserve(4, minji, soon, at(2)),
        "out": reserve(0, minji, (now + datetime.timedelta(minutes=5)).isoformat(), at(2)),
    }
    call("POST", f"/v1/reservations/{names['cancelled']}/cancellation")
    names["rental"], names["rental_out"] = (rental_of(names[name]) for name in ("soon", "out"))
    call("POST", f"/v1/rentals/{names['rental_out']}/pickup", {"odometerKm": 18_204, "fuelPercent": 90})

    provider = call("GET", "/v1/admin/payment-provider")
    call("PUT", "/v1/admin/payment-provider", {**provider, "declineRate": 1.0})
    names["declined"] = reserve(4, minji, at(30), at(32), paid=False)
    try:
        call("POST", f"/v1/reservations/{names['declined']}/payment", card)
    except SystemExit as refusal:
        if "payment_declined" not in str(refusal):
            raise
    call("PUT", "/v1/admin/payment-provider", provider)
    # It stays like this as long as the pictures are made.
    call("POST", "/v1/admin/payment/breaker", {"state": "FORCED_OPEN"})
    names["later"] = reserve(4, minji, at(34), at(36))
    return names


class Browser:
    """Chromium by ChromeDriver."""

    def __init__(self, url):
        self.url = url
        self.profile = tempfile.mkdtemp()
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        line = next(line for line in self.driver.stdout if "successfully on port" in line)
        self.base = "http://127.0.0.1:" + line.rsplit(" ", 1)[1].strip().rstrip(".")
        arguments = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-quic",
                     "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
                     "--hide-scrollbars", "--lang=en", f"--user-data-dir={self.profile}"]
        wanted = {"browserName": "chrome", "goog:loggingPrefs": {"browser": "ALL"}, "goog:chromeOptions": {"args": arguments}}
        made = send("POST", self.base + "/session", {"capabilities": {"alwaysMatch": wanted}})["value"]
        self.base += "/session/" + made["sessionId"]

    def call(self, method, path, body=None):
        return send(method, self.base + path, body)["value"]

    def devtools(self, command, **parameters):
        return self.call("POST", "/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script):
        return self.call("POST", "/execute/sync", {"script": script, "args": []})

    def go(self, path):
        """Opens a page; returns its status."""
        self.call("POST", "/url", {"url": self.url + path})
        return self.run("return performance.getEntriesByType('navigation')[0].responseStatus")

    def look(self, language, width, scheme):
        self.devtools("Network.enable")
        self.devtools("Network.setExtraHTTPHeaders", headers={"Accept-Language": language})
        self.devtools("Emulation.setDeviceMetricsOverride", width=width, height=800, deviceScaleFactor=1, mobile=width < 500)
        self.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])

    def sign_in(self, email):
        self.go("/sign-in?next=/sign-up")
        for name, text in (("email", email), ("password", PASSWORD)):
            field = self.call("POST", "/element", {"using": "css selector", "value": f"[name={name}]"})
            self.call("POST", f"/element/{next(iter(field.values()))}/value", {"text": text})
        button = self.call("POST", "/element", {"using": "css selector", "value": "main form button"})
        self.call("POST", f"/element/{next(iter(button.values()))}/click", {})

    def picture(self, file):
        height = self.run("return document.documentElement.scrollHeight")
        width = self.run("return innerWidth")
        clip = {"x": 0, "y": 0, "width": width, "height": min(height, HEIGHT_MAX), "scale": 1}
        picture = self.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=clip)
        file.write_bytes(base64.b64decode(picture["data"]))

    def errors(self):
        """What the log has since it was read last, but for answers that are refusals."""
        entries = self.call("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in entries if entry["level"] == "SEVERE" and entry["source"] != "network"]

    def end(self):
        # Killed, it would leave its browser behind.
        web.open(self.base.split("/session/")[0] + "/shutdown", timeout=30).close()
        self.driver.wait()
        shutil.rmtree(self.profile, ignore_errors=True)


def main():
    url, key, directory = sys.argv[1], sys.argv[2], Path(sys.argv[3])
    shutil.rmtree(directory, ignore_errors=True)
    directory.mkdir(parents=True)
    names = fill(url, key)
    people = {"customer": "minji@example.com", "staff": "staff@example.com", "operator": "operator@example.com"}
    wrong = []
    for who in dict.fromkeys(who for who, _, _ in PAGES):
        browser = Browser(url)
        try:
            if who in people:
                browser.sign_in(people[who])
            for _, name, path in (page for page in PAGES if page[0] == who):
                for language in LANGUAGES:
                    for width in WIDTHS:
                        for scheme in SCHEMES:
                            browser.look(language, width, scheme)
                            status = browser.go(path.format_map(names))
                            if status != STATUSES.get(name, 200):
                                wrong.append(f"{name}: answered {status}")
                            file = directory / f"{name}-{language}-{width}-{scheme}.png"
                            browser.picture(file)
                            print(f"{file} {file.stat().st_size // 1024} KiB", flush=True)
                wrong += [f"{name}: {error}" for error in browser.errors()]
        finally:
            browser.end()
    for line in dict.fromkeys(wrong):
        print(f"FAILED: {line}", file=sys.stderr)
    sys.exit(bool(wrong))


main()
