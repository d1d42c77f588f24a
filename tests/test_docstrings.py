"""The examples in docstrings prove what they show."""

import doctest
import importlib
import pkgutil

import numpy as np
import pytest
import torch

import vicinal

MODULES = [name for _, name, _ in pkgutil.walk_packages(vicinal.__path__, "vicinal.")]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    module = importlib.import_module(name)
    names = vars(module) | {"torch": torch, "np": np}
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert failed == 0


def test_there_are_examples():
    finder = doctest.DocTestFinder(exclude_empty=True)
    found = [t for name in MODULES for t in finder.find(importlib.import_module(name))]
    assert sum(bool(test.examples) for test in found) > 20
