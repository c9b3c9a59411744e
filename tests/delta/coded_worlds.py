"""Coded tensors of every entropy-coded codec, and their decodes."""

from dataclasses import dataclass, replace
from math import prod
from typing import Any

import numpy as np
import pytest
from delta_worlds import Bytes, layer_of, new_writer, reader_of

from skillpm.delta.codecs import grid_contexts
from skillpm.delta.codecs.grid import CodedGrid, rows_of
from skillpm.delta.codecs.lossless_contexts import exponents_of
from skillpm.delta.codecs.shared.octaves import Octaves
from skillpm.delta.codecs.shared.parts import PART
from skillpm.delta.codecs.shared.protocol import CodedTensor
from skillpm.delta.codecs.sign import CodedSigns
from skillpm.delta.codecs.svd_ec import CodedFactors
from skillpm.delta.codecs.svd_ec_grid import CodedHybrid
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.decoding.open_pack import OpenPack
from skillpm.delta.tensors.words import chunk_spans
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.manifest import FootprintEntry
from skillpm.spec.names import SkillName

FAMILIES = ("svd-ec", "grid", "svd-ec+grid", "sign")
GRIDS = ("grid", "svd-ec+grid")
FINE = 3


@dataclass(frozen=True)
class Case:
    """A coded tensor, the delta that its encoder expects, and what was written.

    `reference` are the words [n] that the decoder gets, if any.
    """

    spec: TensorSpec
    coded: Any
    expected: np.ndarray
    record: Record
    data: bytes
    reference: np.ndarray | None = None

    def decode(self, data: bytes | None = None, **settings: Any) -> np.ndarray:
        """Decode the whole delta in chunks, optionally from other data or under other settings."""
        reader = part_of(self.spec, self.data if data is None else data)
        changed = {**self.record.settings, **settings}
        decoder = CODECS[self.record.codec].open(self.spec, reader, changed)
        spans = chunk_spans(self.spec)
        parts = [decoder.delta_of(chunk, self._words(span)) for chunk, span in enumerate(spans)]
        return np.concatenate([part for part in parts if part is not None])

    def _words(self, span: tuple[int, int]) -> np.ndarray | None:
        return None if self.reference is None else self.reference[slice(*span)]


def part_of(spec: TensorSpec, data: bytes, name: str = PART) -> PayloadReader:
    """Return a layer that holds one tensor's part."""
    writer = new_writer()
    writer.put_plain(spec.name, name, data)
    writer.describe(spec.name, Record("any", {}))
    return reader_of(writer)


def case(family: str, shape: tuple[int, ...], *, seed: int = 0, **options: Any) -> Case:
    """Make a random tensor of a codec family."""
    spec = TensorSpec("t", "F32", shape)
    matrix = rows_of(spec)
    random = np.random.default_rng(seed)
    coded: CodedTensor
    if family == "svd-ec":
        coded = _factors(random, matrix, **options)
    elif family == "grid":
        coded = _grid(random, matrix, **options)
    elif family == "sign":
        coded = _signs(random, matrix, **options)
    else:
        coded = CodedHybrid(_factors(random, matrix, rank=2), _grid(random, matrix, **options))
    return written(family, spec, coded)


def written(family: str, spec: TensorSpec, coded: CodedTensor, expected: Any = None) -> Case:
    """Write a coded tensor to a layer; `expected` is the delta that its encoder measured."""
    writer = new_writer()
    record = coded.write(spec, writer)
    assert record.codec == family
    data = reader_of(writer).plain(spec.name, PART)
    measured = coded.decoded_delta() if expected is None else expected
    return Case(spec, coded, np.ascontiguousarray(measured).reshape(-1), record, data)


def referenced(family: str, shape: tuple[int, ...], *, seed: int = 0) -> Case:
    """Make a random tensor of a grid family whose contexts are exponents of its reference."""
    spec = TensorSpec("t", "F32", shape)
    random = np.random.default_rng(seed)
    reference = random.normal(size=spec.elements) * 2.0 ** random.integers(-8, 8, spec.elements)
    words = reference.astype("<f4").view("<u4")
    plain = case(family, shape, seed=seed, spread=3.0).coded
    exponents = exponents_of(words, spec.dtype)
    anchor, cells = int(random.integers(0, 256)), 1 << int(random.integers(0, 7))
    octaves = Octaves(anchor, int(random.integers(0, 6)), cells)
    with pytest.MonkeyPatch.context() as patch:
        chosen = grid_contexts.choose_contexts
        patch.setattr(
            grid_contexts,
            "choose_contexts",
            lambda codes, _: replace(chosen(codes, None), octaves=octaves),
        )
        if family == "grid":
            coded = replace(plain, exponents=exponents)
        else:
            coded = replace(plain, rest=replace(plain.rest, exponents=exponents))
        return replace(written(family, spec, coded), reference=words)


def _logs(random: np.random.Generator, count: int, low: int = -20) -> np.ndarray:
    return random.integers(low, 20, count).astype(np.int32)


def _integers(random: np.random.Generator, shape: tuple[int, int], spread: float) -> np.ndarray:
    by_column = spread * random.exponential(size=shape[1])
    return np.rint(random.normal(size=shape) * by_column).astype(np.int32)


def _factors(
    random: np.random.Generator,
    matrix: tuple[int, int],
    *,
    rank: int = 3,
    scaled: bool = True,
    spread: float = 4.0,
) -> CodedFactors:
    height, width = matrix
    rank = min(rank, height, width)
    sides = [_logs(random, size) if scaled else None for size in matrix]
    return CodedFactors(
        _integers(random, (height, rank), spread),
        _integers(random, (width, rank), spread),
        _logs(random, rank, -60),
        sides[0],
        sides[1],
        FINE,
    )


def _grid(
    random: np.random.Generator,
    matrix: tuple[int, int],
    *,
    scaled: bool = True,
    spread: float = 1.0,
) -> CodedGrid:
    sides = [_logs(random, size) if scaled else None for size in matrix]
    codes = _integers(random, matrix, spread)
    return CodedGrid(codes, np.array([0.1, 0.11, 0.2, 0.31, 0.4]), sides[0], sides[1], FINE)


def _signs(
    random: np.random.Generator, matrix: tuple[int, int], *, scaled: bool = True
) -> CodedSigns:
    negative = random.random(prod(matrix)).reshape(matrix) < 0.5
    columns = _logs(random, matrix[1]) if scaled else None
    return CodedSigns(negative, _logs(random, matrix[0]), columns, FINE)


def opened(spec: TensorSpec, writer: PayloadWriter, codec: str) -> OpenPack:
    """Return a pack that changes one tensor, encoded with this codec."""
    data = layer_of(writer)
    entry = FootprintEntry(
        tensor=spec.name,
        change="changed",
        shape=spec.shape,
        dtype=spec.dtype,
        leaf=None,
        result=None,
        codec=codec,
        layer=Digest.of(data),
        source=None,
    )
    skill = SkillName.parse("acme/one")
    return OpenPack(skill, "acme/one 1.0.0", {spec.name: entry}, (), lambda _: Bytes(data))
