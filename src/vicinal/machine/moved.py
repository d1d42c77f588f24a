"""Modules that the documentation of 0.1 showed under other paths, which still can be imported."""

import sys
import warnings
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType

MOVED = {
    "vicinal.attacks": "vicinal.robustness.attacks",
    "vicinal.processes": "vicinal.machine.processes",
    "vicinal.reproduce": "vicinal.study.reproduce",
    "vicinal.statistics": "vicinal.maths.statistics",
}


class Moved(MetaPathFinder, Loader):
    """Finds a module under the path that it had, and says once where it is now."""

    def find_spec(
        self, name: str, path: object, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """A module that was moved; None for all others."""
        return ModuleSpec(name, self) if _now(name) != name else None

    def exec_module(self, module: ModuleType) -> None:
        """Put the module itself in the place of this one."""
        now = _now(module.__name__)
        warnings.warn(f"{module.__name__} is now {now}.", DeprecationWarning, stacklevel=2)
        sys.modules[module.__name__] = import_module(now)


def _now(name: str) -> str:
    first, second, *rest = [*name.split("."), ""]
    now = MOVED.get(f"{first}.{second}")
    return name if now is None else ".".join([now, *filter(None, rest)])
