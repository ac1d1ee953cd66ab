#!/usr/bin/env bash
# Checks the Kubernetes manifests against schemas, rules and the program itself, and the Containerfile with hadolint. What is
# wrong on purpose (scripts/manifests/fixtures) must be refused. RENTCAR_BINARY names a program that is built already.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tools="$target/manifests-venv/bin"
[ -x "$tools/kubectl" ] || fail "kubectl is missing: run scripts/install-tools.sh"
program="${RENTCAR_BINARY:-}"
if [ -z "$program" ]; then
  cargo build --quiet --locked
  program="$target/debug/rentcar"
fi

say "manifests"
PYTHONDONTWRITEBYTECODE=1 "$tools/python" scripts/manifests/check.py --kubectl "$tools/kubectl" --program "$program"

say "hadolint"
wrong=scripts/manifests/fixtures/Containerfile
expected="$(sed -n '1s/^# expect: //p' "$wrong")"
if told="$("$tools/hadolint" --no-color "$wrong")" || [[ "$told" != *"$expected"* ]]; then
  fail "hadolint must tell $expected of $wrong, but: ${told:-nothing}"
fi
"$tools/hadolint" --no-color Containerfile || fail "hadolint: Containerfile"
say "the Containerfile is as hadolint wants it"
