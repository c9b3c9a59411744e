"""Lengths in seven bits a byte, the least significant first."""

from skillpm.errors import IntegrityError

_MOST = 5
_MORE = 0x80
"""Set where another byte follows."""


def varint(value: int) -> bytes:
    """A number below 2^35, in as few bytes as it needs."""
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and where it ends. Raises `IntegrityError`."""
    value = 0
    for place in range(start, min(start + _MOST, len(data))):
        value |= (data[place] & 0x7F) << (7 * (place - start))
        if data[place] < _MORE:
            return value, place + 1
    raise IntegrityError("a length in an entropy-coded stream is damaged")
