# Two commands do everything: `make run` and `make test`.
# Compiled artefacts go to target/, or to a cache folder in CI, which clones afresh each time.

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/real-streaming
ifeq ($(CI),true)
export CARGO_TARGET_DIR := $(CACHE)/target
endif

MACHETE := $(CACHE)/tools/bin/cargo-machete
MACHETE_VERSION := 0.9.2

.PHONY: run test browser pubsub strace check fmt generate

run: ## builds and starts the collector with the embedded default
	APP_CONFIG__ENVIRONMENT=QA cargo run --bin real-streaming -- serve

test: venv browser pubsub strace ## installs what the tests need and runs all of them
	PYTHON="$(VENV)/bin/python" cargo test --workspace

browser: ## Chromium, and what makes it trust the certificates of tests
	@tests/browser/install.sh

pubsub: ## an emulator of Pub/Sub
	@tests/pubsub/install.sh $(CACHE)/tools/bin

strace: ## what lets calls of the system fail
	@tests/strace/install.sh

check: $(MACHETE) ## format, lints, documentation, unused dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --lib --no-default-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	$(MACHETE) .

fmt:
	cargo fmt --all

generate: ## writes what is generated: code from proto/, .env.template, snapshots of the schema
	GENERATE=1 cargo test --quiet --lib config::tests::the_template
	GENERATE=1 cargo test --quiet --test it generated::
	GENERATE=1 INSTA_UPDATE=always cargo test --quiet --test it schema::
	INSTA_UPDATE=always cargo test --quiet --test it golden::

$(MACHETE):
	cargo install cargo-machete --version $(MACHETE_VERSION) --locked --root $(CACHE)/tools

include bench/targets.mk
