"""Finds the part of an answer that a check reads."""

import re
import unicodedata

_FENCE = re.compile(r"^[ \t]*(`{3,}|~{3,})[^\n`]*\n(.*?)(?:^[ \t]*\1|\Z)", re.DOTALL | re.MULTILINE)


def code_of(answer: str) -> str:
    """The first fenced block of an answer; without one, the whole answer.

    White space around the result is removed, and so are backquotes around a whole answer. An
    unfinished fence ends with the answer.
    """
    block = _FENCE.search(answer)
    if block:
        return block[2].strip()
    whole = answer.strip()
    return whole.strip("`").strip() if whole[:1] == whole[-1:] == "`" else whole


def plain_text(answer: str) -> str:
    """The answer in Unicode's form NFC, without white space around it."""
    return unicodedata.normalize("NFC", answer).strip()
