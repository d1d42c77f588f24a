"""Stored runs as plain rows, for pandas, polars, or a loop."""

import warnings
from pathlib import Path
from typing import Any

from vicinal.report.metrics import measurements
from vicinal.report.numbers import finite
from vicinal.study import store
from vicinal.study.measured import Parts
from vicinal.study.record import Record


def results(folder: Path | str) -> list[dict[str, Any]]:
    """Every run of a folder as one row: its configuration, then what was measured.

    Args:
        folder: of runs, as `vicinal compare` writes it.

    Returns:
        One dictionary for each run, by file name, all with the same keys in the same order:
        name and status; the configuration; how many seconds training took; loss and accuracy on
        the training part, and on the validation part for runs of a search; then the metrics of
        the report by their keys, such as accuracy, ece_before or robust/pgd-20/linf/0.05. None
        stands for what a run does not have.

    Raises:
        ValueError: if there is no such folder.

    Warns:
        UserWarning: for files that are no runs; they are left out.

    Example:
        >>> import tempfile
        >>> results(tempfile.mkdtemp())  # pd.DataFrame(vc.results("runs")), pl.DataFrame(...)
        []
    """
    if not Path(folder).is_dir():
        raise ValueError(f"{folder} is not a folder of runs. vicinal compare writes one.")
    records, unreadable = load(Path(folder))
    for file in unreadable:
        warnings.warn(f"left out, cannot be read: {file}", stacklevel=2)
    rows = [row(record) for record in records]
    keys = dict.fromkeys(key for found in rows for key in found)
    return [{key: found.get(key) for key in keys} for found in rows]


def load(folder: Path) -> tuple[list[Record], list[store.Unreadable]]:
    """Every run of a folder, by file name, and the `*.json` files that are none."""
    found, unreadable = store.load(folder)
    records = []
    for one in found:
        try:
            records.append(Record.from_json(one))
        except ValueError as error:
            unreadable.append(store.Unreadable(f"{one['name']}.json", str(error)))
    return records, sorted(unreadable)


def row(record: Record) -> dict[str, Any]:
    """One run as one flat dictionary."""
    found: dict[str, Any] = {"name": record.name, "status": record.status}
    found |= record.configuration
    found["training_seconds"] = finite(record.seconds and record.seconds.training)
    measured = record.measured
    loss, accuracy = (measured.loss, measured.accuracy) if measured else (None, None)
    loss, accuracy = loss or Parts(), accuracy or Parts()
    found |= {
        "train_loss": finite(loss.train),
        "train_accuracy": finite(accuracy.train),
        "validation_loss": finite(loss.validation),
        "validation_accuracy": finite(accuracy.validation),
    }
    return found | {metric.key: value for metric, value in measurements(record).items()}
