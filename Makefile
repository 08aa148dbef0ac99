# make run       start everything that the site needs on this machine; Ctrl-C stops it
# make test      run all tests, against real servers; ARGS="-k redis" is passed to pytest
# make quick     run the tests that need neither a browser nor an instance of their own, in less than two minutes
# make soak      run the long tests, about 90 minutes; prints the figures of docs/reliability.md
# make bench     compare speed and costs with other stacks, about 17 minutes; writes results, tables and chart
# make chaos     break things under load for CHAOS_SECONDS (180); ARGS="--seed 1 --seed 2 --write" for docs/reliability.md
# make check     run ruff, bandit and mypy
# make messages  update the translation catalogs from the code
# make lock      renew the locks after a change of requirements.txt or its kind; ARGS=--upgrade takes newer versions
# make audit     ask whether a locked package has known vulnerabilities
PYTHON ?= python3
ARGS ?=

.PHONY: run test quick soak bench chaos check messages lock audit python

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

chaos: python
	@$(PYTHON) deploy/local/verify.py chaos $(ARGS)

check: python
	@$(PYTHON) deploy/local/verify.py check

messages: python
	@$(PYTHON) deploy/local/verify.py messages

lock: python
	@$(PYTHON) deploy/local/verify.py lock $(ARGS)

audit: python
	@$(PYTHON) deploy/local/verify.py audit

python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "Python 3.11 or newer is needed: make PYTHON=python3.11 ...")'
