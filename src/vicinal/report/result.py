"""The main job from Python: train, measure, compare; a result knows its records."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from inspect import Parameter, Signature, signature
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape

from vicinal.machine import files
from vicinal.machine.typed import build
from vicinal.report.comparison import Comparison
from vicinal.report.comparison import compare as compared
from vicinal.report.pages import page
from vicinal.report.results import row
from vicinal.report.terminal import summary
from vicinal.report.trackers import installed, tell
from vicinal.study import store
from vicinal.study.command import code, typed
from vicinal.study.options import Search, Study
from vicinal.study.record import Record
from vicinal.study.record import records as typed_records

if TYPE_CHECKING:
    from vicinal.study.configuration import Objects
    from vicinal.study.search import Found

WIDTH = 116  # columns of a result that is shown as text
HTML = '<pre style="font-family:monospace;line-height:1.3">{code}</pre>'


@dataclass(frozen=True, repr=False)
class Result:
    """What a study found.

    Attributes:
        records: one for each run, seed by seed.
        way: the command or the Python code that does the study again.
        baseline: the method that the others are compared with; None for erm, or the first.
    """

    records: Sequence[Record]
    way: str
    baseline: str | None = None

    @cached_property
    def comparison(self) -> Comparison:
        """Every method against the baseline, paired over seeds."""
        return compared(self.records, self.baseline)

    @property
    def failed(self) -> bool:
        """Whether a run failed."""
        return any(not record.done for record in self.records)

    def save(self, path: str | Path) -> None:
        """Write the report as one page of HTML, which asks nothing of the network."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        files.write(Path(path), page.render(self.records, command=self.way, baseline=self.baseline))

    def rows(self) -> list[dict[str, Any]]:
        """One plain row for each run, for pandas or polars; as `vicinal.results` gives them."""
        return [row(record) for record in self.records]

    def show(self, saved: Path | None = None) -> None:
        """Print table and verdict."""
        console = Console(emoji=False)
        console.print(summary(self.comparison))
        if saved is not None:
            console.print(escape(f"Report: {saved}"), highlight=False, soft_wrap=True)

    def __repr__(self) -> str:
        """Table and verdict as text."""
        console = Console(
            width=WIDTH, emoji=False, color_system=None, force_jupyter=False, force_terminal=False
        )
        with console.capture() as found:
            console.print(summary(self.comparison))
        return found.get().strip("\n")

    def _repr_html_(self) -> str:
        """Table and verdict in a notebook."""
        console = Console(
            width=WIDTH, emoji=False, record=True, file=StringIO(), force_jupyter=False
        )
        console.print(summary(self.comparison))
        return console.export_html(inline_styles=True, code_format=HTML)


def compare(
    data: Any = "digits", *, methods: Any = None, model: Any = None, **options: Any
) -> Result:
    """Train methods over paired seeds, explain and measure them, and compare them.

    The same as `vicinal compare`, with all its options by the same names. Runs are stored in the
    folder `out` and reused: the same call again trains nothing, and one that was stopped goes on.

    Args:
        data: a name as on the command line; or (X, y), (X, y, X_test, y_test), a mapping with the
            keys x and y, or a data set of torch whose examples are (x, y). Inputs are arrays or
            tensors, (n, d) for tables or (n, channels, height, width) for images.
        methods: names such as "mixup(alpha=0.2)", or strategies; or a mapping from names of your
            own to strategies, where None trains without mixing. Strategies are told apart by what
            they hold, whatever they are called.
        model: a name as on the command line; a factory, called with the shape of an example and the
            number of outputs, or without arguments; or a torch module, whose layers make new
            weights for every seed.
        options: those of `vicinal compare` by name, such as ``seeds=5``, ``epochs=30``,
            ``out="runs"``, or ``recipe=vicinal.Recipe(...)`` for several of them.

    Returns:
        The result: its repr is the table and the verdict, `save` writes the page.

    Raises:
        ValueError: for values that cannot be, data or a model that cannot be had or do not fit; a
            name that is not known comes with the nearest one.
        TypeError: for values of another type.

    Example:
        >>> import tempfile
        >>> result = compare("iris", seeds=2, epochs=2, model="linear", out=tempfile.mkdtemp())
        >>> len(result.records)
        6
    """
    from vicinal.study.given import objects_of

    names, objects = objects_of(data, methods, model, options, Study)
    study = build(Study, names)
    given = [name for name, value in (("data", data), ("model", model)) if _object(value)]
    if methods is not None and not _all_names(methods):
        given.append("methods")
    return done(study, objects, code("compare", study, given))


def tune(
    data: Any = "digits", *, methods: Any = None, model: Any = None, **options: Any
) -> "Found":
    """Search for a method and its strength on validation data, then test the best once.

    The same as `vicinal tune`, with all its options by the same names.

    Args:
        data: as in `compare`.
        methods: names, of which those without alpha are searched; or strategies, tried as they are.
        model: as in `compare`.
        options: those of `vicinal tune` by name, such as ``trials=20``.

    Returns:
        What was found: all trials, the best first, and the test of the best.

    Raises:
        ValueError: as `compare`; if Optuna is not installed.
        TypeError: for values of another type.
    """
    from vicinal.study.given import objects_of
    from vicinal.study.tune import run_search

    names, objects = objects_of(data, methods, model, options, Search)
    found = run_search(build(Search, names), objects)
    if found is None:
        raise ValueError("a search that several processes share gives its result to the first one.")
    return found


def done(study: Study, objects: "Objects", way: str | None = None) -> Result:
    """Do a study and tell the trackers; the way to do it again is kept beside the runs."""
    from vicinal.study.execute import run_study

    for tracker in study.output.track:
        installed(tracker)
    records = run_study(study, objects)
    way = typed("compare", study) if way is None else way
    if records:
        store.keep_way(study.output.out / "runs", way)
    for tracker in study.output.track:
        tell(records, tracker, study.output.out)
    return Result(tuple(typed_records(records)), way, study.baseline)


def _object(value: Any) -> bool:
    return value is not None and not isinstance(value, str)


def _all_names(methods: Any) -> bool:
    return not isinstance(methods, Mapping) and all(isinstance(m, str) for m in methods)


def _with_options(function: Any, kind: Any, own: Iterable[str]) -> None:
    """Let help and completion of a function show the options that it passes on."""
    from vicinal.machine.typed import defaults, flat_hints

    usual = dict(defaults(kind))
    shown = [p for p in signature(function).parameters.values() if p.kind != p.VAR_KEYWORD]
    shown += [
        Parameter(name, Parameter.KEYWORD_ONLY, default=usual[name])
        for name, _ in flat_hints(kind)
        if name not in own
    ]
    function.__signature__ = Signature(
        shown, return_annotation=signature(function).return_annotation
    )


_with_options(compare, Study, ("data", "methods", "model"))
_with_options(tune, Search, ("data", "methods", "model"))
