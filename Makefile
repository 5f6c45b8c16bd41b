# `make` lists what can be done. Needs only make and Python 3.11 or newer with pip and venv.
.POSIX:

# PYTHON=… chooses another interpreter. The newest of these that is at least 3.11 is used otherwise.
VENV = .venv
BIN = $(VENV)/bin
LOCKS = deploy/requirements
# Test files run side by side, each process with servers of its own.
JOBS = 2

.PHONY: help run test test-long check format bench seed clean lock assets screenshots ready ready-dev browser

help: ## list these targets
	@echo "Ledgerwire. Targets:"
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' Makefile

run: ready ## set up and start everything; Ctrl-C stops it
	@exec $(BIN)/ledgerwire up

test: ready-dev browser ## set up and run the tests
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder $(ARGS)

test-long: ready-dev browser ## all tests: the long ones, and every case of the others
	@$(BIN)/python -m pytest -n $(JOBS) --dist loadscope --no-loadscope-reorder -m "" $(ARGS)

check: ready-dev ## format, lint, types and import contracts
	@$(BIN)/ruff format --check .
	@$(BIN)/ruff check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports

format: ready-dev ## format the code and mend what ruff can mend
	@$(BIN)/ruff format .
	@$(BIN)/ruff check --fix .

bench: ready-dev ## benchmarks, each against a floor measured in the same run
	@$(BIN)/python -m bench $(ARGS)

seed: ready ## load the demo data
	@$(BIN)/ledgerwire seed

assets: ready ## fetch the browser libraries again
	@rm -rf webapp/static/vendor
	@$(BIN)/python -m config.assets

screenshots: ready-dev browser ## make the pictures of the documentation
	@$(BIN)/python -m tests.e2e.screenshots docs/images --readme

clean: ## remove what was built; DATA_DIR with your data stays
	rm -rf $(VENV) node_modules webapp/static/vendor build dist .pytest_cache .mypy_cache .ruff_cache \
	    .hypothesis .import_linter_cache test-results

# For maintainers; needs uv. The locks name no addresses.
UV = uv
COMPILE = $(UV) pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
    --no-emit-find-links --no-header --no-annotate
lock: ## resolve the dependency locks anew (needs uv)
	$(COMPILE) pyproject.toml -o $(LOCKS)/main.txt
	$(COMPILE) --group build -c $(LOCKS)/main.txt -o $(LOCKS)/build.txt
	$(COMPILE) pyproject.toml --group dev -c $(LOCKS)/main.txt -c $(LOCKS)/build.txt -o $(LOCKS)/dev.txt

ready:
	@$(FIND_PYTHON); exec "$$found" deploy/set_up.py

ready-dev:
	@$(FIND_PYTHON); exec "$$found" deploy/set_up.py --dev

# Chromium for the browser tests. CHROMIUM_PATH names another one; without any, those tests are skipped.
browser:
	@if [ -n "$$CHROMIUM_PATH" ] || command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 \
	    || command -v google-chrome >/dev/null 2>&1; then :; \
	elif [ "$$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then \
	    echo "Browser: installing chromium with apt-get (once, takes a minute)"; \
	    { DEBIAN_FRONTEND=noninteractive apt-get update -qq && \
	      DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends chromium; } >/dev/null </dev/null \
	    || echo "Browser: chromium could not be installed; tests in a browser (tests/e2e) are skipped"; \
	else \
	    echo "Browser: no chromium on PATH and no CHROMIUM_PATH; tests in a browser (tests/e2e) are skipped"; \
	fi

FIND_PYTHON = \
	if [ -x $(BIN)/pip ] && $(BIN)/python -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then \
	    found=$(BIN)/python; \
	else \
	    found=; \
	    for candidate in $(PYTHON) python3.13 python3.12 python3.11 python3.14 python3 python; do \
	        if "$$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then \
	            found=$$candidate; break; \
	        fi; \
	    done; \
	    if [ -z "$$found" ]; then \
	        echo "Python 3.11 or newer was not found. Install it, or name it: make PYTHON=/path/to/python3" >&2; exit 1; \
	    fi; \
	fi
