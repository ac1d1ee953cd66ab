#!/usr/bin/env bash
# Makes the pictures of the documents: every page in both languages, on a phone and on a wide screen, light and dark, into
# target/pictures. The service whose pages they are is started and filled here.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for tool in chromium chromedriver python3; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run scripts/install-tools.sh"
done
build
keys="$target/browser/api-keys"
mkdir -p "$target/browser"
rm -f "$keys"
key="$("$rentcar" key new pictures --scope bookings,fleet,operations --file "$keys")"
RENTCAR__ACCESS__API_KEYS="$keys" RENTCAR__ACCOUNTS__ENABLED=true \
  RENTCAR__PRIVACY__MASTER_KEY="$("$rentcar" key master)" start_server
python3 scripts/browser/pictures.py "$url" "$key" "$target/pictures"
