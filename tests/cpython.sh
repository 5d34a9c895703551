#!/usr/bin/env bash
# CPython's own tests of file work, run by CPython for WASI in a container.
#
#   tests/cpython.sh                  finds a CPython 3.12 with its test package
#   tests/cpython.sh LIB [TEST…]      LIB is a folder like /usr/lib/python3.12
#
# No package registry here has the test package of 3.12 by itself; a CPython 3.12 that was built from source has it.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

say() { printf 'tests: %s\n' "$*" >&2; }
fail() { printf 'tests: error: %s\n' "$*" >&2; exit 1; }
. tests/lib/applications.sh

lib=${1:-}
[ -n "$lib" ] || for lib in "${PYENV_ROOT:-$HOME/.pyenv}"/versions/3.12.*/lib/python3.12 /usr/local/lib/python3.12 /usr/lib/python3.12; do
    [ -f "$lib/test/test_os.py" ] && break
done
[ -f "$lib/test/test_os.py" ] || fail "SKIPPED: there is no CPython 3.12 with its test package; name its folder"
shift || true
tests=${*:-test_os test_shutil test_pathlib test_zipfile test_tarfile test_tempfile test_glob}
coracle=${CORACLE:-target/x86_64-unknown-linux-gnu/release/coracle}
[ -x "$coracle" ] || fail "$coracle is not there; build it with: cargo build --release"

work=$(mktemp -d "${TMPDIR:-/tmp}/coracle-cpython-XXXXXX")
trap 'rm -rf "$work"' EXIT
cache=${CORACLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coracle-tests}/applications
mkdir -p "$cache" "$work/image"
fetch_applications "$cache"
cp "$cache/python.wasm" "$work/image/"
cat >"$work/image/run.py" <<'PYTHON'
import sys, unittest

name = sys.argv[1]
suite = unittest.defaultTestLoader.loadTestsFromName("test." + name)
# What the guest cannot have, or the interpreter cannot do.
STACK = "generators in generators overflow the stack that this interpreter was built with"
LEFT_OUT = {
    "test_copymode_follow_symlinks": "WASI has no chmod",
    "test_glob_dotdot": STACK,
    "test_glob_many_open_files": STACK,
}

def tests(suite):
    for test in suite:
        if isinstance(test, unittest.TestSuite):
            yield from tests(test)
        else:
            yield test

kept = unittest.TestSuite()
for test in tests(suite):
    reason = LEFT_OUT.get(test.id().rpartition(".")[2])
    if reason:
        print(f"left out: {test.id()}: {reason}")
    else:
        kept.addTest(test)
result = unittest.TextTestRunner(verbosity=0).run(kept)
sys.exit(not result.wasSuccessful())
PYTHON
printf 'FROM scratch\nCOPY python.wasm run.py /\nENTRYPOINT ["/python.wasm", "/run.py"]\n' >"$work/image/Dockerfile"
export CORACLE_ROOT=$work/data
"$coracle" build -q -t python "$work/image" >/dev/null
failed=
for test in $tests; do
    say "$test"
    "$coracle" run --rm -v "$lib:/pylib:ro" -e PYTHONPATH=/pylib python "$test" </dev/null || failed="$failed $test"
done
[ -z "$failed" ] || fail "failed:$failed"
say "all passed"
