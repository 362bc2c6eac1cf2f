# Everything runs in .venv, which the first target that needs it makes. Only python3 (3.11 or newer) is taken for granted.
#
#   make demo     eight processes learn together, first federated, then by gossip; results under runs/
#   make test     lint, types, import rules and every test, on the installed package
#   make test-quick        the inner loop: every test that starts no process
#   make test-under-load   every test, ten times in a row, beside four busy processes on two cores
#   make test-torch        the tests of PyTorch models and their example; installs the extra `torch`, which is large
#   make lint     the first half of `make test`
#   make bench    every benchmark, one after the other, but those that take hours, root or the network (LONG)
#   make clean    remove what these targets made, save runs/

PYTHON ?= python3
BIN := .venv/bin
PACKAGES := broker models nodes scripts
NAMESPACE := namespace
# Folders are listed too: they tell of a file that has gone.
SOURCES := pyproject.toml README.md LICENSE $(shell find $(PACKAGES) $(NAMESPACE) -name __pycache__ -prune -o -print)
TREE := $(PACKAGES) $(NAMESPACE) tests benchmarks examples

LONG := benchmarks/soak.py benchmarks/slow_network.py benchmarks/openapi.py benchmarks/simulate.py

.DELETE_ON_ERROR:
.PHONY: demo test test-quick test-torch test-under-load lint bench clean

demo: .venv/installed
	$(BIN)/nervenet launch --mode federated --data digits --nodes 8
	$(BIN)/nervenet launch --mode gossip --data digits --nodes 8

test: lint
	$(BIN)/pytest -n 2 --dist worksteal

test-quick: .venv/installed-dev
	$(BIN)/pytest -n 2 --dist worksteal -m "not e2e"

test-torch: .venv/installed-dev
	$(BIN)/pip install --quiet '.[torch]'
	$(BIN)/pytest tests/models/pytorch tests/e2e/test_torch.py

test-under-load: .venv/installed-dev
	PYTHON=$(BIN)/python tests/under_load.sh 10

# mypy and the import rules see what users get: the installed package, and not the folders here.
lint: .venv/installed-dev
	$(BIN)/ruff check $(TREE)
	$(BIN)/ruff format --check $(TREE)
	$(BIN)/codespell
	$(BIN)/mypy $(PACKAGES:%=-p nervenet.%)
	$(BIN)/mypy examples
	$(BIN)/lint-imports

bench: .venv/installed-dev
	set -e; for script in $(filter-out $(LONG), $(sort $(wildcard benchmarks/[a-z]*.py))); do echo "== $$script"; $(BIN)/python $$script; done

clean:
	rm -rf .venv build dist *.egg-info .pytest_cache .mypy_cache .ruff_cache .hypothesis .import_linter_cache
	find $(TREE) -name __pycache__ -prune -exec rm -rf {} +

.venv/made:
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "nervenet needs Python 3.11 or newer")'
	$(PYTHON) -m venv .venv
	touch $@

# build/ is removed before, because setuptools would install again what it once copied there and is gone by now.
.venv/installed: .venv/made $(SOURCES)
	rm -rf build
	$(BIN)/pip install --quiet '.[all]'
	touch $@

.venv/installed-dev: .venv/made $(SOURCES)
	rm -rf build
	$(BIN)/pip install --quiet '.[dev]'
	touch $@ .venv/installed
