"""What the source says, and what was measured: the words follow from the intervals."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from vicinal.maths.statistics import Paired

Verdict = Literal["agrees", "differs", "unclear", "beyond"]
WORDS: dict[Verdict, str] = {
    "agrees": "Agrees with the talk",
    "differs": "Contradicts the talk",
    "unclear": "Not shown either way",
    "beyond": "Beyond the talk",
}


@dataclass(frozen=True)
class Claim:
    """One statement about one thing, and what became of it.

    Attributes:
        statement: as the source makes it; of what is beyond the source, what was found.
        subject: which model, data or attack it is about; "" where that goes without saying.
        verdict: what the measurement says of it.
        size: the number that decided, written.
        text: what was measured, in a sentence or two.
    """

    statement: str
    subject: str
    verdict: Verdict
    size: str
    text: str

    @property
    def words(self) -> str:
        """The verdict in words."""
        return WORDS[self.verdict]


def towards(found: Paired, expected: Literal["higher", "lower"]) -> Verdict:
    """Whether a difference is what was expected: its interval excludes 0 on that side."""
    if found.words not in ("higher", "lower"):
        return "unclear"
    return "agrees" if found.words == expected else "differs"


def at_least(found: Paired, limit: float) -> Verdict:
    """Whether a number is at least a limit: its interval lies above it."""
    if found.low is None or found.high is None:
        return "unclear"
    return "agrees" if found.low >= limit else "differs" if found.high < limit else "unclear"


def within(found: Paired, limit: float) -> Verdict:
    """Whether a number is 0 but for a tolerance: its interval lies within, or beside it."""
    if found.low is None or found.high is None:
        return "unclear"
    if -limit <= found.low and found.high <= limit:
        return "agrees"
    return "differs" if found.low > limit or found.high < -limit else "unclear"


def summary(claims: Sequence[Claim]) -> list[tuple[str, str]]:
    """What agrees, what does not, what is open, what is more; each in words and one sentence."""
    parts = []
    for verdict, words in WORDS.items():
        subjects: dict[str, list[str]] = {}
        for claim in claims:
            if claim.verdict == verdict:
                about = ": ".join(filter(None, (claim.subject, claim.size)))
                subjects.setdefault(claim.statement, []).append(about)
        if subjects:
            sentences = (
                f"{_capital(statement)} ({'; '.join(filter(None, about))})."
                if any(about)
                else f"{_capital(statement)}."
                for statement, about in subjects.items()
            )
            parts.append((words, " ".join(sentences)))
    return parts


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def paragraph(claims: Sequence[Claim]) -> str:
    """The summary as one paragraph."""
    return " ".join(f"{words}: {text}" for words, text in summary(claims)) or "Nothing measured."
