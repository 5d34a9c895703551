#!/usr/bin/env bash
# File work inside the guest beside `wasmtime run --dir`, in one run, interleaved, on one host file system.
#
#   benches/files.sh                          10,000 files and 1 GiB, 9 rounds
#   FILES=1000 MIB=64 ROUNDS=3 benches/files.sh
#
# Three of ours: the container's own files, with the image below; a mounted folder; and memory. Prints medians in
# milliseconds for each phase, and wasmtime's time over ours: the goal is 0.9 or more.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
files=${FILES:-10000}
mib=${MIB:-1024}
rounds=${ROUNDS:-9}
need "clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 python3" clang-14 wasm-ld-14 python3
wasmtime=${WASMTIME:-$(fetch_wasmtime)}
say "$("$wasmtime" --version), $(uname -r)"

mkdir "$work/image" "$work/host" "$work/mount"
clang-14 --target=wasm32-wasi --sysroot=/usr -O2 -o "$work/image/files.wasm" benches/files.c
printf 'FROM scratch\nCOPY files.wasm /\nENTRYPOINT ["/files.wasm"]\n' >"$work/image/Dockerfile"
export CORACLE_ROOT=$work/data
"$coracle" build -q -t files "$work/image" >/dev/null
"$wasmtime" compile -o "$work/files.cwasm" "$work/image/files.wasm"

run() {
    case $1 in
    wasmtime) "$wasmtime" run --allow-precompiled --dir "$work/host::/" "$work/files.cwasm" / "$files" "$mib" ;;
    own) "$coracle" run --rm files / "$files" "$mib" ;;
    mount) "$coracle" run --rm -v "$work/mount:/m" files /m "$files" "$mib" ;;
    memory) "$coracle" run --rm --tmpfs "/m:size=$((mib + 256))m" files /m "$files" "$mib" ;;
    esac
}
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    for who in wasmtime own mount memory; do
        run $who | sed "s/^/$who /" >>"$work/times"
    done
done

python3 - "$work/times" <<'PYTHON'
import collections, statistics, sys
times = collections.defaultdict(list)
for line in open(sys.argv[1]):
    who, phase, nanoseconds = line.split()
    times[phase, who].append(int(nanoseconds) / 1e6)
everyone = ["wasmtime", "own", "mount", "memory"]
print(f"{'ms':18}" + "".join(f"{who:>16}" for who in everyone))
for phase in dict.fromkeys(phase for phase, _ in times):
    middle = {who: statistics.median(times[phase, who]) for who in everyone}
    line = f"{phase:18}{middle['wasmtime']:16.1f}"
    for who in everyone[1:]:
        line += f"{middle[who]:10.1f}{middle['wasmtime'] / middle[who]:6.2f}"
    print(line)
PYTHON
