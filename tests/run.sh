#!/usr/bin/env bash
# Installs what the tests need where it is missing, then runs every test. Arguments go to nextest:
# ./tests/run.sh -E 'test(push)'
#
# What is downloaded or compiled for the tests is kept in CORACLE_TEST_CACHE (~/.cache/coracle-tests), so that a
# second run takes seconds before the first test.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'tests: %s\n' "$*" >&2; }
fail() { printf 'tests: error: %s\n' "$*" >&2; exit 1; }

. tests/lib/packages.sh
. tests/lib/applications.sh
. tests/lib/guests.sh
. tests/lib/native.sh

command -v cargo >/dev/null || fail "cargo is not in PATH; install Rust 1.95 or newer first"

cache=${CORACLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coracle-tests}
mkdir -p "$cache"
cache=$(cd "$cache" && pwd)
install_packages
install_nextest
fetch_applications "$cache/applications"
CORACLE_TEST_GUESTS=$(build_guests tests/guests "$cache")
export CORACLE_TEST_GUESTS
export CORACLE_TEST_APPLICATIONS=$cache/applications
CORACLE_TEST_NATIVE=$(build_native "$cache")
export CORACLE_TEST_NATIVE

say "running the tests"
cargo nextest run --release --workspace --no-fail-fast "$@" </dev/null
if [ $# = 0 ]; then
    say "running the documentation's examples"
    cargo test --quiet --doc --release --workspace </dev/null
fi
say "all tests passed"
