"""JSON from outside, read with limits; JSON of ours, written in one canonical form."""

import json
from collections.abc import Iterable
from typing import Any

from skillpm.errors import SpecError

SIZE_LIMIT = 64_000_000
DEPTH_LIMIT = 64


def canonical(document: Any) -> bytes:
    """The one written form: sorted keys, no spaces, UTF-8. Raises `SpecError` for NaN."""
    try:
        text = json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False
        )
        return text.encode()
    except ValueError as problem:
        raise SpecError(f"a document of ours cannot be written as JSON: {problem}") from problem


def parse(data: bytes, what: str) -> Any:
    """Read a JSON document of `what`, at most 64 MB and 64 levels, no key twice, no NaN.

    Linear in the size of `data`. Raises `SpecError` naming the limit that does not hold.
    """
    if len(data) > SIZE_LIMIT:
        raise SpecError(f"{what} is {len(data)} bytes; at most {SIZE_LIMIT} are read")
    try:
        document = json.loads(data.decode(), object_pairs_hook=_unique, parse_constant=_no_constant)
    except UnicodeDecodeError as problem:
        raise SpecError(f"{what} is not UTF-8: {problem.reason} at {problem.start}") from problem
    except RecursionError as problem:
        raise SpecError(f"{what} is nested deeper than {DEPTH_LIMIT} levels") from problem
    except ValueError as problem:
        raise SpecError(f"{what} is not JSON: {problem}") from problem
    _check_depth(document, what)
    return document


def parse_object(data: bytes, what: str) -> dict[str, Any]:
    """As `parse`, for a document that must be an object."""
    document = parse(data, what)
    if not isinstance(document, dict):
        raise SpecError(f"{what} is not a JSON object, but {type(document).__name__}")
    return document


def _check_depth(document: Any, what: str) -> None:
    level: list[Any] = [document]
    for _ in range(DEPTH_LIMIT):
        level = [child for node in level for child in _children(node)]
        if not level:
            return
    if any(isinstance(node, dict | list) for node in level):
        raise SpecError(f"{what} is nested deeper than {DEPTH_LIMIT} levels")


def _children(node: Any) -> Iterable[Any]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return document


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")
