#!/usr/bin/env bash
# Collects what the image consists of: rootfs.sh BINARY OUT. The build stage of the Containerfile runs it and so does
# scripts/image.sh, so that what is tested and what is published cannot differ. OUT/rootfs becomes /, OUT/volumes too, but
# owned by the service's user.
set -euo pipefail
here="$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)"
binary="$1"
out="$2"
rootfs="$out/rootfs"
rm -rf "$out"
mkdir -p "$rootfs" "$out/volumes/data"

# The names of functions stay, so that a backtrace tells something; the tables of lines are twice the size of all the rest.
objcopy --strip-debug "$binary" "$rootfs/rentcar"
chmod 0755 "$rootfs/rentcar"

# What the loader asks for, and the loader, at the places where it looks without a cache. ldd fails on what is no dynamic
# executable, and says "not found" with exit code 0.
libraries="$(ldd "$rootfs/rentcar")"
if grep "not found" <<<"$libraries" >&2; then exit 1; fi
files=()
while read -r library; do
  install -D -m 0755 "$library" "$rootfs$library"
  files+=("$library")
done < <(grep -o '/[^ ]*' <<<"$libraries")

# Since 2.34 glibc resolves names (hosts file, DNS) without plug-ins; an older one would need libnss_*.so.
libc="$(grep -o '/[^ ]*/libc\.so\.6' <<<"$libraries")"
grep -q _nss_dns_gethostbyname4_r "$libc" || { echo "$libc needs plug-ins to resolve names" >&2; exit 1; }
mkdir -p "$rootfs/etc"
# Without this file glibc asks the name server before it looks into /etc/hosts.
printf 'hosts: files dns\n' >"$rootfs/etc/nsswitch.conf"
printf 'root:x:0:0:root:/:/sbin/nologin\nrentcar:x:65532:65532:rentcar:/data:/sbin/nologin\n' >"$rootfs/etc/passwd"
printf 'root:x:0:\nrentcar:x:65532:\n' >"$rootfs/etc/group"
# The roots of what the program calls by https.
certificates=/etc/ssl/certs/ca-certificates.crt
install -D -m 0644 "$certificates" "$rootfs$certificates"
cp /etc/os-release "$rootfs/etc/os-release"

# Which Debian packages the files are from, where scanners look for it in images without dpkg, and their licences.
owner_of() {
  # Packages name their files as they were before /lib became a link to /usr/lib.
  dpkg-query --search "$1" 2>/dev/null || dpkg-query --search "$(readlink -f "$1")"
}
{ for file in "${files[@]}"; do owner_of "$file"; done; echo "ca-certificates: "; } |
  sed 's/: .*//; s/:.*//' | sort -u | while read -r package; do
  mkdir -p "$rootfs/var/lib/dpkg/status.d" "$rootfs/usr/share/doc/$package"
  dpkg-query --status "$package" >"$rootfs/var/lib/dpkg/status.d/$package"
  cp -L "/usr/share/doc/$package/copyright" "$rootfs/usr/share/doc/$package/copyright"
done

# The licences of the program and of what it is made of; scanners find the crates in the lock file.
doc="$rootfs/usr/share/doc/rentcar"
mkdir -p "$doc"
cp "$here/../../LICENSE-APACHE" "$here/../../LICENSE-MIT" "$here/../../Cargo.lock" "$doc/"
"$here/licences.sh" "$here/../.." >"$doc/THIRD-PARTY"

# The same files give the same image.
chmod -R u=rwX,go=rX "$out"
find "$out" -exec touch --no-dereference --date="@${SOURCE_DATE_EPOCH:-0}" {} +
