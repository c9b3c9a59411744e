"""The header of a safetensors file: strict reader, canonical writer."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from skillpm.errors import SpecError
from skillpm.spec import json
from skillpm.spec.dtypes import BITS, RANK_LIMIT, TensorSpec, dense_bytes

LENGTH_BYTES = 8
HEADER_LIMIT = json.SIZE_LIMIT
METADATA = "__metadata__"


@dataclass(frozen=True, slots=True)
class Placed:
    """A tensor and the offsets of its bytes in the data section of the file."""

    spec: TensorSpec
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class Header:
    """All tensors of a file in the order of their bytes, and the metadata of the file."""

    tensors: tuple[Placed, ...]
    metadata: Mapping[str, str]
    data_start: int

    @property
    def data_bytes(self) -> int:
        """The size of the data section in bytes."""
        return self.tensors[-1].stop if self.tensors else 0


def header_length(first: bytes, file_bytes: int, what: str) -> int:
    """The length of the header, from the first 8 bytes of a file. Raises `SpecError`."""
    length = int.from_bytes(first, "little")
    if len(first) < LENGTH_BYTES or length > min(HEADER_LIMIT, file_bytes - LENGTH_BYTES):
        raise SpecError(
            f"{what} is not a safetensors file: its header would have {length} bytes, "
            f"but the file has {file_bytes}"
        )
    return length


def parse_header(data: bytes, file_bytes: int, what: str) -> Header:
    """Read a header. `data` is its JSON, without the 8 bytes of the length.

    Raises `SpecError` for gaps, overlaps, unknown dtypes and a wrong size of the file.
    """
    plain = json.parse_object(data, f"the header of {what}")
    metadata = plain.pop(METADATA, {})
    if not isinstance(metadata, dict) or not all(isinstance(v, str) for v in metadata.values()):
        raise SpecError(f"{what}: expected `{METADATA}` to be an object of texts")
    placed = sorted(
        (_placed(n, p, what) for n, p in plain.items()), key=lambda t: (t.start, t.stop)
    )
    end = 0
    for tensor in placed:
        if tensor.start != end:
            kind = "a gap" if tensor.start > end else "an overlap"
            raise SpecError(f"{what} has {kind} before {tensor.spec.name!r} at byte {tensor.start}")
        end = tensor.stop
    data_start = LENGTH_BYTES + len(data)
    if data_start + end != file_bytes:
        raise SpecError(
            f"{what} has {file_bytes} bytes, but its header describes {data_start + end}"
        )
    return Header(tuple(placed), metadata, data_start)


def _placed(name: str, plain: Any, what: str) -> Placed:
    try:
        dtype, shape, (start, stop) = plain["dtype"], plain["shape"], plain["data_offsets"]
        integers = all(type(n) is int and 0 <= n < 2**62 for n in (*shape, start, stop))
    except (TypeError, KeyError, ValueError) as problem:
        raise SpecError(f"{what}: {name!r} has no dtype, shape or data_offsets") from problem
    typed = isinstance(dtype, str) and isinstance(shape, list) and integers
    typed = typed and len(shape) <= RANK_LIMIT
    if not typed or dtype not in BITS or not name or "\0" in name:
        raise SpecError(f"{what}: {name!r} is not a valid tensor: dtype {dtype!r}, shape {shape!r}")
    spec = TensorSpec(name, dtype, tuple(shape))
    if stop - start != spec.nbytes:
        raise SpecError(
            f"{what}: {name!r} has {stop - start} bytes, expected {spec.nbytes} for its shape"
        )
    return Placed(spec, start, stop)


def layout(specs: Iterable[TensorSpec]) -> tuple[Placed, ...]:
    """Lay out tensors like the safetensors library: wide dtypes first, then by name."""
    placed: list[Placed] = []
    end = 0
    for spec in sorted(specs, key=lambda s: (-BITS[s.dtype], s.name)):
        start, end = end, end + dense_bytes(spec.dtype, spec.shape)
        placed.append(Placed(spec, start, end))
    return tuple(placed)


def dump_header(placed: Iterable[Placed], metadata: Mapping[str, str]) -> bytes:
    """The bytes of a header with its length, padded with spaces to a multiple of 8."""
    plain: dict[str, Any] = {
        tensor.spec.name: {
            "dtype": tensor.spec.dtype,
            "shape": list(tensor.spec.shape),
            "data_offsets": [tensor.start, tensor.stop],
        }
        for tensor in placed
    }
    if metadata:
        plain[METADATA] = dict(metadata)
    text = json.canonical(plain)
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(LENGTH_BYTES, "little") + text
