"""Similar names: what a search finds if no skill has its words."""

from collections.abc import Iterable

_SHORT = 8
"""From this length on, two typing errors are permitted; below, one."""
SHORTEST = 4
"""Shorter words have too many similar ones."""
_PIECES = 3


def pieces(word: str) -> list[str]:
    """Parts of a word, of which a word with one typing error contains at least one.

    An error is a wrong, missing or additional character, or two that are swapped, which changes at
    most two neighbouring parts of three.
    """
    size = max(2, len(word) // _PIECES)
    starts = dict.fromkeys((0, (len(word) - size) // 2, len(word) - size))
    return [word[start : start + size] for start in starts]


def is_similar(word: str, names: Iterable[str]) -> bool:
    """Whether a name is the word with one typing error, or two in a long word."""
    most = 1 if len(word) < _SHORT else 2
    return any(errors_between(word, name, most) <= most for name in names)


def errors_between(left: str, right: str, most: int) -> int:
    """The number of typing errors that turn one word into another (optimal string alignment).

    `most` + 1 if there are more. Takes time proportional to the product of the lengths.
    """
    if abs(len(left) - len(right)) > most:
        return most + 1
    before, row = list[int](), list(range(len(right) + 1))
    for i, mine in enumerate(left, start=1):
        older, before, row = before, row, [i]
        for j, other in enumerate(right, start=1):
            cost = min(row[j - 1] + 1, before[j] + 1, before[j - 1] + (mine != other))
            if i > 1 and j > 1 and mine == right[j - 2] and left[i - 2] == other:
                cost = min(cost, older[j - 2] + 1)
            row.append(cost)
        if min(row) > most:
            return most + 1
    return min(row[-1], most + 1)
