# Every target sets up what it needs in .venv; nothing else on the machine is touched.
PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
PIP := $(BIN)/python -m pip --disable-pip-version-check -q

.DEFAULT_GOAL := help
.PHONY: help setup demo test test-all browser-test check format clean

help: ## what there is
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 14

$(BIN)/python:
	$(PYTHON) -m venv $(VENV)

$(VENV)/.demo: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[demo,serve]'
	@touch $@

$(VENV)/.dev: pyproject.toml constraints.txt | $(BIN)/python
	$(PIP) install -c constraints.txt -e '.[dev]'
	@touch $@ $(VENV)/.demo

setup: $(VENV)/.dev ## install siftrec and its development tools into .venv

demo: $(VENV)/.demo ## the main job on real data, offline, in a minute and a half
	$(BIN)/siftrec demo -o demo-run

test: $(VENV)/.dev ## the fast test suite
	$(BIN)/python -m pytest -n 2 --dist worksteal -m "not slow" tests

test-all: $(VENV)/.dev ## every test, the slow ones too
	$(BIN)/python -m pytest -n 2 --dist worksteal tests

BROWSER := tests/serve/browser

$(BROWSER)/node_modules/.package-lock.json: $(BROWSER)/package-lock.json
	npm ci --prefix $(BROWSER) --no-audit --no-fund

browser-test: $(VENV)/.dev $(BROWSER)/node_modules/.package-lock.json ## the pages in a real browser; needs node and chromium
	NODE_PATH=$(CURDIR)/$(BROWSER)/node_modules $(BIN)/python -m pytest tests/report/test_browser.py tests/serve/test_serve_page.py

check: $(VENV)/.dev ## lint, format, types, layers, Dockerfile
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/hadolint docs/docker/Dockerfile

format: $(VENV)/.dev ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets made
	rm -rf $(VENV) demo-run $(BROWSER)/node_modules .mypy_cache .ruff_cache .pytest_cache

# benchmarks
.PHONY: peer-rectools peer-implicit peer-cornac speed answers service planted tuning accuracy curves fresh symptoms noise-figures
.PHONY: peer-recbole modality audit rankers page results
PEERS := rectools implicit cornac recbole

$(PEERS:%=benchmarks/peers/%/.venv/.done): benchmarks/peers/%/.venv/.done: benchmarks/peers/%/requirements.txt
	$(PYTHON) -m venv $(@D)
	$(@D)/bin/python -m pip --disable-pip-version-check -q install -r $< $(patsubst %,-r %,$(wildcard $(<D)/howto.txt))
	@touch $@

peer-rectools: benchmarks/peers/rectools/.venv/.done ## RecTools in its own environment, to be measured beside siftrec
peer-implicit: benchmarks/peers/implicit/.venv/.done ## implicit likewise
peer-cornac: benchmarks/peers/cornac/.venv/.done ## Cornac likewise
peer-recbole: benchmarks/peers/recbole/.venv/.done ## RecBole likewise, to be given weights

# What the machine does with the code of now is measured once.
CODE := $(shell find src -name '*.py')

$(VENV)/.measured-%: benchmarks/%.py $(CODE) | $(VENV)/.dev
	$(BIN)/python $< $(WITH_$*)
	@touch $@

WITH_speed := all
$(VENV)/.measured-speed: benchmarks/peers/rectools/.venv/.done

speed: $(VENV)/.measured-speed ## every speed row, about a quarter of an hour
answers: $(VENV)/.measured-answers ## what an answer costs, a minute
service: $(VENV)/.measured-service ## what a request costs, ten minutes

planted: $(VENV)/.dev ## where the truth is planted, every unit that is not done, hours
	$(BIN)/python benchmarks/planted.py all --jobs 2

tuning: $(VENV)/.dev ## every trial on validation that is not done, a day, and the choice
	$(BIN)/python benchmarks/tuning.py run --jobs 2
	$(BIN)/python benchmarks/tuning.py choose

accuracy: $(VENV)/.dev ## every accuracy cell that is not done, hours; of other libraries where they are installed
	$(BIN)/python benchmarks/accuracy.py run --jobs 2
	$(BIN)/python benchmarks/accuracy.py compare

curves: $(VENV)/.dev ## every cell of the noise curves that is not done, days
	$(BIN)/python benchmarks/accuracy.py run --curves replace insert swap foreign both --jobs 2
	$(BIN)/python benchmarks/accuracy.py compare

fresh: $(VENV)/.dev ## what was found before it was tested, on fresh seeds, two hours
	$(BIN)/python benchmarks/fresh.py run --jobs 2
	$(BIN)/python benchmarks/fresh.py compare

symptoms: $(VENV)/.dev ## what symptoms of noise are held against, a minute
	$(BIN)/python benchmarks/symptoms.py

noise-figures: $(VENV)/.dev ## how well noise is found, every unit that is not done, half an hour
	$(BIN)/python benchmarks/noise.py run

modality: $(VENV)/.dev ## which modality counted, every unit that is not done, hours
	$(BIN)/python benchmarks/modality.py run

audit: $(VENV)/.dev peer-implicit ## whether the verdict is right, every log that is not done, hours
	$(BIN)/python benchmarks/audit.py run --quick
	$(BIN)/python benchmarks/audit.py run

rankers: $(VENV)/.dev ## CCL4Rec beside rankers, every cell that is not done, hours
	$(BIN)/python benchmarks/rankers.py run
	$(BIN)/python benchmarks/rankers.py compare

page: $(VENV)/.dev ## docs/results.md from the stored figures
	$(BIN)/python benchmarks/render.py

# One after the other, for each has the machine to itself; what fails does not stop the rest.
results: ## every figure that is not there yet, and the page; days
	$(MAKE) -k -j1 $(PEERS:%=peer-%) speed answers service planted tuning accuracy curves fresh symptoms noise-figures modality audit rankers page
