# Everything a fresh machine needs is Python 3.11 or newer and the network for the first run.
#
#     make                  list the verbs; make.py says what each does, and which settings it takes
#     make demo             compile the example model to an engine and show the report
#     make test TESTS="tests/grammar -k spans"
#     make demo PYTHON=python3.12   with another interpreter
#
# Without GNU make, as on Windows: python make.py demo

PYTHON = python3
VERBS = install demo test check format prove bench bench-real serve-demo extras docs map fuzz suites dist lock clean

.PHONY: help $(VERBS)

help:
	@$(PYTHON) make.py

# make hands settings given behind the verb over as environment variables.
$(VERBS):
	@$(PYTHON) make.py $@
