#!/usr/bin/env bash
# Makes Restate ready for `cargo bench --bench bookings`: installs its server (scripts/restate, by npm) and builds the services
# for it (benches/restate), all into target/restate, and says how to have it take part. Repeats safely.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

into="$target/restate"
# Where scripts/install-tools.sh puts Node, if the machine has none.
PATH="$PATH:$target/clients-venv/bin"
command -v npm >/dev/null || fail "npm is missing: run scripts/install-tools.sh"

if ! cmp -s scripts/restate/package-lock.json "$into/server/installed.json"; then
  say "installing the server of Restate"
  mkdir -p "$into/server"
  cp scripts/restate/package.json scripts/restate/package-lock.json "$into/server/"
  # Without their scripts, one of which would tell others of this installation.
  (cd "$into/server" && npm ci --silent --no-audit --no-fund --ignore-scripts)
  cp scripts/restate/package-lock.json "$into/server/installed.json"
fi
server="$(compgen -G "$into/server/node_modules/@restatedev/restate-server-*/bin/restate-server" | head -n 1)" ||
  fail "there is no server of Restate for this machine"

say "building the services for it"
CARGO_TARGET_DIR="$into/build" cargo build --locked --release --manifest-path benches/restate/Cargo.toml

# Both in one folder.
mkdir -p "$into/bin"
ln -sf "$server" "$into/build/release/booking-on-restate" "$into/bin/"
say "$("$into/bin/restate-server" --version) is ready"
echo "RENTCAR_BENCH_RESTATE=$into/bin cargo bench --bench bookings"
