#!/usr/bin/env bash
# Builds the container image and tries it as Kubernetes would run it: read-only, without capabilities, as a user that is
# not root, in a network where only a name server knows who is who. RENTCAR_BINARY: the program to put in, instead of a
# debug build. Needs root for that (sudo is tried).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build
if [ "$(id -u)" -ne 0 ]; then
  exec sudo -n CARGO_HOME="${CARGO_HOME:-$HOME/.cargo}" RENTCAR_BINARY="$rentcar" "$0" "$@"
fi
for tool in buildah runc ip dnsmasq; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run scripts/install-tools.sh"
done

scratch="$(mktemp -d)"
id="rentcar-$$"
lan="$id-lan"
node="$id-node"
runc=(runc --root "$scratch/runc")
buildah=(buildah --root "$scratch/storage" --runroot "$scratch/run" --storage-driver vfs)
clean_up() {
  local outcome=$?
  trap - EXIT
  for container in $("${runc[@]}" list --quiet 2>/dev/null); do "${runc[@]}" delete --force "$container" || true; done
  [ -z "${names:-}" ] || kill "$names" 2>/dev/null || true
  ip netns delete "$lan" 2>/dev/null || true
  ip netns delete "$node" 2>/dev/null || true
  if [ "$outcome" -ne 0 ]; then
    for log in "$scratch"/*.log; do
      [ ! -s "$log" ] || { echo "--- $(basename "$log") ends:"; tail -n 20 "$log"; } >&2
    done
  fi
  # vfs keeps whole directories and mounts nothing.
  rm -rf "$scratch"
  exit "$outcome"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

say "image: built"
version="$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)"
revision="$(git rev-parse HEAD 2>/dev/null || echo unknown)"
scripts/image/rootfs.sh "$rentcar" "$scratch/stage/out"
# build_image: the Containerfile with its stage `build` replaced by what has been collected; prints the image's id.
build_image() {
  "${buildah[@]}" build --quiet --isolation chroot --timestamp 0 --build-context "build=$scratch/stage" \
    --build-arg VERSION="$version" --build-arg REVISION="$revision" --build-arg SOURCE="https://rentcar.test/source" \
    --tag rentcar --file Containerfile . 2>>"$scratch/build.log"
}
built="$(build_image)"
[ "$(build_image)" = "$built" ] || fail "the same files gave another image"
"${buildah[@]}" push --quiet rentcar "oci:$scratch/layout:rentcar"
python3 scripts/sandbox/inspect_image.py "$scratch/layout" "$version" "$revision" || fail "the image is not as it should be"

# Two machines and a cable. Names are known to the name server only, which answers as that of a cluster would.
ip netns add "$lan"
ip netns add "$node"
ip -n "$lan" link add eth0 type veth peer name eth0 netns "$node"
ip -n "$lan" address add 10.231.0.1/24 dev eth0
ip -n "$node" address add 10.231.0.2/24 dev eth0
for netns in "$lan" "$node"; do
  ip -n "$netns" link set lo up
  ip -n "$netns" link set eth0 up
done
ip netns exec "$lan" dnsmasq --keep-in-foreground --no-resolv --no-hosts --bind-interfaces --listen-address=10.231.0.1 \
  --conf-file=/dev/null --pid-file= --user=root --log-facility=- --log-queries --local=/cluster.local/ \
  --address=/rentcar.default.svc.cluster.local/10.231.0.2 2>"$scratch/names.log" &
names=$!
printf 'search default.svc.cluster.local svc.cluster.local cluster.local\nnameserver 10.231.0.1\noptions ndots:5\n' \
  >"$scratch/resolv.conf"
printf '127.0.0.1 localhost\n10.231.0.2 by-file\n' >"$scratch/hosts"
mkdir "$scratch/data"
chown 65532:65532 "$scratch/data"
url=http://10.231.0.2:8080
probe() { ip netns exec "$lan" python3 scripts/sandbox/probe.py "$1" "$url" "${@:2}"; }
pod=(--mount "$scratch/resolv.conf:/etc/resolv.conf:ro" --mount "$scratch/hosts:/etc/hosts:ro")

python3 scripts/sandbox/bundle.py --mount "$scratch/data:/data" "${pod[@]}" \
  "$scratch/layout" "$scratch/server" "/run/netns/$node"
start() {
  "${runc[@]}" run --bundle "$scratch/server" "$id" >"$scratch/server.log" 2>&1 &
  container=$!
  probe ready || fail "the container did not become ready"
}
# stop: SIGTERM as the image says; that it exits with 0 and has answered everything is part of what is checked.
stop() {
  "${runc[@]}" kill "$id" TERM
  wait "$container" || fail "the container exited with $?"
  grep -q "all requests answered" "$scratch/server.log" || fail "it did not say that all requests were answered"
}
# client ARGUMENT…: another container of the same image, without a volume, on the other machine.
client() {
  rm -rf "$scratch/client"
  python3 scripts/sandbox/bundle.py "${pod[@]}" "$scratch/layout" "$scratch/client" "/run/netns/$lan" "$@" || fail "no bundle"
  "${runc[@]}" run --bundle "$scratch/client" "$id-client" </dev/null >"$scratch/client.log" 2>&1
}

say "image: serves, and does what the old lines and the demo ask"
start
ip netns exec "$lan" python3 scripts/sandbox/scenario.py "$url"
probe book kept

say "image: nothing to start but rentcar, nothing to write to but /data"
inside() { "${runc[@]}" exec "$id" "$@" </dev/null >"$scratch/exec.log" 2>&1; }
inside /rentcar --version || fail "the program cannot be started beside the service"
for shell in /bin/sh /bin/bash /bin/busybox sh; do
  if inside "$shell" -c true; then fail "there is $shell"; fi
done
pid="$("${runc[@]}" state "$id" | python3 -c 'import json, sys; print(json.load(sys.stdin)["pid"])')"
python3 scripts/sandbox/confined.py "$pid" 65532 || fail "the process may do more than it needs"
for uid in 65532 0; do
  writable="$(python3 scripts/sandbox/writable.py "$pid" "$uid")"
  [ "$writable" = /data ] || fail "user $uid can write to: ${writable:-nothing}"
done
if inside /rentcar backup --url http://127.0.0.1:8080 --output /backup.jsonl; then fail "a backup was written to /"; fi
grep -qi "read-only" "$scratch/exec.log" || fail "the backup to / failed for another reason: $(cat "$scratch/exec.log")"
inside /rentcar backup --url http://127.0.0.1:8080 --output /data/backup.jsonl || fail "no backup was written to /data"

say "image: found by its name"
client demo --allow-plain-http --url http://rentcar:8080 || fail "the demo by name"
grep "everything came out as it should" "$scratch/client.log"
grep -q "query\[A\] rentcar.default.svc.cluster.local from 10.231.0.1" "$scratch/names.log" || fail "nobody asked the name server"
client reconcile --allow-plain-http --service http://rentcar.default.svc.cluster.local:8080 || fail "the comparison by its full name"
client reconcile --allow-plain-http --service http://by-file:8080 || fail "the comparison by a name of /etc/hosts"
if grep "query.* by-file" "$scratch/names.log"; then fail "the name server was asked for what is in /etc/hosts"; fi
if client demo --allow-plain-http --url http://nobody:8080; then fail "a name that there is not was reached"; fi
grep -q "nobody.default.svc.cluster.local is NXDOMAIN" "$scratch/names.log" || fail "nobody asked for the name that there is not"

say "image: ends when it is told to, with the answers that it owes, and has everything again"
coproc slow { probe book-slowly slow 2>"$scratch/slow.log"; }
slow_pid=$!
read -r _ <&"${slow[0]}" || fail "the slow booking was not begun"
sleep 0.5
stop
wait "$slow_pid" || fail "the booking that was under way was not answered"
start
probe confirmed kept
probe confirmed slow
stop

say "image: restored from its backup, beside what is there, as k8s/components/restore does"
# on_volume NAME ARGUMENT…: a bundle of the same image with the same volume, and a directory of its own for the data.
on_volume() {
  python3 scripts/sandbox/bundle.py --mount "$scratch/data:/data" --env RENTCAR__STORE__DATA=/data/restored "${pod[@]}" \
    "$scratch/layout" "$scratch/$1" "/run/netns/$node" "${@:2}" || fail "no bundle"
}
on_volume restore import
"${runc[@]}" run --bundle "$scratch/restore" "$id-restore" <"$scratch/data/backup.jsonl" >"$scratch/restore.log" 2>&1 ||
  fail "the backup was not restored"
rm -r "$scratch/server"
on_volume server serve
start
probe confirmed kept
stop
say "image: all as it should be"
