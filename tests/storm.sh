#!/usr/bin/env bash
# A storm on a few containers: processes that create, start, look into, stop and remove them at random, while others are killed
# with SIGKILL. Afterwards there may be no process, folder or name that nobody owns.
#
#   tests/storm.sh             20 processes for five minutes
#   tests/storm.sh 10 4        4 processes for ten seconds
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'tests: %s\n' "$*" >&2; }
fail() { printf 'tests: error: %s\n' "$*" >&2; exit 1; }
. tests/lib/guests.sh
coracle=${CORACLE:-target/x86_64-unknown-linux-gnu/release/coracle}
[ -x "$coracle" ] || fail "$coracle is not there; build it with: cargo build --release"
coracle=$(readlink -f "$coracle")
work=$(mktemp -d "${TMPDIR:-/tmp}/coracle-storm-XXXXXX")
trap 'rm -rf "$work"' EXIT
cache=${CORACLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coracle-tests}
mkdir -p "$cache" "$work/image"
guests=$(build_guests tests/guests "$(cd "$cache" && pwd)")
cp "$guests"/{sleep,exit7}.wasm "$work/image/"
printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/sleep.wasm"]\n' >"$work/image/Dockerfile"
export CORACLE_ROOT=$work/data
"$coracle" build -q -t storm "$work/image" >/dev/null
python3 tests/storm.py "$coracle" storm "${1:-300}" "${2:-20}"
