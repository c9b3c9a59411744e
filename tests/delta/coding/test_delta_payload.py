import numpy as np
import pytest
import zstandard
from delta_worlds import (
    Bytes,
    layer_of,
    new_writer,
    reader_of,
)
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.shared.sparse import gap_planes, positions_from
from skillpm.delta.coding.payload import PayloadReader, Record
from skillpm.delta.coding.zstd_frames import PROBE, WINDOW_LIMIT, compress, decompress
from skillpm.errors import IntegrityError, SpecError


@given(st.binary(max_size=2000))
def test_frame_round_trips(data: bytes) -> None:
    frame = compress(data * 3)
    if frame is not None:
        assert len(frame) < 3 * len(data)
        assert decompress(frame, 3 * len(data), "a part") == data * 3


def test_noise_is_not_compressed_and_large_zeros_are() -> None:
    assert compress(np.random.default_rng(1).bytes(5 * PROBE)) is None
    frame = compress(bytes(5 * PROBE))
    assert frame is not None
    assert decompress(frame, 5 * PROBE, "a part") == bytes(5 * PROBE)


def test_window_over_the_limit_is_refused_before_decompression() -> None:
    magic = (0xFD2FB528).to_bytes(4, "little")
    size = 2 * WINDOW_LIMIT
    frame = magic + bytes([0b11000000, (28 - 10) << 3]) + size.to_bytes(8, "little") + b"\1\0\0"
    with pytest.raises(IntegrityError, match="window of 268435456"):
        decompress(frame, size, "a part")


def test_empty_frame_decompresses_to_nothing() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(b"")
    assert decompress(frame, 0, "a part") == b""


@given(st.sets(st.integers(0, 2**20 - 1), min_size=1))
def test_positions_round_trip_through_gaps(found: set[int]) -> None:
    positions = np.array(sorted(found))
    assert (positions_from(gap_planes(positions), positions[-1] + 1, "t") == positions).all()
    with pytest.raises(IntegrityError, match="outside the tensor"):
        positions_from(gap_planes(positions), int(positions[-1]), "t")


def test_layer_is_independent_of_the_order_of_its_parts() -> None:
    layers = set()
    for names in (("a", "b"), ("b", "a")):
        writer = new_writer()
        for name in names:
            writer.put(name, "0p0", name.encode() * 500)
            writer.describe(name, Record("whole", {}))
        layers.add(layer_of(writer))
    assert len(layers) == 1


def test_record_without_a_codec_is_refused() -> None:
    writer = new_writer()
    writer.put("a", "0p0", b"x")
    writer.describe("a", Record("whole", {}))
    honest = layer_of(writer)
    assert reader_of(writer).stored_bytes("a") == 1
    with pytest.raises(SpecError, match="has no `codec`"):
        PayloadReader(Bytes(honest.replace(b'\\"codec\\"', b'\\"c0dec\\"')), "the layer")


def test_part_of_another_size_than_requested_is_refused() -> None:
    writer = new_writer()
    writer.put("a", "plain", b"xyz")
    writer.put("a", "framed", bytes(500))
    writer.describe("a", Record("whole", {}))
    reader = reader_of(writer)
    assert reader.part("a", "plain", 3) == b"xyz"
    for part in ("plain", "framed", "missing"):
        with pytest.raises(IntegrityError, match=part):
            reader.part("a", part, 4)


def test_a_tensor_copied_from_a_layer_has_the_same_parts_and_record() -> None:
    writer = new_writer()
    writer.put("a", "plain", np.random.default_rng(0).bytes(3000))
    writer.put("a", "frame", bytes(3000))
    writer.describe("a", Record("grid", {"fine": 2}))
    writer.put("a/b", "plain", b"of another tensor")
    writer.describe("a/b", Record("zero", {}))
    layer = reader_of(writer)
    copied = new_writer()
    assert copied.copy(layer, "a") == Record("grid", {"fine": 2})
    assert copied.stored_bytes("a") == layer.stored_bytes("a")
    again = reader_of(copied)
    assert again.records == {"a": layer.records["a"]}
    assert dict(again.stored_parts("a")) == dict(layer.stored_parts("a"))
    assert {name for name, _ in again.stored_parts("a")} == {"a/plain", "a/frame.zst"}
    assert again.stored_bytes("a") == layer.stored_bytes("a")


def test_writer_and_reader_count_the_same_stored_bytes() -> None:
    writer = new_writer()
    for tensor in ("a", "a/b"):
        writer.put(tensor, "p0", b"x" * 5000)
        writer.put_plain(tensor, "p1", b"y" * 7)
        writer.describe(tensor, Record("c", {}))
    writer.describe("z", Record("c", {}))
    reader = reader_of(writer)
    for tensor in ("a", "a/b", "z"):
        assert writer.stored_bytes(tensor) == reader.stored_bytes(tensor)
    assert 7 < writer.stored_bytes("a") < 5000
    assert writer.stored_bytes("z") == 0
