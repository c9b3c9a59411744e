"""JSON: untrusted documents are read with limits, and skillpm's own have a canonical form."""

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec.faults import describe_value

SIZE_LIMIT = 64_000_000
"""Bytes of a document."""
DEPTH_LIMIT = 64
"""Nested objects and lists."""
_CONTAINERS = (dict, list)


def canonical(document: Any, *, foreign: bool = False) -> bytes:
    """The canonical form of a document: sorted keys, no spaces, UTF-8.

    NaN and Infinity are allowed only in a `foreign` document, such as a model's config. Raises
    `SpecError`.
    """
    try:
        text = json.dumps(
            document, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=foreign
        )
        return text.encode()
    except ValueError as problem:
        raise SpecError(f"the document cannot be written as JSON: {problem}") from problem


def pretty(document: Any, *, sort_keys: bool = True, foreign: bool = False) -> bytes:
    """The readable form of a document: indented by two spaces, with a final newline.

    NaN and Infinity are allowed only in a `foreign` document.
    """
    text = json.dumps(
        document, sort_keys=sort_keys, indent=2, ensure_ascii=False, allow_nan=foreign
    )
    return f"{text}\n".encode()


def parse(data: bytes, what: str, *, foreign: bool = False) -> Any:
    """Read a JSON document: at most 64 MB and 64 levels, no duplicate keys, no NaN.

    A `foreign` document, a model's own file, is read like transformers reads it: NaN and Infinity
    are allowed, the last of duplicate keys counts, and a byte order mark is skipped. `what` names
    the document in messages. Linear in the size of `data`. Raises `SpecError`.
    """
    if len(data) > SIZE_LIMIT:
        raise SpecError(f"{what} has {len(data)} bytes; the limit is {SIZE_LIMIT}")
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
    """Like `parse`, for a document that must be an object."""
    document = parse(data, what, foreign=foreign)
    if not isinstance(document, dict):
        raise SpecError(f"{what}: expected a JSON object, found {describe_value(document)}")
    return document


def check_depth(document: Any, what: str) -> None:
    """Raise `SpecError` if a document of plain values is nested deeper than `DEPTH_LIMIT`."""
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


def scalars(document: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Every value of a document that is no object and no list, with the nearest key above it.

    The order of the values is unspecified. Linear in the size of the document.
    """
    pending = list(document.items())
    while pending:
        key, value = pending.pop()
        if isinstance(value, dict):
            pending.extend(value.items())
        elif isinstance(value, list):
            pending.extend((key, item) for item in value)
        else:
            yield key, value


def _check_text(document: Any, data: bytes, what: str) -> None:
    """Raise `SpecError` for unpaired surrogates, which cannot be encoded as UTF-8 again."""
    if b"\\u" in data:
        try:
            json.dumps(document, ensure_ascii=False).encode()
        except UnicodeEncodeError as problem:
            raise SpecError(f"{what} has text that is not Unicode: {problem.reason}") from problem


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    document = dict(pairs)
    if len(document) != len(pairs):
        counts = Counter(key for key, _ in pairs)
        duplicate = next(key for key, count in counts.items() if count > 1)
        raise ValueError(f"duplicate key {duplicate!r}")
    return document


def _finite(text: str) -> float:
    number = float(text)
    if math.isinf(number):
        raise ValueError(f"the number {text[:40]} is too large")
    return number


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not allowed")


_STRICT: dict[str, Any] = {
    "object_pairs_hook": _unique, "parse_float": _finite, "parse_constant": _no_constant,
}  # fmt: skip
