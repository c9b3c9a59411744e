"""Suggests the most similar known name for an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches


def most_similar(word: str, known: Iterable[str]) -> str | None:
    """The most similar word of `known`; None if no word is similar.

    Quadratic in the lengths of the words: shorten untrusted words first.
    """
    return next(iter(get_close_matches(word, list(known), n=1)), None)


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint with the most similar word of `known`; `otherwise` if no word is similar."""
    similar = most_similar(word, known)
    return f"did you mean `{similar}`?" if similar else otherwise
