"""What the entropy-coded codecs share: one part of a tensor, its sections, and its scales."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from skillpm.delta.codecs.base import setting
from skillpm.delta.codecs.coded import Sections, decode_flat, encode_flat
from skillpm.delta.codecs.scales import FINE_LIMIT, Logs, from_logs
from skillpm.delta.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.rounding import Floats
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec

PART = "d"
_LOG_LIMIT = 1000
"""Scales lie in 2^±1000."""


def put(spec: TensorSpec, record: Record, data: bytes, writer: PayloadWriter) -> Record:
    """Write a tensor's one part and its record."""
    writer.put_plain(spec.name, PART, data)
    writer.describe(spec.name, record)
    return record


def sections_of(spec: TensorSpec, reader: PayloadReader) -> Sections:
    """The sections of a tensor's one part; nothing else may be there."""
    reader.expect_parts(spec.name, {PART})
    return Sections(reader.plain(spec.name, PART), f"`{spec.name}`")


def fineness(settings: Mapping[str, Any]) -> int:
    """How fine the logarithms of the scales are."""
    return setting(settings, "fine", 0, FINE_LIMIT)


def encode_logs(logs: Logs | None) -> bytes:
    """Logarithms as the steps between neighbours; nothing for None."""
    return b"" if logs is None else encode_flat(np.diff(logs, prepend=np.int32(0)))


def decode_scales(data: bytes, count: int, fine: int, what: str) -> Floats | None:
    """The inverse of `encode_logs`, as scales. Raises `IntegrityError` where one is out of range."""
    if not data:
        return None
    logs = np.cumsum(decode_flat(data, count), dtype=np.int64)
    limit = _LOG_LIMIT << fine
    if logs.size and not -limit <= logs.min() <= logs.max() <= limit:
        raise IntegrityError(f"{what} has a scale out of range")
    return from_logs(logs.astype(np.int32), fine)
