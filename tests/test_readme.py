"""What the README shows runs as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def blocks(language):
    return re.findall(rf"```{language}\n(.*?)```", README, flags=re.DOTALL)


def test_python_blocks_run_one_after_another(tmp_path):
    code = "\n".join(blocks("python"))
    assert "vc.mixed_loss" in code
    command = [sys.executable, "-W", "error", "-c", code]
    subprocess.run(command, check=True, capture_output=True, cwd=tmp_path)
    assert (tmp_path / "report.html").is_file()


def test_make_runs_the_commands_that_are_shown():
    makefile = (Path(__file__).parents[1] / "Makefile").read_text()
    recipes = {line.strip().replace("$(PYTHON)", "python3") for line in makefile.splitlines()}
    shown = [line for block in blocks("sh") for line in block.splitlines()]
    commands = [line for line in shown if line.startswith((".venv", "python3"))]
    assert len(commands) == 7
    assert set(commands) <= recipes
