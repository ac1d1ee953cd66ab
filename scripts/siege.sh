#!/usr/bin/env bash
# The load lines of the services that this one replaces: 200 readers of /carManagements, and writers of cars and
# reservations, each with an availability of 100 %.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v siege >/dev/null || fail "siege is missing: run scripts/install-tools.sh"
# A debug build takes eight times as long for a request as what is deployed, so that a slow machine would have it shed
# readers; that it sheds is tested elsewhere.
RENTCAR__SERVER__SHED_SCHEDULING_DELAY_MS=0 start_server

# siege takes its settings from a file; nobody's home directory is asked.
cat >"$scratch/siegerc" <<'SETTINGS'
verbose = false
quiet = false
color = off
json_output = true
logging = false
show-logfile = false
protocol = HTTP/1.1
connection = close
parser = false
limit = 255
timeout = 30
failures = 1024
SETTINGS

# besiege NAME ARGUMENT…: runs siege and fails unless every request was answered well.
besiege() {
  local name="$1"
  shift
  say "siege: $name"
  siege --rc="$scratch/siegerc" "$@" >"$scratch/siege" 2>"$scratch/siege.errors" || true
  if ! python3 - "$scratch/siege" <<'PYTHON'
import json, sys

text = open(sys.argv[1]).read()
figures = json.loads(text[text.index("{") : text.rindex("}") + 1])
print(", ".join(f"{name} {value}" for name, value in figures.items()))
sys.exit(figures["availability"] != 100.0 or figures["failed_transactions"] != 0 or figures["transactions"] == 0)
PYTHON
  then
    tail -n 5 "$scratch/siege.errors" >&2
    fail "siege: $name"
  fi
}

json="application/json"
car='{"carNo":"test", "rentalAmt":"10000", "procStatus":"WAITING", "carRegDt":"20200701"}'
car01='{"carNo":"car01", "rentalAmt":"10000", "procStatus":"WAITING", "carRegDt":"20200701"}'
booking='{"carNo":"car01", "custNo":"cus01", "paymtNo":"pay20200801Seq0001", "procStatus":"RESERVED", "rentalAmt":"10000", "resrvNo":"res20200801Seq0001", "resrvDt":"20200801", "rentalDt":"20200802", "returnDt":"20200805"}'

besiege "writers of a car" -c 20 -r 50 --content-type "$json" "$url/carManagements POST $car"
besiege "a car to reserve" -c 1 -r 1 --content-type "$json" "$url/carManagements POST $car01"
besiege "writers of a reservation" -c 5 -r 50 --content-type "$json" "$url/carReservations POST $booking"
besiege "200 readers" -r 100 -c 200 "$url/carManagements"
