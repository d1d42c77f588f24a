"""The documentation shows what is there, and what it shows runs."""

import ast
import re
from functools import cache
from pathlib import Path
from pkgutil import resolve_name

import pytest

import vicinal
from vicinal.cli import app

ROOT = Path(__file__).parents[1]
PAGES = {str(p.relative_to(ROOT)): p.read_text("utf-8") for p in (ROOT / "docs").rglob("*.md")}
SHOWN = PAGES | {"README.md": (ROOT / "README.md").read_text("utf-8")}
NOT_DOCUMENTED = {"AnyDraw", "Strategy"}  # aliases of types, told on the page of the draw


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)


@pytest.mark.parametrize("name", sorted(n for n, page in PAGES.items() if blocks(page, "python")))
def test_python_blocks_of_a_page_run_one_after_another(name, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)  # some write files
    code = "\n".join(blocks(PAGES[name], "python"))
    exec(compile(code, name, "exec"), {"__name__": "page"})


def test_there_are_pages_with_code():
    assert sum(bool(blocks(page, "python")) for page in PAGES.values()) > 10


@cache
def all_tests():
    """The names of all tests."""
    trees = (ast.parse(path.read_text("utf-8")) for path in (ROOT / "tests").glob("test_*.py"))
    return {n.name for tree in trees for n in tree.body if isinstance(n, ast.FunctionDef)}


@pytest.mark.parametrize("name", sorted(SHOWN))
def test_tests_and_files_that_are_named_exist(name):
    assert set(re.findall(r"`(test_\w+)`", SHOWN[name])) <= all_tests()
    folders = "examples|benchmarks|tests|docs|evidence"
    for path in re.findall(rf"`((?:{folders})/[\w./-]*)`", SHOWN[name]):
        assert (ROOT / path).exists(), path


def test_every_statement_of_the_theory_has_a_function_and_a_test():
    rows = [line for line in PAGES["docs/theory.md"].splitlines() if line.startswith("|")][2:]
    assert len(rows) > 20
    for row in rows:
        _, function, test = (cell.strip() for cell in re.split(r"(?<!\\)\|", row)[1:-1])
        name = re.fullmatch(r"\{(?:func|class)\}`~vicinal\.(\w+)`", function)[1]
        assert hasattr(vicinal, name)
        assert re.fullmatch(r"`test_\w+`", test)


def test_every_example_is_told_of():
    examples = {str(p.relative_to(ROOT)) for p in (ROOT / "examples").iterdir() if p.is_file()}
    told = set(re.findall(r"`(examples/[\w.]+)`", PAGES["docs/howto/examples.md"]))
    assert told == examples


def test_every_public_name_stands_in_the_api():
    api = "\n".join(page for name, page in PAGES.items() if name.startswith("docs/api/"))
    told = re.findall(r"^\.\. (?:auto|py:)\w+:: vicinal\.([\w.]+)(?:\(.*\))?$", api, re.MULTILINE)
    for name in told:
        resolve_name(f"vicinal.{name}")  # raises where there is no such thing
    names = {name.removeprefix("mixing.") for name in told}
    assert set(vicinal.__all__) - names == NOT_DOCUMENTED


@pytest.mark.parametrize("name", sorted(n for n, page in SHOWN.items() if blocks(page, "sh")))
def test_commands_that_are_shown_are_understood(name, monkeypatch):
    lines = [line for block in blocks(SHOWN[name], "sh") for line in block.splitlines()]
    for line in lines:
        command = re.fullmatch(r"(?:\S*/)?vicinal (.*?)(?:\s+#.*)?", line.strip())
        if command and "--config" not in command[1]:
            app.parse_args(command[1], exit_on_error=False, print_error=False)
