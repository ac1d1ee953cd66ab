#!/usr/bin/env bash
# Checks everything: format, lints, packaging, manifests, image and unit, alerts, the interface against its description and by
# clients made from it, load, all tests, and that the benchmarks work. Stops at the first failure. The tools beside Rust are
# installed first, where they are missing (scripts/install-tools.sh).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

begun=$SECONDS
passed=()
name="the start"
summary() {
  printf '\nSUMMARY: %s at %s after %d s; passed before: %s\n' "$1" "$name" $((SECONDS - begun)) "${passed[*]:-nothing}" >&2
}
trap 'summary "ENDED FROM OUTSIDE"; exit 143' TERM
step() {
  name="$1"
  shift
  say "$name"
  local from=$SECONDS
  if ! "$@"; then
    summary FAILED
    exit 1
  fi
  passed+=("$name ($((SECONDS - from)) s);")
}

step "tools" scripts/install-tools.sh
step "format" cargo fmt --check
step "lints" cargo clippy --locked --all-targets -- -D warnings
step "manifests" scripts/manifests.sh
if cargo deny --version >/dev/null 2>&1; then
  step "dependencies" cargo deny --locked check
else
  say "dependencies: cargo-deny is not installed, so deny.toml is not checked here"
fi
step "packaging" scripts/packaging.sh
step "image" scripts/image.sh
step "unit" scripts/unit.sh
step "interface" scripts/schemathesis.sh
step "clients" scripts/clients.sh
step "load" scripts/siege.sh
step "monitoring" scripts/monitoring.sh
step "alerts" scripts/alerts.sh
step "tests" cargo test --locked
# Only that they work: figures need `cargo bench`.
step "benchmarks" cargo test --locked --benches
printf '\nSUMMARY: all passed in %d s: %s\n' $((SECONDS - begun)) "${passed[*]}"
