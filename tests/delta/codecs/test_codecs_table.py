"""The laws of the codec protocol, on every codec of the table."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from coded_worlds import FAMILIES, case
from delta_worlds import new_writer, reader_of

from skillpm.delta.codecs import bitmap, lossless, lowrank, svd, topk, whole, zero
from skillpm.delta.codecs.lowrank import Update, factor_of
from skillpm.delta.codecs.shared.forms import (
    AdapterFactors,
    FloatFactors,
    IntegerFactors,
    LiveForm,
    NoChange,
    SparseEntries,
)
from skillpm.delta.codecs.shared.protocol import TensorDecoder
from skillpm.delta.codecs.svd import Columns, SingularFactors
from skillpm.delta.codecs.table import CODECS
from skillpm.delta.coding.payload import PayloadReader, PayloadWriter, Record
from skillpm.delta.tensors import words as bits
from skillpm.delta.tensors.ports import CHUNK
from skillpm.delta.tensors.rounding import to_float64
from skillpm.delta.tensors.words import Words, chunk_spans
from skillpm.errors import GraftError
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.exactness import EXACT

SPEC = TensorSpec("t", "F32", (12, 9))
FORMS = {
    "lossless": None, "bitmap": None, "whole": None, "grid": None, "svd-ec+grid": None,
    "sign": None, "zero": NoChange, "lowrank": AdapterFactors, "topk": SparseEntries,
    "svd": FloatFactors, "svd-ec": IntegerFactors,
}  # fmt: skip


@dataclass(frozen=True)
class Sample:
    """One encoded tensor [12, 9]: its parts, its reference and its tuned values."""

    record: Record
    reader: PayloadReader
    reference: np.ndarray
    tuned: np.ndarray

    def open(self) -> TensorDecoder:
        return CODECS[self.record.codec].open(SPEC, self.reader, self.record.settings)

    def chunks(self) -> Iterator[tuple[int, Words, Words]]:
        """Yield the number of each chunk, with the reference's and the tuned words in it."""
        for number, (start, stop) in enumerate(chunk_spans(SPEC)):
            yield number, self.reference[start:stop].view("<u4"), self.tuned[start:stop].view("<u4")


def _models() -> tuple[np.ndarray, np.ndarray]:
    random = np.random.default_rng(11)
    reference = random.normal(size=SPEC.elements).astype("<f4")
    tuned = (reference + 0.01 * random.normal(size=SPEC.elements)).astype("<f4")
    return reference, tuned


def _exactly(encoder: Any, writer: PayloadWriter) -> Record:
    reference, tuned = (values.view("<u4") for values in _models())
    for start, stop in chunk_spans(SPEC):
        encoder.chunk(reference[start:stop], tuned[start:stop])
    record: Record = encoder.close()
    return record


def _adapter(writer: PayloadWriter, *, axis: int | None = None) -> Record:
    random = np.random.default_rng(12)
    a, b = (random.normal(size=shape).astype("<f4") for shape in ((2, 9), (12, 2)))
    sides = (factor_of(each.tobytes(), "F32", each.shape) for each in (a, b))
    magnitudes = None if axis is None else random.uniform(0.5, 2.0, SPEC.shape[axis])
    left, right = sides
    update = Update(left, right, 0.25, transposed=False, axis=axis, magnitudes=magnitudes)
    return lowrank.encode(SPEC, update, writer)


def _singular(writer: PayloadWriter) -> Record:
    random = np.random.default_rng(13)
    left, sigma, right = np.linalg.svd(random.normal(size=SPEC.shape), full_matrices=False)
    factors = SingularFactors(left[:, :4], sigma[:4], right[:4])
    return svd.encode(SPEC, factors, [Columns(8, 1), Columns(3, 3)], group=8, writer=writer)


def _pruned(writer: PayloadWriter) -> Record:
    delta = np.random.default_rng(14).normal(size=SPEC.elements)
    return topk.encode(SPEC, delta, 20, writer)


def _coded(family: str) -> Callable[[PayloadWriter], Record]:
    return lambda writer: case(family, SPEC.shape, seed=15).coded.write(SPEC, writer)


ENCODERS: dict[str, Callable[[PayloadWriter], Record]] = {
    "lossless": lambda writer: _exactly(lossless.LosslessEncoder(SPEC, writer), writer),
    "bitmap": lambda writer: _exactly(bitmap.BitmapEncoder(SPEC, writer), writer),
    "whole": lambda writer: _exactly(whole.WholeEncoder(SPEC, writer), writer),
    "zero": lambda writer: zero.encode(SPEC, writer),
    "lowrank": _adapter,
    "topk": _pruned,
    "svd": _singular,
    **{family: _coded(family) for family in FAMILIES},
}


def sample(codec: str) -> Sample:
    writer = new_writer()
    record = ENCODERS[codec](writer)
    return Sample(record, reader_of(writer), *_models())


@pytest.fixture(autouse=True)
def several_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Split a tensor of 108 entries into three chunks that end within rows."""
    monkeypatch.setattr(bits, "CHUNK", 40)


def test_every_codec_of_the_table_is_tested() -> None:
    assert ENCODERS.keys() == FORMS.keys() == CODECS.keys()


@pytest.mark.parametrize("name", CODECS)
def test_codec_name_is_its_key_and_that_of_its_records(name: str) -> None:
    assert CODECS[name].name == name == sample(name).record.codec


@pytest.mark.parametrize("name", CODECS)
def test_module_is_named_after_its_codec(name: str) -> None:
    opener: Any = CODECS[name].open
    plain = name.replace("-", "_").replace("+", "_")
    assert opener.__module__ == f"skillpm.delta.codecs.{plain}"


@pytest.mark.parametrize("name", [name for name in CODECS if not CODECS[name].lossy])
def test_exact_codec_decodes_the_tuned_words_and_has_no_delta(name: str) -> None:
    made = sample(name)
    decoder = made.open()
    for number, reference, tuned in made.chunks():
        assert decoder.delta_of(number) is None
        assert decoder.delta_of(number, reference) is None
        assert (decoder.decode_chunk(number, reference) == tuned).all()


@pytest.mark.parametrize("name", [name for name in CODECS if CODECS[name].lossy])
def test_lossy_codec_decodes_the_reference_plus_its_delta_rounded_once(name: str) -> None:
    made = sample(name)
    decoder = made.open()
    for number, reference, _ in made.chunks():
        delta = decoder.delta_of(number, reference)
        assert delta is not None
        assert delta.dtype == np.float64
        assert delta.shape == reference.shape
        expected = (to_float64(reference, "F32") + delta).astype("<f4").view("<u4")
        assert (decoder.decode_chunk(number, reference) == expected).all()
        assert (decoder.decode_chunk(number, reference, delta) == expected).all()


@pytest.mark.parametrize("name", [name for name in CODECS if CODECS[name].lossy])
def test_sum_that_overflows_is_an_error_that_names_the_tensor(name: str) -> None:
    decoder = sample(name).open()
    number, size = 1, 40
    largest = np.full(size, np.finfo("<f4").max, dtype="<f4").view("<u4")
    if name == "zero":
        assert (decoder.decode_chunk(number, largest) == largest).all()
        return
    with pytest.raises(GraftError, match="`t` overflows F32"):
        decoder.decode_chunk(number, largest, np.full(size, 1e38))


@pytest.mark.parametrize("name", CODECS)
def test_delta_that_requires_the_base_is_none_without_it(name: str) -> None:
    decoder = sample(name).open()
    alone = decoder.delta_of(0)
    assert (alone is None) == (name in EXACT or CODECS[name].keeps_factors)
    if alone is not None:
        random = np.random.default_rng(16).integers(0, 2**30, 40, dtype="<u4")
        again = decoder.delta_of(0, random)
        assert again is not None
        assert again.tobytes() == alone.tobytes()


@pytest.mark.parametrize("name", CODECS)
def test_known_error_is_the_error_of_the_decoded_tensor(name: str) -> None:
    made = sample(name)
    decoder = made.open()
    known = CODECS[name].known_error
    lost = length = 0.0
    for number, reference, tuned in made.chunks():
        before, after = to_float64(reference, "F32"), to_float64(tuned, "F32")
        decoded = to_float64(decoder.decode_chunk(number, reference), "F32")
        lost += float(np.sum((after - decoded) ** 2))
        length += float(np.sum((after - before) ** 2))
    if known is not None:
        assert lost == known**2 * length
    assert (known == 0.0) == (not CODECS[name].lossy)


def _dense(form: LiveForm) -> np.ndarray:
    """Return the delta [12, 9] of a live form, multiplied out."""
    match form:
        case NoChange():
            return np.zeros(SPEC.shape)
        case AdapterFactors():
            left, right = (side.rows(0, side.words.shape[0]) for side in form.sides)
            return form.scale * (left @ right)
        case FloatFactors():
            return np.ldexp(form.left @ form.right, form.exponent)
        case IntegerFactors():
            ranks, rows, columns = (
                np.ones(1) if each is None else each
                for each in (form.ranks, form.rows, form.columns)
            )
            product = (form.left * ranks) @ form.right.T.astype(np.float64)
            return product * rows[:, None] * columns
        case SparseEntries():
            positions, values = form.read()
            assert (np.diff(positions) > 0).all()
            assert (values != 0).all()
            flat = np.zeros(SPEC.elements)
            flat[positions] = values
            return flat.reshape(SPEC.shape)


@pytest.mark.parametrize("name", CODECS)
def test_live_form_equals_the_decoded_delta(name: str) -> None:
    made = sample(name)
    decoder = made.open()
    form, expected = decoder.live_form(), FORMS[name]
    if expected is None:
        assert form is None
        return
    assert type(form) is expected
    deltas = [decoder.delta_of(number, reference) for number, reference, _ in made.chunks()]
    delta = np.concatenate([each for each in deltas if each is not None]).reshape(SPEC.shape)
    assert np.abs(_dense(form) - delta).max() <= 2.0**-20 * np.abs(delta).max()


def test_dora_factors_have_no_live_form() -> None:
    writer = new_writer()
    record = _adapter(writer, axis=0)
    decoder = CODECS["lowrank"].open(SPEC, reader_of(writer), record.settings)
    assert decoder.live_form() is None


def test_sparse_form_omits_entries_that_rounded_to_zero() -> None:
    delta = np.zeros(SPEC.elements)
    delta[[3, 41, 107]] = [1.0, 1e-12, -2.0]
    writer = new_writer()
    record = topk.encode(SPEC, delta, 3, writer)
    form = CODECS["topk"].open(SPEC, reader_of(writer), record.settings).live_form()
    assert isinstance(form, SparseEntries)
    positions, values = form.read()
    assert positions.tolist() == [3, 107]
    assert values.tolist() == [1.0, -2.0]


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize(("spread", "error"), [(0.3, 0.03), (1.0, 0.03), (4.0, 0.03), (30.0, 0.2)])
@pytest.mark.parametrize("scaled", [True, False])
def test_estimate_approximates_the_written_bytes(
    family: str, spread: float, error: float, *, scaled: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bits, "CHUNK", CHUNK)
    options: dict[str, Any] = {} if family == "sign" else {"spread": spread}
    if family == "svd-ec":
        options["rank"] = 60
    one = case(family, (210, 190), seed=17, scaled=scaled, **options)
    assert one.coded.estimate() == pytest.approx(len(one.data), rel=error, abs=64)
