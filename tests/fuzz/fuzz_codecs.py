"""Payload layers and their codecs, entropy-coded streams, router signatures."""

from collections.abc import Iterator
from functools import partial
from typing import Any

import numpy as np
from coded_worlds import FAMILIES, case, part_of
from delta_worlds import Bytes, Model, encode_pack, graftllm, layer_of, new_writer, numbers
from fuzz_seeds import ROOT
from fuzz_target import Target

from skillpm.delta.codecs import lowrank, topk
from skillpm.delta.codecs.shared.exact_product import Factor
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.integers import (
    decode_folded,
    decode_integers,
    encode_folded,
    encode_integers,
)
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.tensors.ports import CHUNK
from skillpm.routing.signature import Signature, parse_signature
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.safetensors import LENGTH_BYTES, header_length, parse_header

SPEC = TensorSpec("t", "F32", (6, 7))


def _decode(spec: TensorSpec, reader: PayloadReader, settings: Any, codec: str) -> object:
    decoder = CODECS[codec].open(spec, reader, settings)
    reference = np.arange(spec.elements, dtype="<u4" if spec.itemsize == 4 else "<u2")
    found = []
    for number, start in enumerate(range(0, spec.elements, CHUNK)):
        words = reference[start : start + CHUNK]
        delta = decoder.delta_of(number, words)
        found += [delta, decoder.decode_chunk(number, words, delta)]
        if CODECS[codec].keeps_factors:
            found.append(decoder.decode_chunk(number, words))
    return found


def _layer(spec: TensorSpec, data: bytes) -> object:
    """Parse an unchecked layer: its header, its records, and each tensor's decoding."""
    reader = PayloadReader(Bytes(data), "the layer")
    return [
        _decode(spec, reader, record.settings, record.codec)
        for name, record in reader.records.items()
        if name == spec.name and record.codec in CODECS
    ]


def _coded(family: str) -> Target:
    """A codec's single part: only the bytes are altered, the record is valid."""
    one = case(family, (6, 7), seed=3, scaled=True)
    read = lambda data: _decode(one.spec, part_of(one.spec, data), one.record.settings, family)  # noqa: E731
    return Target(f"codec {family}: part", read, (one.data,))


def _layer_of_case(family: str) -> Target:
    one = case(family, (6, 7), seed=3, scaled=True)
    writer = new_writer()
    writer.put_plain("t", "d", one.data)
    writer.describe("t", one.record)
    return Target(f"codec {family}: layer", partial(_layer, one.spec), (layer_of(writer),))


def _layers() -> Iterator[Target]:
    """Layers of codecs whose parts are planes and frames."""
    values = np.linspace(-1, 1, 42)
    base = Model({"t": numbers("F32", (6, 7), values)})
    tuned = Model({"t": numbers("F32", (6, 7), values + 0.01 * np.sin(np.arange(42)))})
    for name, scheme in (("lossless", None), ("svd", graftllm())):
        pack = encode_pack(base, tuned, scheme=scheme)
        layer = pack.entries["t"].layer
        assert layer is not None
        data = pack.open_layer(layer)
        seed = data.read(0, data.size)
        yield Target(f"codec {name}: layer", partial(_layer, SPEC), (seed,))
    u = numbers("F32", (1,), 0.5)
    added = encode_pack(Model({"u": u}), Model({"u": u, **tuned.tensors}))
    layer = added.entries["t"].layer
    assert layer is not None
    data = added.open_layer(layer)
    yield Target("codec whole: layer", partial(_layer, SPEC), (data.read(0, data.size),))
    yield Target("codec topk: layer", partial(_layer, SPEC), (topk_layer(),))
    yield Target(
        "codec lowrank: layer", partial(_layer, SPEC), (lowrank_layer(None), lowrank_layer(0))
    )


def topk_layer() -> bytes:
    writer = new_writer()
    topk.encode(SPEC, np.sin(np.arange(42.0)), 9, writer)
    return layer_of(writer)


def lowrank_layer(axis: int | None) -> bytes:
    writer = new_writer()
    words = np.arange(14, dtype="<u4").reshape(2, 7) + np.uint32(0x3F800000)
    more = np.arange(12, dtype="<u4").reshape(6, 2) + np.uint32(0x3F800000)
    scales = None if axis is None else np.linspace(0.9, 1.1, 6)
    update = lowrank.Update(Factor(words, "F32"), Factor(more, "F32"), 0.5, False, axis, scales)
    lowrank.encode(SPEC, update, writer)
    return layer_of(writer)


def _entropy() -> Iterator[Target]:
    random = np.random.default_rng(1)
    contexts = (np.arange(300) % 5).astype(np.uint8)
    values = random.integers(-40, 40, 300).astype(np.int32)
    folded = random.integers(0, 2**20, 300).astype(np.uint32)
    yield Target(
        "entropy: integers", lambda data: decode_integers(data, contexts),
        (encode_integers(values, contexts), encode_integers(np.zeros_like(values), contexts)),
    )  # fmt: skip
    yield Target(
        "entropy: folded", lambda data: decode_folded(data, contexts),
        (encode_folded(folded, contexts), encode_folded(folded & np.uint32(3), contexts)),
    )  # fmt: skip


def _signature_seed() -> bytes:
    random = np.random.default_rng(2)
    points = random.standard_normal((40, 12))
    points /= np.linalg.norm(points, axis=1, keepdims=True)
    return Signature(Digest(ROOT), points, points, "file").dumps()


def _header(data: bytes) -> object:
    length = header_length(data[:LENGTH_BYTES], len(data), "the file")
    return parse_header(data[LENGTH_BYTES : LENGTH_BYTES + length], len(data), "the file")


def codec_targets() -> Iterator[Target]:
    """Targets of every codec, for its bytes and for its records."""
    yield Target("safetensors header", _header, (topk_layer(), lowrank_layer(0)))
    signature = partial(parse_signature, base=Digest(ROOT), what="the signature")
    yield Target("router signature", signature, (_signature_seed(),))
    yield from _entropy()
    yield from map(_coded, FAMILIES)
    yield from map(_layer_of_case, FAMILIES)
    yield from _layers()
