import fcntl
import os
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkpoint_worlds import Tensors, write_file
from safetensors import safe_open

from skillpm.checkpoint.leaves import identify
from skillpm.checkpoint.model import open_checkpoint, open_shard
from skillpm.checkpoint.place import (
    Placement,
    is_read_only,
    link_own_file,
    make_read_only,
    place_shard,
    why_not_linked,
)
from skillpm.checkpoint.write import write_shard
from skillpm.errors import IntegrityError
from skillpm.spec.digests import Digest
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import leaf_of

TENSORS: Tensors = {"a": ("U8", [4], b"abcd"), "b": ("F32", [1], b"\0\0\x80\x3f")}


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = write_file(tmp_path / "source.safetensors", TENSORS)
    path.chmod(0o644)
    return path


def placed(source: Path, target: Path, *, link: bool) -> Placement:
    with ThreadPoolExecutor(2) as pool:
        return place_shard(
            open_shard(source), target, link=link, pool=pool, advance=lambda _bytes: None
        )


def leaves_of(path: Path) -> dict[str, Digest]:
    return dict(identify(open_checkpoint(path)).leaves)


def test_placed_file_has_the_content_and_shares_no_inode(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.safetensors"
    done = placed(source, target, link=False)
    assert target.read_bytes() == source.read_bytes()
    assert target.stat().st_ino != source.stat().st_ino
    assert (done.written + done.shared, done.linked) == (source.stat().st_size, False)
    assert done.leaves == leaves_of(target)


def test_link_is_made_on_request(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "target.safetensors"
    done = placed(source, target, link=True)
    assert done == Placement(leaves_of(source), 0, source.stat().st_size, linked=True)
    assert target.stat().st_ino == source.stat().st_ino


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_file_that_others_may_write_is_not_linked_and_the_reason_is_given(
    mode: int, source: Path, tmp_path: Path
) -> None:
    source.chmod(mode)
    done = placed(source, tmp_path / "target.safetensors", link=True)
    assert not done.linked
    assert (tmp_path / "target.safetensors").stat().st_ino != source.stat().st_ino
    assert f"other users can write it (mode {mode:04o})" == why_not_linked(source)


def test_link_own_file_refuses_a_file_that_others_may_write(source: Path, tmp_path: Path) -> None:
    source.chmod(0o664)
    assert not link_own_file(source, tmp_path / "target")
    source.chmod(0o644)
    assert link_own_file(source, tmp_path / "target")


def test_symbolic_link_is_placed_as_its_target(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    for link in (True, False):
        target = tmp_path / f"{link}.safetensors"
        placed(tmp_path / "link", target, link=link)
        assert not target.is_symlink()
        assert target.read_bytes() == source.read_bytes()


def test_existing_target_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    for link in (True, False):
        with pytest.raises(FileExistsError):
            placed(source, tmp_path / "target", link=link)
    assert (tmp_path / "target").read_bytes() == b"mine"


@pytest.mark.parametrize("link", [True, False])
def test_leaves_match_the_placed_bytes_if_the_source_changes(
    source: Path, tmp_path: Path, *, link: bool
) -> None:
    opened, before = open_shard(source), leaves_of(source)
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    with source.open("r+b") as file:
        file.write(data)
    target = tmp_path / "target.safetensors"
    with ThreadPoolExecutor(2) as pool:
        done = place_shard(opened, target, link=link, pool=pool, advance=lambda _bytes: None)
    assert done.leaves == leaves_of(target) != before


def test_clone_is_hashed_after_cloning(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Simulate a cloning file system by copies, where the real one cannot clone."""

    def ficlone(target: int, request: int, origin: int) -> int:
        assert request == 0x40049409
        return os.sendfile(target, origin, 0, os.fstat(origin).st_size)

    opened = open_shard(source)
    monkeypatch.setattr(fcntl, "ioctl", ficlone)
    data = bytearray(source.read_bytes())
    data[-1] ^= 1
    source.write_bytes(data)
    target = tmp_path / "target.safetensors"
    with ThreadPoolExecutor(2) as pool:
        done = place_shard(opened, target, link=False, pool=pool, advance=lambda _bytes: None)
    assert done == Placement(leaves_of(target), 0, source.stat().st_size)
    assert target.stat().st_nlink == 1


@pytest.mark.parametrize("link", [True, False])
def test_header_that_changes_after_it_was_read_is_refused(
    source: Path, tmp_path: Path, *, link: bool
) -> None:
    opened = open_shard(source)
    with source.open("r+b") as file:
        file.write(source.read_bytes().replace(b'"a":', b'"c":'))
    with ThreadPoolExecutor(1) as pool, pytest.raises(IntegrityError, match="was changed"):
        place_shard(opened, tmp_path / "t", link=link, pool=pool, advance=lambda _bytes: None)


def test_source_replaced_before_it_is_linked_is_refused(source: Path, tmp_path: Path) -> None:
    opened = open_shard(source)
    copy = tmp_path / "copy"
    copy.write_bytes(source.read_bytes())
    copy.replace(source)
    with ThreadPoolExecutor(1) as pool, pytest.raises(IntegrityError, match="was replaced"):
        place_shard(opened, tmp_path / "t", link=True, pool=pool, advance=lambda _bytes: None)
    assert not (tmp_path / "t").exists()


def test_make_read_only_affects_every_link_of_a_file(source: Path, tmp_path: Path) -> None:
    placed(source, tmp_path / "target", link=True)
    make_read_only(tmp_path / "target")
    assert is_read_only(source)
    assert stat.S_IMODE(source.stat().st_mode) == 0o444
    (tmp_path / "symbolic").symlink_to(source)
    with pytest.raises(OSError, match="symbolic"):
        make_read_only(tmp_path / "symbolic")


def test_written_shard_is_read_by_the_library_and_by_skillpm(tmp_path: Path) -> None:
    data = {"w": b"\0\0\x80\x3f" * 4, "i": bytes(3), "none": b""}
    specs = {
        "w": TensorSpec("w", "F32", (2, 2)),
        "i": TensorSpec("i", "U8", (3,)),
        "none": TensorSpec("none", "F16", (0, 4)),
    }
    path, advanced = tmp_path / "m.safetensors", list[int]()
    with ThreadPoolExecutor(2) as pool:
        leaves = write_shard(
            path, specs, lambda name: iter([data[name]]), metadata={"format": "pt"}, pool=pool,
            advance=advanced.append,
        )  # fmt: skip
    assert leaves == {name: leaf_of(spec, data[name]) for name, spec in specs.items()}
    assert sorted(advanced) == [0, 3, 16]
    model = open_checkpoint(path)
    assert {name: b"".join(model.chunks(name)) for name in model.specs} == data
    with safe_open(path, "numpy") as theirs:
        assert theirs.metadata() == {"format": "pt"}
        assert theirs.get_tensor("w").tolist() == [[1.0, 1.0], [1.0, 1.0]]


def test_tensor_of_another_size_than_declared_is_refused(tmp_path: Path) -> None:
    specs = {"w": TensorSpec("w", "U8", (3,))}
    with ThreadPoolExecutor(1) as pool, pytest.raises(IntegrityError, match="2 bytes, expected 3"):
        write_shard(
            tmp_path / "m", specs, lambda _name: iter([b"ab"]), metadata={}, pool=pool,
            advance=lambda _bytes: None,
        )  # fmt: skip


def test_model_without_a_folder_is_named_by_its_file(tmp_path: Path) -> None:
    model = open_checkpoint(write_file(tmp_path / "x.safetensors", {"a": ("U8", [1], b"a")}))
    assert (model.name, model.config, model.index) == ("x.safetensors", None, None)
