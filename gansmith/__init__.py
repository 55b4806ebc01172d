"""gansmith: generative adversarial networks, trained, measured, explored and served from one package.

>>> import gansmith
>>> gansmith.__version__.count(".")
2
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gansmith import evaluation
    from gansmith.api import Run, info, plan, resume, train
    from gansmith.diagnosis import diagnose
    from gansmith.model import GAN, load
    from gansmith.reading import classify, features
    from gansmith.scoring import compare, evaluate, report

__version__ = "0.1.0"
__all__ = [
    "GAN",
    "Run",
    "__version__",
    "classify",
    "compare",
    "diagnose",
    "evaluate",
    "evaluation",
    "features",
    "info",
    "load",
    "plan",
    "report",
    "resume",
    "train",
]
_HOMES = {
    "GAN": "model",
    "load": "model",
    "compare": "scoring",
    "evaluate": "scoring",
    "report": "scoring",
    "diagnose": "diagnosis",
    "classify": "reading",
    "features": "reading",
}


def __getattr__(name: str) -> Any:
    """Load the Python API, and torch with it, when it is first used."""
    if name == "evaluation":
        return importlib.import_module("gansmith.evaluation")
    if name in __all__:
        return getattr(importlib.import_module(f"gansmith.{_HOMES.get(name, 'api')}"), name)
    raise AttributeError(f"module 'gansmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
