"""The running agent: its loop, its triggers, the dispatcher of its steps, and their composition."""

import sys
import warnings
from importlib import import_module

# structlog and requests load what they find, here 6 MB for tracebacks in colour and guesses at encodings, which the
# agent never makes. None in place of a module hides it from an import (Python's reference: the module cache).
warnings.filterwarnings("ignore", "Unable to find acceptable character detection")
for _package, _unused in (("structlog", "rich"), ("requests", "charset_normalizer")):
    if _unused not in sys.modules:
        sys.modules[_unused] = None  # type: ignore[assignment]
        import_module(_package)
        del sys.modules[_unused]
