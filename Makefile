# Two commands for people: `make demo` and `make test`. The rest is what they are made of.
# Nothing has to be there but Python 3.11 and make.

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin
STAMP := $(VENV)/.ready
WORKERS ?= 2

.PHONY: demo test torture torture-garbage check format lock clean system-parts wheel

demo: $(STAMP)
	$(BIN)/proximity demo

test: $(STAMP) system-parts check
	$(BIN)/pytest -n $(WORKERS) --dist loadgroup

# Killed at random moments, 200 times; prints a seed. Again: make torture KILLS=200 SEED=7
torture: $(STAMP)
	$(BIN)/python -m tests.torture.run --kills $(or $(KILLS),200) $(if $(SEED),--seed $(SEED))

# A million messages that are none, and good ones among them. Fewer: make torture-garbage MESSAGES=50000
torture-garbage: $(STAMP)
	$(BIN)/python -m tests.torture.garbage --messages $(or $(MESSAGES),1000000)

check: $(STAMP)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports

format: $(STAMP)
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

$(STAMP): requirements-dev.txt pyproject.toml
	$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "Proximity needs Python 3.11 or newer; set PYTHON=")'
	test -x $(BIN)/python || $(PYTHON) -m venv $(VENV)
	$(BIN)/python -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-tools.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --require-hashes -r requirements-dev.txt
	$(BIN)/uv pip install --quiet --python $(BIN)/python --no-deps --editable .
	touch $(STAMP)

# What the tests of real parts need from Debian. Without root or sudo they are skipped, each with its reason.
system-parts:
	@sh scripts/system-parts

# Pins every dependency with its hashes; run it after changing pyproject.toml.
lock: $(STAMP)
	echo 'uv>=0.4' | $(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --no-header - -o requirements-tools.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --no-header --extra gateway pyproject.toml -o requirements-gateway.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --no-header --extra service --extra postgres pyproject.toml -o requirements.txt
	$(BIN)/uv pip compile --quiet --universal --generate-hashes --no-emit-index-url --python-version 3.11 --no-header --extra gateway --extra service --extra postgres --extra dev pyproject.toml -o requirements-dev.txt

wheel: $(STAMP)
	$(BIN)/uv build --quiet --wheel --out-dir dist

clean:
	rm -rf $(VENV) dist build .mypy_cache .ruff_cache .pytest_cache .hypothesis
