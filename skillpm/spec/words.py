"""Counts in messages."""


def counted(count: int, noun: str, several: str | None = None) -> str:
    """A count with its noun: `1 skill`, `2 skills`; `several` where the plural is not regular."""
    return f"{count} {noun}" if count == 1 else f"{count} {several or f'{noun}s'}"
