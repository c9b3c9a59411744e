import tracemalloc
from collections.abc import Iterator

import numpy as np
import pytest
from delta_worlds import Model, encode_pack, graftllm, new_writer, numbers, read_all, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs import svd, topk
from skillpm.delta.codecs.shared import products
from skillpm.delta.codecs.shared.quantise import (
    dequantise,
    pack_bits,
    packed_bytes,
    quantise,
    unpack_bits,
)
from skillpm.delta.codecs.svd import Columns, SingularFactors
from skillpm.delta.coding.payload import PayloadReader
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.schemes import COLUMN_GROUPS, Lossless
from skillpm.delta.encoding.torch_svd import decompose
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.words import word_dtype
from skillpm.errors import GraftError, IntegrityError
from skillpm.spec.dtypes import TensorSpec


@given(st.integers(1, 8), st.lists(st.integers(0, 255), max_size=80))
def test_packed_bits_round_trip(bits: int, values: list[int]) -> None:
    codes = np.array(values, dtype=np.uint8) & np.uint8((1 << bits) - 1)
    packed = pack_bits(codes, bits)
    assert len(packed) == packed_bytes(codes.size, bits)
    assert (unpack_bits(packed, codes.size, bits) == codes).all()


@given(st.integers(2, 8), st.integers(1, 40), st.integers(1, 70), st.integers(0, 2**32 - 1))
def test_quantised_values_are_within_one_step(
    bits: int, length: int, group: int, seed: int
) -> None:
    block = np.random.default_rng(seed).uniform(-1, 1, (3, length))
    quantised = quantise(block, bits, group)
    steps = np.repeat(quantised.scales.astype(np.float64), group, axis=1)[:, :length]
    assert (np.abs(dequantise(quantised, group) - block) <= 1.01 * steps).all()
    assert quantised.codes.max() < 1 << bits


def test_zero_is_always_on_the_grid() -> None:
    block = np.array([[0.0, 0.3, 0.9, 0.0, 0.5, 0.6], [0.0] * 6])
    values = dequantise(quantise(block, 2, 3), 3)
    assert (values[block == 0] == 0).all()


def _topk(delta: np.ndarray, keep: int) -> np.ndarray:
    spec = TensorSpec("t", "F32", (delta.size,))
    writer = new_writer()
    record = topk.encode(spec, delta, keep, writer)
    decoder = topk.TopKDecoder(spec, reader_of(writer), record.settings)
    chunks = -(-delta.size // CHUNK)
    return np.concatenate([decoder.delta_of(chunk) for chunk in range(chunks)])


@given(st.lists(st.floats(-1e30, 1e30), min_size=1, max_size=60), st.data())
def test_topk_keeps_the_largest_deltas(values: list[float], data: st.DataObject) -> None:
    delta = np.array(values)
    keep = data.draw(st.integers(0, delta.size))
    decoded = _topk(delta, keep)
    order = np.argsort(-np.abs(delta), kind="stable")
    assert (decoded[order[keep:]] == 0).all()
    kept = order[:keep]
    slack = np.abs(delta).max() * 2.0**-37
    assert (np.abs(decoded[kept] - delta[kept]) <= np.abs(delta[kept]) * 2.0**-10 + slack).all()


@given(st.lists(st.integers(-3, 3), min_size=1, max_size=60), st.data())
def test_topk_keeps_the_first_of_equal_deltas(values: list[int], data: st.DataObject) -> None:
    delta = np.array(values, dtype=np.float64)
    keep = data.draw(st.integers(0, delta.size + 1))
    kept = np.zeros(delta.size, dtype=bool)
    kept[np.argsort(-np.abs(delta), kind="stable")[:keep]] = True
    assert (_topk(delta, keep) == np.where(kept, delta, 0.0)).all()


def test_topk_of_a_delta_that_is_read_by_chunks_takes_the_memory_of_a_few_chunks() -> None:
    chunks = 24
    spec = TensorSpec("t", "BF16", (chunks, CHUNK))
    reads: list[int] = []

    def read() -> Iterator[np.ndarray]:
        for number in range(chunks):
            reads.append(number)
            yield np.arange(CHUNK, dtype=np.float64) * (number + 1)

    tracemalloc.start()
    try:
        record = topk.encode_chunks(spec, read, 1000, new_writer())
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert sum(record.settings["counts"]) == 1000
    assert len(reads) <= 5 * chunks
    assert peak < 8 * spec.elements / 2


def test_topk_positions_span_chunks() -> None:
    delta = np.zeros(2 * CHUNK + 1)
    delta[[0, CHUNK - 1, 2 * CHUNK]] = [1.0, -2.0, 4.0]
    assert (_topk(delta, 3) == delta).all()


def _unpacked(
    reader: PayloadReader, side: str, number: int, part: Columns, length: int, group: int
) -> np.ndarray:
    """Decode one column group value by value, directly from the format's definition."""
    groups = -(-length // group)
    plane = (part.count * length + 7) // 8
    bits = reader.part("t", f"{side}{number}q", part.bits * plane)
    scales = np.frombuffer(reader.part("t", f"{side}{number}s", 2 * part.count * groups), "<f2")
    zeros = reader.part("t", f"{side}{number}z", part.count * groups)
    block = np.empty((part.count, length))
    for column in range(part.count):
        for row in range(length):
            at = column * length + row
            code = sum(
                (bits[bit * plane + at // 8] >> (7 - at % 8) & 1) << bit for bit in range(part.bits)
            )
            where = column * groups + row // group
            block[column, row] = (code - zeros[where]) * float(scales[where])
    return block


@pytest.mark.parametrize(("shape", "group"), [((12, 7), 4), ((5, 30), 128), ((9, 2, 3), 2)])
def test_svd_decodes_like_a_direct_reading_of_its_format(
    shape: tuple[int, ...], group: int
) -> None:
    spec = TensorSpec("t", "F32", shape)
    rows, width = svd.matrix_shape(spec)
    delta = np.random.default_rng(4).normal(size=(rows, width)) * 1e-3
    columns = [Columns(8, 1), Columns(3, 2), Columns(2, 2)]
    whole = decompose(delta)
    factors = SingularFactors(whole.left[:, :5], whole.sigma[:5], whole.right[:5])
    writer = new_writer()
    record = svd.encode(spec, factors, columns, group=group, writer=writer)
    reader = reader_of(writer)
    left, right = (
        np.concatenate([_unpacked(reader, s, n, c, size, group) for n, c in enumerate(columns)])
        for s, size in (("u", rows), ("v", width))
    )
    sigma = np.frombuffer(reader.part("t", "sigma", 20), "<f4").astype(np.float64)
    a = np.rint((left * sigma[:, None]) * 2.0 ** -record.settings["left"])
    b = np.rint(right * 2.0 ** -record.settings["right"])
    assert products.product_bound(a, b) <= products.EXACT
    scale = 2.0 ** (record.settings["left"] + record.settings["right"])
    exact = np.array(
        [[sum(int(x) * int(y) for x, y in zip(p, q, strict=True)) for q in b.T] for p in a.T]
    )
    decoded = svd.SvdDecoder(spec, reader, record.settings).delta_of(0)
    assert (decoded == exact.reshape(-1).astype(np.float64) * scale).all()
    assert np.linalg.norm(decoded - delta.reshape(-1)) < np.linalg.norm(delta)


def test_factors_whose_product_might_round_are_refused() -> None:
    spec = TensorSpec("t", "F32", (8, 8))
    factors = decompose(np.eye(8))
    writer = new_writer()
    record = svd.encode(spec, factors, [Columns(8, 8)], group=8, writer=writer)
    reader = reader_of(writer)
    finer = {**record.settings, "left": record.settings["left"] - 12}
    with pytest.raises(IntegrityError, match="do not multiply exactly"):
        svd.SvdDecoder(spec, reader, finer)
    with pytest.raises(IntegrityError, match="do not multiply exactly"):
        svd.SvdDecoder(spec, reader, {**record.settings, "left": -1000, "right": -1000})


@pytest.mark.parametrize("wrong", [
    {"columns": []}, {"columns": [[9, 1]]}, {"columns": [[8, 0]]}, {"columns": [[8, 9]]},
    {"columns": [[8, True]]}, {"columns": "8"}, {"group": 0}, {"group": 1.0}, {"left": 1001},
])  # fmt: skip
def test_settings_that_do_not_fit_are_refused(wrong: dict[str, object]) -> None:
    spec = TensorSpec("t", "F32", (8, 8))
    writer = new_writer()
    record = svd.encode(spec, decompose(np.eye(8)), [Columns(8, 8)], group=8, writer=writer)
    with pytest.raises(IntegrityError):
        svd.SvdDecoder(spec, reader_of(writer), {**record.settings, **wrong})


def _pair(dtype: str, name: str, shape: tuple[int, ...], change: float) -> tuple[Model, Model]:
    random = np.random.default_rng(5)
    values = random.normal(size=int(np.prod(shape)))
    moved = values + change * random.normal(size=values.size)
    return Model({name: numbers(dtype, shape, values)}), Model({name: numbers(dtype, shape, moved)})


@pytest.mark.parametrize("dtype", ["F64", "F32", "F16", "BF16", "F8_E5M2"])
@pytest.mark.parametrize("columns", list(COLUMN_GROUPS))
@pytest.mark.parametrize(
    "name",
    ["embed_tokens.weight", "layers.0.self_attn.q_proj.weight", "layers.0.mlp.up_proj.weight"],
)
def test_graftllm_approximates_the_tuned_model(dtype: str, columns: str, name: str) -> None:
    base, tuned = _pair(dtype, name, (24, 32), 0.25)
    pack = encode_pack(
        base, tuned, scheme=graftllm(columns=columns, rank=1.0, mlp_rank=1.0, alpha=0.5)
    )
    grafted = Composition(base, [WeightedPack(pack)])
    size = np.dtype(word_dtype(base.specs[name].itemsize))
    before, after, target = (
        to_float64(np.frombuffer(read_all(model, name), size), dtype)
        for model in (base, grafted, tuned)
    )
    assert np.linalg.norm(after - target) < 0.8 * np.linalg.norm(before - target)


def test_graftllm_stores_norms_biases_and_integers_exactly() -> None:
    base = Model({
        "layers.0.norm.weight": numbers("BF16", (4, 4), 1.0),
        "layers.0.mlp.up_proj.bias": numbers("F32", (4,), 0.5),
        "layers.0.mlp.up_proj.weight": ("I8", (4, 4), bytes(16)),
        "scalar": numbers("F32", (), 2.0),
    })  # fmt: skip
    exact = {name: numbers(d, s, 1.5) for name, (d, s, _) in base.tensors.items() if d != "I8"}
    exact["layers.0.mlp.up_proj.weight"] = ("I8", (4, 4), bytes(range(16)))
    clean = Model(exact)
    grafted = Composition(base, [WeightedPack(encode_pack(base, clean, scheme=graftllm()))])
    assert {n: read_all(grafted, n) for n in grafted.specs} == {
        n: t[2] for n, t in clean.tensors.items()
    }


@pytest.mark.parametrize(
    "name", ["embed.weight", "mlp.weight", "attn.q_proj.weight", "norm.weight", "mlp.bias"]
)
@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nonfinite_values_are_refused_by_lossy_and_kept_by_lossless(
    name: str, value: float
) -> None:
    base = Model({name: numbers("F32", (4, 4), 1.0)})
    words = np.ones(16, dtype="<f4")
    words[3] = value
    tuned = Model({name: ("F32", (4, 4), words.tobytes())})
    if name != "mlp.bias":
        with pytest.raises(GraftError, match=f"`{name}`"):
            encode_pack(base, tuned, scheme=graftllm())
    grafted = Composition(base, [WeightedPack(encode_pack(base, tuned, scheme=Lossless()))])
    assert read_all(grafted, name) == words.tobytes()


@pytest.mark.parametrize("name", ["mlp.weight", "attn.q_proj.weight"])
def test_delta_too_large_for_the_scheme_is_a_graft_error(name: str) -> None:
    base = Model({name: numbers("F32", (4, 4), -3e38)})
    tuned = Model({name: numbers("F32", (4, 4), 3e38)})
    with pytest.raises(GraftError, match=f"`{name}`"):
        read_all(
            Composition(base, [WeightedPack(encode_pack(base, tuned, scheme=graftllm()))]), name
        )


def test_graft_that_overflows_is_an_error() -> None:
    name = "embed.weight"
    small = Model({name: numbers("F16", (4, 4), 1000.0)})
    tuned = Model({name: numbers("F16", (4, 4), 50000.0)})
    large = Model({name: numbers("F16", (4, 4), 60000.0)})
    pack = encode_pack(small, tuned, scheme=graftllm(alpha=1.0))
    assert read_all(Composition(small, [WeightedPack(pack)]), name) == read_all(tuned, name)
    with pytest.raises(GraftError, match=r"`embed\.weight` overflows F16"):
        read_all(Composition(large, [WeightedPack(pack)]), name)
