# The zoo's commands. The first `make` of a checkout creates .venv; everything is installed from pyproject.toml.
#   make train TASK=sentiment [DATA=...] [PRESET=...] [SET="key=value key=value"]
PYTHON ?= python3
VENV   ?= .venv
TASK   ?= sentiment
ZOO    := $(VENV)/bin/zoo
# Values reach the shell through the environment, so quotes, spaces and dollars in them are safe.
export DATA PRESET SET MODEL SPLIT INPUT FILE TUNER EPOCHS TRIALS OUT ATTENTION FACTS
OPTIONS = $${DATA:+--data "$$DATA"}
CONFIGURATION = $${PRESET:+--preset "$$PRESET"} $(foreach setting,$(SET),--set '$(setting)')

.PHONY: help train evaluate export predict tune list test test-all lint bench bench-layers demo clean

help:
	@echo 'make train TASK=sentiment              train on the built-in corpus (DATA=: a TFDS name or a path)'
	@echo 'make evaluate|export|tune TASK=...     measure, export, search'
	@echo 'make predict TASK=... INPUT="..."      answer one input (FILE=: one a line); OUT=, ATTENTION=: pictures'
	@echo '     such as TASK=captioning INPUT=photo.jpg ATTENTION=out.png'
	@echo 'make demo TASK=...                     try a model in the browser'
	@echo 'make test | test-all | lint | list       (test-all: with the long ones, half as long again)'
	@echo 'make bench TASK=... | bench-layers      speed, beside what one would pick instead (OUT=: a JSON file)'

train: $(ZOO)
	@$(ZOO) train $(TASK) $(OPTIONS) $(CONFIGURATION)

evaluate: $(ZOO)
	@$(ZOO) evaluate $(TASK) $(OPTIONS) $${MODEL:+--model "$$MODEL"} $${SPLIT:+--split "$$SPLIT"}

export: $(ZOO)
	@$(ZOO) export $(TASK) $(OPTIONS) $${OUT:+--out "$$OUT"} $${FACTS:+--facts "$$FACTS"}

predict: $(ZOO)
	@$(ZOO) predict $(TASK) $${MODEL:+--model "$$MODEL"} $${FILE:+--file "$$FILE"} $${OUT:+--out "$$OUT"} \
		$${ATTENTION:+--attention "$$ATTENTION"} $${INPUT+-- "$$INPUT"}

tune: $(ZOO)
	@$(ZOO) tune $(TASK) $(OPTIONS) $(CONFIGURATION) $${TUNER:+--tuner "$$TUNER"} \
		$${EPOCHS:+--epochs "$$EPOCHS"} $${TRIALS:+--trials "$$TRIALS"}

list: $(ZOO)
	@$(ZOO) list

test: $(VENV)/dev
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile -m "not slow"

test-all: $(VENV)/dev
	@$(VENV)/bin/python -m pytest -n 2 --dist loadfile

lint: $(VENV)/dev
	@$(VENV)/bin/ruff check . && $(VENV)/bin/ruff format --check .

bench: $(VENV)/dev
	@$(ZOO) bench $(TASK) $(OPTIONS) $${OUT:+--out "$$OUT"}

bench-layers: $(VENV)/dev
	@$(VENV)/bin/python -m benchmarks.layers $${OUT:+--out "$$OUT"}

demo: $(VENV)/demo
	@$(ZOO) demo $(TASK) $${MODEL:+--model "$$MODEL"}

clean:
	rm -rf $(VENV) build dist *.egg-info

$(VENV)/bin/python:
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "make: $(PYTHON) is Python %d.%d; 3.11 or newer is needed: make PYTHON=..." % sys.version_info[:2])'
	@echo "creating $(VENV) (once; a few minutes)"
	@$(PYTHON) -m venv $(VENV)

$(ZOO): pyproject.toml | $(VENV)/bin/python
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable .
	@touch $(ZOO)

$(VENV)/dev $(VENV)/demo: $(VENV)/%: pyproject.toml | $(ZOO)
	@$(VENV)/bin/python -m pip install --quiet --disable-pip-version-check --editable '.[$*]'
	@touch $@
