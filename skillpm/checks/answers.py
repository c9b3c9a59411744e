"""Finds the part of an answer that a check reads."""

import re
import unicodedata

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)


def code_of(answer: str) -> str:
    """The first fenced block of an answer; without a fence, the whole answer, stripped.

    An unfinished fence ends with the answer.
    """
    block = _FENCE.search(answer)
    return (block[2] if block else answer).strip()


def plain_text(answer: str) -> str:
    """The answer in Unicode's form NFC, without white space around it."""
    return unicodedata.normalize("NFC", answer).strip()
