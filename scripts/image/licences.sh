#!/usr/bin/env bash
# Prints the licences of the crates that the program is made of: licences.sh PROJECT. Each text once, with the crates that
# carry it. Which crates: those that Cargo.lock has beneath [dependencies], as far as their sources were unpacked to build.
set -euo pipefail
project="$1"
sources=("${CARGO_HOME:-$HOME/.cargo}"/registry/src/*/)
[ -d "${sources[0]}" ] || { echo "no sources of crates in ${sources[0]}" >&2; exit 1; }

crates() {
  awk '
    FILENAME ~ /Cargo.toml$/ {
      if (/^\[/) inside = ($0 == "[dependencies]")
      else if (inside && /^[a-z]/) wanted[++count] = $1
      next
    }
    /^name = /    { split($0, part, "\""); name = part[2] }
    /^version = / { split($0, part, "\""); key = name " " part[2]; versions[name] = versions[name] key "\n" }
    /^ "/         { split($0, part, "\""); needs[key] = needs[key] part[2] "\n" }
    END {
      for (at = 1; at <= count; at++) {
        # A crate of which there are several versions is named with the one that is meant, except in Cargo.toml.
        amount = split(wanted[at] in versions ? versions[wanted[at]] : wanted[at], keys, "\n")
        for (one = 1; one <= amount; one++) {
          key = keys[one]
          if (key == "" || key in seen) continue
          seen[key] = 1
          split(key, part, " ")
          print part[1] "-" part[2]
          more = split(needs[key], next_ones, "\n")
          for (n = 1; n <= more; n++) if (next_ones[n] != "") wanted[++count] = next_ones[n]
        }
      }
    }
  ' "$project/Cargo.toml" "$project/Cargo.lock" | sort
}

found=0
texts="$(mktemp)"
trap 'rm -f "$texts"' EXIT
while read -r crate; do
  for source in "${sources[@]}"; do
    [ -d "$source$crate" ] || continue
    found=$((found + 1))
    find "$source$crate" -maxdepth 1 -type f -regextype posix-extended -iregex '.*/(licen[cs]e|copying|notice|unlicense)[^/]*' |
      sort | while read -r text; do
      printf '%s\t%s\t%s\n' "$(sha256sum <"$text" | cut -c 1-64)" "$crate" "$text"
    done >>"$texts"
  done
done < <(crates)
[ "$found" -gt 0 ] || { echo "none of the crates of Cargo.lock is in ${sources[*]}" >&2; exit 1; }

printf 'rentcar contains %s crates. Their licences:\n' "$found"
sort "$texts" | awk -F '\t' '
  $1 != last { if (last) show(); last = $1; path = $3; names = "" }
  { names = names " " $2 }
  END { if (last) show() }
  function show(   line) {
    printf "\n==== %s\n\n", substr(names, 2)
    while ((getline line < path) > 0) print line
    close(path)
  }'
