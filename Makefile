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

check: $(VENV)/.dev ## lint, format, types, layers
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(VENV)/.dev ## let ruff rewrite
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

clean: ## remove what the targets made
	rm -rf $(VENV) demo-run $(BROWSER)/node_modules .mypy_cache .ruff_cache .pytest_cache

# benchmarks
.PHONY: peer-rectools speed accuracy noise-figures results
PEER := benchmarks/peers/rectools

$(PEER)/.venv/.done: $(PEER)/requirements.txt
	$(PYTHON) -m venv $(PEER)/.venv
	$(PEER)/.venv/bin/python -m pip --disable-pip-version-check -q install -r $<
	@touch $@

peer-rectools: $(PEER)/.venv/.done ## RecTools in its own environment, to be measured beside siftrec

IMPLICIT := benchmarks/peers/implicit

$(IMPLICIT)/.venv/.done: $(IMPLICIT)/requirements.txt
	$(PYTHON) -m venv $(IMPLICIT)/.venv
	$(IMPLICIT)/.venv/bin/python -m pip --disable-pip-version-check -q install -r $<
	@touch $@

.PHONY: peer-implicit
peer-implicit: $(IMPLICIT)/.venv/.done ## implicit's ALS and BPR in their own environment, to be given our weights

speed: $(VENV)/.dev peer-rectools ## every speed row, about ten minutes
	$(BIN)/python benchmarks/speed.py all

accuracy: $(VENV)/.dev peer-rectools ## every accuracy cell that is not done, hours
	$(BIN)/python benchmarks/accuracy.py run --jobs 2
	$(BIN)/python benchmarks/accuracy.py compare

noise-figures: $(VENV)/.dev ## how well noise is found, every unit that is not done, half an hour
	$(BIN)/python benchmarks/noise.py run

results: $(VENV)/.dev ## docs/results.md from the stored figures
	$(BIN)/python benchmarks/render.py
