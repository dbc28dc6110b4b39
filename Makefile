# Everything that a developer runs. Needs Python 3.11 or newer, make and git; installs the rest into .venv.
PYTHON ?= python3
VENV ?= .venv
BIN := $(VENV)/bin
PYTEST_ARGS ?= -n auto
# One process more than there are cores: many of all tests wait for a server or a process. Minutes take those of a
# cluster, so that a process without tests takes over some of another one's.
PYTEST_ALL_ARGS ?= -n $(shell expr $$(nproc 2>/dev/null || echo 2) + 1) --dist worksteal
# The tests that need no data, server, model, browser or extra, and take five minutes on two cores.
QUICK := -m "not (slow or weaviate or data or model or browser or extra)"
# uv is used when it is there, otherwise pip: both install exactly what requirements.lock says.
UV := $(shell command -v uv 2>/dev/null)

# No project file that lies here changes the demo or a test.
export RAGLOOM_PROJECT := none

.PHONY: demo test test-all check lint format lock docs release clean install

demo: install ## ingest the bundled sample, ask one question in each language, compare three configs
	$(BIN)/python scripts/ingest.py source=sample
	$(BIN)/python scripts/run_query.py "How long is the frame covered?"
	$(BIN)/python scripts/run_query.py "차체의 보증 기간은 얼마인가요?"
	$(BIN)/python scripts/evaluate.py -m dataset=sample chunking=fixed,paragraph,recursive runs=.ragloom/demo
	$(BIN)/python scripts/compare.py .ragloom/demo/sample-* comparison.examples=0

test: install ## run the tests that need nothing but the installation (5 minutes on 2 cores)
	$(BIN)/python -m pytest $(PYTEST_ARGS) $(QUICK)

test-all: install ## run all tests; what needs a server, data, a model or an extra is skipped where it is missing
	$(BIN)/python -m pytest $(PYTEST_ALL_ARGS)

check: lint test ## what every commit passes: ruff, format, mypy, the quick tests

lint: install
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/lint-imports --no-logo
	$(BIN)/mypy
	$(BIN)/python scripts/option_tables.py --check

format: install
	$(BIN)/ruff check --fix .
	$(BIN)/ruff format .

docs: install ## write the option tables, build the documentation into build/site; a warning is an error
	$(BIN)/python scripts/option_tables.py
	NO_MKDOCS_2_WARNING=1 $(BIN)/mkdocs build --strict

lock: install ## resolve the dependencies anew
	$(BIN)/python -m uv --version >/dev/null 2>&1 || $(BIN)/python -m pip install --quiet uv
	$(BIN)/python -m uv pip compile --quiet --universal --python-version 3.11 --no-emit-index-url --no-annotate --no-header \
		--upgrade --extra dev --output-file requirements.lock pyproject.toml

release: check ## make release VERSION=1.2.3: changelog, version, wheel check, commit and tag (nothing is pushed)
	$(BIN)/python scripts/release.py $(VERSION)

install: $(VENV)/.installed

$(VENV)/.installed: pyproject.toml requirements.lock
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Ragloom needs Python 3.11 or newer: make PYTHON=python3.12 ...")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
ifeq ($(UV),)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -r requirements.lock
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --no-deps --editable .
else
	$(UV) pip install --quiet --python $(BIN)/python -r requirements.lock
	$(UV) pip install --quiet --python $(BIN)/python --no-deps --editable .
endif
	touch $@

clean:
	rm -rf $(VENV) .ragloom .pytest_cache .mypy_cache .ruff_cache dist build
