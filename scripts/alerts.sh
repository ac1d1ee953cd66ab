#!/usr/bin/env bash
# Sees alerts fire on faults of a real service that a real Prometheus scrapes, and end with them: the payment provider is
# killed, the disk fills, a context is stopped (scripts/monitoring/live.py). Needs root, or sudo, for a small disk.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

# Prometheus' clock runs so many times faster: scrapes, windows of the rules and `for`, and what the service itself counts
# as overdue. Thresholds stay. A scrape every 15 s becomes one every 0.5 s.
faster=30

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
command -v prometheus >/dev/null || fail "prometheus is missing: run scripts/install-tools.sh"
build

# More than 1 GiB, below which RentcarDiskFilling fires; what is not used takes no memory.
disk="$(mktemp -d)"
as_root mount -t tmpfs -o size=1280m,mode=0777 tmpfs "$disk"
trap 'as_root umount "$disk" && rmdir "$disk"' EXIT

# In a subshell, since start_server ends the server with its shell, and before the disk goes.
(
  # Known before anything runs, so that a provider that was killed comes back where it was.
  read -r provider prometheus < <(python3 - <<'PYTHON'
import socket

taken = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
print(*(server.getsockname()[1] for server in taken))
PYTHON
  )
  export RENTCAR__PAYMENT__OVERDUE_SECONDS=$((300 / faster)) RENTCAR__PAYMENT__LOOKUP_INTERVAL_SECONDS_MAX=$((60 / faster))
  TMPDIR="$disk" start_server --fault-injection --payment-provider "http://127.0.0.1:$provider"

  "$venv/bin/python" scripts/monitoring/rules.py shorten "$scratch/rules.yaml" "$faster"
  interval="$((15000 / faster))ms"
  cat >"$scratch/prometheus.yaml" <<YAML
global: {scrape_interval: $interval, scrape_timeout: $interval, evaluation_interval: $interval}
rule_files: [rules.yaml]
scrape_configs:
  - job_name: rentcar
    static_configs: [{targets: ["${url#http://}"]}]
YAML
  promtool check config "$scratch/prometheus.yaml"
  "$venv/bin/python" scripts/monitoring/live.py --rentcar "$rentcar" --url "$url" --provider-port "$provider" --disk "$disk" \
    --prometheus-port "$prometheus" --config "$scratch/prometheus.yaml" --faster "$faster"
)
