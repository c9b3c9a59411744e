"""Untrusted text in pictures: printable, and short."""

from rich.cells import cell_len

_TEXT = 80


def printable(text: str, limit: int = _TEXT) -> str:
    """Escape characters that cannot be printed, and cut the text to `limit` characters.

    The middle of a long text is left out. The result has only characters that XML allows.
    """
    short = _cut(text, limit)
    return _cut(short if short.isprintable() else ascii(short)[1:-1], limit)


def cells(text: str) -> int:
    """Return the width of a text in characters of a monospaced font; some characters take two."""
    return cell_len(text)


def _cut(text: str, limit: int) -> str:
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return f"{text[: limit - 1 - tail]}…{text[len(text) - tail :]}"
