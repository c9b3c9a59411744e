import numpy as np
import pytest
import zstandard
from delta_worlds import Bytes, layer_of, new_writer, reader_of
from hypothesis import given
from hypothesis import strategies as st

from skillpm.delta.codecs.shared.sparse import gap_planes, positions_from
from skillpm.delta.coding.payload import PayloadReader, Record
from skillpm.delta.coding.zstd_frames import PROBE, WINDOW_LIMIT, compress, decompress
from skillpm.errors import IntegrityError, SpecError


@given(st.binary(max_size=2000))
def test_a_frame_round_trips(data: bytes) -> None:
    frame = compress(data * 3)
    if frame is not None:
        assert len(frame) < 3 * len(data)
        assert decompress(frame, 3 * len(data), "a part") == data * 3


def test_noise_is_not_compressed_and_large_zeros_are() -> None:
    assert compress(np.random.default_rng(1).bytes(5 * PROBE)) is None
    frame = compress(bytes(5 * PROBE))
    assert frame is not None
    assert decompress(frame, 5 * PROBE, "a part") == bytes(5 * PROBE)


def test_a_window_over_the_limit_is_refused_before_anything_is_unpacked() -> None:
    magic = (0xFD2FB528).to_bytes(4, "little")
    size = 2 * WINDOW_LIMIT
    frame = magic + bytes([0b11000000, (28 - 10) << 3]) + size.to_bytes(8, "little") + b"\1\0\0"
    with pytest.raises(IntegrityError, match="window of 268435456"):
        decompress(frame, size, "a part")


def test_an_empty_frame_is_nothing() -> None:
    frame = zstandard.ZstdCompressor(write_content_size=True).compress(b"")
    assert decompress(frame, 0, "a part") == b""


@given(st.sets(st.integers(0, 2**20 - 1), min_size=1))
def test_positions_round_trip_through_their_gaps(found: set[int]) -> None:
    positions = np.array(sorted(found))
    assert (positions_from(gap_planes(positions), positions[-1] + 1, "t") == positions).all()
    with pytest.raises(IntegrityError, match="outside the tensor"):
        positions_from(gap_planes(positions), int(positions[-1]), "t")


def test_a_layer_does_not_depend_on_the_order_of_its_parts() -> None:
    layers = set()
    for names in (("a", "b"), ("b", "a")):
        writer = new_writer()
        for name in names:
            writer.put(name, "0p0", name.encode() * 500)
            writer.describe(name, Record("whole", {}))
        layers.add(layer_of(writer))
    assert len(layers) == 1


def test_a_record_that_names_no_codec_is_refused() -> None:
    writer = new_writer()
    writer.put("a", "0p0", b"x")
    writer.describe("a", Record("whole", {}))
    honest = layer_of(writer)
    assert reader_of(writer).stored_bytes("a") == 1
    with pytest.raises(SpecError, match="names no codec"):
        PayloadReader(Bytes(honest.replace(b'\\"codec\\"', b'\\"c0dec\\"')), "the layer")


def test_a_part_that_is_asked_for_by_another_size_is_refused() -> None:
    writer = new_writer()
    writer.put("a", "plain", b"xyz")
    writer.put("a", "framed", bytes(500))
    writer.describe("a", Record("whole", {}))
    reader = reader_of(writer)
    assert reader.part("a", "plain", 3) == b"xyz"
    for part in ("plain", "framed", "missing"):
        with pytest.raises(IntegrityError, match=part):
            reader.part("a", part, 4)
