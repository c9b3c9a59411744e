"""The nearest known word to one that is not known, for hints."""

from collections.abc import Iterable
from difflib import get_close_matches


def did_you_mean(word: str, known: Iterable[str], *, otherwise: str) -> str:
    """A hint that names the nearest of the known words; `otherwise` where none is near.

    Quadratic in the lengths of the words: cut a stranger's word first.
    """
    near = get_close_matches(word, list(known), n=1)
    return f"did you mean `{near[0]}`?" if near else otherwise
