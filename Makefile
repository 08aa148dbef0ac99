# make run    everything the site needs, started on this machine; Ctrl-C ends it
# make test   all tests, on real servers; ARGS="-k redis" is handed to pytest
# make quick  those that take no browser and no instance of their own, in less than two minutes; ARGS as above
# make soak   the same promises in full length, about 25 minutes; prints the figures of docs/reliability.md
# make bench  speed and costs beside other stacks, about 17 minutes; writes bench/results.json and the chart
# make check  ruff and mypy
PYTHON ?= python3
ARGS ?=

.PHONY: run test quick soak bench check python

run: python
	@$(PYTHON) deploy/local/run.py

test: python
	@$(PYTHON) deploy/local/verify.py test $(ARGS)

quick: python
	@$(PYTHON) deploy/local/verify.py quick $(ARGS)

soak: python
	@$(PYTHON) deploy/local/verify.py soak $(ARGS)

bench: python
	@$(PYTHON) deploy/local/verify.py bench $(ARGS)

check: python
	@$(PYTHON) deploy/local/verify.py check

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
