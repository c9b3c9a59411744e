"""Format numbers in messages."""

_LEAST_DIGITS = 4
_ALL_DIGITS = 17


def distinct(*values: float) -> list[str]:
    """The numbers with as many significant digits, at least 4, as make different values differ."""
    texts: list[str] = []
    for digits in range(_LEAST_DIGITS, _ALL_DIGITS + 1):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(map(repr, map(float, values)))):
            break
    return texts
