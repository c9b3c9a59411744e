"""Deltas: codecs, schemes, composition. Pure functions of arrays; bytes are read through ports.

`encode` and `apply` make exact deltas of dictionaries of tensors, in memory. They are imported when
they are first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from skillpm.delta.memory.deltas import apply, encode

__all__ = ["apply", "encode"]


def __getattr__(name: str) -> Any:
    """Import a public function when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module `skillpm.delta` has no attribute `{name}`")
    return getattr(import_module("skillpm.delta.memory.deltas"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
