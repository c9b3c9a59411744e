"""Optional dependencies: the error where an extra is not installed."""

from collections.abc import Iterator
from contextlib import contextmanager

from skillpm.errors import UsageError


@contextmanager
def needs_hf(what: str) -> Iterator[None]:
    """Raise `UsageError` where the body fails to import a library of the extra `hf`.

    `what` is the feature, as a clause: "`probe` runs the model".
    """
    try:
        yield
    except ImportError as problem:
        raise UsageError(
            f"{what}, for which a library is missing: {problem.name}",
            hint="pip install 'skillpm-graft[hf]'",
        ) from problem
