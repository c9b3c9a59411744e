"""A new codec needs a decoder and an entry in the table of codecs, and nothing else."""

from typing import Any

import numpy as np
import pytest
from coded_worlds import opened
from delta_worlds import Model, new_writer, numbers, read_all

from skillpm.delta.codecs.shared.delta_decoder import DeltaDecoder
from skillpm.delta.codecs.shared.protocol import Codec
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, Record
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.tensors import words as bits
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import Floats
from skillpm.spec.dtypes import TensorSpec

SPEC = TensorSpec("t", "F32", (12, 9))


class ConstantDecoder(DeltaDecoder):
    """A codec that only this test uses: the same delta for every entry."""

    def __init__(self, spec: TensorSpec, _reader: PayloadReader, settings: Any) -> None:
        super().__init__(spec)
        self._value = settings["value"]

    def _chunk_delta(self, chunk: int) -> Floats:
        start, stop = self._spans[chunk]
        return np.full(stop - start, self._value)


def test_new_codec_requires_only_a_decoder_and_a_table_entry(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bits, "CHUNK", CHUNK)
    entry = Codec("constant", ConstantDecoder)
    monkeypatch.setattr("skillpm.delta.decoding.open_pack.CODECS", {**CODECS, entry.name: entry})
    writer = new_writer()
    writer.describe(SPEC.name, Record(entry.name, {"value": 0.5}))
    base = Model({SPEC.name: numbers("F32", SPEC.shape, 1.0)})
    made = Composition(base, [WeightedPack(opened(SPEC, writer, entry.name))])
    assert read_all(made, SPEC.name) == np.full(SPEC.elements, 1.5, dtype="<f4").tobytes()
    tripled = Composition(base, [WeightedPack(opened(SPEC, writer, entry.name), weight=3.0)])
    assert read_all(tripled, SPEC.name) == np.full(SPEC.elements, 2.5, dtype="<f4").tobytes()
