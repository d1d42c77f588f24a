"""Strategies that go wrong in the workers of a study; a file of their own, so that they find it."""

import os
import signal
from dataclasses import dataclass
from pathlib import Path

from vicinal.mixing.mixup import Mixup


@dataclass(frozen=True)
class Deadly:
    """Mixup that kills the process that trains with it, unless the marker says that it has."""

    marker: Path

    def __call__(self, x, y, rng):
        trains = any(self.marker.parent.glob("runs/*.lock"))
        if trains and not self.marker.exists():
            self.marker.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return Mixup(1.0)(x, y, rng)


@dataclass(frozen=True)
class Raising:
    """Mixup that raises an error, but not when it is tried out beforehand."""

    folder: Path
    error: Exception

    def __call__(self, x, y, rng):
        if self.folder.exists() and any(self.folder.glob("*.lock")):
            raise self.error
        return Mixup(1.0)(x, y, rng)
