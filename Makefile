# Nothing here that a reader could not type. `make help` lists it.
.DEFAULT_GOAL := help
SHELL := /bin/bash
PYTHON_HERE := .venv/bin/python
MANAGE := $(PYTHON_HERE) manage.py
SHORT_FAULTS := part_is_killed or under_five_hundred

.PHONY: help
help: ## List what there is
	@sed -n 's/^\([a-z-]*\):.*## /\1|/p' Makefile | awk -F'|' '{printf "  make %-14s %s\n", $$1, $$2}'

.PHONY: run
run: installed ## Start the whole product here: make run PORT=8123 DATA_DIR=/somewhere DEMO=0
	@exec $(MANAGE) up

.PHONY: demo
demo: installed ## Load the demo (again) into the running product's database; safe to repeat
	@$(MANAGE) seed_demo

.PHONY: test
test: installed-dev ## Run the quick whole of the tests: make test ARGS="-k pledges"
	@$(PYTHON_HERE) -m pytest -n auto --maxprocesses=8 --ignore=tests/browser -m "not faults and not bench and not fuzz" $(ARGS)

.PHONY: test-browser
test-browser: installed-dev ## Drive the real product with a real Chromium (CHROMIUM=/path if it is not found)
	@$(PYTHON_HERE) -m pytest tests/browser $(ARGS)

.PHONY: bench
bench: installed-dev ## Measure, print one table; asserts nothing about seconds. SHORT=1: small. ARGS="export --write"
	@$(PYTHON_HERE) -m tests.bench.run $(ARGS)

.PHONY: faults
faults: installed-dev ## Break the running product while people work; print what it cost: make faults RUNS=10, FAULT_SEED=7, SHORT=1
	@rm -f .test/faults.json; for run in $$(seq $${RUNS:-1}); do \
	  $(PYTHON_HERE) -m pytest -m faults tests/faults tests/coalition/test_broker.py tests/coalition/test_supervision.py $${SHORT:+-k "$(SHORT_FAULTS)"} --ignore=tests/faults/test_officers.py $(ARGS) || exit; done

.PHONY: officers
officers: installed-dev ## 32 officers edit at once for a minute: nothing is lost; SHORT=1: 8 for 10 s
	@$(PYTHON_HERE) -m pytest tests/faults/test_officers.py $(ARGS)

.PHONY: fuzz
fuzz: installed-dev ## Ask the API what it describes and what it does not: make fuzz FUZZ_CASES=5000 FUZZ_SEED=1 SHORT=1
	@FUZZ_CASES=$(FUZZ_CASES) FUZZ_SEED=$(FUZZ_SEED) SHORT=$(SHORT) $(PYTHON_HERE) -m pytest -m fuzz tests/fuzz -p no:randomly $(ARGS)

.PHONY: restore-drill
restore-drill: installed ## Back up what runs here, restore it into an empty cluster, prove that all is equal and starts
	@$(MANAGE) restore_drill $(ARGS)

.PHONY: screenshots
screenshots: installed-dev ## Take the pictures in docs/screenshots anew, of a fresh demo
	@SCREENSHOTS=1 $(PYTHON_HERE) -m pytest tests/browser/test_screenshots.py -p no:randomly

.PHONY: lint
lint: installed-dev ## Check style, types, templates, migrations and the compose file
	$(PYTHON_HERE) -m ruff check .
	$(PYTHON_HERE) -m ruff format --check .
	$(PYTHON_HERE) -m djlint templates --lint --quiet
	SECRET_KEY=lint $(PYTHON_HERE) -W ignore manage.py makemigrations --check --dry-run
	SECRET_KEY=lint $(PYTHON_HERE) -m mypy
	$(PYTHON_HERE) -m check_jsonschema --builtin-schema vendor.compose-spec docker-compose.yml

.PHONY: lock
lock: installed-dev ## Lock requirements.in and requirements-dev.in anew, with hashes
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --custom-compile-command "make lock" requirements.in -o requirements.txt
	.venv/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --upgrade --custom-compile-command "make lock" requirements-dev.in -o requirements-dev.txt

.PHONY: clean
clean: ## Remove what can be made again; your data in .local stays
	rm -rf .venv .venv.lock .test staticfiles .pytest_cache .mypy_cache .ruff_cache .hypothesis

.PHONY: installed installed-dev
installed:
	@.ci/install requirements.txt
installed-dev:
	@.ci/install requirements-dev.txt
