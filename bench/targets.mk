# Benchmark and soak runs. BENCH_ARGS, SOAK_ARGS: further arguments, such as BENCH_ARGS=--quick.
CARGO_TARGET_DIR ?= target
VENV := $(or $(XDG_CACHE_HOME),$(HOME)/.cache)/real-streaming/venv
# On the disk of the build: the system's folder for temporary files may be in memory.
RUN_DIR := $(CARGO_TARGET_DIR)/tmp
BENCH_BIN := $(CARGO_TARGET_DIR)/release
SOAK := $(BENCH_BIN)/soak --dir $(RUN_DIR) --python $(VENV)/bin/python --scripts bench
BIGQUERY := bigquery-rate bigquery-written bigquery-away bigquery-waits bigquery-kill9
SCENARIOS := million kill9 power run cloudrun burst distinct sizes backlog beside commits crowd visibility $(BIGQUERY) pubsub-roundtrip

.PHONY: bench bench-build soak soak-bigquery soak-injected $(SCENARIOS:%=soak-%) venv check-rig

bench-build:
	cargo build --release --bin real-streaming
	cargo build --release -p real-streaming-bench -p real-streaming-fakes

bench: bench-build
	$(BENCH_BIN)/bench --dir $(RUN_DIR) $(BENCH_ARGS)

# About five hours; the longest are `run` and `beside`.
soak: $(filter-out soak-visibility soak-bigquery-%,$(SCENARIOS:%=soak-%)) soak-injected soak-bigquery

# With a log in memory, too.
soak-bigquery: $(BIGQUERY:%=soak-%)
	$(SOAK) bigquery-kill9 --memory

soak-pubsub-roundtrip: pubsub

# Each of the first fifty calls of every thread is once the last, or fails.
soak-injected: strace
	INJECT_DEPTH=50 cargo test --release --test it injected::

$(SCENARIOS:%=soak-%): soak-%: bench-build venv
	$(SOAK) $* $(SOAK_ARGS)

# The checker checked: a right table passes, each breach is found.
check-rig: venv
	$(VENV)/bin/python bench/check.py --self-test >/dev/null
	cargo test -q -p real-streaming-bench

# Made anew when the pinned versions change.
venv: $(VENV)/.made
$(VENV)/.made: bench/requirements.txt
	python3 -m venv $(VENV)
	$(VENV)/bin/pip install --quiet --disable-pip-version-check --requirement $<
	touch $@
