from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from checkpoint_worlds import write_file
from safetensors import safe_open

from skillpm.checkpoint.model import open_checkpoint
from skillpm.checkpoint.place import Placement, place
from skillpm.checkpoint.write import write_shard
from skillpm.errors import IntegrityError
from skillpm.spec.dtypes import TensorSpec
from skillpm.spec.merkle import leaf_of


@pytest.fixture
def source(tmp_path: Path) -> Path:
    path = tmp_path / "source"
    path.write_bytes(b"weights")
    path.chmod(0o644)
    return path


def test_a_placed_file_has_the_content_and_shares_no_inode(source: Path, tmp_path: Path) -> None:
    placed = place(source, tmp_path / "target", link=False)
    assert (tmp_path / "target").read_bytes() == b"weights"
    assert (tmp_path / "target").stat().st_ino != source.stat().st_ino
    assert placed in (Placement(7, 0), Placement(0, 7))


def test_a_link_is_made_on_request(source: Path, tmp_path: Path) -> None:
    assert place(source, tmp_path / "target", link=True) == Placement(0, 7)
    assert (tmp_path / "target").stat().st_ino == source.stat().st_ino


@pytest.mark.parametrize("mode", [0o664, 0o646, 0o666])
def test_a_file_that_others_may_write_is_never_linked(
    mode: int, source: Path, tmp_path: Path
) -> None:
    source.chmod(mode)
    place(source, tmp_path / "target", link=True)
    assert (tmp_path / "target").stat().st_ino != source.stat().st_ino


def test_a_symbolic_link_is_placed_as_what_it_names(source: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(source)
    place(tmp_path / "link", tmp_path / "target", link=True)
    assert not (tmp_path / "target").is_symlink()
    assert (tmp_path / "target").read_bytes() == b"weights"


def test_a_target_that_exists_is_not_overwritten(source: Path, tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"mine")
    for link in (True, False):
        with pytest.raises(FileExistsError):
            place(source, tmp_path / "target", link=link)
    assert (tmp_path / "target").read_bytes() == b"mine"


def test_a_written_shard_is_read_by_the_library_and_by_us(tmp_path: Path) -> None:
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


def test_a_tensor_that_comes_out_at_another_size_is_refused(tmp_path: Path) -> None:
    specs = {"w": TensorSpec("w", "U8", (3,))}
    with ThreadPoolExecutor(1) as pool, pytest.raises(IntegrityError, match="another size"):
        write_shard(
            tmp_path / "m", specs, lambda _name: iter([b"ab"]), metadata={}, pool=pool,
            advance=lambda _bytes: None,
        )  # fmt: skip


def test_a_model_without_a_folder_is_named_by_its_file(tmp_path: Path) -> None:
    model = open_checkpoint(write_file(tmp_path / "x.safetensors", {"a": ("U8", [1], b"a")}))
    assert (model.name, model.config, model.index) == ("x.safetensors", None, None)
