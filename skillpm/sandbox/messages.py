"""Messages between the parent, the supervisor and a worker: one JSON object a line."""

import json
from typing import Any

ERROR_LENGTH = 300
"""Characters of a foreign error that are shown."""
OPEN, END = b"o", b"e"
"""What the parent asks of the supervisor: a session (with three pipes), or its end."""


def dump_line(message: dict[str, Any]) -> bytes:
    """A message as a line."""
    return json.dumps(message).encode() + b"\n"


def first_line(problem: BaseException) -> str:
    """The first line of an error that is not ours, or its kind; bounded."""
    lines = str(problem).splitlines()
    return (lines[0] if lines else type(problem).__name__)[:ERROR_LENGTH]
