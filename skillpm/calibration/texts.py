"""Files of texts, for calibration and the router: plain text, or JSON lines of `{"text": …}`."""

from pathlib import Path

from skillpm.errors import SpecError
from skillpm.spec import json

LARGEST = 1 << 30
"""The largest file that is read, in bytes."""
_HINT = 'pass plain text, or JSON lines of `{"text": "…"}`'


def read_texts(path: Path) -> list[str]:
    """Read the texts of a file; plain text is split at blank lines. Raises `SpecError`."""
    try:
        if path.stat().st_size > LARGEST:
            message = f"`{path}` is larger than {LARGEST >> 20} MiB"
            raise SpecError(message, hint="pass a file with a sample of its texts")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise SpecError(f"`{path}` cannot be read as text: {problem}", hint=_HINT) from problem
    lines = text.split("\n")  # not `splitlines`: JSON strings may contain other line separators
    first = next((line for line in lines if line.strip()), "")
    passages = _json_lines(path, lines) if _is_json(first) else text.split("\n\n")
    texts = [passage for passage in passages if passage.strip()]
    if not texts:
        raise SpecError(f"`{path}` has no text", hint=_HINT)
    return texts


def _is_json(line: str) -> bool:
    if not line.lstrip().startswith("{"):
        return False
    try:
        json.parse_object(line.encode(), "a line")
    except SpecError:
        return False
    return True


def _json_lines(path: Path, lines: list[str]) -> list[str]:
    texts: list[str] = []
    for number, line in enumerate(lines, start=1):
        if not line.strip():
            continue
        record = json.parse_object(line.encode(), f"line {number} of `{path}`")
        text = record.get("text")
        if not isinstance(text, str):
            raise SpecError(f'line {number} of `{path}` has no "text" that is a string', hint=_HINT)
        texts.append(text)
    return texts
