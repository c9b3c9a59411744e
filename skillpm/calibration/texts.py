"""Files of texts, for calibration and the router: plain text, or JSON lines of `{"text": …}`."""

from pathlib import Path

from skillpm.errors import SpecError
from skillpm.spec import json

LARGEST = 1 << 30
_HINT = 'plain text, or JSON lines of `{"text": "…"}`'


def read_texts(path: Path) -> list[str]:
    """The texts of a file; a plain file is cut at blank lines. Raises `SpecError`."""
    try:
        if path.stat().st_size > LARGEST:
            raise SpecError(f"`{path}` is larger than {LARGEST >> 20} MiB: cut a sample from it")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as problem:
        raise SpecError(f"`{path}` cannot be read as text: {problem}", hint=_HINT) from problem
    lines = text.split("\n")  # JSON may hold other line ends as they are
    first = next((line for line in lines if line.strip()), "")
    found = _json_lines(path, lines) if _is_json(first) else text.split("\n\n")
    texts = [one for one in found if one.strip()]
    if not texts:
        raise SpecError(f"`{path}` holds no text", hint=_HINT)
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
        plain = json.parse_object(line.encode(), f"line {number} of `{path}`")
        text = plain.get("text")
        if not isinstance(text, str):
            raise SpecError(f'line {number} of `{path}` should hold {{"text": "…"}}', hint=_HINT)
        texts.append(text)
    return texts
