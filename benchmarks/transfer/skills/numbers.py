"""Number words from digits, and digits from number words, below 1000."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.transfer.skills.drawing import Exercise, ItemGenerator

if TYPE_CHECKING:
    import random

LIMIT = 1000
_BELOW_20 = """
zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen
sixteen seventeen eighteen nineteen
"""
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
_TO_DIGITS = (
    "Write {words} in digits.",
    "Which number is {words}?",
    "Give the digits of {words}.",
)
_TO_WORDS = (
    "Write {digits} in words.",
    "How is {digits} read?",
    "Give the words of {digits}.",
)


def words_of(number: int) -> str:
    """The English name of a number below 1000: `seven hundred forty-two`."""
    small = _BELOW_20.split()
    hundreds, rest = divmod(number, 100)
    if hundreds:
        return f"{small[hundreds]} hundred{f' {words_of(rest)}' if rest else ''}"
    if rest < 20:
        return small[rest]
    tens, ones = divmod(rest, 10)
    return f"{_TENS.split()[tens - 2]}{f'-{small[ones]}' if ones else ''}"


def _make(number: int, wording: int, draw: random.Random) -> Exercise:
    words, digits = words_of(number), str(number)
    to_words = draw.random() < 0.5
    question, answer = (_TO_WORDS, words) if to_words else (_TO_DIGITS, digits)
    prompt = question[wording].format(words=words, digits=digits)
    return Exercise(prompt, answer, {"equals": answer}, "words" if to_words else "digits")


NUMBERS = ItemGenerator("numbers", range(LIMIT), len(_TO_WORDS), _make)
