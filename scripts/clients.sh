#!/usr/bin/env bash
# Generates clients from the interface description, for TypeScript and for Python, and compiles them; the one in Python then
# walks the story of `rentcar demo` against a server.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tools="$target/clients-venv/bin"
[ -x "$tools/openapi-python-client" ] || fail "openapi-python-client is missing: run scripts/install-tools.sh"
start_server
work="$target/clients"
rm -rf "$work/generated"
mkdir -p "$work/generated"
"$rentcar" openapi >"$work/openapi.json"

say "clients: TypeScript"
cp scripts/clients/walk.ts "$work/"
(
  cd "$work"
  PATH="$tools:$PATH"
  npx --no-install openapi-typescript openapi.json --output schema.ts
  npx --no-install tsc --noEmit --strict --module nodenext --moduleResolution nodenext walk.ts
)

say "clients: Python"
# An archive and events are streams of lines, which it leaves out with a warning; whatever else it warns of is an error.
"$tools/openapi-python-client" generate --path "$work/openapi.json" --meta none --overwrite \
  --output-path "$work/generated/rentcar_client" --config scripts/clients/generator.yaml 2>&1 | tee "$work/generated/log"
left_out="$(grep -c '^WARNING\|^ERROR\|Unable' "$work/generated/log" || true)"
[ "$left_out" -le 1 ] || fail "the Python client is not whole"
"$tools/python" -m compileall -q "$work/generated/rentcar_client"
PYTHONPATH="$work/generated" "$tools/python" scripts/clients/walk.py "$url"
