#!/usr/bin/env bash
# Checks the Kubernetes manifests against schemas, rules and the program itself. What is wrong on
# purpose (scripts/manifests/fixtures) must be refused. RENTCAR_BINARY names a program that is built already.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

tools="$target/manifests-venv/bin"
[ -x "$tools/kubectl" ] || fail "kubectl is missing: run scripts/install-tools.sh"
build

say "manifests"
"$tools/python" scripts/manifests/check.py --kubectl "$tools/kubectl" --program "$rentcar"
