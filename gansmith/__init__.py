"""gansmith: generative adversarial networks, trained, measured, explored and served from one package.

>>> import gansmith
>>> gansmith.__version__.count(".")
2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from gansmith.api import GAN, Run, info, load, resume, train

__version__ = "0.1.0"
__all__ = ["GAN", "Run", "__version__", "info", "load", "resume", "train"]


def __getattr__(name: str) -> Any:
    """Load the Python API, and torch with it, when it is first used."""
    if name in __all__:
        from gansmith import api

        return getattr(api, name)
    raise AttributeError(f"module 'gansmith' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
