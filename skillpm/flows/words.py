"""Words and numbers of messages."""

_LEAST_DIGITS = 4
_ALL_DIGITS = 17


def counted(count: int, noun: str) -> str:
    """A count with a regular noun: `1 skill`, `2 skills`."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def distinct(*values: float) -> list[str]:
    """Numbers with the fewest digits, four at least, that tell different values apart."""
    texts: list[str] = []
    for digits in range(_LEAST_DIGITS, _ALL_DIGITS + 1):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(map(repr, map(float, values)))):
            break
    return texts
