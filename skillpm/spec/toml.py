"""TOML: untrusted documents are read with limits, and skillpm's own values are canonical."""

import json
import re
import tomllib
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec.conflict import ConflictMarkerError, marker_line
from skillpm.spec.json import DEPTH_LIMIT, check_depth, scalars
from skillpm.spec.memo import parse_once

BYTE_ORDER_MARK = "\ufeff"
"""Some Windows editors put it at the start of UTF-8 files. It is not part of the document."""
_BARE = re.compile(r"[A-Za-z0-9_-]+", re.ASCII)
SIZE_LIMIT = 64_000_000
"""Characters of a document."""


@parse_once
def parse(text: str, what: str) -> dict[str, Any]:
    """Read a TOML document of at most 64 levels. A byte order mark is skipped.

    `what` names the document in messages. Raises `SpecError` with the position of the error, and
    `ConflictMarkerError` if the document has conflict markers of a merge.
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
    """Raise `SpecError` for integers of more than 64 bits. Python cannot print very long ones."""
    for _key, number in scalars(document):
        if isinstance(number, int) and not -(2**63) <= number < 2**63:
            raise SpecError(
                f"{what} has an integer of more than 64 bits, which TOML does not allow"
            )


def string(text: str) -> str:
    """`text` as a TOML basic string: a JSON string in which DEL is escaped too."""
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")


def value(plain: Any) -> str:
    """A value as TOML on one line: floats in their shortest form, tables inline."""
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
    """`name` as a TOML key, quoted only if necessary."""
    return name if _BARE.fullmatch(name) else string(name)
