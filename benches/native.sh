#!/usr/bin/env bash
# How long a native container takes from the command to its end, beside crun and runc, run in turn so that a busy machine is busy for
# all of them. Needs root.
#
#   benches/native.sh             100 rounds
#   ROUNDS=20 benches/native.sh   fewer
#
# The same bundle for all: busybox's `true`, crun's own configuration, cgroups. State lies on /run, a tmpfs. crun wants one hierarchy
# of cgroups: all of them get a mount namespace without the second one.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

. benches/lib.sh
rounds=${ROUNDS:-100}
[ "$(id -u)" = 0 ] || fail "native containers of root need root"
need "crun runc busybox-static jq gcc" crun runc jq cc
[ -x /bin/busybox ] || fail "/bin/busybox is missing (Debian: apt-get install busybox-static)"
cc -O2 -o "$work/interleave" benches/interleave.c

state=$(mktemp -d /run/coracle-bench-XXXXXX)
trap 'rm -rf "$state"; cleanup' EXIT
mkdir -p "$work/bundle/rootfs/bin"
cp /bin/busybox "$work/bundle/rootfs/bin/"
# Its limits may be above what this machine gives.
(cd "$work/bundle" && crun spec &&
    jq '.process.args = ["/bin/busybox", "true"] | .process.terminal = false | .process.rlimits = []' config.json >new &&
    mv new config.json)

say "running each $rounds times in turn"
unshare --mount sh -c 'umount /sys/fs/cgroup/unified 2>/dev/null; exec "$@"' sh \
    "$work/interleave" "$rounds" \
    true /bin/true \
    -- coracle "$coracle" oci --root "$state/coracle" run --bundle "$work/bundle" "bench-c-$$" \
    -- crun crun --root "$state/crun" run --bundle "$work/bundle" "bench-k-$$" \
    -- runc runc --root "$state/runc" run --bundle "$work/bundle" "bench-r-$$" >"$work/times"

awk -F'\t' '
    { least[$1] = $2; median[$1] = $3; order[++count] = $1; cpu[$1] = $4 }
    END {
        printf "%-20s %12s %12s %16s\n", "whole process, ms", "least", "median", "processor time"
        for (i = 1; i <= count; i++)
            printf "%-20s %12.2f %12.2f %16.2f\n", order[i], least[order[i]] / 1000, median[order[i]] / 1000, cpu[order[i]] / 1000
        x = median["coracle"] / median["crun"]
        printf "\ncoracle / crun: median %.2f, least %.2f; goal <= 0.6: %s\n", x, least["coracle"] / least["crun"], (x <= 0.6 ? "reached" : "MISSED")
    }' "$work/times"
