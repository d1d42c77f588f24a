# Short names for the commands that README.md shows in full.
PYTHON ?= python3

.PHONY: demo docs test

demo: .venv/demo
	.venv/bin/vicinal compare digits --out demo

docs: .venv/demo
	.venv/bin/python -m pip install -c constraints.txt -e ".[docs]"
	.venv/bin/sphinx-build docs docs/_build

test: .venv/test
	.venv/bin/python -m pytest -n auto

.venv/demo: pyproject.toml constraints.txt
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -c constraints.txt -e .
	touch .venv/demo

.venv/test: .venv/demo
	.venv/bin/python -m pip install -c constraints.txt -e ".[test]"
	touch .venv/test
