"""Messages between parent, supervisor and worker: one JSON object in each line."""

import json
from typing import Any

ERROR_LENGTH = 300
"""The largest number of characters that are shown of an error in a worker."""
OPEN, END = b"o", b"e"
"""The parent's requests to the supervisor: open a session (with three pipes), or end it."""


def dump_line(message: dict[str, Any]) -> bytes:
    """Encode a message as a line of JSON."""
    return json.dumps(message).encode() + b"\n"


def first_line(problem: BaseException) -> str:
    """The first line of an error, shortened; the name of its class if it has no text."""
    lines = str(problem).splitlines()
    return (lines[0] if lines else type(problem).__name__)[:ERROR_LENGTH]
