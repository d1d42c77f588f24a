"""Numbers as they are written in a file: what is one, and what only looks like one."""

import re
from collections.abc import Sequence

import numpy as np

WHOLE = re.compile(r"[+-]?[0-9]+")
NUMBER = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?|[+-]?(nan|inf|infinity)", re.I
)
PADDED = re.compile(r"[+-]?0[0-9]+")
WITH_COMMAS = re.compile(r"[+-]?[0-9]{1,3}(\.?[0-9]{3})*,[0-9]+|[+-]?[0-9]+(,[0-9]{3})+(\.[0-9]*)?")
LONGEST = 20  # digits of 64 bits; Python refuses to read thousands


def column(texts: Sequence[str], *, label: bool = False) -> np.ndarray:
    """Whole numbers, numbers (an empty entry is NaN), or texts where one entry is no number.

    Digits are those of ASCII, without the underscores that Python would take.

    Args:
        texts: the entries, without blanks around them.
        label: whether entries may be names: then 007 is another than 7, and whole numbers beyond
            64 bits are texts. Elsewhere these come back as texts in an array of objects.
    """
    if all(map(WHOLE.fullmatch, texts)):
        if label and any(map(PADDED.fullmatch, texts)):
            return np.array(texts)
        if all(len(text.lstrip("+-0")) <= LONGEST for text in texts):
            numbers = [int(text) for text in texts]
            for kind in (np.int64, np.uint64):
                if np.iinfo(kind).min <= min(numbers) <= max(numbers) <= np.iinfo(kind).max:
                    return np.array(numbers, dtype=kind)
        return np.array(texts) if label else np.array(texts, dtype=object)
    found = numbers_of(texts)
    return np.array(texts) if found is None else found


def numbers_of(texts: Sequence[str]) -> np.ndarray | None:
    """Texts as numbers, an empty one as NaN; None where one is no number."""
    if not all(text == "" or NUMBER.fullmatch(text) for text in texts):
        return None
    return np.array([float(text or "nan") for text in texts])


def beyond(column: np.ndarray) -> str:
    """A whole number beyond 64 bits that a column of `column` holds; nothing where none is."""
    if column.dtype.kind != "O":
        return ""
    return max(map(str, column), key=lambda text: len(text.lstrip("+-0")))


def with_commas(texts: Sequence[str]) -> bool:
    """Whether all entries are numbers and some are written with commas, as 1,5 or 1,000."""
    shown = [text for text in texts if text]
    commas = [text for text in shown if WITH_COMMAS.fullmatch(text)]
    return bool(commas) and all(NUMBER.fullmatch(text) for text in set(shown) - set(commas))
