import numpy as np
import pytest
from delta_worlds import FLOATS, INTS, SUB_BYTE, Model, encode_pack, new_writer, read_all, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs import lossless
from skillpm.delta.decoding.compose import Composition, WeightedPack
from skillpm.delta.encoding.schemes import Scheme
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import from_float64
from skillpm.delta.tensors.words import word_count, word_dtype
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import BITS, TensorSpec

dtypes = st.sampled_from(FLOATS + INTS)


def _graft(base: Model, tuned: Model, scheme: Scheme | None = None) -> dict[str, bytes]:
    grafted = Composition(base, [WeightedPack(encode_pack(base, tuned, scheme=scheme))])
    assert grafted.specs == tuned.specs
    return {name: read_all(grafted, name) for name in grafted.specs}


def _whole(model: Model) -> dict[str, bytes]:
    return {name: data for name, (_, _, data) in model.tensors.items()}


@given(dtypes, st.integers(0, 40), st.data())
def test_any_bit_patterns_of_any_dtype_round_trip(
    dtype: str, size: int, data: st.DataObject
) -> None:
    nbytes = size * BITS[dtype] // 8
    one, other = (data.draw(st.binary(min_size=nbytes, max_size=nbytes)) for _ in range(2))
    same = ("F32", (1,), bytes(4))
    base = Model({"t": (dtype, (size,), one), "s": same})
    tuned = Model({"t": (dtype, (size,), other), "s": same})
    assert _graft(base, tuned) == _whole(tuned)


@pytest.mark.parametrize("dtype", SUB_BYTE)
def test_sub_byte_tensors_are_stored_whole(dtype: str) -> None:
    small = bytes(range(4 * BITS[dtype] // 4))
    base = Model({"t": (dtype, (2, 4), small), "g": (dtype, (2, 4), small)})
    tuned = Model({"t": (dtype, (2, 4), small[::-1]), "g": (dtype, (4, 4), small + small)})
    pack = encode_pack(base, tuned)
    assert {entry.codec for entry in pack.entries.values()} == {"whole"}
    assert _graft(base, tuned) == _whole(tuned)


def _encoded(
    spec: TensorSpec, reference: np.ndarray, tuned: np.ndarray, *, modelled: bool = True
) -> tuple[str, np.ndarray]:
    """Return the modes that the encoder chose, and the decoder's result."""
    writer = new_writer()
    encoder = lossless.LosslessEncoder(spec, writer, modelled=modelled)
    pieces = [slice(n, n + CHUNK) for n in range(0, reference.size, CHUNK)]
    for piece in pieces:
        encoder.chunk(reference[piece], tuned[piece])
    record = encoder.close()
    decoder = lossless.LosslessDecoder(spec, reader_of(writer), record.settings)
    back = [decoder.decode_chunk(n, reference[piece]) for n, piece in enumerate(pieces)]
    return record.settings["modes"], np.concatenate(back)


@pytest.mark.parametrize("dtype", FLOATS)
@pytest.mark.parametrize("mode", ["s", "d", "x", "y"])
def test_every_plain_mode_of_a_chunk_round_trips(dtype: str, mode: str) -> None:
    size = {"x": 5000, "y": 250_000}.get(mode, 1000)
    spec = TensorSpec("t", dtype, (size,))
    random = np.random.default_rng(1)
    reference = random.integers(0, 256, size * spec.itemsize, dtype=np.uint8)
    reference = reference.view(word_dtype(spec.itemsize))
    tuned = reference.copy()
    tuned[:: 50 if mode in "sy" else 1] ^= reference.dtype.type(3)
    modes, back = _encoded(spec, reference, tuned, modelled=False)
    unsorted = {"x": "d", "y": "s"}
    assert modes == (unsorted.get(mode, mode) if dtype.startswith("F8") else mode)
    assert (back == tuned).all()


def _noisy(dtype: str, shape: tuple[int, ...], share: float) -> tuple[np.ndarray, np.ndarray]:
    """Make normal weights, and the same moved by about `share`; every third row is unchanged."""
    random = np.random.default_rng(5)
    weights = random.normal(size=shape) * 0.02
    moved = random.normal(size=shape) * 0.02 * share
    moved[::3] = 0
    pair = (from_float64(each.reshape(-1), dtype)[0] for each in (weights, weights + moved))
    before, after = pair
    return before, after


@pytest.mark.parametrize("share", [1e-3, 0.1, 2])
@pytest.mark.parametrize("dtype", ["F32", "F16", "BF16", "F8_E4M3", "F8_E5M2"])
def test_fine_tune_is_modelled_and_round_trips(dtype: str, share: float) -> None:
    spec = TensorSpec("t", dtype, (500, 100))
    reference, tuned = _noisy(dtype, spec.shape, share)
    modes, back = _encoded(spec, reference, tuned)
    assert modes == "r"
    assert (back == tuned).all()


@pytest.mark.parametrize("dtype", ["F32", "BF16", "I32"])
def test_modelled_words_of_any_bit_pattern_round_trip(dtype: str) -> None:
    spec = TensorSpec("t", dtype, (40, 50))
    random = np.random.default_rng(6)
    kind = word_dtype(spec.itemsize)
    reference = np.frombuffer(random.bytes(2000 * spec.itemsize), kind)
    tuned = reference ^ random.integers(0, 4, 2000).astype(kind)
    tuned[:100] = np.frombuffer(random.bytes(100 * spec.itemsize), kind)
    modes, back = _encoded(spec, reference, tuned)
    assert modes == "r"
    assert (back == tuned).all()


def test_rows_that_cross_chunks_round_trip() -> None:
    spec = TensorSpec("t", "BF16", (1500, 1000))
    reference, tuned = _noisy("BF16", spec.shape, 0.03)
    modes, back = _encoded(spec, reference, tuned)
    assert modes == "rr"
    assert (back == tuned).all()


def test_unchanged_rows_cost_almost_nothing_if_others_are_modelled() -> None:
    sizes = []
    for dtype, still in (("BF16", False), ("BF16", True)):
        spec = TensorSpec("t", dtype, (600, 100))
        reference, tuned = _noisy(dtype, spec.shape, 0.03)
        kept = np.arange(tuned.size) // 100 % 3 != 0
        if not still:
            spec = TensorSpec("t", dtype, (400, 100))
            reference, tuned = reference[kept], tuned[kept]
        writer = new_writer()
        encoder = lossless.LosslessEncoder(spec, writer)
        encoder.chunk(reference, tuned)
        encoder.close()
        sizes.append(reader_of(writer).stored_bytes("t"))
    assert sizes[1] < sizes[0] * 1.02


@pytest.mark.parametrize(("dtype", "modes"), [("F64", "r"), ("BF16", "q"), ("F8_E4M3", "x")])
def test_modes_that_a_dtype_cannot_have_are_refused(dtype: str, modes: str) -> None:
    spec = TensorSpec("t", dtype, (4,))
    with pytest.raises(IntegrityError, match="`t`"):
        lossless.LosslessDecoder(spec, reader_of(new_writer()), {"modes": modes, "counts": []})


def test_tensor_of_several_chunks_has_a_mode_for_each() -> None:
    spec = TensorSpec("t", "BF16", (3 * CHUNK + 5,))
    reference = np.arange(word_count(spec), dtype=np.uint32).astype("<u2")
    tuned = reference.copy()
    tuned[CHUNK : CHUNK + 40] += np.uint16(1)
    tuned[2 * CHUNK : 3 * CHUNK] ^= np.uint16(0x8001)
    tuned[-3:] = 0x7FC1
    modes, back = _encoded(spec, reference, tuned)
    assert modes == "zsxr"
    assert (back == tuned).all()


def test_first_and_last_word_of_a_chunk_can_change_alone() -> None:
    spec = TensorSpec("t", "U8", (CHUNK,))
    reference = np.zeros(CHUNK, dtype=np.uint8)
    tuned = reference.copy()
    tuned[[0, CHUNK - 1]] = 7
    modes, back = _encoded(spec, reference, tuned)
    assert modes == "s"
    assert (back == tuned).all()


def test_tensors_of_every_kind_of_change_round_trip() -> None:
    random = np.random.default_rng(2)

    def bytes_of(count: int) -> bytes:
        return random.bytes(count)

    base = Model({
        "kept": ("F32", (3,), bytes_of(12)),
        "grown": ("BF16", (2, 4), bytes_of(16)),
        "shrunk": ("I64", (4,), bytes_of(32)),
        "folded": ("F16", (2, 4), bytes_of(16)),
        "emptied": ("F32", (2, 2), bytes_of(16)),
        "filled": ("F32", (0, 2), b""),
        "gone": ("F32", (), bytes_of(4)),
    })  # fmt: skip
    tuned = Model({
        "kept": base.tensors["kept"],
        "grown": ("BF16", (5, 6), bytes_of(60)),
        "shrunk": ("I64", (2,), bytes_of(16)),
        "folded": ("F16", (8,), bytes_of(16)),
        "emptied": ("F32", (2, 0), b""),
        "filled": ("F32", (3, 2), bytes_of(24)),
        "new": ("F32", (), bytes_of(4)),
        "new.empty": ("F8_E4M3", (0,), b""),
    })  # fmt: skip
    changes = {name: entry.change for name, entry in encode_pack(base, tuned).entries.items()}
    assert changes["gone"] == "removed"
    assert changes["new"] == changes["new.empty"] == "added"
    assert {changes[n] for n in ("grown", "shrunk", "folded", "emptied", "filled")} == {"resized"}
    assert _graft(base, tuned) == _whole(tuned)


def test_resized_tensor_costs_only_its_new_elements() -> None:
    old = np.random.default_rng(3).bytes(4 * 256 * 64)
    base = Model({"e": ("F32", (256, 64), old), "k": ("U8", (1,), b"a")})
    tuned = Model({"e": ("F32", (257, 64), old + bytes(255) + b"x"), "k": ("U8", (1,), b"a")})
    pack = encode_pack(base, tuned)
    entry = pack.entries["e"]
    assert entry.layer is not None
    assert pack.reader(entry.layer).stored_bytes("e") < 64
