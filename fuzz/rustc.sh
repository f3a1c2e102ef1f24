#!/bin/sh
# Compiles the collector so that libFuzzer sees which ways an input takes; what it stands on, as ever.
# The flags are those of cargo-fuzz, without a sanitizer, so that a stable compiler does.
case " $* " in
*" --crate-name real_streaming "*)
  exec "$@" \
    -Cpasses=sancov-module \
    -Cllvm-args=-sanitizer-coverage-level=4 \
    -Cllvm-args=-sanitizer-coverage-inline-8bit-counters \
    -Cllvm-args=-sanitizer-coverage-pc-table \
    -Cllvm-args=-sanitizer-coverage-trace-compares \
    -Ccodegen-units=16
  ;;
esac
exec "$@"
