"""Helpers of all codecs: byte planes as parts, rounding a sum to words, checks of settings."""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

import numpy as np

from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.tensors.rounding import Floats, from_float64, is_finite, to_float64
from skillpm.delta.tensors.words import Bytes, Words
from skillpm.errors import GraftError, IntegrityError

_PIECE = 1 << 15
_SHOWN = 60


def put_planes(writer: PayloadWriter, tensor: str, stem: str, planes: list[Bytes]) -> None:
    """Write byte planes as the parts `stem0`, `stem1` and so on."""
    for plane, values in enumerate(planes):
        writer.put(tensor, f"{stem}{plane}", values.data)


def read_planes(
    reader: PayloadReader, tensor: str, stem: str, *, planes: int, size: int
) -> list[Bytes]:
    """The inverse of `put_planes`: `planes` planes of `size` bytes. Raises `IntegrityError`."""
    parts = (reader.part(tensor, f"{stem}{plane}", size) for plane in range(planes))
    return [np.frombuffer(part, dtype=np.uint8) for part in parts]


def add_and_round(reference: Words, delta: Floats, dtype: str, tensor: str) -> Words:
    """float64(reference) + delta, all [n], rounded once to `dtype`. Raises as `round_sum` does.

    Works in pieces that fit a core's cache: a dozen passes there cost less than one over memory.
    """
    words = np.empty_like(reference)
    for start in range(0, reference.size, _PIECE):
        piece = reference[start : start + _PIECE]
        with np.errstate(over="ignore"):  # `round_sum` refuses what does not fit
            total = to_float64(piece, dtype) + delta[start : start + _PIECE]
        words[start : start + _PIECE] = round_sum(piece, total, dtype, tensor)
    return words


def round_sum(reference: Words, total: Floats, dtype: str, tensor: str) -> Words:
    """`total` [n], a float64 sum that started from the reference, rounded once to `dtype`.

    Where the reference is NaN or infinite, its bits stay. Raises `GraftError` where another sum
    overflows or is NaN (law 3d).
    """
    words, bad = from_float64(total, dtype)
    if bad.any():
        special = ~is_finite(reference, dtype)
        if (bad & ~special).any():
            raise GraftError(f"`{tensor}` overflows {dtype}, or becomes NaN, when it is grafted")
        words = np.where(special, reference, words)
    return words


def setting(settings: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """An integer setting of a record, in low..high. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not int or not low <= value <= high:
        raise _unfit(key, f"a whole number in {low}..{high}", value)
    return value


def number(settings: Mapping[str, Any], key: str) -> float:
    """A finite float setting of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not float or not isfinite(value):
        raise _unfit(key, "a finite number", value)
    return value


def flag(settings: Mapping[str, Any], key: str) -> bool:
    """A boolean setting of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not bool:
        raise _unfit(key, "true or false", value)
    return value


def choice(settings: Mapping[str, Any], key: str, allowed: Collection[str]) -> str:
    """A text setting of a record, one of `allowed`. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not str or value not in allowed:
        raise _unfit(key, f"one of {', '.join(sorted(allowed))}", value)
    return value


def table(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """A table among the settings of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not dict:
        raise _unfit(key, "a table", value)
    return value


def whole_numbers(value: Any) -> list[int] | None:
    """`value` where it is a list of whole numbers (no booleans), else None."""
    fits = type(value) is list and all(type(each) is int for each in value)
    return list(value) if fits else None


def _unfit(key: str, expected: str, value: Any) -> IntegrityError:
    shown = repr(value)[:_SHOWN]
    return IntegrityError(f"`{key}` of a payload record should be {expected}, is {shown}")
