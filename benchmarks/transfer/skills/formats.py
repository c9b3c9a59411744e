"""Three words in a form that a rule asks for: lists, brackets, case, separators."""

from __future__ import annotations

from itertools import combinations, pairwise
from typing import TYPE_CHECKING, Any

from benchmarks.transfer.skills.drawing import Exercise, ItemGenerator

if TYPE_CHECKING:
    import random
    from collections.abc import Sequence

_WORDS = """
lemon chair river candle window garden button ladder pencil market bottle winter silver basket
copper marble
"""
_FORMS = {
    "list": (
        "List with dashes: {words}",
        "One line with a dash for each: {words}",
        "Make a dashed list of {words}",
    ),
    "brackets": (
        "In square brackets: {words}",
        "Put brackets around each: {words}",
        "Bracket every word of {words}",
    ),
    "capitals": (
        "In capital letters: {words}",
        "All upper case: {words}",
        "Write in capitals {words}",
    ),
    "numbered": (
        "Numbered lines: {words}",
        "One numbered line for each: {words}",
        "Number the words {words}",
    ),
    "arrows": (
        "Joined by arrows: {words}",
        "With an arrow between them: {words}",
        "Connect by arrows {words}",
    ),
}


def _answer(form: str, words: Sequence[str]) -> str:
    if form == "list":
        return "\n".join(f"- {word}" for word in words)
    if form == "brackets":
        return " ".join(f"[{word}]" for word in words)
    if form == "capitals":
        return ", ".join(words).upper()
    if form == "numbered":
        return "\n".join(f"{number}. {word}" for number, word in enumerate(words, start=1))
    return " -> ".join(words)


def _check(form: str, words: Sequence[str]) -> dict[str, Any]:
    """Rules that the right answer keeps: lines, case, length and what it contains."""
    lines = len(words) if form in ("list", "numbered") else 1
    marked = {
        "list": [f"- {word}" for word in words],
        "brackets": [f"[{word}]" for word in words],
        "capitals": [word.upper() for word in words],
        "numbered": [f"{number}. {word}" for number, word in enumerate(words, start=1)],
        "arrows": [f"{first} -> {second}" for first, second in pairwise(words)],
    }[form]
    longest = len(_answer(form, words)) + 2 * len(words)
    case = "upper" if form == "capitals" else "lower"
    return {"rules": {"lines": lines, "contains": marked, "max_chars": longest, "case": case}}


def _make(subject: tuple[str, ...], wording: int, draw: random.Random) -> Exercise:
    words = draw.sample(subject, len(subject))
    form = draw.choice(list(_FORMS))
    prompt = _FORMS[form][wording].format(words=", ".join(words))
    return Exercise(prompt, _answer(form, words), _check(form, words), form)


FORMATS = ItemGenerator("formats", list(combinations(_WORDS.split(), 3)), 3, _make)
