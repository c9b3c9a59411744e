import resource
import threading
from pathlib import Path

import pytest
from checkpoint_worlds import Tensors, write_file, write_sharded

from skillpm.archive.reader import open_pack
from skillpm.checkpoint.files import OPEN_LIMIT, OpenFile, ShardFile
from skillpm.checkpoint.model import open_checkpoint, read_small
from skillpm.errors import IntegrityError, NotFoundError, SpecError

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 4400216536\n"


TENSORS: Tensors = {"a.weight": ("F32", [2], bytes(8))}


def test_git_lfs_pointer_is_named_wherever_a_file_is_read(tmp_path: Path) -> None:
    for name in ("model.safetensors", "config.json", "x.skillpack"):
        (tmp_path / name).write_bytes(POINTER)
    for read in (
        lambda: open_checkpoint(tmp_path),
        lambda: read_small(tmp_path / "config.json"),
        lambda: open_pack(tmp_path / "x.skillpack"),
    ):
        with pytest.raises(SpecError, match="Git LFS pointer") as caught:
            read()
        assert "lfs pull" in (caught.value.hint or "")


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "config.json"])
def test_broken_link_in_a_model_is_refused_by_name(tmp_path: Path, name: str) -> None:
    write_file(tmp_path / "model.safetensors", TENSORS)
    (tmp_path / name).unlink(missing_ok=True)
    (tmp_path / name).symlink_to("../blobs/gone")
    with pytest.raises(NotFoundError, match=f"{name}` is a broken link: its target"):
        open_checkpoint(tmp_path)


def test_link_to_a_file_is_read_as_the_file(tmp_path: Path) -> None:
    (tmp_path / "model").mkdir()
    blob = write_file(tmp_path / "blob", TENSORS)
    (tmp_path / "model" / "model.safetensors").symlink_to(blob)
    assert list(open_checkpoint(tmp_path / "model").specs) == ["a.weight"]


def _sharded(folder: Path, count: int) -> Path:
    parts: dict[str, Tensors] = {
        f"model-{n:05}-of-{count:05}.safetensors": {f"t{n}": ("F32", [1], n.to_bytes(4, "little"))}
        for n in range(count)
    }
    return write_sharded(folder, parts)


def test_model_with_more_files_than_the_open_file_limit_is_read(tmp_path: Path) -> None:
    folder = _sharded(tmp_path / "model", OPEN_LIMIT * 3)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_open_files() + OPEN_LIMIT + 20, before[1]))
    try:
        model = open_checkpoint(folder)
        read = {name: b"".join(model.chunks(name)) for name in model.specs}
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
    assert read == {f"t{n}": n.to_bytes(4, "little") for n in range(OPEN_LIMIT * 3)}


def _open_files() -> int:
    return max(int(path.name) for path in Path("/dev/fd").iterdir())


def test_shard_replaced_while_closed_is_an_integrity_error(tmp_path: Path) -> None:
    files = [tmp_path / f"{n}" for n in range(OPEN_LIMIT + 1)]
    for path in files:
        path.write_bytes(b"1234")
    opened = [ShardFile(path) for path in files]
    (tmp_path / "new").write_bytes(b"4321")
    (tmp_path / "new").replace(files[0])
    with pytest.raises(IntegrityError, match="was replaced while it was being read"):
        opened[0].read(0, 4)


def test_shards_are_read_from_many_threads_while_others_are_closed(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}" for n in range(OPEN_LIMIT * 2)]
    for number, path in enumerate(paths):
        path.write_bytes(bytes([number % 256]) * 16)
    files = [ShardFile(path) for path in paths]
    wrong: list[int] = []

    def read(start: int) -> None:
        order = (*range(start, len(files)), *range(start))
        wrong.extend(n for n in order if files[n].read(0, 16) != bytes([n % 256]) * 16)

    threads = [threading.Thread(target=read, args=(n * 16,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    assert sum(file.is_open for file in files) <= OPEN_LIMIT + len(threads)


def test_file_that_shrinks_while_it_is_read_is_an_integrity_error(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"twelve bytes")
    file = OpenFile(path)
    path.write_bytes(b"four")
    with pytest.raises(IntegrityError, match="ended at byte 4"):
        file.read(0, 12)
