#!/usr/bin/env bash
# Fuzzes everything of the packager that reads foreign bytes, with libFuzzer and the address sanitizer.
#
#   tests/fuzz.sh             each target for a minute
#   SECONDS_EACH=5 tests/fuzz.sh tar index
#
# Needs a nightly compiler (rustup toolchain install nightly) and a C++ compiler. Inputs that were found to be of interest stay
# in fuzz/target/corpus; one that breaks a promise is written to fuzz/target/artifacts and ends the run. The usual tests do a
# short round with a fixed start instead (`fuzz::mutations`).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../fuzz"

seconds=${SECONDS_EACH:-60}
targets=("$@")
[ ${#targets[@]} -gt 0 ] || targets=(reference manifest config tar index challenge)
host=$(rustc -vV | sed -n 's/^host: //p')
say() { printf 'fuzz: %s\n' "$*" >&2; }
rustc +nightly --version >/dev/null 2>&1 || { say "needs a nightly compiler: rustup toolchain install nightly"; exit 1; }
command -v c++ >/dev/null || { say "needs a C++ compiler (Debian: apt-get install g++)"; exit 1; }

# What `cargo fuzz build` sets. The repository's own flags, for static programs, do not go with a sanitizer.
export CARGO_TARGET_DIR=$PWD/target
export RUSTFLAGS="-Zsanitizer=address -Cpasses=sancov-module -Cllvm-args=-sanitizer-coverage-level=4 \
-Cllvm-args=-sanitizer-coverage-inline-8bit-counters -Cllvm-args=-sanitizer-coverage-pc-table \
-Cllvm-args=-sanitizer-coverage-trace-compares -Ccodegen-units=1 --cfg fuzzing"
say "building"
cargo +nightly build --quiet --release --target "$host"
programs=target/$host/release

"$programs/seeds" target/seeds
for target in "${targets[@]}"; do
    say "$target, for $seconds s"
    mkdir -p "target/corpus/$target" "target/artifacts/$target"
    "$programs/$target" -max_total_time="$seconds" -timeout=10 -rss_limit_mb=2048 -max_len=65536 -print_final_stats=1 \
        -artifact_prefix="target/artifacts/$target/" "target/corpus/$target" "target/seeds/$target" 2>"target/$target.log" ||
        { tail -40 "target/$target.log" >&2; say "$target broke a promise; its input is in fuzz/target/artifacts/$target"; exit 1; }
    runs=$(sed -n 's/^stat::number_of_executed_units: *//p' "target/$target.log")
    say "$target: $runs inputs, none broke a promise"
done
