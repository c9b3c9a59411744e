"""Documents that are parsed once: parsers are pure, and their results are never changed."""

from collections.abc import Callable
from functools import lru_cache, wraps
from typing import ParamSpec, TypeVar, cast

P = ParamSpec("P")
T = TypeVar("T")

REMEMBERED = 64
"""Results of one parser that are kept."""
LENGTH_LIMIT = 1 << 20
"""Characters or bytes of a document that is kept: a command must not hold many large ones."""


def parse_once(parse: Callable[P, T]) -> Callable[P, T]:
    """A parser that returns the same object for the same document.

    The document is the first argument, text or bytes. Errors are raised anew each time. Use it only
    for results that are never changed.
    """
    remembered = cast("Callable[P, T]", lru_cache(maxsize=REMEMBERED)(parse))

    @wraps(parse)
    def parsed(*args: P.args, **named: P.kwargs) -> T:
        document = args[0]
        is_short = isinstance(document, str | bytes) and len(document) <= LENGTH_LIMIT
        return (remembered if is_short else parse)(*args, **named)

    return parsed
