"""A study small enough to be done many times: linear models on iris."""

from vicinal.mixing.mixup import Mixup
from vicinal.study import measures as measurement
from vicinal.study import plan as study

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
    plan = study.plan(methods, folder, **(OPTIONS | options))
    units, said = [], [] if said is None else said
    records = study.execute(
        plan, executor=executor, jobs=jobs, advance=units.append, say=said.append
    )
    assert sum(units) == len(plan.runs) * (plan.runs[0].epochs + measurement.MEASURES["fast"])
    assert not list(folder.glob("*.lock"))
    return [{key: value for key, value in r.items() if key != "seconds"} for r in records]
