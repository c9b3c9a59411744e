"""The implementation of the inner loops in use: numba's kernels or numpy's reference.

Both give the same bytes and refuse the same streams, so the choice only affects speed. Importing
numba and loading compiled code takes most of a second, so numpy is used until a process has enough
work to gain from kernels. This module imports neither library.
"""

import importlib
import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from skillpm.errors import UsageError

VARIABLE = "SKILLPM_KERNELS"
AUTO, NUMBA, NUMPY = "auto", "numba", "numpy"
_WORTH = 1 << 21
"""The elements that numpy handles before kernels are loaded."""


def no_notice(_text: str) -> None:
    """Ignore a notice."""


@dataclass
class KernelSettings:
    """The settings of this process: the home of compiled code, and where notices go.

    `demanded` is the value of `SKILLPM_KERNELS`; None until it is read. `handled` is the number of
    elements that numpy has handled. Without a home, kernels compile in memory. `announced` is
    whether this process has said that it compiles. `saves` is whether compiled code is written to
    the home.
    """

    home: Path | None = None
    demanded: str | None = None
    say: Callable[[str], None] = no_notice
    handled: int = 0
    announced: bool = False
    saves: bool = True
    lock: threading.RLock = field(default_factory=threading.RLock)


SETTINGS = KernelSettings()


def use_home(home: Path) -> None:
    """Keep compiled code below `home`, for kernels that are not loaded yet.

    Reads `SKILLPM_KERNELS` again. Raises `UsageError` if it has an unknown value.
    """
    SETTINGS.demanded = _read_variable()
    SETTINGS.home = home


@contextmanager
def without_saving() -> Iterator[None]:
    """Write no compiled code in the block; what is in the home is still loaded."""
    before, SETTINGS.saves = SETTINGS.saves, False
    try:
        yield
    finally:
        SETTINGS.saves = before


def expect(elements: int) -> None:
    """Choose the implementation as if this many elements had been handled."""
    SETTINGS.handled += elements


def notify_by(say: Callable[[str], None]) -> None:
    """Call `say` with a notice when kernels compile."""
    SETTINGS.say = say


def requested() -> str:
    """Return the value of `SKILLPM_KERNELS`: `auto` (default), `numba` or `numpy`.

    The variable is read once, and again by `use_home`. Raises `UsageError` for another value.
    """
    if SETTINGS.demanded is None:
        SETTINGS.demanded = _read_variable()
    return SETTINGS.demanded


def _read_variable() -> str:
    value = os.environ.get(VARIABLE) or AUTO
    if value not in (AUTO, NUMBA, NUMPY):
        raise UsageError(
            f"{VARIABLE} is {value!r}, expected `{AUTO}`, `{NUMBA}` or `{NUMPY}`",
            hint=f"unset {VARIABLE}",
        )
    return value


def compiled(elements: int) -> bool:
    """Return whether kernels, not numpy, handle a call with this many elements.

    Raises `UsageError` if `SKILLPM_KERNELS` has an unknown value, or demands numba where it cannot
    be imported.
    """
    value = requested()
    if value == NUMPY:
        return False
    if value == AUTO and SETTINGS.handled < _WORTH:
        SETTINGS.handled += elements
        if SETTINGS.handled < _WORTH:
            return False
    if numba_module() is not None:
        return True
    if value == NUMBA:
        raise UsageError(
            f"{VARIABLE} is `{NUMBA}`, but numba cannot be imported: {import_problem()}",
            hint="`pip install numba`",
        )
    return False


_IMPORTED: list[ModuleType | Exception] = []


def numba_module() -> ModuleType | None:
    """Import numba once, and return it; None if that fails."""
    if not _IMPORTED:
        with SETTINGS.lock:
            _import_numba()
    module = _IMPORTED[0]
    return None if isinstance(module, Exception) else module


def _import_numba() -> None:
    if not _IMPORTED:
        try:
            _IMPORTED.append(importlib.import_module("numba"))
        except Exception as problem:  # noqa: BLE001 - a broken numba fails in many ways
            _IMPORTED.append(problem)


def import_problem() -> str:
    """Return why numba cannot be imported; empty if it can."""
    numba_module()
    problem = _IMPORTED[0]
    return f"{type(problem).__name__}: {problem}" if isinstance(problem, Exception) else ""
