#!/usr/bin/env bash
# Checks the files that image and pipelines are made from: the Containerfile with hadolint, the pipelines against the
# schemas of their services, and that all of them have the Rust of rust-toolchain.toml.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/lib.sh"

for tool in hadolint check-jsonschema; do
  [ -x "$venv/bin/$tool" ] || fail "$tool is missing: run scripts/install-tools.sh"
done
"$venv/bin/hadolint" Containerfile
"$venv/bin/check-jsonschema" --builtin-schema vendor.github-workflows .github/workflows/*.yml
"$venv/bin/check-jsonschema" --builtin-schema vendor.cloudbuild cloudbuild.yaml

rust="$(sed -n 's/^channel = "\(.*\)"/\1/p' rust-toolchain.toml)"
for file in Containerfile .github/workflows/ci.yml cloudbuild.yaml; do
  grep -q "docker.io/library/rust:$rust-bookworm" "$file" || fail "$file does not build with Rust $rust on Debian 12"
done
# What the Containerfile copies into its stage `build` is there, and is not left out of the context.
while read -r source; do
  [ -e "$source" ] || fail "the Containerfile copies $source, which does not exist"
  grep -qx "!$source" .containerignore || fail ".containerignore leaves out $source, which the Containerfile copies"
done < <(sed -n 's/^COPY \([^-].*\) [^ ]*$/\1/p' Containerfile | tr ' ' '\n')
# Of every action a major version or a commit is named, never a branch.
if grep -E "uses: " .github/workflows/*.yml | grep -vE "uses: [a-z0-9./_-]+@(v[0-9]+|[0-9a-f]{40})( |$)"; then
  fail "an action is not pinned"
fi

# What is broken is refused: each of these changes of a line has to be noticed by the tool that is meant to.
scratch="$(mktemp -d)"
trap 'rm -rf "$scratch"' EXIT
refused() {
  local file="$1" change="$2"
  shift 2
  sed "$change" "$file" >"$scratch/$(basename "$file")"
  if cmp --silent "$file" "$scratch/$(basename "$file")"; then fail "$change changes nothing in $file"; fi
  if "$venv/bin/$1" "${@:2}" "$scratch/$(basename "$file")" >/dev/null 2>&1; then fail "$1 lets $change in $file pass"; fi
}
refused Containerfile 's/^WORKDIR .*/RUN cd \/build/' hadolint
refused Containerfile 's/:1\.95\.0-bookworm/:latest/' hadolint
refused .github/workflows/ci.yml 's/runs-on:/runs_on:/' check-jsonschema --builtin-schema vendor.github-workflows
refused cloudbuild.yaml 's/^steps:/stages:/' check-jsonschema --builtin-schema vendor.cloudbuild
say "packaging: Containerfile and pipelines are as they should be"
