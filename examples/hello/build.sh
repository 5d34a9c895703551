#!/bin/sh
# Rebuilds hello.wasm, byte for byte, on Debian 12 with: clang-14 lld-14 wasi-libc libclang-rt-14-dev-wasm32
# Usage: ./build.sh [OUTPUT]
set -eu
output=$(realpath -m -- "${1:-$(dirname "$0")/hello.wasm}")
cd "$(dirname "$0")"
exec clang-14 --target=wasm32-wasi --sysroot=/usr -Os -s -o "$output" hello.c
