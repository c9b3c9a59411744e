"""Counts with nouns, for messages."""


def counted(count: int, noun: str, plural: str | None = None) -> str:
    """A count with its noun: `1 skill`, `2 skills`. `plural` is for irregular nouns."""
    return f"{count} {noun}" if count == 1 else f"{count} {plural or f'{noun}s'}"
