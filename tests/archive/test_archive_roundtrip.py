import tarfile
from pathlib import Path

import pytest

from skillpm.archive.layout import INDEX_FILE, LAYOUT_FILE
from skillpm.archive.reader import open_pack
from skillpm.archive.tar import Slice
from skillpm.archive.writer import write_archive
from skillpm.checkpoint.files import OpenFile
from skillpm.errors import IntegrityError, NotFoundError, StateError
from skillpm.spec import json
from skillpm.spec.digests import Digest

GOLDEN = Path(__file__).parents[1] / "golden" / "lossless.skillpack"


def _again(path: Path, *, on_disk: bool, folder: Path) -> Digest:
    """The golden pack, written again from its blobs."""
    opened = open_pack(GOLDEN)
    blobs: dict[Digest, Path | bytes] = {}
    for digest in opened.image.blobs:
        blobs[digest] = opened.read(digest)
        if on_disk:
            blobs[digest] = folder / digest.hex
            (folder / digest.hex).write_bytes(opened.read(digest))
    shuffled = dict(reversed(blobs.items()))
    return write_archive(path, opened.image_bytes, "1.0.0", shuffled)


@pytest.mark.parametrize("on_disk", [True, False])
def test_pack_written_again_has_the_same_bytes(tmp_path: Path, *, on_disk: bool) -> None:
    path = tmp_path / "again.skillpack"
    assert _again(path, on_disk=on_disk, folder=tmp_path) == open_pack(GOLDEN).digest
    # The golden pack was written with padding to a tape record.
    written, golden = path.read_bytes(), GOLDEN.read_bytes()
    assert golden.startswith(written)
    assert not golden[len(written) :].strip(b"\0")


def test_archive_is_a_plain_oci_layout() -> None:
    with tarfile.open(GOLDEN, "r:") as tar:
        members = tar.getmembers()
        index = json.parse_object(tar.extractfile(INDEX_FILE).read(), "index.json")  # type: ignore[union-attr]
    assert [m.name for m in members] == sorted(m.name for m in members)
    assert {INDEX_FILE, LAYOUT_FILE} < {m.name for m in members}
    assert {(m.mtime, m.uid, m.gid, m.uname, m.gname, m.type) for m in members} == {
        (0, 0, 0, "", "", tarfile.REGTYPE)
    }
    assert index.keys() == {"schemaVersion", "manifests"}
    assert index["manifests"][0].keys() == {"mediaType", "digest", "size", "annotations"}


def test_blobs_of_a_pack_are_read_as_streams_and_slices() -> None:
    opened = open_pack(GOLDEN)
    config = opened.image.config
    with opened.open_blob(config.digest) as stream:
        data = stream.read()
    assert data == opened.read(config.digest)
    assert Digest.of(data) == config.digest
    assert opened.open_layer(config.digest).read(1, 3) == data[1:3]
    assert opened.size == len(opened.image_bytes) + sum(opened.image.blobs.values())
    with pytest.raises(NotFoundError):
        opened.open_blob(Digest.of(b"none"))


def test_slice_refuses_reads_beyond_its_blob(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    part = Slice(OpenFile(path), 2, 4)
    assert part.read(0, 4) == b"2345"
    for start, stop in ((0, 5), (-1, 2), (3, 2)):
        with pytest.raises(IntegrityError):
            part.read(start, stop)


def test_write_archive_leaves_the_path_unchanged_after_a_disk_error(tmp_path: Path) -> None:
    path = tmp_path / "old.skillpack"
    path.write_bytes(b"old")
    opened = open_pack(GOLDEN)
    missing: dict[Digest, Path | bytes] = {opened.image.config.digest: tmp_path / "missing"}
    with pytest.raises(StateError, match="cannot be written"):
        write_archive(path, opened.image_bytes, "1.0.0", missing)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]
    with pytest.raises(StateError, match="cannot be written"):
        write_archive(tmp_path / "no" / "x", opened.image_bytes, "1.0.0", {})


def test_write_archive_removes_files_of_dead_writers_only(
    tmp_path: Path,
) -> None:
    dead = tmp_path / f".out.skillpack.{2**22 + 1}.tmp"
    alive = tmp_path / ".out.skillpack.1.tmp"
    for stray in (dead, alive):
        stray.write_bytes(b"half")
    write_archive(tmp_path / "out.skillpack", b"{}", "1.0.0", {})
    assert not dead.exists()
    assert alive.exists()


def test_write_archive_refuses_a_blob_that_does_not_match_its_digest(tmp_path: Path) -> None:
    opened, path = open_pack(GOLDEN), tmp_path / "again.skillpack"
    blobs: dict[Digest, Path | bytes] = {d: opened.read(d) for d in opened.image.blobs}
    wrong = max(opened.image.blobs)
    (tmp_path / "blob").write_bytes(opened.read(wrong)[:-1] + b"x")
    blobs[wrong] = tmp_path / "blob"
    with pytest.raises(IntegrityError, match=f"should be `{wrong}`"):
        write_archive(path, opened.image_bytes, "1.0.0", blobs)
    assert {one.name for one in tmp_path.iterdir()} == {"blob"}
