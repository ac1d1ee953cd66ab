# Shared by the scripts beside it; sourced, not run. Starts a server of our own and ends it with the script.

root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
cd "$root"
target="${CARGO_TARGET_DIR:-$root/target}"
venv="$target/venv"
# Where scripts/install-tools.sh puts promtool and prometheus, if the machine has none.
PATH="$PATH:$target/prometheus"
# What Python compiles stays out of the work tree.
export PYTHONDONTWRITEBYTECODE=1

say() { printf '\n=== %s\n' "$*"; }
fail() { printf 'FAILED: %s\n' "$*" >&2; exit 1; }

# build: sets $rentcar to the program, which is built unless RENTCAR_BINARY names another.
build() {
  rentcar="${RENTCAR_BINARY:-$target/debug/rentcar}"
  [ -n "${RENTCAR_BINARY:-}" ] || cargo build --quiet --locked
}

# start_server [ARGUMENT…]: builds and starts `rentcar serve` on a free port with an empty store; sets $url and $log.
start_server() {
  build
  scratch="$(mktemp -d)"
  log="$scratch/log"
  trap stop_server EXIT
  "$rentcar" serve --listen 127.0.0.1:0 --data "$scratch/data" "$@" >"$scratch/ready" 2>"$log" &
  server=$!
  for _ in $(seq 300); do
    url="$(grep -o 'http://[0-9.]*:[0-9]*' "$scratch/ready" | head -n 1 || true)"
    [ -n "$url" ] && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  tail -n 20 "$log" >&2
  fail "the server did not become ready"
}

# Ends the server politely; that it exits with 0 is part of what is checked.
stop_server() {
  local outcome=$?
  trap - EXIT
  if [ -n "${server:-}" ]; then
    kill -TERM "$server" 2>/dev/null || outcome=1
    if ! wait "$server"; then
      echo "the server did not exit with 0" >&2
      outcome=1
    fi
  fi
  if [ "$outcome" -ne 0 ] && [ -f "${log:-}" ]; then
    echo "--- the server's log ends:" >&2
    tail -n 30 "$log" >&2
  fi
  rm -rf "${scratch:-}"
  exit "$outcome"
}
