"""A study on a table of one's own: a CSV file with values as targets, and C-Mixup.

The same from the command line:

    vicinal compare prices.csv --target price --methods erm "mixup(alpha=1)" cmixup --seeds 3
"""

import csv
import tempfile
from pathlib import Path

import numpy as np

from vicinal import cli


def write_table(path: Path) -> None:
    """300 made-up flats: the price grows with the area, and less so far from the centre."""
    rng = np.random.default_rng(0)
    area, distance, floor = rng.uniform(20, 120, 300), rng.gamma(2, 3, 300), rng.integers(0, 9, 300)
    price = 4000 * area * np.exp(-distance / 10) + 2000 * floor + rng.normal(0, 20_000, 300)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["area", "distance", "floor", "price"])
        rows.writerows(zip(area, distance, floor, price, strict=True))


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder) / "prices.csv"
        write_table(table)
        options = ["--target", "price", "--seeds", "3", "--epochs", "10", "--out", folder]
        methods = ["--methods", "erm", "mixup(alpha=1)", "cmixup(bandwidth=0.3)"]
        cli.app(["compare", str(table), *options, *methods], result_action="return_value")


if __name__ == "__main__":
    main()
