#!/usr/bin/env python3
"""What the pages weigh, and what one costs of processor: of the service that `rentcar demo --stay` fills (30 cars, a month of
bookings), each asked for 300 times over one connection, the processor time of the whole process divided by that.

    cargo build --release && benches/pages.py target/release/rentcar
"""

import http.client
import os
import re
import subprocess
import sys
import urllib.parse

TIMES = 300
WARM_UP = 30
PAGES = {
    "customer": ["/", "/?fromDay={day}&fromTime=10:00&toDay={later}&toTime=10:00", "/my", "/account"],
    "staff": ["/staff/desk", "/staff/board", "/staff/board?span=month", "/staff/board?view=list", "/staff/cars",
              "/staff/customers"],
    "operator": ["/operation", "/operation/audit", "/api"],
}
HEADERS = {"Accept": "text/html,application/xhtml+xml"}


def processor_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="utf-8") as stat:
        fields = stat.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(connection, method, path, body=None, headers=None):
    connection.request(method, path, body, HEADERS | (headers or {}))
    answer = connection.getresponse()
    return answer, answer.read()


def sign_in(connection, email, password):
    form = urllib.parse.urlencode({"email": email, "password": password})
    answer, _ = ask(connection, "POST", "/sign-in", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert answer.status == 303, answer.status
    return {"Cookie": answer.getheader("Set-Cookie").split(";")[0]}


def main():
    from datetime import date, timedelta
    day, later = (str(date.today() + timedelta(days=days)) for days in [3, 6])
    command = [os.path.abspath(sys.argv[1]), "demo", "--stay", "--listen", "127.0.0.1:0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as demo:
        said = ""
        while "Ctrl-C" not in said:
            said += demo.stdout.readline()
        port = int(re.search(r"http://127\.0\.0\.1:(\d+)", said)[1])
        print(f"{'page':60} {'KB':>6} {'ms':>6}")
        for who, paths in PAGES.items():
            email, password = re.search(rf"{who}\s+(\S+@\S+)\s+(\S+)", said).groups()
            connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
            cookie = sign_in(connection, email, password)
            for path in paths:
                path = path.format(day=day, later=later)
                for _ in range(WARM_UP):
                    answer, html = ask(connection, "GET", path, headers=cookie)
                    assert answer.status == 200, (path, answer.status)
                before = processor_seconds(demo.pid)
                for _ in range(TIMES):
                    ask(connection, "GET", path, headers=cookie)
                spent = (processor_seconds(demo.pid) - before) / TIMES
                print(f"{path:60} {len(html) / 1024:6.1f} {spent * 1000:6.2f}", flush=True)
        demo.terminate()


if __name__ == "__main__":
    main()
