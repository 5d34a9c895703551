#!/usr/bin/env bash
# A run of an image of ten files beside one of 100,000: time, and pages that the process had to touch.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
. benches/lib.sh
need "hyperfine python3 jq" hyperfine python3 jq
export CORACLE_ROOT=$work/data
for files in 10 100000; do
    python3 - "$work/$files" $files <<'PYTHON'
import os, sys
base, files = sys.argv[1], int(sys.argv[2])
for number in range(files):
    path = f"{base}/f/{number % 97}/{number % 1009}"
    if number < 1009 * 97: os.makedirs(path, exist_ok=True)
    open(f"{path}/file-{number}", "w").write(str(number))
# A module whose start does nothing.
open(f"{base}/app.wasm", "wb").write(b"\0asm\1\0\0\0\1\4\1\x60\0\0\3\2\1\0\5\3\1\0\1\7\x13\2\6memory\2\0\6_start\0\0\x0a\4\1\2\0\x0b")
open(f"{base}/Dockerfile", "w").write('FROM scratch\nCOPY . /\nENTRYPOINT ["/app.wasm"]\n')
PYTHON
    "$coracle" build -q -t "files-$files" "$work/$files" >/dev/null
done
hyperfine -N -w 20 -r 200 --export-json "$work/times.json" \
    "$coracle run --rm files-10" "$coracle run --rm files-100000" >&2
python3 - "$coracle" "$work/times.json" <<'PYTHON'
import json, os, subprocess, sys
medians = [r["median"] * 1000 for r in json.load(open(sys.argv[2]))["results"]]
for files, median in zip((10, 100000), medians):
    process = subprocess.Popen([sys.argv[1], "run", "--rm", f"files-{files}"])
    _, _, usage = os.wait4(process.pid, 0)
    print(f"{files:>6} files: median {median:.2f} ms, {usage.ru_minflt} page faults, {usage.ru_majflt} of them from the disk")
PYTHON
