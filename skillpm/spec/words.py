"""Counts with nouns, distinct numbers, and options to paste, for messages."""

import shlex

from skillpm.spec.hub import is_name

_LEAST_DIGITS = 4
_ALL_DIGITS = 17


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 skill`, `2 skills`. `plural` is for irregular nouns."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or f'{noun}s'}"


def distinct(*values: float) -> list[str]:
    """The numbers with as many significant digits, at least 4, as make different values differ."""
    texts: list[str] = []
    for digits in range(_LEAST_DIGITS, _ALL_DIGITS + 1):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(map(repr, map(float, values)))):
            break
    return texts


def size_text(count: float) -> str:
    """A number of bytes with a unit, in powers of 1000: `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000 or unit == "GB":  # noqa: PLR2004 - the factor between units
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    raise AssertionError


def base_option(name: str) -> str:
    """The option that names a base, for a hint; see `base_argument`."""
    return f"`--base {base_argument(name)}`"


def base_argument(name: str) -> str:
    """The name of a base as a word of a command. It may come from a stranger.

    `org/model` is a Hugging Face name; any other name is shown as a folder.
    """
    return shlex.quote(name if "/" in name and is_name(name) else f"./{name}")
