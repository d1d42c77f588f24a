"""Which module may import which. A new file or a new arrow is a decision: edit LAYERS."""

import ast
import shutil
import subprocess
from pathlib import Path

import pytest

import vicinal

ROOT = Path(vicinal.__file__).parent
LAYERS = [  # a module may import only from lines above its own; a package counts as one module
    {"quadrature"},
    {"randomness", "statistics", "files", "names", "locks", "laws", "losses", "passes"}
    | {"devices", "pictures", "processes"},
    {"forward", "checkpoints", "members", "store"},
    {"mixing", "derivatives"},
    {"stack"},
    {"taylor", "attacks", "calibration"},
    {"pairs", "expansions"},
    {"risk"},
    {"explanation", "recorder", "stream"},
    {"robustness", "generalization", "estimators"},
    {"models", "libraries", "data"},
    {"model_files", "hardest", "attacked", "resume"},
    {"training", "pretrained"},
    {"measurement", "audit"},
    {"runs"},
    {"groups", "executors"},
    {"study", "reproduce"},
    {"search"},
    {"report"},
    {"trackers"},
    {"cli"},
]
NO_TORCH = {"quadrature", "laws", "randomness", "statistics", "files", "names", "store", "locks", "report", "cli"}


def modules():
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).with_suffix("").parts
        if place != ("__init__",):
            yield place[0], path


def imports(path, *, at_top_level=False):
    tree = ast.parse(path.read_text())
    for node in tree.body if at_top_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def test_every_module_has_a_layer():
    assert {name for name, _ in modules()} == set().union(*LAYERS)


def test_imports_point_upwards():
    level = {name: i for i, names in enumerate(LAYERS) for name in names}
    seen = 0
    for name, path in modules():
        for target in imports(path):
            package, _, rest = target.partition(".")
            module = rest.split(".")[0]
            if package == "vicinal" and module in level and module != name:
                assert level[module] < level[name], f"{path} may not import {target}"
                seen += 1
    assert seen > 20  # the test reads real imports


def test_what_help_and_report_need_is_free_of_torch():
    for name, path in modules():
        if name in NO_TORCH:
            for target in imports(path, at_top_level=True):
                assert target.split(".")[0] != "torch", f"{path} imports torch"


def test_nothing_of_the_package_is_ignored_by_git():
    """What git ignores is neither checked nor part of a built package."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no clone")
    command = ["git", "-C", str(root), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
