#!/usr/bin/env bash
# Throws generated requests, legal and illegal, at every described operation and compares every answer with the
# description: no 5xx that is not described, no undescribed status, media type or shape. First where everybody may do
# everything, then as each kind of caller of a service with keys and accounts.
# SCHEMATHESIS_SECONDS bounds the time, SCHEMATHESIS_SEED repeats a run.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

[ -x "$venv/bin/st" ] || fail "schemathesis is missing: run scripts/install-tools.sh"
start_server

# What the examples of the description name exists, so that more than refusals is seen.
furnish() {
  python3 - "$url" "${1:-}" <<'PYTHON'
import json, sys, urllib.request

def post(path, body):
    headers = {"Content-Type": "application/json"} | ({"Authorization": "Bearer " + sys.argv[2]} if sys.argv[2] else {})
    request = urllib.request.Request(sys.argv[1] + path, json.dumps(body).encode(), headers)
    with urllib.request.urlopen(request) as response:
        assert response.status in (201, 202), response.status

rate = {"amount": 10000, "currency": "KRW"}
post("/v1/cars", {"carNo": "12가3456", "model": "Ioniq 5", "dailyRate": rate, "carClass": "compact", "branch": "Seoul"})
post("/v1/customers", {"customerNo": "customer-1", "name": "Kim Minji", "phone": "010", "email": "minji@example.com"})
means = {"method": "card", "token": "tok_visa"}
post("/v1/reservations", {"carNo": "12가3456", "customerNo": "customer-1", "reservationNo": "reservation-1",
                          "from": "2035-01-01T00:00:00Z", "to": "2035-01-03T00:00:00Z", "payment": means})
PYTHON
}
furnish

mkdir -p "$target/schemathesis"
run() {
  # Its own files stay out of the work tree.
  (cd "$target/schemathesis" && "$venv/bin/st" run "$url/openapi.json" --url "$url" --no-color \
    --checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance \
    --request-timeout 20 --suppress-health-check all --generation-database none --warnings off \
    ${SCHEMATHESIS_SEED:+--seed "$SCHEMATHESIS_SEED"} "$@")
}

# Comparing with the provider's record is 503 by design while an operator keeps everybody from the provider, as the
# breaker's calls do here; so it has a run of its own.
say "schemathesis: everything but what never ends, or meets or slows all the rest"
run --max-time "${SCHEMATHESIS_SECONDS:-75}" --max-examples 30 \
  --exclude-operation-id followEvents --exclude-operation-id changeProviderSettings \
  --exclude-operation-id reconcilePayments
say "schemathesis: the provider's settings"
run --max-time 10 --max-examples 20 --phases examples,coverage,fuzzing --include-operation-id changeProviderSettings
say "schemathesis: comparing with the provider's record"
curl -sf -o /dev/null -H 'Content-Type: application/json' -d '{"state": "AUTO"}' "$url/v1/admin/payment/breaker"
curl -sf -o /dev/null -X PUT -H 'Content-Type: application/json' "$url/v1/admin/payment-provider" \
  -d '{"latencyMs": 0, "capacity": 0, "declineRate": 0, "failRate": 0, "loseAnswerRate": 0, "down": false}'
run --max-time 10 --max-examples 20 --phases examples,coverage,fuzzing --include-operation-id reconcilePayments

say "schemathesis: a service with keys and accounts"
kill -TERM "$server" && wait "$server"
rm -rf "$scratch"
keys="$target/schemathesis/keys"
mkdir -p "$keys"
head -c 32 /dev/urandom | base64 >"$keys/main.secret"
token() { "$rentcar" token --key "$keys/main.secret" --issuer check --subject "$@"; }
export RENTCAR__ACCESS__TOKEN_KEYS="$keys" RENTCAR__ACCESS__TOKEN_ISSUER=check RENTCAR__ACCOUNTS__ENABLED=true
RENTCAR__PRIVACY__MASTER_KEY="$("$rentcar" key master)"
export RENTCAR__PRIVACY__MASTER_KEY
start_server
furnish "$(token desk --role staff)"
as() {
  say "schemathesis: as $1"
  run --max-time "${SCHEMATHESIS_CALLER_SECONDS:-15}" --max-examples 5 --exclude-operation-id followEvents \
    --exclude-operation-id changeProviderSettings --exclude-operation-id reconcilePayments \
    ${2:+--header "Authorization: Bearer $2"}
}
customer="$(token kim --customer-no customer-1)"
staff="$(token desk --role staff)"
operator="$(token ops --role operator)"
machine="$(token program --scope bookings,fleet)"
as nobody
as "a customer" "$customer"
as staff "$staff"
as "an operator" "$operator"
as "a machine" "$machine"
