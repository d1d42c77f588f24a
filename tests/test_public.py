"""The public face: what the stub lists can be had, is documented, and nothing slow is imported."""

import ast
import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

import vicinal

STUB = Path(vicinal.__file__).with_suffix(".pyi")
IMPORTS = [n for n in ast.parse(STUB.read_text("utf-8")).body if isinstance(n, ast.ImportFrom)]
NAMES = {alias.asname for node in IMPORTS for alias in node.names}
PAGES = Path(__file__).parents[1] / "docs" / "api"
TYPES = {"AnyDraw", "Law", "Objective", "Strategy"}  # what others are; said in words


def test_the_stub_names_each_thing_as_it_is_called():
    assert all(alias.name == alias.asname for node in IMPORTS for alias in node.names)
    assert set(vicinal.__all__) == NAMES
    assert len(NAMES) > 130


@pytest.mark.parametrize("name", sorted(NAMES))
def test_every_name_can_be_had_and_is_documented(name):
    value = getattr(vicinal, name)
    if callable(value) and name not in TYPES:
        assert len(value.__doc__) > 60


def test_every_name_stands_in_the_reference():
    pages = " ".join(path.read_text("utf-8") for path in PAGES.glob("*.md"))
    assert not NAMES - set(re.findall(r"\w+", pages))


def test_a_function_with_the_name_of_its_package_stays_a_function():
    """Importing a subpackage sets the attribute of its name; the function must win."""
    code = (
        "import vicinal as vc; from vicinal.calibration.scaling import fit_temperature; "
        "assert vc.fit_temperature is fit_temperature and vc.calibration.__name__ == 'calibration'"
        " and type(vc.calibration).__name__ == 'function'"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_import_is_lazy():
    code = "import sys, vicinal, vicinal.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize(
    ("was", "name"),
    [
        ("vicinal.statistics", "paired"),
        ("vicinal.processes", "Place"),
        ("vicinal.attacks.worst", "Account"),
        ("vicinal.reproduce.calibration", "measure"),
    ],
)
def test_paths_that_the_documentation_once_showed_still_lead_there(was, name):
    sys.modules.pop(was, None)
    with pytest.warns(DeprecationWarning, match="is now vicinal"):
        found = getattr(importlib.import_module(was), name)
    assert found is getattr(sys.modules[found.__module__], name)


def test_names_of_a_room_are_those_of_the_whole():
    for room in ("mixing", "explanation", "robustness", "generalization", "estimators"):
        package = importlib.import_module(f"vicinal.{room}")
        for node in IMPORTS:
            if node.module.split(".")[0] == room:
                for alias in node.names:
                    assert getattr(package, alias.name) is getattr(vicinal, alias.name)
