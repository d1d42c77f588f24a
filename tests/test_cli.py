"""The command line: names, errors and exit codes, and a run killed for real."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time

import pytest

from runs import three_seeds
from vicinal import cli
from vicinal.mixing.choice import During
from vicinal.mixing.cutting import CutMix
from vicinal.mixing.mixup import Mixup
from vicinal.study import options
from vicinal.study.methods import methods_by_name, parse_methods

SMALL = ["--data", "iris", "--seeds", "2", "--epochs", "2", "--model", "linear"]


def run(capsys, *tokens):
    with pytest.raises(SystemExit) as caught:
        cli.app.meta([str(token) for token in tokens])
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, " ".join(err.replace("│", " ").split())


def test_compare_writes_runs_a_page_and_a_table(capsys, tmp_path):
    code, out, err = run(capsys, "compare", *SMALL, "--out", tmp_path)
    assert code == 0
    assert err.startswith("Targets: 3 classes (setosa = 0, versicolor = 1, virginica = 2).")
    assert "mixup(alpha=0.2)" in out
    assert str(tmp_path / "report.html") in out.replace("\n", "")
    page = (tmp_path / "report.html").read_text()
    assert "mixup(alpha=1)" in page
    assert len(list((tmp_path / "runs").glob("*.json"))) == 6
    again = tmp_path / "again.html"
    assert run(capsys, "report", tmp_path / "runs", "--out", again)[0] == 0
    assert "mixup(alpha=1)" in again.read_text()


def test_a_file_holds_options_and_the_command_line_overrides_it(capsys, tmp_path):
    config = tmp_path / "study.toml"
    config.write_text(
        'data = "iris"\nmodel = "linear"\nmethods = ["erm", "cutmix"]\nseeds = 0\nepochs = 2\n'
        f'out = "{tmp_path}"\nbatch-size = 32\ntrain_size = 30\nlearning-rate = 0.01\n'
    )
    code, _, err = run(capsys, "compare", "--config", config)
    assert (code, err) == (2, f"Error: {config}: seeds must be at least 1, got 0.")
    config.write_text(config.read_text().replace("seeds = 0", "seeds = 2"))
    tokens = ("compare", "--config", config, "--seeds", "1", "--methods", "erm")
    assert run(capsys, *tokens)[0] == 0
    (path,) = (tmp_path / "runs").glob("*.json")
    used = json.loads(path.read_text())["configuration"]
    assert (used["data"], used["seed"], used["train_size"], used["batch_size"]) == (
        "iris",
        0,
        30,
        32,
    )


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        (["digit"], "unknown data set 'digit'. Did you mean digits?"),
        (["--model", "cn"], "unknown model 'cn'. Did you mean cnn?"),
        (["--methods", "mixpu"], "unknown method 'mixpu'. Did you mean mixup?"),
        (["--methods", "mixup(alfa=1)"], "unknown option of mixup 'alfa'. Did you mean alpha?"),
        (["--methods", "mixup(alpha=0)"], "alpha must be positive, got 0"),
        (["--methods", "mixup(alpha=nan)"], "alpha must be positive, got nan"),
        (["--methods", "mixup(alpha='1')"], "cannot read the method"),
        (["--methods", "mixup(0.2"], "cannot read the method"),
        (["--methods", "erm(alpha=1)"], "erm takes no options"),
        (["--methods", "mixup", "mixup(alpha=0.2)"], "mixup(alpha=0.2) is named twice"),
        (["--seeds", "0"], "seeds must be at least 1"),
        (["--seeds", "many"], 'unable to convert "many" into int'),
        (["--train-size", "9000"], "train_size=9000 is not in 10..897"),
        (["--sedes", "3"], "Unknown option: --sedes. Did you mean --seeds?"),
        (
            ["--config", "none.toml"],
            "none.toml cannot be read: No such file or directory: none.toml",
        ),
    ],
)
def test_bad_input_is_one_clear_sentence_and_exit_code_2(tokens, message, capsys, tmp_path):
    out = tmp_path / "new"
    code, _, err = run(capsys, "compare", *tokens, "--out", out)
    assert code == 2
    assert message in err
    assert not out.exists()


@pytest.mark.parametrize(
    ("tokens", "asked"),
    [
        (["audit"], "vicinal audit"),
        (["compare", "--attacks", "slow"], "vicinal compare"),
        (["frobnicate"], "vicinal"),
    ],
)
def test_options_that_cannot_be_read_come_with_the_next_step(tokens, asked, capsys):
    code, out, err = run(capsys, *tokens)
    assert (code, out) == (2, "")
    assert err.startswith("Error: ")
    assert err.endswith(f" {asked} --help tells what it takes.")


def test_unknown_options_in_the_file_are_told_with_the_nearest(capsys, tmp_path):
    config = tmp_path / "study.toml"
    config.write_text("sedes = 3\n")
    code, _, err = run(capsys, "compare", "--config", config)
    assert code == 2
    assert "unknown option 'sedes'. Did you mean seeds?" in err
    config.write_text("seeds = ")
    assert run(capsys, "compare", "--config", config)[0] == 2


def test_a_folder_that_cannot_be_written(capsys, tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = run(capsys, "compare", *SMALL, "--out", tmp_path / "file")
    assert code == 2
    assert "file is a file, not a folder" in err


def test_failed_runs_change_the_exit_code_and_are_shown(capsys, tmp_path):
    code, out, _ = run(
        capsys, "compare", *SMALL, "--out", tmp_path, "--learning-rate", "1e30", "--methods", "erm"
    )
    assert code == 1
    assert "failed" in out.lower()
    assert "failed" in (tmp_path / "report.html").read_text().lower()


def test_report_of_nothing(capsys, tmp_path):
    assert run(capsys, "report", tmp_path / "none")[0] == 2
    code, _, err = run(capsys, "report", tmp_path)
    assert code == 2
    assert "holds no runs" in err


def test_reports_are_written_into_folders_that_are_made(capsys, tmp_path):
    runs, file = tmp_path / "runs", tmp_path / "file"
    runs.mkdir()
    file.touch()
    stored = three_seeds()[0]
    (runs / "a.json").write_text(json.dumps(stored))
    told = run(capsys, "report", runs)[2]
    assert "Of 1 files the first is a.json: its name is not the hash" in told
    (runs / "a.json").rename(runs / f"{stored['name']}.json")
    assert run(capsys, "report", runs, "--out", tmp_path / "new" / "folder" / "table.md")[0] == 0
    assert (tmp_path / "new" / "folder" / "table.md").is_file()
    code, _, err = run(capsys, "report", runs, "--out", file / "report.html")
    assert code == 2
    assert str(file) in err.replace("\n", "")


def test_help_names_every_method():
    source = inspect.getsource(options.Study)
    told = " ".join(source.partition("All names: ")[2].partition('."""')[0].split())
    told = told.replace("; and to compare with", "").split(", ")
    assert sorted(told) == sorted(methods_by_name())


def test_methods_have_one_canonical_name():
    assert parse_methods(["erm", "mixup", "cutmix( alpha = 1.0 )"]) == {
        "erm": None,
        "mixup(alpha=0.2)": Mixup(0.2),
        "cutmix(alpha=1)": CutMix(1.0),
    }


@pytest.mark.skipif(os.name != "posix", reason="needs SIGKILL")
def test_a_study_killed_at_any_moment_ends_with_the_same_numbers(tmp_path):
    def command(out):
        options = ["--data", "iris", "--seeds", "2", "--epochs", "25", "--methods", "erm", "mixup"]
        return [sys.executable, "-m", "vicinal.cli", "compare", *options, "--out", str(out)]

    def numbers(out):
        found = {}
        for path in (out / "runs").glob("*.json"):
            record = json.loads(path.read_text())
            del record["seconds"]
            found[path.name] = record
        return found

    subprocess.run(command(tmp_path / "whole"), check=True, capture_output=True)
    killed = tmp_path / "killed"
    for stage in ("*.checkpoint", "*.json"):  # in the middle of a run, and after one
        process = subprocess.Popen(command(killed), stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 60
        while not list((killed / "runs").glob(stage)) and time.monotonic() < deadline:
            time.sleep(0.005)
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        assert list((killed / "runs").glob(stage))
        assert not (killed / "report.html").exists()
    subprocess.run(command(killed), check=True, capture_output=True)
    assert numbers(killed) == numbers(tmp_path / "whole")
    assert len(numbers(killed)) == 4
    assert {path.suffix for path in (killed / "runs").iterdir()} == {".command", ".json"}


def test_without_arguments_it_says_how_to_begin(capsys):
    code, out, _ = run(capsys)
    assert code == 0
    assert "vicinal compare digits" in out
    assert "explain" in out


def test_the_shell_completes_commands_and_options(capsys, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))  # where a loader is added to .bashrc
    script = tmp_path / "vicinal"
    code, _, err = run(capsys, "--install-completion", "--shell", "bash", "--output", script)
    assert (code, err) == (0, "")
    ask = f"""
        source {script}
        COMP_WORDS=(vicinal compare --ep) COMP_CWORD=2
        _vicinal
        echo "${{COMPREPLY[@]}}"
    """
    told = subprocess.run(["bash", "-c", ask], capture_output=True, text=True, check=True)
    assert told.stdout.split() == ["--epochs"]


def test_any_strategy_can_be_confined_to_a_part_of_training():
    found = parse_methods(["mixup(alpha=1, stop=0.8, fade=0.2)", "cutmix(start=0)"])
    assert found == {
        "mixup(alpha=1, stop=0.8, fade=0.2)": During(Mixup(1.0), stop=0.8, fade=0.2),
        "cutmix(alpha=1)": CutMix(1.0),
    }
    for text, rule in (
        ("mixup(stop=40)", r"stop is a fraction of training and must lie in \[0, 1\], got 40"),
        ("mixup(start=0.9, stop=0.5)", "start <= stop - fade"),
        ("erm(stop=0.5)", "erm takes no options"),
    ):
        with pytest.raises(ValueError, match=rule):
            parse_methods([text])


def test_a_terminal_without_a_sign_shows_another_and_is_not_steered(tmp_path):
    """Arrows where only ASCII can be shown; escape sequences in the names of classes."""
    rows = [f"{k / 7},{k % 5},{'red' if k % 2 else chr(27) + '[31mblue'}" for k in range(60)]
    (tmp_path / "t.csv").write_text("\n".join(["a,b,colour", *rows]) + "\n")
    options = ["--model", "linear", "--epochs", "1", "--seeds", "1", "--methods", "erm", "mixup"]
    done = subprocess.run(
        [sys.executable, "-m", "vicinal.cli", "compare", "t.csv", *options],
        cwd=tmp_path,
        env=os.environ | {"PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert b"? scaled" in done.stdout
    assert b"\x1b" not in done.stderr + done.stdout
    assert b"\\x1b[31mblue = 0" in done.stderr
