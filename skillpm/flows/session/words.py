"""Words and numbers of messages."""

_LEAST_DIGITS = 4
_ALL_DIGITS = 17


def distinct(*values: float) -> list[str]:
    """Numbers with the fewest digits, four at least, that tell different values apart."""
    texts: list[str] = []
    for digits in range(_LEAST_DIGITS, _ALL_DIGITS + 1):
        texts = [f"{value:.{digits}g}" for value in values]
        if len(set(texts)) == len(set(map(repr, map(float, values)))):
            break
    return texts
