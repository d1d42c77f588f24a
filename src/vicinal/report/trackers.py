"""Stored runs for TensorBoard, Weights & Biases and MLflow, through the trackers of Accelerate.

A run is told when it is stored, all of it at once and only once: so it does not matter where it was
trained, and a study that goes on tells the rest. Nothing leaves this machine.
"""

import importlib
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vicinal.report.results import row
from vicinal.study.record import Record, Records, records

PROJECT = "vicinal"


def _tensorboard(title: str, folder: Path, record: Record) -> Any:
    from accelerate.tracking import TensorBoardTracker

    return TensorBoardTracker(title, folder)


def _wandb(title: str, folder: Path, record: Record) -> Any:
    import wandb
    from accelerate.tracking import WandBTracker

    return WandBTracker(
        PROJECT,
        dir=folder,
        mode="offline",
        id=record.name,
        name=title,
        group=record.method,
        settings=wandb.Settings(silent=True),
    )


def _mlflow(title: str, folder: Path, record: Record) -> Any:
    import mlflow
    from accelerate.tracking import MLflowTracker

    mlflow.set_tracking_uri(f"sqlite:///{folder / 'mlflow.db'}")
    return MLflowTracker(PROJECT, (folder / "artifacts").as_uri(), run_name=title)


TRACKERS: dict[str, Callable[[str, Path, Record], Any]] = {
    "mlflow": _mlflow,
    "tensorboard": _tensorboard,
    "wandb": _wandb,
}
"""What makes a tracker for a run, by the name of its module and of the extra."""


def installed(tracker: str) -> None:
    """Refuse what cannot be told.

    Raises:
        ValueError: for an unknown tracker, or one whose extra is not installed.
    """
    if tracker not in TRACKERS:
        raise ValueError(f"unknown tracker {tracker!r}. Known: {', '.join(TRACKERS)}.")
    try:
        importlib.import_module(tracker)
    except ImportError as error:
        raise ValueError(
            f"the tracker {tracker} needs packages that are not installed: "
            f"pip install 'vicinal[{tracker}]'"
        ) from error


def tell(runs: Records, tracker: str, out: Path) -> int:
    """Tell a tracker of the runs that it was not told of yet.

    Every epoch's row is logged at its epoch, and what was measured in the end at the last one.

    Args:
        runs: records.
        tracker: mlflow, tensorboard or wandb (offline: `wandb sync` sends it).
        out: where the tracker gets a folder of its own, with its name.

    Returns:
        How many runs it was told of.

    Raises:
        ValueError: for an unknown tracker, one whose extra is not installed, or an object that is
            no record.
    """
    installed(tracker)
    typed = records(runs)
    folder = (out / tracker).resolve()
    marks = folder / "told"
    marks.mkdir(parents=True, exist_ok=True)
    count = 0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what trackers do among themselves
        from accelerate import PartialState

        PartialState(cpu=True)  # trackers ask which process they are in
        for record in typed:
            mark = marks / record.name
            if record.done and not mark.exists():
                _log(TRACKERS[tracker](_title(record), folder, record), record)
                mark.touch()
                count += 1
    return count


def _title(record: Record) -> str:
    return f"{record.method} seed {record.seed} {record.name[:6]}"


def _log(tracker: Any, record: Record) -> None:
    configuration = {key: _plain(value) for key, value in record.configuration.items()}
    tracker.start()
    try:
        tracker.store_init_configuration(configuration)
        for epoch in record.history:
            tracker.log(epoch.numbers(), step=epoch.epoch)
        known = {"name", "status", *configuration}
        measured = {k: v for k, v in row(record).items() if k not in known and v is not None}
        last = record.history[-1].epoch
        tracker.log({f"measured/{key}": value for key, value in measured.items()}, step=last)
    finally:
        tracker.finish()


def _plain(value: Any) -> Any:
    return "" if value is None else value  # TensorBoard has no word for None
