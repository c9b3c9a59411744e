"""Suggests the most similar known name for an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches

CUTOFF = 0.6
"""The smallest similarity of a suggestion, by `difflib`."""


def most_similar(word: str, known: Iterable[str], *, cutoff: float = CUTOFF) -> str | None:
    """The most similar word of `known`; None if no word is similar.

    Quadratic in the lengths of the words: shorten untrusted words first.
    """
    matches = get_close_matches(word, list(known), n=1, cutoff=cutoff)
    return matches[0] if matches else None


def suggestion(name: str) -> str:
    """A hint that suggests this name."""
    return f"did you mean `{name}`?"


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint that suggests the most similar word of `known`, at the cost of `most_similar`."""
    similar = most_similar(word, known)
    return otherwise if similar is None else suggestion(similar)
