"""A study small enough to be done many times: linear models on iris."""

import studies
from vicinal.mixing.mixup import Mixup

METHODS = {"erm": None, "mixup(alpha=1)": Mixup(1.0)}
OPTIONS = {
    "data": "iris",
    "model": "linear",
    "seeds": 2,
    "epochs": 2,
    "train_size": None,
    "batch_size": 16,
    "learning_rate": 0.01,
    "weight_decay": 0.01,
    "together": 1,
}


def execute(folder, methods=METHODS, said=None, executor="loky", jobs=None, **options):
    where = {"executor": executor, "jobs": jobs}
    plan = studies.planned(methods, folder, **(OPTIONS | where | options))
    units, said = [], [] if said is None else said
    records = studies.execute(plan, advance=units.append, say=said.append)
    assert sum(units) == sum(run.units for run in plan.runs)
    assert not list(folder.glob("*.lock"))
    return [{key: value for key, value in r.items() if key != "seconds"} for r in records]
