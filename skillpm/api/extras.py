"""Optional dependencies: the error if an extra is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from skillpm.errors import UsageError


@contextmanager
def needs_hf(what: str) -> Iterator[None]:
    """Raise `UsageError` if the body fails to import a library of the extra `hf`.

    `what` is a clause that names the feature: "`probe` runs the model".
    """
    try:
        yield
    except ImportError as problem:
        raise UsageError(
            f"{what}, but the library `{problem.name}` is not installed",
            hint="pip install 'skillpm-graft[hf]'",
        ) from problem


@contextmanager
def needs_transfer(what: str) -> Iterator[None]:
    """Raise `UsageError` if the body fails to import a library of the extra `transfer`."""
    try:
        yield
    except ImportError as problem:
        raise UsageError(
            f"{what}, but the library `{problem.name}` is not installed",
            hint="pip install 'skillpm-graft[transfer]'",
        ) from problem


@contextmanager
def needs_server(what: str) -> Iterator[None]:
    """Raise `UsageError` if the body fails to import a library of the extra `server`."""
    try:
        yield
    except ImportError as problem:
        raise UsageError(
            f"{what}, but the library `{problem.name}` is not installed",
            hint="pip install 'skillpm-graft[server]'",
        ) from problem


@contextmanager
def needs_matplotlib(what: str) -> Iterator[None]:
    """Raise `UsageError` if the body fails to import matplotlib; see `needs_hf`."""
    try:
        yield
    except ModuleNotFoundError as problem:
        if (problem.name or "").partition(".")[0] != "matplotlib":
            raise
        raise UsageError(
            f"{what} with matplotlib, which is not installed",
            hint="pip install 'skillpm-graft[plot]'",
        ) from problem
