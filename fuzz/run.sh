#!/bin/sh
# Runs each fuzz target, or those that are named, for FUZZ_SECONDS (60). What is found stays below the target folder, and
# the exit code tells. `fuzz/run.sh TARGET FILE` tries one input again.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
target=$(cd "${CARGO_TARGET_DIR:-$here/../target}" && pwd)/fuzz
host=$(rustc -vV | sed -n 's/^host: //p')
mkdir -p "$target"
# With a target of its own, what runs while building is compiled as ever.
(cd "$here" && CARGO_TARGET_DIR=$target RUSTC_WRAPPER=$here/rustc.sh ${CARGO:-cargo} build --release --locked --target "$host")
bin=$target/$host/release
if [ $# -eq 2 ] && [ -f "$2" ]; then
  exec "$bin/$1" "$2"
fi
[ $# -gt 0 ] || set -- payload request row_bytes row_text log files letters configuration
python3 -B "$here/seeds.py" "$target/corpus"
for one; do
  mkdir -p "$target/corpus/$one" "$target/found/$one"
  echo "fuzz: $one"
  nice "$bin/$one" "$target/corpus/$one" -max_total_time="${FUZZ_SECONDS:-60}" -max_len="${FUZZ_BYTES:-4096}" -timeout=20 \
    -rss_limit_mb=2048 -artifact_prefix="$target/found/$one/" -print_final_stats=1 2>"$target/$one.log" \
    || { tail -40 "$target/$one.log"; exit 1; }
  grep -E "number_of_executed_units|peak_rss" "$target/$one.log"
  grep -oE "cov: [0-9]+ ft: [0-9]+" "$target/$one.log" | tail -1
done
