"""Files and streams are hashed once, in chunks, and never further than their limit."""

import hashlib
import io
import os
from pathlib import Path

import pytest

from skillpm.checkpoint.files import OpenFile
from skillpm.errors import StateError
from skillpm.files.hashing import (
    CHUNK,
    HashingReader,
    RangeStream,
    digest_of,
    is_mostly_holes,
)
from skillpm.spec.digests import Digest

DATA = os.urandom(CHUNK + 17)


@pytest.fixture
def file(tmp_path: Path) -> OpenFile:
    (tmp_path / "file").write_bytes(DATA)
    return OpenFile(tmp_path / "file")


def test_a_file_that_is_read_by_position_has_the_digest_of_its_bytes(file: OpenFile) -> None:
    assert digest_of(file).hex == hashlib.sha256(DATA).hexdigest()


def test_streams_of_one_file_do_not_share_a_position(file: OpenFile) -> None:
    first, second = RangeStream(file), RangeStream(file)
    assert first.read(10) == second.read(10) == DATA[:10]
    assert io.BufferedReader(first).read() == DATA[10:]
    assert first.read(1) == b""


def test_a_stream_is_read_at_most_one_byte_beyond_its_limit() -> None:
    source = io.BytesIO(DATA)
    reader = HashingReader(source)
    assert b"".join(reader.chunks(CHUNK + 3)) == DATA[: CHUNK + 4]
    assert source.tell() == reader.size == CHUNK + 4
    assert reader.digest == Digest.of(DATA[: CHUNK + 4])


def test_an_error_of_the_source_is_told_apart_from_other_errors() -> None:
    class Broken:
        def read(self, _size: int = -1, /) -> bytes:
            raise OSError(5, "a disk error")

    with pytest.raises(OSError, match="a disk error"):
        HashingReader(Broken()).read()
    reader = HashingReader(Broken(), lambda problem: StateError(f"source: {problem.strerror}"))
    with pytest.raises(StateError, match="source: a disk error"):
        list(reader.chunks(10))


def _status(size: int, blocks: int) -> os.stat_result:
    return os.stat_result((0, 0, 0, 1, 0, 0, size, 0, 0, 0), {"st_blocks": blocks})


@pytest.mark.parametrize(
    ("size", "blocks", "expected"),
    [
        (1 << 30, 1, False),
        ((1 << 30) + 1, 1, True),
        (1 << 31, (1 << 31) // 512, False),
        (1 << 31, 0, False),
        (1 << 37, 0, True),
    ],
)
def test_large_files_that_are_mostly_holes_are_found(
    size: int, blocks: int, *, expected: bool
) -> None:
    status = _status(size, blocks)
    assert is_mostly_holes(status, largest=1 << 36) is expected
    assert is_mostly_holes(status) is (expected and blocks > 0)
