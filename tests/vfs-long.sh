#!/usr/bin/env bash
# The guest's file system against a model, a mounted folder and the kernel's overlayfs, on 100,000 random calls each and
# more. New sequences each time; a failure prints the shortest one that fails. Needs root for overlayfs.
#
#   tests/vfs-long.sh              6,000 sequences of some 20 calls
#   tests/vfs-long.sh 50000
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
CORACLE_VFS_CASES=${1:-6000} exec cargo nextest run --release -p coracle-runtime --success-output final \
    --config 'profile.default.slow-timeout={period="600s",terminate-after=6}' vfs::tests::random::
