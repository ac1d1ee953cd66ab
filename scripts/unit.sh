#!/usr/bin/env bash
# Installs the systemd units into a copy of this machine's root and tries them there: systemd's own verdicts, then a systemd
# of its own (a container of systemd-nspawn) that makes the user, starts, restarts and stops the service, backs it up and
# restores it as docs/operations.md says. RENTCAR_BINARY: the program to install, instead of a debug build. Needs root for
# that (sudo is tried).
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

build
if [ "$(id -u)" -ne 0 ]; then exec sudo -n RENTCAR_BINARY="$rentcar" "$0" "$@"; fi
for tool in systemd-analyze systemd-nspawn systemd-sysusers strace ip nsenter; do
  command -v "$tool" >/dev/null || fail "$tool is missing: run scripts/install-tools.sh"
done
# A little more than it has; every switch that is turned off costs at least that.
exposure_max=1.2

scratch="$(mktemp -d)"
name="rentcar-$$"
machine="$scratch/root"
groups=()
clean_up() {
  local outcome=$?
  trap - EXIT
  if [ "$outcome" -ne 0 ] && [ -n "${init:-}" ] && [ -n "${nspawn:-}" ]; then
    inside journalctl --unit rentcar.service --output cat --no-pager --lines 20 >"$scratch/journal.log" 2>&1 || true
  fi
  # The machine's first process outlives nspawn when that is killed.
  [ -z "${nspawn:-}" ] || init="$(cat "/proc/$nspawn/task/$nspawn/children" 2>/dev/null || true)"
  for process in ${strace:-} ${nspawn:-} ${init:-}; do kill -KILL "$process" 2>/dev/null || true; done
  wait
  ip netns delete "$name" 2>/dev/null || true
  for group in "${groups[@]}"; do
    # What was killed takes a moment to be gone.
    for _ in $(seq 50); do
      find "$group" -depth -type d -exec rmdir {} + 2>/dev/null && break
      sleep 0.1
    done
  done
  rmdir "/run/systemd/nspawn/propagate/$name" 2>/dev/null || true
  if [ "$outcome" -ne 0 ]; then
    for log in "$scratch"/*.log; do
      [ ! -s "$log" ] || { echo "--- $(basename "$log") ends:"; tail -n 20 "$log"; } >&2
    done
  fi
  ! mountpoint --quiet "$machine" || umount "$machine"
  ! mountpoint --quiet "$scratch/over" || umount "$scratch/over"
  rm -rf "$scratch"
  exit "$outcome"
}
trap clean_up EXIT
trap 'exit 143' TERM INT

# What is written goes into memory; the machine itself stays as it is.
mkdir -p "$scratch/over" "$machine"
mount -t tmpfs -o mode=755 tmpfs "$scratch/over"
mkdir "$scratch/over/upper" "$scratch/over/work"
mount -t overlay overlay -o "lowerdir=/,upperdir=$scratch/over/upper,workdir=$scratch/over/work" "$machine"
install -m 0755 "$rentcar" "$machine/usr/bin/rentcar"
install -m 0644 packaging/systemd/*.service packaging/systemd/*.timer "$machine/usr/lib/systemd/system/"
install -D -m 0644 packaging/systemd/rentcar.sysusers.conf "$machine/usr/lib/sysusers.d/rentcar.conf"
install -D -m 0644 packaging/systemd/rentcar-backup.tmpfiles.conf "$machine/usr/lib/tmpfiles.d/rentcar-backup.conf"
install -D -m 0644 config/production.toml "$machine/etc/rentcar/config.toml"
# A name, so that names are found under all the restrictions; and what the file says otherwise.
echo "RENTCAR__SERVER__LISTEN=localhost:8080" >"$machine/etc/rentcar/environment"
unit="$machine/usr/lib/systemd/system/rentcar.service"

say "unit: systemd's verdicts"
# A directive that is not known is a warning with exit code 0.
units=(rentcar.service rentcar-backup.service rentcar-reconcile.service)
chroot "$machine" systemd-analyze verify "${units[@]/#//usr/lib/systemd/system/}" \
  /usr/lib/systemd/system/rentcar-{backup,reconcile}.timer 2>&1 | tee "$scratch/verify.log"
if grep -q "rentcar" "$scratch/verify.log"; then fail "the units are not as systemd wants them"; fi
for one in "${units[@]}"; do
  systemd-analyze security --offline=true --no-pager --threshold="$(tr -d . <<<"$exposure_max")" \
    "$machine/usr/lib/systemd/system/$one" >"$scratch/security.log" || fail "more is open than $exposure_max in $one"
  grep "Overall exposure" "$scratch/security.log"
done
rm "$scratch/security.log"
drain="$(sed -n 's/^shutdown_drain_ms = //p' config/default.toml)"
stop="$(sed -n 's/^TimeoutStopSec=\([0-9]*\)s$/\1/p' "$unit")"
# Connections, changes and actors, and then the last traces.
[ $((stop * 1000)) -gt $((3 * drain + 5000)) ] ||
  fail "TimeoutStopSec=$stop s is not longer than three drains of $drain ms and 5 s"

mkdir -p "$scratch/users/etc"
systemd-sysusers --root="$scratch/users" "$PWD/packaging/systemd/rentcar.sysusers.conf" 2>"$scratch/sysusers.log"
grep "^rentcar:.*:/var/lib/rentcar:/usr/sbin/nologin$" "$scratch/users/etc/passwd" || fail "systemd-sysusers made no user"

# Traced without the filter: a start, the demo and an end; then a start with what is there by then.
say "unit: what the service asks of the kernel is let through"
for run in first second; do
  : >"$scratch/ready"
  strace -f -qq -o "$scratch/$run.trace" "$rentcar" serve --listen 127.0.0.1:0 --data "$scratch/traced" \
    >"$scratch/ready" 2>"$scratch/traced.log" &
  strace=$!
  for _ in $(seq 300); do
    url="$(grep -o 'http://[0-9.]*:[0-9]*' "$scratch/ready" || true)"
    [ -z "$url" ] || break
    sleep 0.1
  done
  [ -n "$url" ] || fail "the traced service did not become ready"
  "$rentcar" demo --url "$url" | tail -n 1
  kill -TERM "$(cat "/proc/$strace/task/$strace/children")"
  wait "$strace" || fail "the traced service exited with $?"
  strace=''
done
python3 scripts/sandbox/syscalls.py "$unit" "$scratch/first.trace" "$scratch/second.trace"
rm "$scratch/traced.log"

say "unit: a systemd of its own starts it"
ip netns add "$name"
ip -n "$name" link set lo up
# Its control groups are beneath ones of ours, whichever hierarchies there are, so that nothing stays behind.
for hierarchy in /sys/fs/cgroup /sys/fs/cgroup/unified /sys/fs/cgroup/systemd; do
  if [ -f "$hierarchy/cgroup.procs" ]; then
    mkdir "$hierarchy/$name"
    groups+=("$hierarchy/$name")
  fi
done
(
  for group in "${groups[@]}"; do echo "$BASHPID" >"$group/cgroup.procs"; done
  exec systemd-nspawn --quiet --directory="$machine" --machine="$name" --register=no --keep-unit --link-journal=no \
    --network-namespace-path="/run/netns/$name" --boot -- systemd.unit=rentcar.service
) </dev/null >"$scratch/nspawn.log" 2>&1 &
nspawn=$!
probe() { ip netns exec "$name" python3 scripts/sandbox/probe.py "$1" http://localhost:8080 "${@:2}"; }
for _ in $(seq 50); do
  read -r init <"/proc/$nspawn/task/$nspawn/children" || true
  [ -z "$init" ] || break
  sleep 0.1
done
[ -n "$init" ] || fail "systemd-nspawn started nothing"
inside() { nsenter --target "$init" --mount --pid --net --ipc --uts "$@"; }
property() { inside systemctl show --property "$1" --value rentcar.service; }
# outside PID: the number by which this machine knows a process of that one.
outside() {
  for process in /proc/[0-9]*; do
    if [ "$process/ns/pid" -ef "/proc/$init/ns/pid" ] && grep -q "^NSpid:.*\s$1$" "$process/status"; then
      basename "$process"
    fi
  done 2>/dev/null
}
probe ready || fail "the unit did not start"
say "unit: serves under all its restrictions"
ip netns exec "$name" "$rentcar" demo --url http://localhost:8080 | tail -n 1
probe book kept
uid="$(inside id --user rentcar)"
pid="$(outside "$(property MainPID)")"
python3 scripts/sandbox/confined.py "$pid" "$uid" || fail "the process may do more than it needs"
for user in "$uid" 0; do
  writable="$(python3 scripts/sandbox/writable.py "$pid" "$user" 3 | sort | tr '\n' ' ')"
  [ "$writable" = "/tmp /var/lib/rentcar /var/lib/rentcar-erasures /var/tmp " ] || fail "user $user can write to: ${writable:-nothing}"
done
inside journalctl --unit rentcar.service --output cat | grep "ready to be tried.*http://127.0.0.1:8080" ||
  fail "the journal does not tell that it listens where /etc/rentcar/environment says"

inside systemctl start rentcar-reconcile.service || fail "the comparison failed"

say "unit: active when it is ready, and started again when it is killed"
# A shorter watchdog for the process that is started next.
mkdir "$machine/etc/systemd/system/rentcar.service.d"
printf '[Service]\nWatchdogSec=3s\n' >"$machine/etc/systemd/system/rentcar.service.d/watchdog.conf"
inside systemctl daemon-reload
# started N: waits until it is active again after the N-th restart, and fails if that was before it was ready.
started() {
  local active ready
  for _ in $(seq 300); do
    [ "$(property NRestarts) $(property ActiveState)" != "$1 active" ] || break
    sleep 0.1
  done
  probe ready
  [ "$(property NRestarts)" = "$1" ] || fail "it was started again $(property NRestarts) times instead of $1"
  active="$(inside systemctl show --timestamp=us+utc --property ActiveEnterTimestamp --value rentcar.service)"
  ready="$(inside journalctl --unit rentcar.service --output cat | grep "ready to be tried" | tail -n 1)"
  active="$(sed 's/^[A-Z][a-z]* \([0-9-]*\) \([0-9:.]*\) UTC$/\1T\2/' <<<"$active")"
  ready="$(sed 's/^{"timestamp":"\([^"]*\)Z".*/\1/' <<<"$ready")"
  [[ "$active" == 2*T* && "$ready" == 2*T* && "$active" > "$ready" ]] || fail "it was active at $active, but ready at $ready"
}
kill -KILL "$pid"
started 1
probe confirmed kept

say "unit: started again when it shows no sign of life"
stopped_at=$SECONDS
kill -STOP "$(outside "$(property MainPID)")"
started 2
inside journalctl --unit rentcar.service --output cat | grep "Watchdog timeout" || fail "it was not the watchdog"
echo "back after $((SECONDS - stopped_at)) s"
# Longer than the watchdog waits.
sleep 4
started 2

say "unit: backed up, compared and restored, as docs/operations.md says"
inside systemctl start rentcar-backup.service || fail "there is no backup"
# The sandbox has forgotten its record with the killed process.
if inside systemctl start rentcar-reconcile.service 2>/dev/null; then fail "the comparison did not see that the records differ"; fi
inside journalctl --unit rentcar-reconcile.service --output cat | grep "differences" | tail -n 1
archive="$(echo "$machine"/var/backups/rentcar/rentcar-*.jsonl)"
[ "$(stat --format '%a %u' "$archive" "${archive%/*}" | tr '\n' ' ')" = "600 $uid 700 $uid " ] ||
  fail "others may read the backup: $(stat --format '%n %a %u' "$archive" "${archive%/*}")"
touch --date='31 days ago' "${archive%/*}/rentcar-old.jsonl"
inside systemd-tmpfiles --clean rentcar-backup.conf
[ "$(ls "${archive%/*}")" = "${archive##*/}" ] || fail "30 days of backups are not what is left: $(ls "${archive%/*}")"
inside systemctl start rentcar-backup.timer rentcar-reconcile.timer
inside systemctl list-timers --no-pager --no-legend 'rentcar-*'
[ "$(inside systemctl is-active rentcar-backup.timer rentcar-reconcile.timer | sort -u)" = active ] || fail "a timer does not run"
probe book after-the-backup
# $backup is what the commands of the document have.
restore="$(sed -n '/^### Restore$/,$p' docs/operations.md | sed -n '/^systemctl stop rentcar$/,/^systemctl start rentcar$/p')"
[ "$(wc -l <<<"$restore")" -gt 4 ] || fail "docs/operations.md does not say how to restore"
inside env backup="${archive#"$machine"}" bash -euxc "$restore" || fail "the backup was not restored"
probe ready
probe confirmed kept
if probe confirmed after-the-backup 2>/dev/null; then fail "the restored service has what came after the backup"; fi
[ -d "$machine/var/lib/rentcar.before/journal" ] || fail "the old data are gone"

say "unit: from open to keys, as docs/operations.md says"
# section NAME KIND: the code of that kind in a section of the document.
section() { sed -n "/^### $1\$/,/^##/p" docs/operations.md | sed -n "/^ *\`\`\`$2\$/,/^ *\`\`\`\$/p" | sed '/```/d; s/^   //'; }
mkdir -p "$machine/etc/prometheus" "$machine/etc/systemd/system/rentcar-backup.service.d"
echo "u prometheus -" >"$machine/usr/lib/sysusers.d/prometheus.conf"
inside systemd-sysusers prometheus.conf
keys="$(section "From open to keys" sh)"
[ "$(wc -l <<<"$keys")" -gt 6 ] || fail "docs/operations.md does not say how to make keys"
inside bash -euxc "$keys" || fail "the keys were not made"
section "From open to keys" ini >"$machine/etc/systemd/system/rentcar-backup.service.d/token.conf"
cat >>"$machine/etc/rentcar/environment" <<'SETTINGS'
RENTCAR__PRIVACY__MASTER_KEY_FILE=/etc/rentcar/master.key
RENTCAR__ACCESS__TOKEN_KEYS=/etc/rentcar/keys
RENTCAR__ACCESS__TOKEN_ISSUER=acme
RENTCAR__ACCESS__API_KEYS=/etc/rentcar/api-keys
RENTCAR__ACCOUNTS__ENABLED=true
SETTINGS
inside systemctl daemon-reload
inside systemctl restart rentcar.service || fail "it does not start with keys"
probe ready
if probe confirmed kept 2>/dev/null; then fail "whoever reaches it may still read"; fi
token="$(inside rentcar token --key /etc/rentcar/keys/main.secret --issuer acme --subject desk --role staff)"
TOKEN="$token" probe confirmed kept
rm "$archive"
inside systemctl start rentcar-backup.service || fail "there is no backup of a service with keys"
[ -s "$(echo "$machine"/var/backups/rentcar/rentcar-*.jsonl)" ] || fail "the backup of a service with keys is empty"
first="$(section Accounts sh)"
[ "$(wc -l <<<"$first")" -gt 2 ] || fail "docs/operations.md does not say how to make the first account"
# What the unit reads of its file.
inside env $(cat "$machine/etc/rentcar/environment") bash -euxc "$first" <<<"correct horse battery" || fail "there is no first account"
probe ready
probe sign-in jisoo@example.com "correct horse battery"

say "unit: stopped politely"
inside systemctl stop rentcar.service
ended="$(property Result) $(property ExecMainStatus)"
[ "$ended" = "success 0" ] || fail "it ended with $ended"
inside journalctl --unit rentcar.service --output cat | grep "all requests answered" || fail "it did not answer what it owed"
inside systemctl start --no-block poweroff.target
wait "$nspawn" || fail "the machine of its own ended with $?"
nspawn=''
say "unit: all as it should be"
