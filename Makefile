# Everything runs in an environment of its own, made on first use: make test
VENV ?= .venv
PYTHON ?= python3

PIP := $(VENV)/bin/pip --disable-pip-version-check

.PHONY: help test demo fleet-demo page clean

help:
	@echo 'make test    set up $(VENV), then format, lint, types and tests (scripts/check)'
	@echo 'make demo    set up $(VENV) with the images of the demo, then run it'
	@echo 'make fleet-demo  four devices on this machine learn together; draws demo/fleet.png'
	@echo 'make page    build the page that teaches in the browser (Node.js 20 or newer)'
	@echo 'make clean   delete $(VENV), caches and builds; stores and demo results stay'
	@echo
	@echo 'Another Python or folder: make test PYTHON=python3.12 VENV=/tmp/venv'

test: $(VENV)/.stamp-test
	-@$(MAKE) --no-print-directory web/node_modules/.stamp # without it, tests say what they leave out
	-@scripts/chromium --install >/dev/null # and so they do without a browser
	VENV='$(VENV)' scripts/check

demo: $(VENV)/.stamp-demo
	$(VENV)/bin/addapt demo

fleet-demo: $(VENV)/.stamp-fleet
	$(VENV)/bin/python benchmarks/fleet_demo.py

page: web/node_modules/.stamp
	cd web && node build.mjs ../src/addapt/page/built

clean:
	rm -rf '$(VENV)' web/node_modules src/addapt/page/built build dist .mypy_cache .pytest_cache .ruff_cache .hypothesis
	find src tests -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is written last, so a set-up that broke off is taken up again; and it is older
# than the files it depends on once these change.

$(VENV)/.stamp-venv:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 10))' || { \
		echo "addapt needs Python 3.10 or newer, but $(PYTHON) is $$($(PYTHON) --version 2>&1):" \
			'name another one, as in make test PYTHON=python3.12' >&2; exit 1; }
	$(PYTHON) -m venv '$(VENV)'
	touch '$@'

$(VENV)/.stamp-test: $(VENV)/.stamp-venv pyproject.toml constraints.txt
	$(PIP) install -c constraints.txt -e '.[test]'
	touch '$@'

$(VENV)/.stamp-demo: $(VENV)/.stamp-venv pyproject.toml constraints.txt requirements-demo.txt
	$(PIP) install -c constraints.txt -e '.[demo]'
	$(PIP) install --no-deps --ignore-requires-python --require-hashes -r requirements-demo.txt
	touch '$@'

$(VENV)/.stamp-fleet: $(VENV)/.stamp-demo
	$(PIP) install -c constraints.txt -e '.[demo,fleet]'
	touch '$@'

web/node_modules/.stamp: web/package.json web/package-lock.json
	@command -v npm >/dev/null || { \
		echo 'The page needs Node.js 20 or newer with npm, which is not here' >&2; exit 1; }
	cd web && npm ci --no-audit --no-fund
	touch '$@'
