# Two commands do everything: `make run` and `make test`.
# Compiled artefacts go to target/, or to a cache folder in CI, which clones afresh each time.

CACHE := $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/real-streaming
ifeq ($(CI),true)
export CARGO_TARGET_DIR := $(CACHE)/target
export npm_config_cache := $(CACHE)/npm
endif

MACHETE := $(CACHE)/tools/bin/cargo-machete
MACHETE_VERSION := 0.9.2
DENY := $(CACHE)/tools/bin/cargo-deny
DENY_VERSION := 0.18.5
PROMTOOL := $(shell command -v promtool)

.PHONY: run demo pictures test devices patterns browser pubsub strace node web journeys mutants fuzz check deploy-check advisories sbom fmt generate

run: ## builds and starts the collector with the embedded default
	@$(MAKE) --no-print-directory devices || echo "without patterns devices are told roughly"
	APP_CONFIG__ENVIRONMENT=QA cargo run --bin real-streaming -- serve

# The shop's pages are static: any web server would do.
demo: ## the collector beside a small shop that it measures: http://localhost:8090
	@$(MAKE) --no-print-directory devices || echo "without patterns devices are told roughly"
	@echo "shop: http://localhost:8090   live view: http://localhost:8080/live, any name, password only-for-the-demo"
	@python3 -m http.server 8090 --bind 127.0.0.1 --directory examples/site >/dev/null 2>&1 & shop=$$!; \
	trap "kill $$shop" EXIT; \
	APP_CONFIG__ENVIRONMENT=QA APP_CONFIG__ADMIN__TOKEN=only-for-the-demo \
	APP_CONFIG__CORS__ALLOWED_ORIGINS='["http://localhost:8090"]' APP_CONFIG__SESSION__KEYS='["only for the demo"]' \
	cargo run --bin real-streaming -- serve

pictures: browser node ## those of the README, from the shop and the live view of `make demo`, which must be running
	@cd web && node pictures.mjs ../docs/pictures

test: venv browser pubsub strace patterns node ## installs what the tests need and runs all of them
	PYTHON="$(VENV)/bin/python" cargo test --workspace

devices: data/devices.bin ## fetches Matomo's patterns and compiles them to the file by which devices are told
data/devices.bin: devices/requirements.txt $(wildcard src/enrich/device/*.rs src/enrich/device/*/*.rs)
	cargo run --quiet --bin real-streaming -- devices compile "$$(devices/install.sh)" $@

patterns: ## the package of these patterns, with fixtures
	@devices/install.sh >/dev/null

browser: ## Chromium and Firefox, and what makes the first trust the certificates of tests
	@tests/browser/install.sh

pubsub: ## an emulator of Pub/Sub
	@tests/pubsub/install.sh $(CACHE)/tools/bin

strace: ## what shows calls of the system, and lets them fail
	@tests/strace/install.sh

node: ## what builds and tests the files for browsers
	@web/install.sh

web: node ## builds these files: static/, which is checked in
	@cd web && npm run --silent check && npm run --silent build

journeys: browser node ## two hundred visitors at random with the tracker, in Chromium; JOURNEYS and SEED say otherwise
	JOURNEYS=$(or $(JOURNEYS),200) cargo test --workspace --test it -- tracker::visitors_with_chromium --nocapture

mutants: venv browser pubsub strace node ## breaks the code on purpose, one place at a time: each must turn a test red (docs/testing.md)
	PYTHON="$(VENV)/bin/python" python3 -B mutants/run.py $(MUTANTS)

fuzz: ## each fuzz target for FUZZ_SECONDS (60)
	fuzz/run.sh $(FUZZ)

check: $(MACHETE) $(DENY) deploy-check ## format, lints, documentation, unused dependencies, licences and sources of all dependencies
	cargo fmt --all --check
	cargo clippy --workspace --all-targets -- -D warnings
	cargo clippy --lib --no-default-features -- -D warnings
	cd fuzz && cargo clippy --locked -- -D warnings
	RUSTDOCFLAGS="-D warnings" cargo doc --workspace --no-deps --document-private-items
	$(MACHETE) .
	python3 -B mutants/run.py --check
	$(DENY) check bans licenses sources

deploy-check: ## rules and scrape configuration, by Prometheus' own tool where it is installed (Debian: prometheus)
ifneq ($(PROMTOOL),)
	$(PROMTOOL) check rules deploy/prometheus/rules.yml
	$(PROMTOOL) test rules deploy/prometheus/rules_test.yml
	$(PROMTOOL) check config --syntax-only deploy/prometheus/prometheus.yml
else
	@echo "promtool is not installed: deploy/prometheus is held to the collector by tests only"
endif

advisories: $(DENY) ## known weaknesses of dependencies; needs a network that reaches github.com
	$(DENY) check advisories

sbom: ## what is in the binary, as CycloneDX: target/sbom.json
	python3 deploy/sbom.py > target/sbom.json

fmt:
	cargo fmt --all

generate: ## writes what is generated: code from proto/, .env.template, snapshots of the schema
	GENERATE=1 cargo test --quiet --lib config::tests::the_template
	GENERATE=1 cargo test --quiet --test it generated::
	GENERATE=1 INSTA_UPDATE=always cargo test --quiet --test it schema::
	INSTA_UPDATE=always cargo test --quiet --test it golden::

$(DENY):
	cargo install cargo-deny --version $(DENY_VERSION) --locked --root $(CACHE)/tools

$(MACHETE):
	cargo install cargo-machete --version $(MACHETE_VERSION) --locked --root $(CACHE)/tools

include bench/targets.mk
