# make demo   one whole run: own environment, then `edgekd compress --target jetson`
# make test   lint, types, arrows between rooms, tests

PYTHON ?= python3
VENV := .venv
BIN := $(VENV)/bin

.PHONY: demo test sshd clean

demo: $(VENV)/ready
	$(BIN)/edgekd compress --target jetson

test: $(VENV)/ready sshd
	$(BIN)/ruff check
	$(BIN)/ruff format --check
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -n 2

# torch first and alone: on machines without a GPU its CPU build, which a tenth of the others' size suffices for.
$(VENV)/ready: pyproject.toml constraints.txt
	$(PYTHON) -c 'import sys; sys.exit("edgekd needs Python 3.11 or later; set PYTHON=python3.11" if sys.version_info < (3, 11) else 0)'
	$(PYTHON) -m venv $(VENV)
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt $(TORCH_INDEX) torch
	$(BIN)/pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[test]'
	touch $@

# Devices are tested over a real ssh server on the loopback interface; without one those tests are skipped.
sshd:
	@test -x /usr/sbin/sshd || test "$$(id -u)" != 0 || ! command -v apt-get >/dev/null || \
	  { apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq openssh-server; } >/dev/null 2>&1 || \
	  echo "openssh-server could not be installed: tests over ssh are skipped"

clean:
	rm -rf $(VENV) runs build dist
