"""Whether mixup helps your model, what it does to it, and whether the gain is real.

The public names are listed in ``__init__.pyi`` and loaded on first use, so that
``vicinal --help`` does not wait for torch.
"""

import sys

import lazy_loader

from vicinal.machine.moved import Moved

__version__ = "0.2.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
sys.meta_path.append(Moved())
