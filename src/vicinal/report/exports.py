"""The comparison for other documents: a Markdown page, a LaTeX table, JSON, CSV and Parquet."""

import csv
import io
import json
from collections.abc import Iterator
from typing import Protocol

from vicinal.report.comparison import Group, compare
from vicinal.report.numbers import MINUS, NONE
from vicinal.report.rows import Line, line, main_metrics
from vicinal.report.words.findings import sentences
from vicinal.study.record import Records

# what LaTeX would read as a command, and signs that its default fonts lack
LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "&": r"\&",
        "%": r"\%",
        "$": r"\$",
        "#": r"\#",
        "_": r"\_",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        MINUS: "$-$",
        "±": r"$\pm$",
        "∞": r"$\infty$",
        "ε": r"$\varepsilon$",
        "λ": r"$\lambda$",
        "α": r"$\alpha$",
        "→": r"$\to$",
        NONE: "--",
        "\N{NO-BREAK SPACE}": "~",
        "|": r"\textbar{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
    }
)


class Export(Protocol):
    """Writes a comparison."""

    def __call__(self, runs: Records, *, baseline: str | None = None) -> str | bytes:
        """The runs compared with the baseline, by default with erm."""
        ...


def markdown(runs: Records, *, baseline: str | None = None) -> str:
    """Verdict and table of every group, as Markdown with pipe tables."""
    parts = []
    for group in compare(runs, baseline).groups:
        parts.append(f"## {_plain(group.title)}\n")
        parts += [f"- **{_plain(s.topic)}:** {_plain(s.text)}" for s in sentences(group)]
        parts.append("")
        header = ["Measured", *group.methods]
        parts.append("| " + " | ".join(map(_plain, header)) + " |")
        parts.append("|" + "---|" * len(header))
        for written in _lines(group):
            cells = [_plain(_label(written))]
            for entry in written.entries:
                levels = filter(None, (entry.value, entry.difference))
                cells.append("<br>".join(map(_plain, levels)))
            parts.append("| " + " | ".join(cells) + " |")
        parts.append(f"\n{_caption(group)}\n")
    return "\n".join(parts)


def latex(runs: Records, *, baseline: str | None = None) -> str:
    r"""One table per group, for the package booktabs; methods are rows, so that many fit.

    Names from users are escaped: nothing in them is read as a command.
    """
    return "\n".join(_latex(group) for group in compare(runs, baseline).groups)


def as_json(runs: Records, *, baseline: str | None = None) -> str:
    """The comparison with all cells, differences and intervals."""
    return json.dumps(compare(runs, baseline).to_json(), indent=1, allow_nan=False) + "\n"


def as_csv(runs: Records, *, baseline: str | None = None) -> str:
    """One row for every finished run and metric: group, method, seed, metric, key, value."""
    out = io.StringIO()
    rows = csv.writer(out, lineterminator="\n")
    rows.writerow(COLUMNS)
    rows.writerows(_long(runs, baseline))
    return out.getvalue()


def as_parquet(runs: Records, *, baseline: str | None = None) -> bytes:
    """The rows of `as_csv`, with their types.

    Raises:
        ValueError: if pyarrow is not installed.
    """
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ValueError("Parquet needs pyarrow: pip install 'vicinal[tables]'.") from error
    out = io.BytesIO()
    rows = [dict(zip(COLUMNS, row, strict=True)) for row in _long(runs, baseline)]
    parquet.write_table(pyarrow.Table.from_pylist(rows), out)
    return out.getvalue()


COLUMNS = ("group", "method", "seed", "metric", "key", "value")


def _long(runs: Records, baseline: str | None) -> Iterator[tuple[str, str, int, str, str, float]]:
    for group in compare(runs, baseline).groups:
        for cell in group.cells:
            for seed, value in zip(cell.seeds, cell.values, strict=True):
                yield group.title, cell.method, seed, cell.metric.label, cell.metric.key, value


EXPORTS: dict[str, Export] = {
    ".csv": as_csv,
    ".json": as_json,
    ".md": markdown,
    ".parquet": as_parquet,
    ".tex": latex,
}
"""Ways to write a comparison, by the ending of the file; a page is written by `page.write`."""


def _lines(group: Group) -> list[Line]:
    return [line(group, metric) for metric in main_metrics(group)]


def _notes(written: Line) -> str:
    notes = ", ".join(filter(None, (written.unit, written.better)))
    return f"({notes})" if notes else ""


def _label(written: Line) -> str:
    return f"{written.label} {_notes(written)}".rstrip()


def _caption(group: Group) -> str:
    return (
        f"Mean ± standard deviation over {len(group.seeds)} seeds; below it, method minus "
        f"{group.baseline} on the same seeds with its 95% interval."
    )


def _plain(text: str) -> str:
    """Text that Markdown shows as it is, inside of tables too."""
    kept = text.replace("\\", "\\\\")
    for sign in "|*_`[]#":
        kept = kept.replace(sign, f"\\{sign}")
    return kept.replace("&", "&amp;").replace("<", "&lt;").replace("\n", " ")


def _latex(group: Group) -> str:
    lines = _lines(group)
    columns = "l" + "r" * len(lines)
    head = " & ".join(["Method", *map(_stack, lines)])
    body = []
    for k, method in enumerate(group.methods):
        entries = [written.entries[k] for written in lines]
        body.append(" & ".join([_tex(method), *(_tex(e.value) for e in entries)]) + r" \\")
        if method != group.baseline:
            below = " & ".join(["", *(rf"\footnotesize {_tex(e.difference)}" for e in entries)])
            body.append(below + r" \\")
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{_tex(group.title)}. {_tex(_caption(group))}}}",
            rf"\begin{{tabular}}{{{columns}}}",
            r"\toprule",
            head + r" \\",
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
            "",
        ]
    )


def _stack(written: Line) -> str:
    """A heading broken at its commas, with its unit in a line below."""
    parts = [part for part in (*written.label.split(", "), _notes(written)) if part]
    return r"\begin{tabular}[b]{@{}r@{}}" + r"\\".join(map(_tex, parts)) + r"\end{tabular}"


def _tex(text: str) -> str:
    return text.translate(LATEX)
