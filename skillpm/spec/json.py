"""JSON from outside, read with limits; JSON of ours, written in one canonical form."""

import json
import math
from collections import Counter
from typing import Any

from skillpm.errors import SpecError

SIZE_LIMIT = 64_000_000
DEPTH_LIMIT = 64
_CONTAINERS = (dict, list)


def canonical(document: Any, *, foreign: bool = False) -> bytes:
    """The one written form: sorted keys, no spaces, UTF-8. Raises `SpecError` for NaN.

    A `foreign` document may hold NaN and Infinity.
    """
    try:
        text = json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=foreign
        )
        return text.encode()
    except ValueError as problem:
        raise SpecError(f"a document of ours cannot be written as JSON: {problem}") from problem


def pretty(document: Any, *, sort_keys: bool = True, foreign: bool = False) -> bytes:
    """The form for people's files: keys sorted or as they are, two spaces, a final newline.

    A `foreign` document may hold the NaN and Infinity that Python's JSON knows.
    """
    text = json.dumps(
        document, sort_keys=sort_keys, indent=2, ensure_ascii=False, allow_nan=foreign
    )
    return f"{text}\n".encode()


def parse(data: bytes, what: str, *, foreign: bool = False) -> Any:
    """Read a JSON document of `what`, at most 64 MB and 64 levels, no key twice, no NaN.

    A `foreign` one, a model's own file, is read as transformers reads it: NaN and Infinity are
    numbers, and of a key that stands twice the last counts. A byte order mark before it is skipped.
    Linear in the size of `data`. Raises `SpecError` naming the limit that does not hold.
    """
    if len(data) > SIZE_LIMIT:
        raise SpecError(f"{what} is {len(data)} bytes; at most {SIZE_LIMIT} are read")
    try:
        text = data.decode("utf-8-sig" if foreign else "utf-8")
        document = json.loads(text, **({} if foreign else _STRICT))
    except UnicodeDecodeError as problem:
        raise SpecError(f"{what} is not UTF-8: {problem.reason} at {problem.start}") from problem
    except RecursionError as problem:
        raise SpecError(f"{what} is nested deeper than {DEPTH_LIMIT} levels") from problem
    except ValueError as problem:
        raise SpecError(f"{what} is not JSON: {problem}") from problem
    check_depth(document, what)
    _check_text(document, data, what)
    return document


def parse_object(data: bytes, what: str, *, foreign: bool = False) -> dict[str, Any]:
    """As `parse`, for a document that must be an object."""
    document = parse(data, what, foreign=foreign)
    if not isinstance(document, dict):
        raise SpecError(f"{what} is not a JSON object, but {type(document).__name__}")
    return document


def check_depth(document: Any, what: str) -> None:
    """Raise `SpecError` where plain values are nested deeper than `DEPTH_LIMIT`."""
    level: list[Any] = [document] if type(document) in _CONTAINERS else []
    for _ in range(DEPTH_LIMIT):
        level = [
            child
            for node in level
            for child in (node.values() if type(node) is dict else node)
            if type(child) in _CONTAINERS
        ]
        if not level:
            return
    raise SpecError(f"{what} is nested deeper than {DEPTH_LIMIT} levels")


def _check_text(document: Any, data: bytes, what: str) -> None:
    """Half a surrogate pair is no text: it can be neither hashed nor written again."""
    if b"\\u" in data:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as problem:
            raise SpecError(f"{what} has text that is not Unicode: {problem.reason}") from problem


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        twice = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"{text[:40]} is too large for a number")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _unique, "parse_float": _finite, "parse_constant": _no_constant,
}  # fmt: skip
