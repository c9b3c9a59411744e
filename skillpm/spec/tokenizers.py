"""What a stranger's `tokenizer.json` could make of a text: how many times as long, at the most.

A normalizer replaces as it is told, one step after the other: thirty steps that double a text
make a gigabyte of a word. So the growth is bounded before a library runs any of it.
"""

import base64
import binascii
import re
from collections.abc import Iterator
from math import prod
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec import json

GROWTH_LIMIT = 64.0
"""Times as long as the text. The longest that NFKC makes of one character is 18."""
_STAGES = ("normalizer", "pre_tokenizer", "post_processor", "decoder")
_SPELLING = ("normalizer", "pre_tokenizer")
_STEPS = ("normalizers", "pretokenizers", "processors", "decoders")
_WORD = 4
"""Bytes of the length that a compiled map begins with."""
_BYTES = 4.0
"""Most bytes of a character: where they are spelt, each becomes a character."""
_PATTERN_LIMIT = 1000


def check_tokenizer(data: bytes, what: str) -> None:
    """Raises `SpecError` where `what` could make a text more than `GROWTH_LIMIT` times as long.

    Or where its compiled map of characters says to be longer than it is: a library would ask for
    that much memory. Anything else is the library's to refuse.
    """
    document = json.parse_object(data, what)
    steps = [(stage, step) for stage in _STAGES for step in _steps(document.get(stage))]
    growth = prod(_growth(stage, step, what) for stage, step in steps)
    if growth > GROWTH_LIMIT:
        raise SpecError(
            f"{what} could make a text {growth:.3g} times as long, in {len(steps)} steps; "
            f"{GROWTH_LIMIT:.0f} times at most is run"
        )


def _steps(stage: Any) -> Iterator[dict[str, Any]]:
    """A stage's plain steps, in order; the document is of few levels, so that this ends."""
    if not isinstance(stage, dict):
        return
    below = [stage[key] for key in _STEPS if isinstance(stage.get(key), list)]
    if not below:
        yield stage
    for step in (step for steps in below for step in steps):
        yield from _steps(step)


def _growth(stage: str, step: dict[str, Any], what: str) -> float:
    """How many times as long a step makes a text, at the most; 1 where it only moves or drops."""
    match step.get("type"):
        case "Replace":
            return _replaced(step)
        case "ByteLevel" if stage in _SPELLING:
            return _BYTES
        case "Prepend":
            return 1.0 + _length(step.get("prepend"))
        case "Precompiled":
            return _compiled(step.get("precompiled_charsmap"), what)
        case "TemplateProcessing":
            return float(max(1, _sequences(step.get("single")), _sequences(step.get("pair"))))
        case _:
            return 1.0


def _replaced(step: dict[str, Any]) -> float:
    pattern, content = step.get("pattern"), _length(step.get("content"))
    known = pattern if isinstance(pattern, dict) else {}
    least = _length(known.get("String"))
    if not least and isinstance(known.get("Regex"), str):
        least = _least(known["Regex"])
    # What matches nothing matches between any two characters, and takes none away.
    return max(1.0, content / least) if least else 1.0 + content


def _least(pattern: str) -> int:
    """1 where a regular expression matches a character at the least; 0 where it may match none.

    What minds no surroundings matches nothing somewhere only if it does so in an empty text. All
    that could mind them, and all that Python reads otherwise, counts as able to.
    """
    plain = pattern.replace("\\s", "").replace("\\n", "")
    if "\\" in plain or "(?" in plain or len(plain) > _PATTERN_LIMIT:
        return 0
    try:
        return 0 if re.match(pattern, "") else 1
    except (re.error, RecursionError, OverflowError):
        return 0


def _compiled(found: Any, what: str) -> float:
    """Of a map of sentencepiece: a length, a trie of so many bytes, texts that end in a zero."""
    try:
        blob = base64.b64decode(found, validate=True) if isinstance(found, str) else b""
    except binascii.Error as problem:
        raise SpecError(f"{what} has a compiled map that is not base64: {problem}") from problem
    if not blob:
        return 1.0
    size = int.from_bytes(blob[:_WORD], "little")
    if len(blob) < _WORD or size > len(blob) - _WORD:
        raise SpecError(f"{what} has a compiled map of {len(blob)} bytes that should hold {size}")
    return float(max(map(len, blob[_WORD + size :].split(b"\0")), default=1) or 1)


def _sequences(template: Any) -> int:
    pieces = template if isinstance(template, list) else []
    return sum(isinstance(piece, dict) and "Sequence" in piece for piece in pieces)


def _length(text: Any) -> int:
    return len(text) if isinstance(text, str) else 0
