"""Helpers of all codecs: byte planes as parts, rounding a sum to words, checks of settings."""

from collections.abc import Collection, Mapping
from math import isfinite
from typing import Any

import numpy as np

from skillpm.delta.coding.payload import PayloadReader, PayloadWriter
from skillpm.delta.tensors import rounding
from skillpm.delta.tensors.rounding import Floats, exact_values
from skillpm.delta.tensors.words import Bytes, Words
from skillpm.errors import GraftError, IntegrityError

_PIECE = 1 << 16
"""Elements processed at a time, so that they fit a core's cache."""
_SHOWN = 60
"""The most characters of a value in an error message."""


def put_planes(writer: PayloadWriter, tensor: str, stem: str, planes: list[Bytes]) -> None:
    """Write byte planes as the parts `stem0`, `stem1` and so on."""
    for plane, values in enumerate(planes):
        writer.put(tensor, f"{stem}{plane}", values.data)


def read_planes(
    reader: PayloadReader, tensor: str, stem: str, *, planes: int, size: int
) -> list[Bytes]:
    """Read `planes` planes of `size` bytes, as `put_planes` wrote them. Raises `IntegrityError`."""
    parts = (reader.part(tensor, f"{stem}{plane}", size) for plane in range(planes))
    return [np.frombuffer(part, dtype=np.uint8) for part in parts]


def add_and_round(reference: Words, delta: Floats, dtype: str, tensor: str) -> Words:
    """Return float64(reference) + delta, all [n], rounded once to `dtype` (law 3c).

    Works in pieces that fit a core's cache: a dozen passes there cost less than one over memory.
    Raises the errors of `round_sum`.
    """
    words = np.empty_like(reference)
    total = np.empty(min(_PIECE, reference.size))
    for start in range(0, reference.size, _PIECE):
        piece = reference[start : start + _PIECE]
        total = total[: piece.size]
        with np.errstate(over="ignore", invalid="ignore"):  # `round_sum` raises for both
            values = exact_values(piece, dtype)
            np.add(values, delta[start : start + _PIECE], out=total, dtype=np.float64)
        words[start : start + _PIECE] = round_sum(piece, total, dtype, tensor)
    return words


def round_sum(reference: Words, total: Floats, dtype: str, tensor: str) -> Words:
    """Round `total` [n], a float64 sum that includes the reference [n], once to `dtype` (law 3c).

    Where the reference is NaN or infinite, its bits are kept. Raises `GraftError` if another sum
    overflows or is NaN (law 3d).
    """
    words, failures = rounding.round_sum(reference, total, dtype)
    if failures:
        raise GraftError(f"`{tensor}` overflows {dtype} or becomes NaN in the graft")
    return words


def setting(settings: Mapping[str, Any], key: str, low: int, high: int) -> int:
    """Return an integer setting of a record, in low..high. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not int or not low <= value <= high:
        raise _wrong_setting(key, f"an integer in {low}..{high}", value)
    return value


def number(settings: Mapping[str, Any], key: str) -> float:
    """Return a finite float setting of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not float or not isfinite(value):
        raise _wrong_setting(key, "a finite number", value)
    return value


def flag(settings: Mapping[str, Any], key: str) -> bool:
    """Return a boolean setting of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not bool:
        raise _wrong_setting(key, "true or false", value)
    return value


def choice(settings: Mapping[str, Any], key: str, allowed: Collection[str]) -> str:
    """Return a text setting of a record, one of `allowed`. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not str or value not in allowed:
        raise _wrong_setting(key, f"one of {', '.join(sorted(allowed))}", value)
    return value


def table(settings: Mapping[str, Any], key: str) -> Mapping[str, Any]:
    """Return a table among the settings of a record. Raises `IntegrityError`."""
    value = settings.get(key)
    if type(value) is not dict:
        raise _wrong_setting(key, "a table", value)
    return value


def whole_numbers(value: Any) -> list[int] | None:
    """Return `value` if it is a list of integers, without booleans; else None."""
    fits = type(value) is list and all(type(item) is int for item in value)
    return list(value) if fits else None


def _wrong_setting(key: str, expected: str, value: Any) -> IntegrityError:
    shown = repr(value)[:_SHOWN]
    return IntegrityError(f"`{key}` of a payload record is {shown}, expected {expected}")
