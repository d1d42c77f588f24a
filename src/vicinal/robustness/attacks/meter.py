"""What an attack spends, and where its budget ends."""

import time
from dataclasses import dataclass, field

from torch import Tensor

from vicinal.robustness.attacks.door import Function


class Exhausted(Exception):
    """The budget is spent; raised between two passes and caught by `worst_case`."""


@dataclass
class Meter:
    """Counts passes: of one example each, forward and backward one apiece.

    Attributes:
        most: passes that may be spent, over all examples.
        seconds: time that may be spent.
        passes: spent so far.
        last: what was spent before the last pass.
    """

    most: float = float("inf")
    seconds: float = float("inf")
    passes: int = 0
    last: int = 0
    begun: float = field(default_factory=time.monotonic)

    @property
    def left(self) -> "Meter":
        """A meter of what is left of the budget."""
        return Meter(self.most - self.passes, self.seconds - self.elapsed)

    def add(self, spent: "Meter") -> None:
        """Take over what was spent of that.

        Raises:
            Exhausted: if its last pass would have come too late, after what others have spent.
        """
        if self.passes + spent.last >= self.most:
            raise Exhausted
        self.passes += spent.passes

    @property
    def elapsed(self) -> float:
        """Seconds since the beginning."""
        return time.monotonic() - self.begun

    def metered(self, f: Function) -> Function:
        """The function, counted; raises Exhausted when the budget is spent."""

        def counted(x: Tensor) -> Tensor:
            if self.passes >= self.most or self.elapsed >= self.seconds:
                raise Exhausted
            self.last = self.passes
            self.passes += len(x) * (1 + x.requires_grad)
            return f(x)

        return counted
