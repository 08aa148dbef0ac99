# make run    everything the site needs, started on this machine; Ctrl-C ends it
# make test   all tests, on real servers; ARGS="-k redis" is handed to pytest
# make check  ruff and mypy
PYTHON ?= python3
ARGS ?=

.PHONY: run test check python

run: python
	@$(PYTHON) deploy/local/run.py

test: python
	@$(PYTHON) deploy/local/verify.py test $(ARGS)

check: python
	@$(PYTHON) deploy/local/verify.py check

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
