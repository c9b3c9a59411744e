"""TOML from outside, read with one kind of error; TOML values of ours, written canonically."""

import json
import re
import tomllib
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec.conflict import ConflictMarkerError, marker_line
from skillpm.spec.json import DEPTH_LIMIT, check_depth
from skillpm.spec.memo import parse_once

BYTE_ORDER_MARK = "\ufeff"
"""What some editors of Windows begin a file of UTF-8 with; it is no part of the document."""
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
SIZE_LIMIT = 64_000_000


@parse_once
def parse(text: str, what: str) -> dict[str, Any]:
    """Read a TOML document of `what`, at most 64 levels deep; a byte order mark is skipped.

    Raises `SpecError` with the place, `ConflictMarkerError` where it is no TOML because of a merge.
    """
    if len(text) > SIZE_LIMIT:
        raise SpecError(f"{what} is longer than {SIZE_LIMIT} characters")
    try:
        document = tomllib.loads(text.removeprefix(BYTE_ORDER_MARK))
    except RecursionError as problem:
        raise SpecError(f"{what} is nested deeper than {DEPTH_LIMIT} levels") from problem
    except ValueError as problem:  # also an integer of more digits than Python reads
        line = marker_line(text)
        if line is not None:
            raise ConflictMarkerError(what, line) from problem
        raise SpecError(f"{what} is not TOML: {problem}") from problem
    check_depth(document, what)
    _check_numbers(document, what)
    return document


def _check_numbers(document: dict[str, Any], what: str) -> None:
    """Hexadecimal may write an integer that has more digits than Python prints."""
    pending: list[Any] = [document]
    while pending:
        node = pending.pop()
        if isinstance(node, dict | list):
            pending.extend(node.values() if isinstance(node, dict) else node)
        elif isinstance(node, int) and not -(2**63) <= node < 2**63:
            raise SpecError(f"{what} has an integer of more than 64 bits, which TOML does not know")


def string(text: str) -> str:
    """`text` as a TOML basic string: JSON's escapes, and DEL, which TOML forbids bare."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(plain: Any) -> str:
    """A value as TOML in one line; floats in their shortest form, tables inline."""
    if isinstance(plain, bool):
        return "true" if plain else "false"
    if isinstance(plain, int | float):
        return repr(plain)
    if isinstance(plain, str):
        return string(plain)
    if isinstance(plain, dict):
        return f"{{{', '.join(f'{key(name)} = {value(item)}' for name, item in plain.items())}}}"
    return f"[{', '.join(map(value, plain))}]"


def key(name: str) -> str:
    """`name` as a TOML key: quoted where it must be."""
    return name if _BARE.fullmatch(name) else string(name)
