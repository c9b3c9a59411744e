"""The only part of an entropy-coded tensor: its sections, and the scales in them."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skillpm.delta.codecs.shared.base import setting
from skillpm.delta.codecs.shared.coded import Sections, decode_flat, encode_flat
from skillpm.delta.codecs.shared.scales import FINE_LIMIT, Logs, from_logs
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

PART = "d"
"""The name of the part."""
_LOG_LIMIT = 250
"""Scales are in 2^±250: the product of a level or code and three scales fits float64."""
_PART_FLOOR, _PART_SHARE = 1 << 20, 16
"""A part has at most `_PART_FLOOR` bytes plus 16 per entry: three integers of 41 bits."""


def put(spec: TensorSpec, record: Record, data: bytes, writer: PayloadWriter) -> Record:
    """Write a tensor's only part and its record."""
    writer.put_plain(spec.name, PART, data)
    writer.describe(spec.name, record)
    return record


def sections_of(spec: TensorSpec, reader: PayloadReader) -> Sections:
    """Return the sections of a tensor's only part. Raises `IntegrityError` for any other part."""
    reader.expect_parts(spec.name, {PART})
    limit = _PART_FLOOR + _PART_SHARE * spec.elements
    return Sections(reader.plain(spec.name, PART, limit), f"`{spec.name}`")


def fineness(settings: Mapping[str, Any]) -> int:
    """Return log2 of the steps of scales per octave, from a record. Raises `IntegrityError`."""
    return setting(settings, "fine", 0, FINE_LIMIT)


def encode_logs(logs: Logs | None) -> bytes:
    """Encode logarithms as differences of neighbours; no bytes for None."""
    return b"" if logs is None else encode_flat(_steps(logs))


def decode_scales(data: bytes, count: int, fine: int, what: str) -> Floats | None:
    """Decode what `encode_logs` wrote, as scales. Raises `IntegrityError` if one is too large."""
    if not data:
        return None
    logs = np.cumsum(decode_flat(data, count, what), dtype=np.int64)
    limit = _LOG_LIMIT << fine
    if logs.size and not -limit <= logs.min() <= logs.max() <= limit:
        raise IntegrityError(f"{what} has a scale outside 2^-{_LOG_LIMIT}..2^{_LOG_LIMIT}")
    return from_logs(logs.astype(np.int32), fine)


def scales_of(logs: Logs | None, fine: int) -> Floats | None:
    """Return the scales that `decode_scales` will return."""
    return None if logs is None else from_logs(logs, fine)


def _steps(logs: Logs) -> Logs:
    return np.diff(logs, prepend=np.int32(0)).astype(np.int32)
