"""Variable-length integers: seven bits a byte, least significant first (LEB128)."""

from skillpm.errors import IntegrityError

_MOST = 5
"""The most bytes of an integer."""
_MORE = 0x80
"""The bit that is set in every byte but the last."""


def varint(value: int) -> bytes:
    """Encode a number below 2^35 in as few bytes as possible."""
    out = bytearray()
    while value >= _MORE:
        out.append(value & 0x7F | _MORE)
        value >>= 7
    out.append(value)
    return bytes(out)


def read_varint(data: bytes, start: int) -> tuple[int, int]:
    """Read the number at `start`; also return the position after it. Raises `IntegrityError`."""
    value = 0
    for place in range(start, min(start + _MOST, len(data))):
        value |= (data[place] & 0x7F) << (7 * (place - start))
        if data[place] < _MORE:
            return value, place + 1
    raise IntegrityError(
        "a length in an entropy-coded stream is longer than five bytes, or truncated"
    )
