# Every target sets up what it needs in .venv: a fresh clone, Python 3.11 or newer, make and git 2.38 or newer are enough.
.DEFAULT_GOAL := help
.NOTPARALLEL:

BIN := .venv/bin
PYTHON_FILES := $(wildcard server tests benchmarks scripts)
BENCHES := planning store_hop routing context public_commits engine startup merging council workers waves big_store hooks handles page people two_people
SIDE_BY_SIDE := -n 4 --dist worksteal
ENVIRONMENT := @sh scripts/environment.sh

.PHONY: help
help: ## Lists the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / {printf "  make %-14s %s\n", $$1, $$2}' Makefile

.PHONY: install
install: ## Registers the server in a client (ARGS="claude-code"); without one says which are here
	$(ENVIRONMENT) plain
	@$(BIN)/dispatch-mcp install $(ARGS)

.PHONY: demo
demo: ## Shows one run from start to end, killed and resumed in between (ARGS="--repo PATH")
	$(ENVIRONMENT) plain
	@$(BIN)/dispatch-mcp demo $(ARGS)

.PHONY: test
test: ## Runs the tests (ARGS="tests/planning -x")
	$(ENVIRONMENT) test
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) $(ARGS)

.PHONY: test-clients
test-clients: ## Runs the tests with the real Claude Code, Codex, opencode and Gemini CLI, offline (installs them, once)
	$(ENVIRONMENT) test
	@claude=$$(sh scripts/clients.sh) && DISPATCH_MCP_CLIENTS="$$claude" \
	  DISPATCH_MCP_CODEX="$$(sh scripts/clients.sh codex)" \
	  DISPATCH_MCP_OPENCODE="$$(sh scripts/clients.sh opencode)" \
	  DISPATCH_MCP_GEMINI="$$(sh scripts/clients.sh gemini)" $(BIN)/python -m pytest -q tests/clients $(ARGS)

.PHONY: test-scale
test-scale: ## Runs the tests of the distributed engine on two small Temporal servers (installs them, once)
	$(ENVIRONMENT) scale
	@$(BIN)/python -m pytest -q --timeout 900 tests/temporal tests/telemetry --scale $(ARGS)

.PHONY: conformance
conformance: ## Runs the protocol's own conformance suite against the server over HTTP (installs it, once; needs npm)
	$(ENVIRONMENT) test
	@sh scripts/conformance.sh

.PHONY: test-page
test-page: ## Runs the tests of page, app and dashboard in Chromium, with axe-core and the official bridge (needs npm, once)
	$(ENVIRONMENT) test
	@sh scripts/page_tools.sh
	@mkdir -p .axe/pictures
	@DISPATCH_MCP_PICTURES=$(CURDIR)/.axe/pictures $(BIN)/python -m pytest -q tests/pages \
	  tests/web/test_dashboard_in_a_browser.py $(ARGS)

.PHONY: check
check: ## Runs what a change must pass: format, lint, types, tests
	$(ENVIRONMENT) dev
	@$(BIN)/ruff format --check $(PYTHON_FILES)
	@$(BIN)/ruff check $(PYTHON_FILES)
	@$(BIN)/pyright
	@$(BIN)/python -m pytest -q $(SIDE_BY_SIDE) $(ARGS)

.PHONY: bench
bench: ## Runs every benchmark; fails when one misses its bound
	$(ENVIRONMENT) bench
	@failed=; for name in $(BENCHES); do \
	  echo "== $$name"; $(BIN)/python benchmarks/$$name.py $(ARGS) || failed="$$failed $$name"; \
	done; test -z "$$failed" || { echo "missed:$$failed" >&2; exit 1; }

.PHONY: bench-all
bench-all: ## Runs every benchmark beside its peers, which it installs, and writes docs/benchmarks-run.md (an hour)
	$(ENVIRONMENT) bench
	@$(BIN)/python benchmarks/bench_all.py $(ARGS)

.PHONY: $(BENCHES:%=bench-%)
$(BENCHES:%=bench-%): bench-%:
	$(ENVIRONMENT) bench
	@$(BIN)/python benchmarks/$*.py $(ARGS)

.PHONY: chaos
chaos: ## Runs kills, pauses, clock jumps and properties in full (long; CI runs a slice of them)
	$(ENVIRONMENT) test
	@DISPATCH_MCP_CHAOS=full $(BIN)/python -m pytest -q -m "chaos or property" --timeout 3600 $(ARGS)

.PHONY: fuzz
fuzz: ## Gives every reader and a real server damaged texts, ten minutes each, four at a time (ARGS="diff --seconds 30")
	$(ENVIRONMENT) test
	@$(BIN)/python tests/fuzz/fuzz.py --seconds 600 --jobs 4 $(ARGS)

.PHONY: mutants
mutants: ## Measures how many small wrong changes the tests notice (ARGS="--only store/writer")
	$(ENVIRONMENT) dev
	@$(BIN)/python scripts/mutation_score.py .mutants $(ARGS)

.PHONY: format
format: ## Formats the code and applies safe fixes
	$(ENVIRONMENT) dev
	@$(BIN)/ruff format $(PYTHON_FILES)
	@$(BIN)/ruff check --fix $(PYTHON_FILES)

.PHONY: docs
docs: ## Writes the reference pages that come from the code
	$(ENVIRONMENT) plain
	@$(BIN)/python scripts/generate_docs.py

.PHONY: site
site: ## Builds the documentation as a site into site (installs what it needs, once); a broken link fails
	$(ENVIRONMENT) site
	@$(BIN)/python scripts/generate_docs.py --check
	@NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --clean

.PHONY: bundle
bundle: ## Packs the bundle for Claude Desktop into dist
	$(ENVIRONMENT) plain
	@$(BIN)/python scripts/make_bundle.py

.PHONY: clean
clean: ## Removes the environment, caches and built files
	@rm -rf .venv .peers .clients .conformance .axe dist build site .pytest_cache .ruff_cache .hypothesis .mutants .coverage
	@find $(PYTHON_FILES) -name __pycache__ -type d -prune -exec rm -rf {} +
