"""A payload layer with one tensor for every codec, every mode and every form of contexts.

The layer is stored; `golden_layer.json` records what its tensors decode to.
"""

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from delta_worlds import Bytes

from skillpm.delta.codecs import bitmap, lossless, lowrank, svd, topk, whole, zero
from skillpm.delta.codecs.grid import CodedGrid
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.lowrank import Update, factor_of
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.codecs.sign import CodedSigns
from skillpm.delta.codecs.svd import Columns, SingularFactors
from skillpm.delta.codecs.svd_ec import CodedFactors
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors.rounding import Floats, from_float64, to_float64
from skillpm.delta.tensors.words import Words, chunk_spans, word_count, word_dtype
from skillpm.spec.dtypes import TensorSpec, is_float

HERE = Path(__file__).parent
LAYER = HERE / "golden_layer.safetensors"
DIGESTS = HERE / "golden_layer.json"
SHAPE = (160, 64)
_FINE = 3

Write = Callable[[TensorSpec, PayloadWriter], Record]


def uniform(seed: str, *shape: int) -> Floats:
    """Numbers in [-1, 1) from SHA-256 of (seed, counter), the same with every version of numpy."""
    count = int(np.prod(shape))
    blocks = range(-(-count // 8))
    data = b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in blocks)
    return (np.frombuffer(data, dtype="<i4")[:count] / 2.0**31).reshape(shape)


def reference_of(spec: TensorSpec) -> Words:
    """The words [n] of a tensor of the base: floats of twelve octaves."""
    if not is_float(spec.dtype):
        whole = np.rint(100 * uniform(spec.name, word_count(spec))).astype("<i8")
        return whole.astype(word_dtype(spec.itemsize))
    values = uniform(spec.name, spec.elements) * np.exp2(6 * uniform("octave", spec.elements))
    return from_float64(values, spec.dtype)[0]


def decoded(layer: PayloadReader, spec: TensorSpec) -> str:
    """The digest of all that a decoder returns for a tensor: its words, and its delta."""
    record = layer.records[spec.name]
    decoder = CODECS[record.codec].open(spec, layer, record.settings)
    reference, found = reference_of(spec), hashlib.sha256()
    for chunk, (start, stop) in enumerate(chunk_spans(spec)):
        words = reference[start:stop]
        delta = decoder.delta_of(chunk, words)
        found.update(decoder.decode_chunk(chunk, words, delta).tobytes())
        found.update(b"" if delta is None else delta.tobytes())
    return found.hexdigest()


def read_layer() -> PayloadReader:
    """Open the stored layer."""
    return PayloadReader(Bytes(LAYER.read_bytes()), "the golden layer")


def samples() -> Iterator[tuple[TensorSpec, Write]]:
    """Every tensor of the layer, and what writes it."""
    for name, dtype, tuned in _exact_tensors():
        spec = TensorSpec(name, dtype, SHAPE)
        yield spec, _exactly(name.partition(" ")[0], tuned(spec))
    for name, write in {**_factored(), **_coded()}.items():
        yield TensorSpec(name, "BF16", SHAPE), write


Tuned = Callable[[TensorSpec], Words]


def _exact_tensors() -> Iterator[tuple[str, str, Tuned]]:
    for dtype in ("BF16", "F16", "F32", "F8_E4M3", "I64", "BOOL", "F4"):
        yield f"whole {dtype}", dtype, _replaced
        if dtype != "F4":
            yield f"lossless {dtype}", dtype, _replaced
            yield f"bitmap {dtype}", dtype, _replaced
    flat, rows, columns = np.ones(SHAPE), np.ones(SHAPE), np.ones(SHAPE)
    rows *= np.exp2(np.rint(4 * uniform("rows", SHAPE[0])))[:, None]
    columns *= np.exp2(np.rint(4 * uniform("columns", SHAPE[1])))
    signs = np.sign(uniform("up", SHAPE[0]))[:, None] * np.sign(uniform("down", SHAPE[1]))
    drawn = uniform("drawn", *SHAPE)
    steps = {
        "same": 0 * flat, "exponents": drawn, "rows": drawn * rows, "columns": drawn * columns,
        "both": drawn * rows * columns, "signs": np.abs(drawn) * signs,
        "few": drawn * (uniform("few", *SHAPE) > 0.97),
        "some": drawn * (uniform("some", *SHAPE) > 0.1),
    }  # fmt: skip
    for kind, step in steps.items():
        for dtype, size in (("BF16", 2.0**-8), ("F32", 2.0**-12), ("F64", 2.0**-12)):
            if dtype != "F64" or kind in ("same", "few", "some", "exponents"):
                yield f"lossless {kind} {dtype}", dtype, _moved(size * step)
                yield f"bitmap {kind} {dtype}", dtype, _moved(size * step)


def _replaced(spec: TensorSpec) -> Words:
    return reference_of(TensorSpec(f"{spec.name} tuned", spec.dtype, spec.shape))


def _moved(step: Floats) -> Tuned:
    def tuned(spec: TensorSpec) -> Words:
        values = to_float64(reference_of(spec), spec.dtype) + step.reshape(-1)
        return from_float64(values, spec.dtype)[0]

    return tuned


def _exactly(codec: str, tuned: Words) -> Write:
    encoders: dict[str, Any] = {
        "lossless": lossless.LosslessEncoder,
        "bitmap": bitmap.BitmapEncoder,
        "whole": whole.WholeEncoder,
    }

    def write(spec: TensorSpec, writer: PayloadWriter) -> Record:
        encoder, reference = encoders[codec](spec, writer), reference_of(spec)
        for start, stop in chunk_spans(spec):
            encoder.chunk(reference[start:stop], tuned[start:stop])
        record: Record = encoder.close()
        return record

    return write


def _factored() -> dict[str, Write]:
    left, right = uniform("left", SHAPE[0], 6), uniform("right", 6, SHAPE[1])
    sparse = 0.01 * uniform("pruned", SHAPE[0] * SHAPE[1])
    factors = SingularFactors(left, np.exp2(-np.arange(6.0)), right)
    columns = [Columns(8, 1), Columns(4, 2), Columns(2, 3)]
    return {
        "zero": zero.encode,
        "topk": lambda spec, writer: topk.encode(spec, sparse, 500, writer),
        "svd": lambda spec, writer: svd.encode(spec, factors, columns, group=32, writer=writer),
        **{f"lowrank {dtype}": _adapter(dtype) for dtype in lowrank.DTYPES},
        "lowrank transposed": _adapter("F32", transposed=True),
        "lowrank rows": _adapter("BF16", axis=0),
        "lowrank columns": _adapter("BF16", axis=1),
    }


def _adapter(dtype: str, *, transposed: bool = False, axis: int | None = None) -> Write:
    def write(spec: TensorSpec, writer: PayloadWriter) -> Record:
        wide, high = (SHAPE[0], SHAPE[1]) if transposed else (SHAPE[1], SHAPE[0])
        a, b = (
            factor_of(
                from_float64(uniform(seed, *shape).reshape(-1), dtype)[0].tobytes(), dtype, shape
            )
            for seed, shape in (("a", (4, wide)), ("b", (high, 4)))
        )
        magnitudes = None if axis is None else 1.5 + uniform("d", SHAPE[axis]) / 2
        update = Update(a, b, 0.25, transposed=transposed, axis=axis, magnitudes=magnitudes)
        return lowrank.encode(spec, update, writer)

    return write


def _coded() -> dict[str, Write]:
    exponents = exponents_of(reference_of(TensorSpec("grid exponents", "BF16", SHAPE)), "BF16")
    octaves = np.exp2(exponents.astype(np.float64) - exponents.max()).reshape(SHAPE)
    tall = np.exp2(3 * uniform("tall", SHAPE[0]))[:, None]
    broad = np.exp2(3 * uniform("broad", SHAPE[1]))
    drawn = uniform("codes", *SHAPE)
    grids = {
        "grid plain": _grid(2 * drawn),
        "grid scaled": _grid(2 * drawn, scaled=True),
        "grid rows": _grid(drawn * tall),
        "grid columns": _grid(drawn * broad),
        "grid both": _grid(drawn * tall * broad),
        "grid large": _grid(400 * drawn),
        "grid exponents": _grid(8 * drawn * octaves, exponents=exponents),
    }
    low = {"svd-ec plain": _factors(scaled=False), "svd-ec scaled": _factors(scaled=True)}
    hybrid = CodedHybrid(_factors(scaled=True), _grid(2 * drawn, scaled=True))
    signs = {f"sign {part}": _signs(part) for part in ("rows", "columns")}
    every: dict[str, CodedTensor] = {**grids, **low, "svd-ec+grid": hybrid, **signs}
    return {name: coded.write for name, coded in every.items()}


def _logs(seed: str, size: int) -> Any:
    return np.rint(12 * uniform(seed, size)).astype(np.int32)


def _grid(codes: Floats, *, scaled: bool = False, exponents: Any = None) -> CodedGrid:
    rows, columns = (_logs(f"scale {size}", size) if scaled else None for size in SHAPE)
    levels = np.array([0.01, 0.011, 0.02, 0.031, 0.04])
    whole_codes = np.rint(codes).astype(np.int32)
    return CodedGrid(whole_codes, levels, rows, columns, _FINE, exponents)


def _factors(*, scaled: bool) -> CodedFactors:
    left, right = (
        np.rint(9 * uniform(f"factor {size}", size, 5)).astype(np.int32) for size in SHAPE
    )
    rows, columns = (_logs(f"scale {size}", size) if scaled else None for size in SHAPE)
    return CodedFactors(left, right, _logs("ranks", 5) - 80, rows, columns, _FINE)


def _signs(part: str) -> CodedSigns:
    columns = _logs("scale of columns", SHAPE[1]) if part == "columns" else None
    negative = uniform("negative", *SHAPE) < 0
    return CodedSigns(negative, _logs("scale of rows", SHAPE[0]) - 60, columns, _FINE)
