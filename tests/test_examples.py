"""Every example runs, from its own folder, in a process of its own."""

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NEEDS = {
    "torchvision_pipeline": "torchvision",
    "huggingface_trainer": "transformers",
    "lightning_module": "lightning",
}


@pytest.mark.parametrize("name", sorted(path.stem for path in EXAMPLES.glob("*.py")))
def test_example(name):
    if name in NEEDS and importlib.util.find_spec(NEEDS[name]) is None:
        pytest.skip(f"{NEEDS[name]} is not installed")
    done = subprocess.run(
        [sys.executable, f"{name}.py"],
        cwd=EXAMPLES,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.strip()


def test_there_are_examples():
    assert len(list(EXAMPLES.glob("*.py"))) >= 8


@pytest.mark.parametrize("path", sorted(EXAMPLES.glob("*.ipynb")), ids=lambda path: path.stem)
def test_a_notebook_prints_what_it_shows(path, capsys):
    """Cells run one after another; numbers may differ a little from machine to machine."""
    names = {"__name__": path.stem}
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        if cell["cell_type"] == "code":
            exec(compile("".join(cell["source"]), path.name, "exec"), names)
            kept = "".join(
                text
                for output in cell["outputs"]
                if output["output_type"] == "stream"
                for text in output["text"]
            )
            (shown, numbers), (words, found) = map(taken_apart, (kept, capsys.readouterr().out))
            assert words == shown
            np.testing.assert_allclose(found, numbers, rtol=0.03, atol=0.01)


def taken_apart(text):
    number = r"[-+]?\d+\.?\d*(?:e-?\d+)?"
    return re.sub(number, "#", text), [float(found) for found in re.findall(number, text)]


def test_there_is_a_notebook():
    assert list(EXAMPLES.glob("*.ipynb"))
