# The commands of this repository. `make` alone lists them.
#
# PROFILE chooses how `make run` builds: `dev` (shares its build with the tests; 3 minutes on 2 cores the first time) or
# `release` (what one deploys and measures; 12 minutes).

PROFILE ?= dev

.DEFAULT_GOAL := help
.PHONY: help run test demo portal e2e readme fuzz soak coverage replay schemathesis goldens lint fmt bench-gateway bench-control

help: ## List the commands
	@sed -nE 's/^([a-z0-9-]+):.*## (.*)/make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 20

run: ## Install what is missing, build, and run Portico with the sample web service
	@PROFILE=$(PROFILE) scripts/run.sh

test: ## Install what tests need and run every test
	@scripts/test.sh

demo: ## Run the whole journey against a Portico of its own, or the one at PORTICO_URL
	@scripts/demo.sh

portal: ## Build the two portals and check their types, translations and size
	@scripts/portal.sh --check

e2e: ## Run the journey through the portals in Chromium; writes docs/screenshots
	@scripts/e2e.sh

readme: ## Run the README's journey as printed: curl, Python, az
	@scripts/readme.sh

coverage: ## Run the tests of the management API and write docs/contract-coverage.md anew
	@scripts/coverage.py --run

replay: ## Replay the examples of the contract, where a folder of it is given (PORTICO_CONTRACT)
	@scripts/replay.sh

schemathesis: ## Try every operation with generated requests against its OpenAPI document
	@scripts/schemathesis.sh

fuzz: ## Feed made-up input to what reads input, SECONDS for each of the targets (default 60)
	@cargo run --locked --quiet -p fuzz -- --seconds $(or $(SECONDS),60)

soak: ## Load a real Portico while its configuration changes, MINUTES long (default 5)
	@MINUTES=$(or $(MINUTES),5) PROFILE=$(PROFILE) scripts/soak.sh

goldens: ## Write every generated file again: openapi/management.json and the tests' snapshots
	@scripts/goldens.sh

bench-gateway: ## CPU for a call through the gateway, beside nginx and HAProxy
	@scripts/bench.sh gateway

bench-control: ## Calls of the management API, beside pgbench on the same Postgres
	@scripts/bench.sh control

lint: ## Formatting, clippy, crate graph, dependencies and configuration
	@scripts/lint.sh

fmt: ## Format the Rust code
	@cargo fmt --all
