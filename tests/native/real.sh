#!/usr/bin/env bash
# Real Linux programs in containers: a shell pipeline, apt-get, and PostgreSQL, nginx and Redis from Debian as long-running
# containers on this machine's network, asked by their own clients and benchmarks. As root:
#
#     ./tests/native/real.sh [CORACLE]
#
# The second root file system is made by debootstrap, once, in CORACLE_TEST_CACHE (~/.cache/coracle-tests). Listens on
# 127.0.0.1 only, ports 54321, 54379 and 54380.
set -euo pipefail
shopt -s inherit_errexit
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

say() { printf 'real: %s\n' "$*" >&2; }
fail() { printf 'real: error: %s\n' "$*" >&2; exit 1; }

. tests/lib/native.sh

[ "$(id -u)" = 0 ] || fail "needs root"
coracle=$(realpath "${1:-target/release/coracle}")
[ -x "$coracle" ] || fail "there is no $coracle; build it first, or say where it is"
cache=${CORACLE_TEST_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/coracle-tests}
native=$(build_native "$cache")
if [ ! -e "$native/servers.tar" ]; then
    say "making a Debian with PostgreSQL, nginx and Redis; this takes some minutes, once"
    root=$(mktemp -d "$native/.servers.XXXXXX")
    debootstrap --variant=minbase --include=postgresql-15,nginx-light,redis-server \
        bookworm "$root" "$(debian_mirror)" >"$native/servers.log" 2>&1 </dev/null || fail "see $native/servers.log"
    pack "$root" "$native/servers.tar" --numeric-owner
    rm -rf --one-file-system "$root"
fi

CORACLE_ROOT=$(mktemp -d /tmp/coracle-real.XXXXXX)
export CORACLE_ROOT
finish() {
    "$coracle" ps -aq | xargs -r "$coracle" rm -f >/dev/null 2>&1 || true
    rm -rf "$CORACLE_ROOT"
}
trap finish EXIT

# Asks until the answer is yes.
await() {
    local what=$1 try
    shift
    for try in $(seq 100); do
        "$@" >/dev/null 2>&1 && return 0
        sleep 0.2
    done
    "$coracle" ps -a >&2
    fail "waited too long: $what"
}

want() {
    local want=$1 got
    shift
    got=$("$@") || fail "failed: $*"
    [ "$got" = "$want" ] || fail "$* said '$got', want '$want'"
}

say "unpacking the images"
"$coracle" import --platform linux/amd64 "$native/busybox.tar" box >/dev/null
"$coracle" import --platform linux/amd64 "$native/debian.tar" debian >/dev/null
"$coracle" import --platform linux/amd64 -c 'ENV PATH=/usr/lib/postgresql/15/bin:/usr/sbin:/usr/bin:/sbin:/bin' \
    "$native/servers.tar" servers >/dev/null

say "a pipeline in busybox"
want 19 "$coracle" run --rm box sh -c 'seq 1 100 | grep 7 | sort -n | wc -l'

say "apt-get install in Debian"
want 'Hello, world!' "$coracle" run --rm --network host debian sh -c \
    'apt-get -qq update && apt-get -qq install -y --no-install-recommends hello >/dev/null 2>&1; hello'

say "PostgreSQL, with its data in a volume"
postgres='chown postgres /data && exec setpriv --reuid=postgres --regid=postgres --init-groups sh -c "
    [ -s /data/PG_VERSION ] || initdb -A trust -D /data >/dev/null; exec postgres -D /data -p 54321 -k /tmp -h 127.0.0.1"'
"$coracle" run -d --name pg --network host --shm-size 256m -v pgdata:/data servers sh -c "$postgres" >/dev/null
psql() { "$coracle" exec pg psql -U postgres -h 127.0.0.1 -p 54321 -Atc "$1"; }
await "PostgreSQL answers" psql 'select 1'
psql 'create table t (n int); insert into t select generate_series(1, 1000)' >/dev/null
want 500500 psql 'select sum(n) from t'
"$coracle" exec pg pgbench -U postgres -h 127.0.0.1 -p 54321 -i -q postgres 2>/dev/null
"$coracle" exec pg pgbench -U postgres -h 127.0.0.1 -p 54321 -c 4 -T 3 postgres 2>/dev/null | grep '^tps' >&2
"$coracle" restart -t 20 pg >/dev/null
await "PostgreSQL answers again" psql 'select 1'
want 500500 psql 'select sum(n) from t'
# Another container, with the same volume.
"$coracle" rm -f pg >/dev/null
"$coracle" run -d --name pg --network host -v pgdata:/data servers sh -c "$postgres" >/dev/null
await "PostgreSQL answers from its volume" psql 'select 1'
want 500500 psql 'select sum(n) from t'

say "nginx, with a folder of this machine"
mkdir "$CORACLE_ROOT/site"
echo 'from nginx' >"$CORACLE_ROOT/site/index.html"
printf 'events {}\nhttp { server { listen 127.0.0.1:54380; root /site; } }\n' >"$CORACLE_ROOT/nginx.conf"
"$coracle" run -d --name web --network host -v "$CORACLE_ROOT/site:/site:ro" -v "$CORACLE_ROOT/nginx.conf:/etc/nginx/nginx.conf:ro" \
    servers nginx -g 'daemon off;' >/dev/null
await "nginx answers" curl -sf http://127.0.0.1:54380/
want 'from nginx' curl -sf http://127.0.0.1:54380/
ab -q -n 20000 -c 8 http://127.0.0.1:54380/ | grep -E '^(Requests per second|Failed)' >&2

say "Redis, held to 128 MiB"
"$coracle" run -d --name cache --network host --memory 128m servers redis-server --bind 127.0.0.1 --port 54379 --save '' >/dev/null
await "Redis answers" "$coracle" exec cache redis-cli -p 54379 ping
want OK "$coracle" exec cache redis-cli -p 54379 set key value
want value "$coracle" exec cache redis-cli -p 54379 get key
"$coracle" exec cache redis-benchmark -p 54379 -n 20000 -q -t set,get 2>/dev/null | tr '\r' '\n' | grep 'requests per' >&2

say "all of them end when they are asked to"
"$coracle" stop -t 20 pg web cache >/dev/null
want '' "$coracle" ps -q
say "all of it works"
