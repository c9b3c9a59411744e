"""Suggests the most similar known name for an unknown one."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint with the most similar word of `known`; `otherwise` if no word is similar.

    Quadratic in the lengths of the words: shorten untrusted words first.
    """
    matches = get_close_matches(word, list(known), n=1)
    return f"did you mean `{matches[0]}`?" if matches else otherwise
