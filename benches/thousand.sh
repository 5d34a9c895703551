#!/usr/bin/env bash
# How long it takes to start, list, stop and remove many containers in the background, and how much memory each has.
#
#   benches/thousand.sh            1,000 containers of a program that says hello and waits
#   COUNT=100 benches/thousand.sh  fewer
#
# Memory is what both processes of a container have for themselves (private pages, by the kernel's account); the goal is 4 MiB.
# `ps` of 1,000 is to take 0.1 s. Containers are started one after the other: the time is that of `run -d`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
count=${COUNT:-1000}
need "clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32 python3" clang-14 wasm-ld-14 python3

cat >"$work/wait.c" <<'C'
#include <unistd.h>
int main(void) {
    write(1, "hello\n", 6);
    sleep(86400);
    return 0;
}
C
mkdir "$work/image"
clang-14 --target=wasm32-wasi --sysroot=/usr -Os -s -o "$work/image/app.wasm" "$work/wait.c"
printf 'FROM scratch\nCOPY app.wasm /\nENTRYPOINT ["/app.wasm"]\n' >"$work/image/Dockerfile"
export CORACLE_ROOT=$work/data
"$coracle" build -q -t wait "$work/image" >/dev/null
finish() {
    "$coracle" ps -aq | xargs -r "$coracle" rm -f >/dev/null
    cleanup
}
trap finish EXIT

now() { date +%s.%N; }
told() { # what, since, how many
    python3 -c 'import sys; what, since, until, many = sys.argv[1:]
passed = float(until) - float(since)
print(f"{what:34} {passed:8.3f} s   {1000 * passed / int(many):8.2f} ms each")' "$1" "$2" "$(now)" "$3"
}

say "starting $count containers"
since=$(now)
for ((number = 0; number < count; number++)); do
    "$coracle" run -d --name "many-$number" wait >/dev/null
done
told "run -d" "$since" "$count"
running=$("$coracle" ps -q | wc -l)
[ "$running" = "$count" ] || fail "$running run"
for round in 1 2 3; do
    since=$(now)
    "$coracle" ps >/dev/null
    told "ps, round $round" "$since" 1
done
since=$(now)
"$coracle" inspect many-0 >/dev/null
told "inspect of one" "$since" 1
python3 - "$CORACLE_ROOT" "$count" <<'PYTHON'
import os, sys
root, count = sys.argv[1], int(sys.argv[2])
kinds = {}
for pid in filter(str.isdigit, os.listdir("/proc")):
    try:
        words = open(f"/proc/{pid}/cmdline").read().split("\0")
        if root not in words:
            continue
        lines = dict(line.split(":", 1) for line in open(f"/proc/{pid}/smaps_rollup").read().splitlines()[1:])
    except OSError:
        continue
    size = lambda name: int(lines[name].split()[0])
    kind = next((word for word in words if word in ("monitor", "host")), "other")
    total = kinds.setdefault(kind, [0, 0, 0])
    total[0] += 1
    total[1] += size("Private_Clean") + size("Private_Dirty")
    total[2] += size("Pss")
for kind, (number, private, proportional) in sorted(kinds.items()):
    print(f"{kind:8} {number:5} processes   {private / number / 1024:6.2f} MiB private   {proportional / number / 1024:6.2f} MiB proportional, each")
print(f"together {sum(total[1] for total in kinds.values()) / count / 1024:6.2f} MiB private for each container")
PYTHON
since=$(now)
"$coracle" ps -q | xargs "$coracle" stop >/dev/null
told "stop" "$since" "$count"
since=$(now)
"$coracle" ps -aq | xargs "$coracle" rm >/dev/null
told "rm" "$since" "$count"
[ -z "$("$coracle" ps -aq)" ] || fail "some are left"
