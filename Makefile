# make run    a first conversation: everything in one, on http://127.0.0.1:8000
# make test   every test and check
#
# Both set up what they need on a machine with Python 3.11 or newer and make; a second time that takes no time.
# uv is used when it is there, else venv and pip.

PYTHON ?= python3
VENV := .venv
COMPAT := .venv-compat
BIN := $(VENV)/bin
UV := $(shell command -v uv 2>/dev/null)
STAMPS := $(VENV)/.stamps

export PATH := $(CURDIR)/$(BIN):$(PATH)

.PHONY: setup run test again check check-page docs pictures bench bench-full guarantees bench-page lock clean test-compat compat-python compat-node

setup: $(STAMPS)/dev $(STAMPS)/model

run: $(STAMPS)/run $(STAMPS)/model
	parley up $(ARGS)

test: setup $(STAMPS)/browser $(STAMPS)/shells $(STAMPS)/clock check check-page
	pytest $(ARGS)

# What failed last, once more: who fails alone too is broken, who does not is a test whose cause is still to be found.
again: $(STAMPS)/dev
	pytest --last-failed --last-failed-no-failures none

# The official clients, unmodified, against a running Parley.
test-compat: compat-python compat-node

# In an environment of their own: they ask for a hundred packages, and some for older ones than Parley gets.
compat-python: $(COMPAT)/.stamps/all $(STAMPS)/model
	$(COMPAT)/bin/mypy --cache-dir $(COMPAT)/.mypy_cache tests/compat/*.py src/parley/adapters/*.py
	$(COMPAT)/bin/python -m pytest tests/compat --ignore=tests/compat/node $(ARGS)

compat-node: $(STAMPS)/dev $(STAMPS)/browser $(STAMPS)/node
	pytest tests/compat/node $(ARGS)

check: $(STAMPS)/dev
	ruff format --check .
	ruff check .
	mypy
	lint-imports

# The documentation as a site in build/site, with every link of it checked.
docs: $(STAMPS)/dev
	python tools/docs_site.py

# The page: its libraries are what the lock file makes of them, its modules have the types they say.
check-page: $(STAMPS)/page
	node tools/page/vendor.mjs --check
	tools/page/node_modules/.bin/tsc -p tools/page

# Short, and what became slower than benchmarks/baseline.json; bench-full measures everything, the peers that
# benchmarks/peers/install.sh put beside it too, and writes docs/performance.md.
bench: $(STAMPS)/dev
	python benchmarks/run.py $(ARGS)

bench-full: $(STAMPS)/dev
	python benchmarks/run.py --full $(ARGS)
	python benchmarks/page.py

# What a browser has to do for the page, and for Chainlit's beside it; writes docs/performance-page.md. Three minutes.
bench-page: $(STAMPS)/dev $(STAMPS)/browser
	python -m benchmarks.browser $(ARGS)
	python benchmarks/browser_page.py

# The pictures of README.md and of the documentation, from the real page and the real terminal.
pictures: $(STAMPS)/dev $(STAMPS)/browser
	python -m tools.pictures $(ARGS)

# What the fault tests measure, and docs/guarantees.md from that and from what experiments/ recorded.
guarantees: $(STAMPS)/dev
	rm -f .figures.jsonl
	PARLEY_FIGURES=$(CURDIR)/.figures.jsonl pytest tests/faults tests/system/test_takeover.py $(ARGS)
	python tools/guarantees_page.py $(wildcard experiments/*.jsonl) $$(ls .figures.jsonl 2>/dev/null)
	rm -f .figures.jsonl

# What pyproject.toml asks for, resolved, with the hash of every file; from whatever index is configured.
lock: | $(BIN)/python
	command -v uv >/dev/null || pip install --quiet uv
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra embedded --extra local -o requirements.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra embedded --extra local --group dev -c requirements.lock -o requirements-dev.lock pyproject.toml
	uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-emit-index-url --no-annotate \
	  --no-header --extra embedded --extra local --group compat -o requirements-compat.lock pyproject.toml

clean:
	rm -rf $(VENV) $(COMPAT) tests/compat/node/node_modules tools/page/node_modules build dist .mypy_cache .ruff_cache .pytest_cache .hypothesis .import_linter_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

$(BIN)/python $(COMPAT)/bin/python:
ifeq ($(UV),)
	$(PYTHON) -c "import ensurepip, venv" 2>/dev/null || { $(call apt,python3-venv); }
	$(PYTHON) -m venv $(@:/bin/python=)
else
	$(UV) venv --quiet --seed --python $(PYTHON) $(@:/bin/python=)
endif

# The program alone, to run it.
$(STAMPS)/run: requirements.lock pyproject.toml | $(BIN)/python
	$(call install,requirements.lock)
	@mkdir -p $(STAMPS) && touch $@

# The program and what tests and checks it; nothing is installed twice.
$(STAMPS)/dev: requirements-dev.lock pyproject.toml | $(BIN)/python
	$(call install,requirements-dev.lock)
	@mkdir -p $(STAMPS) && touch $@ $(STAMPS)/run

$(STAMPS)/model: | $(STAMPS)/run
	parley model get
	@touch $@

# Chromium for the tests of the page: the machine's, else Debian's.
$(STAMPS)/browser: | $(STAMPS)/dev
	command -v chromium chromium-browser google-chrome >/dev/null || { $(call apt,chromium); }
	@touch $@

# What sets another process's clock, for one of the fault tests.
$(STAMPS)/clock: | $(STAMPS)/dev
	test -e "$$(ls /usr/lib/*/faketime/libfaketime.so.1 2>/dev/null)" || { $(call apt,faketime); }
	@touch $@

# The shells that complete our commands, each to be asked.
$(STAMPS)/shells: | $(STAMPS)/dev
	command -v zsh >/dev/null && command -v fish >/dev/null || { $(call apt,zsh fish); }
	@touch $@

# The Python clients of test-compat.
$(COMPAT)/.stamps/all: BIN := $(COMPAT)/bin
$(COMPAT)/.stamps/all: requirements-compat.lock pyproject.toml | $(COMPAT)/bin/python
	$(call install,requirements-compat.lock)
	@mkdir -p $(@D) && touch $@

# Node from the package index: Debian's is older than the clients ask for. Then what package-lock.json names.
$(STAMPS)/node: tests/compat/node/requirements.lock tests/compat/node/package-lock.json | $(STAMPS)/dev
	$(call fetch,tests/compat/node/requirements.lock)
	npm ci --silent --prefix tests/compat/node
	@touch $@

SUDO := $(if $(filter 0,$(shell id -u)),,sudo)
apt = $(SUDO) apt-get update -qq && $(SUDO) apt-get install -qq -y --no-install-recommends $(1)

# The page's libraries and checkers.
$(STAMPS)/page: tests/compat/node/requirements.lock tools/page/package-lock.json | $(STAMPS)/dev
	$(call fetch,tests/compat/node/requirements.lock)
	npm ci --silent --prefix tools/page
	@touch $@

ifeq ($(UV),)
fetch = $(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r $(1)
install = $(fetch) && \
  $(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps -e .
else
fetch = $(UV) pip install --quiet --python $(BIN)/python --require-hashes -r $(1)
install = $(fetch) && \
  $(UV) pip install --quiet --python $(BIN)/python --no-deps -e .
endif
