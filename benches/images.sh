#!/usr/bin/env bash
# Pull and push beside skopeo and podman, in one run, over the loopback interface from Debian's docker-registry.
#
#   benches/images.sh                 an image of 500 MB in 12 layers and 40,000 files, and a Wasm image of 30 MB
#   SCALE=10 RUNS=3 benches/images.sh a tenth of that, three runs each
#
# skopeo copies blobs and unpacks nothing; podman unpacks every file to a directory; coracle packs each layer beside its
# blob, checks both digests, and compiles the program. Prints medians, ratios to the goals, and the peak memory of one pull.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
scale=${SCALE:-1}
runs=${RUNS:-5}
PATH=$PATH:/usr/sbin
need "hyperfine docker-registry skopeo podman python3 jq" hyperfine docker-registry skopeo podman python3 jq

podman_here() {
    podman --root "$work/podman" --runroot "$work/podman-run" --storage-driver overlay "$@"
}
trap 'podman_here system reset --force >/dev/null 2>&1 || true; cleanup' EXIT

# Files as images have them: text that shrinks to a third, and machine code and media that hardly shrink.
say "making the files (scale 1/$scale)"
python3 - "$work" "$scale" <<'PYTHON'
import os, random, sys
work, scale = sys.argv[1], int(sys.argv[2])
r = random.Random(1)
words = ["".join(r.choices("etaoinshrdlucmfwypvbgkjqxz_", k=r.randint(2, 11))) for _ in range(4000)]
text = " ".join(r.choices(words, k=1_500_000)).encode()
def content(size):
    if r.random() < 0.35:
        return r.randbytes(size)
    at = r.randrange(len(text) - 200_000)
    out = b""
    while len(out) < size:
        piece = text[at : at + min(size - len(out), 150_000)]
        out += piece
        at = r.randrange(len(text) - 200_000)
    return out
files, total = 40_000 // scale, 500_000_000 // scale
left, lines = total, ["FROM scratch"]
for layer in range(12):
    base = f"{work}/context/l{layer}"
    for number in range(files // 12):
        size = min(int(r.lognormvariate(8.2, 1.6)), 3_000_000)
        path = f"{base}/usr/share/p{number % 61}/d{number % 7}"
        os.makedirs(path, exist_ok=True)
        with open(f"{path}/file-{number}", "wb") as file:
            file.write(content(size))
        left -= size
    # One big file brings the layer to its share.
    rest = max(0, left - total * (11 - layer) // 12)
    with open(f"{base}/big", "wb") as file:
        while rest > 0:
            step = min(rest, 4_000_000)
            file.write(content(step)); rest -= step; left -= step
    lines.append(f"COPY l{layer} /l{layer}")
with open(f"{work}/context/Dockerfile", "w") as file:
    file.write("\n".join(lines) + "\n")
# A WebAssembly module of 30 MB: one function, and data that hardly shrinks.
def leb(n):
    out = b""
    while True:
        byte, n = n & 127, n >> 7
        out += bytes([byte | (128 if n else 0)])
        if not n: return out
def section(kind, body): return bytes([kind]) + leb(len(body)) + body
data = content(30_000_000 // scale)
pages = len(data) // 65536 + 1
module = b"\0asm\1\0\0\0" + section(1, b"\1\x60\0\0") + section(3, b"\1\0") + section(5, b"\1\0" + leb(pages))
module += section(7, b"\2\6memory\2\0\6_start\0\0") + section(10, b"\1\2\0\x0b")
module += section(11, b"\1\0\x41\0\x0b" + leb(len(data)) + data)
os.makedirs(f"{work}/wasm")
open(f"{work}/wasm/app.wasm", "wb").write(module)
open(f"{work}/wasm/Dockerfile", "w").write('FROM scratch\nCOPY app.wasm /\nENTRYPOINT ["/app.wasm"]\n')
PYTHON

port=$(python3 -c 'import socket; s=socket.socket(); s.bind(("127.0.0.1",0)); print(s.getsockname()[1])')
cat >"$work/registry.yml" <<END
version: 0.1
log: {level: error, accesslog: {disabled: true}}
storage: {filesystem: {rootdirectory: $work/registry}, delete: {enabled: true}}
http: {addr: "127.0.0.1:$port", secret: nothing}
END
OTEL_TRACES_EXPORTER=none docker-registry serve "$work/registry.yml" >"$work/registry.log" 2>&1 &
started+=($!)
for _ in $(seq 100); do curl -sf "http://127.0.0.1:$port/v2/" >/dev/null && break; sleep 0.05; done

export CORACLE_ROOT=$work/sender
big=127.0.0.1:$port/bench/files:1 wasm=127.0.0.1:$port/bench/wasm:1
say "building and pushing the images"
"$coracle" build -q -t "$big" "$work/context" >/dev/null
"$coracle" push -q "$big" >/dev/null
"$coracle" build -q -t "$wasm" "$work/wasm" >/dev/null
"$coracle" push -q "$wasm" >/dev/null
rm -rf "$work/context"
export CORACLE_ROOT=$work/coracle

platform="--override-os wasi --override-arch wasm"
pull_coracle() { echo "$coracle pull -q $1"; }
pull_skopeo() { echo "skopeo --insecure-policy $platform copy -q --src-tls-verify=false docker://$1 oci:$work/skopeo:image"; }
pull_podman() { echo "podman --root $work/podman --runroot $work/podman-run --storage-driver overlay pull -q --tls-verify=false --os wasi --arch wasm $1"; }
forget="rm -rf $work/coracle $work/skopeo; podman --root $work/podman --runroot $work/podman-run --storage-driver overlay rmi -af >/dev/null 2>&1; sync"

median() { jq -r ".results[$1].median" "$2"; }
ratio() { awk "BEGIN { printf \"%.2f\", $1 / $2 }"; }

measure_pull() {
    local title=$1 image=$2 json=$work/pull.json
    hyperfine -w 1 -r "$runs" --prepare "$forget" --export-json "$json" \
        -n coracle "$(pull_coracle "$image")" -n skopeo "$(pull_skopeo "$image")" -n podman "$(pull_podman "$image")" >&2
    local c s p
    c=$(median 0 "$json") s=$(median 1 "$json") p=$(median 2 "$json")
    printf '%-28s coracle %6.2f s   skopeo %6.2f s (%s, goal 1.2)   podman %6.2f s (%s, goal 0.5)\n' \
        "pull, $title" "$c" "$s" "$(ratio "$c" "$s")" "$p" "$(ratio "$c" "$p")"
}

measure_push() {
    local title=$1 image=$2 json=$work/push.json repository=${2%:1}
    CORACLE_ROOT=$work/sender "$coracle" tag "$image" "$repository-c:1"
    local layout=oci:$work/sender/images:$image
    # Each run into a repository that has nothing, and to which nothing can be mounted.
    hyperfine -w 1 -r "$runs" --export-json "$json" \
        --prepare "rm -rf $work/registry/docker/registry/v2/repositories/bench/*-[cs] $work/registry/docker/registry/v2/blobs; sync" \
        -n coracle "CORACLE_ROOT=$work/sender $coracle push -q $repository-c:1" \
        -n skopeo "skopeo --insecure-policy $platform copy -q --all --dest-tls-verify=false $layout docker://$repository-s:1" >&2
    local c s
    c=$(median 0 "$json") s=$(median 1 "$json")
    printf '%-28s coracle %6.2f s   skopeo %6.2f s (%s)\n' "push, $title" "$c" "$s" "$(ratio "$c" "$s")"
}

peak() {
    python3 - "$@" <<'PYTHON'
import resource, subprocess, sys
subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL)
print(f"{resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024:.0f} MiB")
PYTHON
}

{
    measure_pull "12 layers, many files" "$big"
    measure_pull "one Wasm program" "$wasm"
    eval "$forget"
    printf '%-28s coracle %s (goal 64 MiB)\n' "peak memory, many files" "$(peak "$coracle" pull -q "$big")"
    printf '%-28s coracle %s (goal 64 MiB)\n' "peak memory, Wasm" "$(peak "$coracle" pull -q "$wasm")"
    measure_push "12 layers, many files" "$big"
} | tee "$work/report"
