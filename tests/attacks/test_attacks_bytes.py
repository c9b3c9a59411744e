"""A small pack with each of its bytes flipped in turn, and truncated at every length."""

import os
import random
from pathlib import Path

import pytest
from attack_worlds import World
from thoroughness import stride

from skillpm.errors import SkillpmError

STRIDES = {"lossless": stride(7), "graftllm": stride(23, thorough=3)}
"""In thorough runs, every byte of one pack and every third byte of the other."""


def _outcome(world: World, path: Path) -> str | None:
    """The root that a graft gets, or None if a SkillpmError was raised."""
    try:
        return world.graft_root(path)
    except SkillpmError:
        return None


def _meaning(data: bytes) -> range:
    """The positions up to the end of the last entry; the rest is zeros."""
    return range(len(data.rstrip(b"\0")) + 1)


@pytest.mark.parametrize("scheme", STRIDES)
def test_flipped_byte_gives_an_error_or_the_same_graft(
    scheme: str, world: World, tmp_path: Path
) -> None:
    data = world.packs[scheme].read_bytes()
    honest = world.graft_root(world.packs[scheme])
    altered = tmp_path / "altered.skillpack"
    altered.write_bytes(data)
    harmless = 0
    with altered.open("r+b", buffering=0) as file:
        for position in range(0, len(data), STRIDES[scheme]):
            flip = 1 << (position % 8)
            os.pwrite(file.fileno(), bytes([data[position] ^ flip]), position)
            outcome = _outcome(world, altered)
            os.pwrite(file.fileno(), data[position : position + 1], position)
            assert outcome in (None, honest), f"byte {position} gives another graft"
            harmless += outcome is not None
    assert harmless < len(data) / 2


@pytest.mark.parametrize("scheme", STRIDES)
def test_truncated_pack_is_refused_or_complete(scheme: str, world: World, tmp_path: Path) -> None:
    data = world.packs[scheme].read_bytes()
    honest = world.graft_root(world.packs[scheme])
    cuts = {*range(0, len(data), 512), *random.Random(1).sample(range(len(data)), 60)}
    for size in sorted(cuts):
        path = tmp_path / "cut.skillpack"
        path.write_bytes(data[:size])
        outcome = _outcome(world, path)
        assert outcome in (None, honest)
        assert outcome is None or size >= _meaning(data)[-1]


@pytest.mark.parametrize("data", [b"", b"\0" * 512, b"\0" * 1024, b"PK\x03\x04" + bytes(600), b"x"])
def test_file_that_is_not_a_tar_is_refused(data: bytes, world: World, tmp_path: Path) -> None:
    path = tmp_path / "none.skillpack"
    path.write_bytes(data)
    with pytest.raises(SkillpmError):
        world.verify(path)


def test_data_after_the_end_is_refused(world: World, tmp_path: Path) -> None:
    path = tmp_path / "longer.skillpack"
    path.write_bytes(world.packs["lossless"].read_bytes() + b"more")
    with pytest.raises(SkillpmError, match="there is data after its last entry"):
        world.verify(path)


def test_pack_forged_without_changes_is_the_same_pack(world: World, tmp_path: Path) -> None:
    forged = world.forge().write(tmp_path / "same.skillpack")
    assert world.verify(forged) == world.verify(world.packs["lossless"])
