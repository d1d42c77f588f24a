"""Which room may import which. A new room, or a new arrow, is a decision: edit these lines."""

import ast
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import vicinal

ROOT = Path(vicinal.__file__).parent
FLOORS = [  # thirteen rooms; each may import only from floors above its own
    {"maths", "machine"},
    {"data"},
    {"models"},
    {"mixing", "calibration"},
    {"explanation", "estimators"},
    {"robustness", "generalization"},
    {"study"},
    {"report"},
    {"cli"},
]
INSIDE = {  # the same within the large rooms; a folder counts as one
    "explanation": [
        {"derivatives"},
        {"terms"},
        {"pairs", "expansions"},
        {"risk"},
        {"recorder", "streams", "summary"},
    ],
    "robustness": [
        {"attacks"},
        {"curve", "signs", "theory"},
        {"distances", "masking"},
        {"usual"},
    ],
    "study": [
        {"fields", "hardest", "methods", "options"},
        {"measured"},
        {"record"},
        {"store"},
        {"command", "subject", "training"},
        {"measures", "opened", "reproduce"},
        {"audit", "configuration", "explained"},
        {"given", "run"},
        {"executors", "together"},
        {"plan"},
        {"execute"},
        {"search"},
        {"tune"},
    ],
    "report": [
        {"numbers"},
        {"metrics"},
        {"comparison"},
        {"sizes", "results"},
        {"rows", "trackers"},
        {"words"},
        {"figures", "exports", "terminal"},
        {"pages"},
        {"reproduced", "result"},
    ],
}
NO_TORCH = (
    *("maths.quadrature", "maths.laws", "maths.randomness", "maths.statistics"),
    *("maths.intervals", "maths.crossed", "maths.claims", "maths.sequences", "maths.bands"),
    "maths.weighted",
    *(
        "machine.files",
        "machine.names",
        "machine.locks",
        "machine.owners",
        "study.store",
        "study.methods",
    ),
    *("machine.typed", "maths.kinds", "study.command", "study.options", "study.subject"),
    *("study.fields", "study.measured", "study.record", "report", "cli"),
)


def modules():
    """Every module by its dotted name within the package; a package by the name of its folder."""
    for path in sorted(ROOT.rglob("*.py")):
        place = path.relative_to(ROOT).with_suffix("").parts
        if place != ("__init__",):
            yield ".".join(place[:-1] if place[-1] == "__init__" else place), path


MODULES = dict(modules())


def imports(path, *, at_top_level=False):
    """The dotted names that a module imports."""
    tree = ast.parse(path.read_text("utf-8"))
    for node in tree.body if at_top_level else ast.walk(tree):
        if isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


def arrows(depth, within=""):
    """Pairs of rooms of which the first imports the second; within one room, its own parts."""
    for name, path in MODULES.items():
        parts = name.split(".")
        if within and (parts[0] != within or len(parts) < 2):
            continue
        for target in imports(path):
            found = target.split(".")
            inside = found[1 : depth + 2]
            if found[0] != "vicinal" or len(inside) <= depth or (within and found[1] != within):
                continue
            if inside[depth] != parts[depth]:
                yield parts[depth], inside[depth], f"{name} may not import {target}"


def test_there_are_thirteen_rooms():
    assert {name.split(".")[0] for name in MODULES} == set().union(*FLOORS)
    assert sum(map(len, FLOORS)) == 13
    for room, floors in INSIDE.items():
        own = {name.split(".")[1] for name in MODULES if name.startswith(f"{room}.")}
        assert own == set().union(*floors), room


@pytest.mark.parametrize("within", ["", *INSIDE])
def test_imports_point_upwards(within):
    floors = INSIDE[within] if within else FLOORS
    level = {name: i for i, names in enumerate(floors) for name in names}
    seen = 0
    for source, target, what in arrows(1 if within else 0, within):
        if source in level and target in level:
            assert level[target] < level[source], what
            seen += 1
    assert seen > 5  # the test reads real imports


def test_rooms_form_no_circle():
    """Follows from the floors; said again because floors can be edited."""
    above = {}
    for source, target, _ in arrows(0):
        above.setdefault(source, set()).add(target)

    def visit(room, path):
        assert room not in path, " → ".join((*path, room))
        for other in above.get(room, set()) & set().union(*FLOORS):
            visit(other, (*path, room))

    for room in above:
        visit(room, ())


def test_what_help_and_report_need_is_free_of_torch():
    for name, path in MODULES.items():
        if name.startswith(NO_TORCH):
            for target in imports(path, at_top_level=True):
                assert target.split(".")[0] != "torch", f"{path} imports torch"


@pytest.mark.parametrize(
    "name",
    [
        "cli",
        "report",
        "study.store",
        "study.record",
        "study.methods",
        "machine.files",
        "maths.laws",
    ],
)
def test_nothing_on_the_way_loads_torch(name):
    code = f"import sys, vicinal.{name}; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("room", ["maths", "machine", "study"])
def test_packages_that_others_pass_through_hold_only_words(room):
    """A name in them would load torch for whoever needs a file of theirs that does not."""
    body = ast.parse(MODULES[room].read_text("utf-8")).body
    assert [type(node) for node in body] == [ast.Expr]


def test_nothing_of_the_package_is_ignored_by_git():
    """What git ignores is neither checked nor part of a built package."""
    root = Path(__file__).parents[1]
    if not (root / ".git").exists() or shutil.which("git") is None:
        pytest.skip("no clone")
    command = ["git", "-C", str(root), "ls-files", "--cached", "--ignored", "--exclude-standard"]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout == ""
