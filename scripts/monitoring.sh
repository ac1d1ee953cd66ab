#!/usr/bin/env bash
# Checks what Prometheus and Grafana are given (k8s/components/monitoring): that alerts are well-formed, fire on their
# fault and on nothing else, that the dashboard can be read, and that the service exposes whatever they ask for.
# scripts/alerts.sh then sees alerts fire on faults of a real service.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

command -v promtool >/dev/null || fail "promtool is missing: run scripts/install-tools.sh"
[ -x "$target/manifests-venv/bin/kubectl" ] || fail "kubectl is missing: run scripts/install-tools.sh"
python="$venv/bin/python"
work="$(mktemp -d)"
trap 'rm -rf "$work"' EXIT

say "rules"
"$python" scripts/monitoring/rules.py check
"$python" scripts/monitoring/rules.py extract "$work/rules.yaml"
promtool check rules "$work/rules.yaml"

say "addresses of the runbook"
"$python" scripts/monitoring/runbooks.py "$target/manifests-venv/bin/kubectl"

say "tests of the rules"
"$python" scripts/monitoring/rule_tests.py "$work/rules.yaml"
promtool test rules "$work"/tests-*.yaml

say "dashboard"
"$python" scripts/monitoring/dashboard.py check "$work/queries.yaml"
promtool check rules "$work/queries.yaml"

say "metrics of a running service"
# In a subshell, since start_server ends the server with its shell.
(
  start_server
  # The first scrape is a request, which the second tells of.
  for _ in 1 2; do
    curl --silent --show-error --fail --output "$scratch/metrics" "$url/metrics"
  done
  # Names, units and help texts as Prometheus wants them.
  promtool check metrics <"$scratch/metrics"
  "$python" scripts/monitoring/exposed.py "$scratch/metrics"
)
